"""The commands that train models: `train fit`, `train presets` and `train ladder`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from curate.system import lock
from curate.terminal import ByteProgressBar, complete_names, print_status
from train.cli.terminal import PATH, cli_command, print_table, training_progress


def _preset_names() -> Iterable[str]:
    from train.presets import PRESETS  # noqa: PLC0415  # only its users pay for the import

    return ["tags", *PRESETS]


def _setting_prefixes() -> Iterable[str]:
    from train.config import Config  # noqa: PLC0415  # the same

    return (f"{field.name}=" for field in fields(Config) if field.name != "preset")


@click.command()
@click.argument("shards", type=PATH)
@click.argument("run", type=PATH)
@click.option(
    "--preset",
    default="tags",
    show_default=True,
    help="Start from these settings; see `train presets`.",
    shell_complete=complete_names(_preset_names),
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change one setting; may be repeated.",
    shell_complete=complete_names(_setting_prefixes),
)
@click.option("--steps", type=click.IntRange(1), help="Length in steps; equal runs give equal models.")
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), help="Length in minutes, earlier calls for RUN included."
)
@click.option("--seed", type=int, help="Short for --set seed=N.")
@click.option("--devices", type=click.IntRange(1), default=1, show_default=True, help="GPUs that share each batch.")
@click.option("--fresh", is_flag=True, help="Start over instead of continuing.")
@click.option("--dry-run", is_flag=True, help="Print devices, settings and parameter counts; train nothing.")
@click.option("--trust", is_flag=True, help="Do not check the hashes of the shards first.")
@cli_command(print_table)
def fit(
    shards: Path,
    run: Path,
    preset: str,
    settings: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    seed: int | None,
    devices: int,
    fresh: bool,
    dry_run: bool,
    trust: bool,
) -> dict[str, Any]:
    """Train a model on SHARDS in the run folder RUN. A training continues from its last snapshot."""
    from train.config import override  # noqa: PLC0415
    from train.data.pairs import open_index  # noqa: PLC0415
    from train.presets import preset_config  # noqa: PLC0415
    from train.training import fit as training  # noqa: PLC0415  # Keras and TensorFlow take seconds to import
    from train.training.schedule import TrainingLength  # noqa: PLC0415

    if (steps is None) == (minutes is None) and not dry_run:
        raise click.UsageError("give --steps N or --minutes M")
    seed_setting = () if seed is None else (f"seed={seed}",)
    config = override(preset_config(preset, gpu=training.has_gpu()), (*settings, *seed_setting))
    lock.check_free(run)  # before the shards are hashed, which may take minutes
    if not trust:
        with ByteProgressBar("fit", sum(file.bytes for file in open_index(shards).files.values())) as bar:
            training.check_shards(shards, bar.advance_bytes)
        print_status(f"fit: shards hashed, {bar.describe()}")
    if dry_run:
        return training.describe(config, shards)
    print_status(f"fit: on {', '.join(training.device_names())}")
    with training_progress() as on_progress:
        length = TrainingLength(steps, minutes)
        return training.fit(shards, run, config, length, fresh=fresh, on_progress=on_progress, devices=devices)


@click.command()
@cli_command(print_table, tensorflow=False)
def presets() -> dict[str, Any]:
    """List the presets, what each is and where it comes from."""
    from train.presets import PRESETS  # noqa: PLC0415

    described = {name: {"what": preset.description, "source": preset.source} for name, preset in PRESETS.items()}
    return {"tags": {"what": "the default: tags-gpu if there is a GPU, otherwise tags-cpu", "source": ""}, **described}


@click.command()
@click.argument("shards", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--budget-images", "budget", type=click.IntRange(1), required=True, help="Pairs that each preset is trained on."
)
@click.option(
    "--rungs", metavar="A,B,...", help="Train only these presets.", shell_complete=complete_names(_preset_names)
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change one setting of every preset; may be repeated.",
    shell_complete=complete_names(_setting_prefixes),
)
@cli_command(lambda result: click.echo(result["table"]))
def ladder(shards: Path, out: Path, budget: int, rungs: str | None, settings: tuple[str, ...]) -> dict[str, Any]:
    """Train all presets on equal terms and compare them.

    Each is trained on the same pairs for the same budget. OUT gets a table, a picture and all run folders.
    """
    from train.evaluation import ladder as stage  # noqa: PLC0415

    names = rungs.split(",") if rungs else stage.RUNGS
    with training_progress() as on_progress:
        return stage.ladder(shards, out, names, budget, settings, progress_for=lambda _: on_progress)


COMMANDS = (fit, presets, ladder)
"""In the order in which `train --help` lists them."""
