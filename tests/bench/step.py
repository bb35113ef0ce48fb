"""Measure the seconds of each kind of training step of `train fit`, and of the same step in PyTorch.

With --peers, a folder of packages that tests/twin.py explains how to fill, PyTorch and our code take turns in one
process: PyTorch eager and compiled, channels first and last, each from our weights. The figures of the steps are
compared first. Batches are made beforehand, so that only the step is timed.

Run: python -m tests.bench.step [SHARDS] [--preset tags-cpu] [--set KEY=VALUE]... [--peers FOLDER] [--rounds N] [--json]
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from train.config import override
from train.data.batches import Batch, BatchOptions, training_batches
from train.data.pairs import Pairs
from train.model.devices import assign_cores_to_parts
from train.model.gan import Gan, StepKind, StepSettings
from train.presets import preset_config as named
from train.training import fit as training
from train.training.schedule import step_settings

KINDS: tuple[StepKind, ...] = ("half", "plain", "both")
BATCHES = 4
PAUSE = 0.1  # s: the previous contender's threads spin for a while and would take a core from the next one
RATE = 0.01  # of the peak rates, so that weights hardly change
TOLERANCE = {"pixels": 1e-3, "figures": 1e-4}  # largest difference; PyTorch's group norm is coarser channels-last
Step = Callable[[Batch, StepSettings, StepKind], dict[str, float]]
Seconds = dict[str, float]


def ours(gan: Gan) -> Step:
    def step(batch: Batch, settings: StepSettings, kind: StepKind) -> dict[str, float]:
        return {name: float(value) for name, value in gan.step(batch, settings, RATE, kind).items()}

    return step


def randomize_zeros(gan: Gan) -> None:
    """Give weights that start at zero small random values, so that FiLM is compared too."""
    random = np.random.default_rng(0)
    for weight in (*gan.generator.trainable_variables, *gan.discriminator.trainable_variables):
        if not np.any(weight):
            weight.assign(random.normal(0, 0.1, weight.shape))


def twins(gan: Gan, peers: Path, *, compiled: bool) -> dict[str, Any]:
    """Twins by name: eager or compiled, with channels first or last."""
    sys.path.append(str(peers))
    sys.modules["triton"] = None  # type: ignore[assignment]  # for GPUs only, and cannot be loaded beside TensorFlow
    import torch

    from tests.twin import Twin

    orders = {"": torch.contiguous_format, " channels-last": torch.channels_last}
    compilers = {"eager": None} | ({"compile": partial(torch.compile, dynamic=False)} if compiled else {})
    return {
        name + order: Twin(gan, memory, compiler)
        for name, compiler in compilers.items()
        for order, memory in orders.items()
    }


def twin_step(twin: Any) -> Step:
    from tests.twin import batch_of

    converted: dict[int, Any] = {}

    def step(batch: Batch, settings: StepSettings, kind: StepKind) -> dict[str, float]:
        if id(batch) not in converted:
            converted[id(batch)] = batch_of(batch, twin.memory, twin.device)
        return {name: float(value) for name, value in twin.step(converted[id(batch)], settings, RATE, kind).items()}

    return step


def difference(gan: Gan, twin: Any, batch: Batch) -> float:
    """Largest difference of any pixel of the generators' outputs."""
    return float(np.abs(np.asarray(gan.generator([batch.lines, batch.tags])) - twin.colored(batch)).max())


def timed(step: Step, batch: Batch, settings: StepSettings, kind: StepKind) -> tuple[Seconds, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    figures = step(batch, settings, kind)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}, figures


def race(
    steps: dict[str, Step], batches: list[Batch], settings: StepSettings, kind: StepKind, rounds: int
) -> dict[str, dict[str, float]]:
    """Least and median seconds of each contender's steps. They take turns of two steps, with a pause between turns."""
    took: dict[str, list[Seconds]] = {name: [] for name in steps}
    for turn in range(rounds):
        for name, step in steps.items():
            time.sleep(PAUSE)
            took[name] += [timed(step, batches[(turn + n) % BATCHES], settings, kind)[0] for n in range(2)]
    return {
        name: {
            f"{clock}_{statistic}": compute([seconds[clock] for seconds in measured])
            for clock in ("wall", "cpu")
            for statistic, compute in (("min", min), ("median", statistics.median))
        }
        for name, measured in took.items()
    }


def compare(
    gan: Gan, batches: list[Batch], settings: StepSettings, peers: Path | None, rounds: int, *, compiled: bool
) -> dict[str, Any]:
    """Seconds of first calls, differences, and seconds of steps, by kind and contender."""
    randomize_zeros(gan)
    peer_twins = twins(gan, peers, compiled=compiled) if peers else {}
    steps = {"ours": ours(gan)} | {name: twin_step(twin) for name, twin in peer_twins.items()}
    result: dict[str, Any] = {"difference": dict.fromkeys(TOLERANCE, 0.0), "first_call": {}, "seconds": {}, "ratio": {}}
    differences = result["difference"]
    differences["pixels"] = max([difference(gan, twin, batches[0]) for twin in peer_twins.values()], default=0.0)
    for kind in KINDS:
        firsts = {name: timed(step, batches[0], settings, kind) for name, step in steps.items()}
        result["first_call"][kind] = {name: took["wall"] for name, (took, _) in firsts.items()}
        figures = firsts["ours"][1]
        for name in peer_twins:
            errors = [abs(figures[figure] - value) for figure, value in firsts[name][1].items()]
            differences["figures"] = max(differences["figures"], *errors)
        click.echo(f"{kind}: compiled", err=True)
    if any(differences[name] > limit for name, limit in TOLERANCE.items()):
        raise SystemExit(f"the twin computes something else: differences of {differences}")
    for kind in KINDS:
        result["seconds"][kind] = race(steps, batches, settings, kind, rounds)
        for clock in ("wall_median", "wall_min", "cpu_median") if peer_twins else ():
            took = {name: seconds[clock] for name, seconds in result["seconds"][kind].items()}
            result["ratio"][f"{kind} {clock} over PyTorch's best"] = took.pop("ours") / min(took.values())
    return result


def report(result: dict[str, Any]) -> None:
    for kind, contenders in result["seconds"].items():
        click.echo(f"{kind:22} {'first call':>10} {'min':>7} {'median':>7} {'CPU':>7}  seconds")
        for name, took in contenders.items():
            first = result["first_call"][kind][name]
            row = f"{took['wall_min']:7.3f} {took['wall_median']:7.3f} {took['cpu_median']:7.3f}"
            click.echo(f"  {name:20} {first:10.1f} {row}")
    for name, ratio in result["ratio"].items():
        click.echo(f"{name}: {ratio:.2f}")
    if result["ratio"]:
        click.echo(
            "largest difference: " + ", ".join(f"{name} {value:.1g}" for name, value in result["difference"].items())
        )


@click.command()
@click.argument("shards", type=click.Path(path_type=Path, exists=True), default="demo/shards")
@click.option("--preset", default="tags-cpu", show_default=True)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="As for train fit.")
@click.option(
    "--peers", type=click.Path(path_type=Path, exists=True), help="Compare with PyTorch, installed in this folder."
)
@click.option(
    "--compile/--no-compile", "compiled", default=True, help="Also time PyTorch's compiler, which takes minutes."
)
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    shards: Path, preset: str, settings: tuple[str, ...], peers: Path | None, compiled: bool, rounds: int, as_json: bool
) -> None:
    """Time the steps of PRESET on pairs of SHARDS."""
    training.enable_determinism()
    config = override(named(preset), settings)
    assign_cores_to_parts(config.effective_parts)
    gan = training.build_gan(config, shards)
    batches = list(
        itertools.islice(
            training_batches(Pairs(shards, "train"), config.batch_size, BatchOptions.from_config(config)), BATCHES
        )
    )
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty  # so that first calls compile
        result = compare(gan, batches, step_settings(config, 10, 0.5), peers, rounds, compiled=compiled)
    if as_json:
        click.echo(json.dumps(result))
    else:
        report(result)


if __name__ == "__main__":
    main()
