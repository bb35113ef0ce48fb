"""The commands as functions, for notebooks and programs: `import train; train.fit("shards", "run", minutes=10)`.

Every function takes the options of its command as keyword arguments and returns the object that the command prints
with `--json`. Folders are `str` or `Path`. A user's mistake raises `curate.NurieError`, whose message is one line.
TensorFlow is loaded by the first function that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from curate.system import lock
from train.errors import ConfigError

Folder = str | PathLike[str]
Figures = dict[str, Any]
"""What a command prints with `--json`."""
OnProgress = Callable[..., None]


def _silent(*_: object) -> None:
    """Report no progress."""


def _load_tensorflow() -> None:
    from train.lazy_tensorflow import load_tensorflow  # noqa: PLC0415  # costs seconds

    load_tensorflow()


def _settings(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """`{"width": 16, "jit": False}` -> `("width=16", "jit=false")`, as the option --set takes them."""
    return tuple(f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in settings.items())


def fit(
    shards: Folder,
    run: Folder,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    preset: str = "tags",
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    devices: int = 1,
    fresh: bool = False,
    dry_run: bool = False,
    trust: bool = False,
    on_progress: OnProgress = _silent,
) -> Figures:
    """Train on a shard folder into a run folder; continues from its last snapshot.

    Args:
        shards: what `curate.shard` wrote.
        run: the run folder to begin or to continue.
        steps: train this many steps in all; equal runs are equal.
        minutes: or train this long in all.
        preset: a name that `train presets` lists.
        settings: settings to change, such as `{"width": 16, "batch_size": 8}`; see `train.config.Config`.
        seed: short for `settings={"seed": N}`.
        devices: GPUs that share each batch.
        fresh: start over.
        dry_run: return devices, configuration and numbers of parameters; train nothing.
        trust: do not hash the shards first.
        on_progress: called as `on_progress(share, clock, figures)` at every logged step; `share` is 0 to 1,
            `clock.images_seen` counts pictures.

    Returns:
        `step`, `images_seen`, the last figures of the fixed validation pairs, and alarms.

    Raises:
        ConfigError: for a setting that does not exist or a value out of range, or without `steps` or `minutes`.
        DamagedError: if the shards are not what their index says.
        RunError: if the run folder belongs to other shards or settings.
    """
    if (steps is None) == (minutes is None) and not dry_run:
        raise ConfigError("give either steps or minutes")
    _load_tensorflow()
    from train.config import override  # noqa: PLC0415
    from train.presets import preset_config  # noqa: PLC0415
    from train.training import fit as stage  # noqa: PLC0415
    from train.training.schedule import TrainingLength  # noqa: PLC0415

    changed = dict(settings or {}) | ({} if seed is None else {"seed": seed})
    config = override(preset_config(preset, gpu=stage.has_gpu()), _settings(changed))
    source, target = Path(shards), Path(run)
    lock.check_free(target)  # before minutes of hashing
    if not trust:
        stage.check_shards(source, lambda _: None)
    if dry_run:
        return stage.describe(config, source)
    length = TrainingLength(steps, minutes)
    return stage.fit(source, target, config, length, fresh=fresh, on_progress=on_progress, devices=devices)


def colorize(
    run: Folder,
    drawings: Folder | Sequence[Folder],
    out: Folder,
    *,
    tags: str | Sequence[str] = "",
    negative: str | Sequence[str] = "",
    guidance: float | None = None,
    count: int = 8,
    seed: int | None = None,
    method: str = "resize",
    keep_lines: bool = False,
    keep_transparency: bool = False,
    grid: bool = False,
    on_progress: OnProgress = _silent,
) -> Figures:
    """Colour line drawings of any size, or validation pairs of a shard folder.

    Args:
        run: a run folder, for its last model, or a model in it: `RUN/best.keras`, `RUN/snapshots/STEP.npz`.
        drawings: PNG or JPEG files, folders of them, or one shard folder.
        out: the folder to write.
        tags: what to draw, `"blue_hair, smile"` or a list.
        negative: tags to move away from.
        guidance: how strongly tags pull, 0 to 10; 1 by default, 2 with `negative`.
        count: how many pairs of a shard folder.
        seed: another choice of those pairs; nothing else here is random.
        method: `resize` or `tiles`, for drawings larger than the model's pairs.
        keep_lines: lay the drawing's own lines on top, as sharp as they are.
        keep_transparency: leave clear what is clear in the drawing.
        grid: also write `OUT/grid.png`.
        on_progress: called as `on_progress(done, total)` after each picture.

    Returns:
        `pictures`: paths of what was written; the grid comes last.

    Raises:
        TagError: for a tag that the model does not know; it names the nearest one.
        NurieError: for a file that is no drawing.
    """
    _load_tensorflow()
    from train.coloring import colorize as stage  # noqa: PLC0415
    from train.data.tags import parse_tags  # noqa: PLC0415

    def listed(text: str | Sequence[str]) -> tuple[str, ...]:
        return tuple(parse_tags(text if isinstance(text, str) else ",".join(text)))

    usual = 2.0 if negative else 1.0
    prompt = stage.TagPrompt(listed(tags), listed(negative), usual if guidance is None else guidance)
    options = stage.ColorizeOptions(method, keep_lines, keep_transparency)
    paths = [drawings] if isinstance(drawings, str | PathLike) else drawings
    return stage.colorize(
        Path(run),
        [Path(path) for path in paths],
        Path(out),
        prompt,
        options,
        count=count,
        grid=grid,
        seed=seed,
        on_progress=on_progress,
    )


def evaluate(
    run: Folder,
    shards: Folder,
    *,
    split: str = "validation",
    lines: str | None = None,
    most: int = 2000,
    seed: int = 0,
    on_progress: OnProgress = _silent,
) -> Figures:
    """Measure a run's pictures on a split, and how far the tags decide their colours.

    Args:
        run: a run folder or a model in it.
        shards: the shard folder it was trained on, or another with the same tags.
        split: `train`, `validation` or `test`.
        lines: the line style to colour; the first one stored by default.
        most: pairs to measure at most, of whole families.
        seed: of the choice, the shuffle and the bootstrap.
        on_progress: called as `on_progress(done, total)`.

    Raises:
        NurieError: if the split has too few pairs.
    """
    _load_tensorflow()
    from train.evaluation import evaluate as stage  # noqa: PLC0415

    return dict(
        stage.evaluate(Path(run), Path(shards), split, lines=lines, most=most, seed=seed, on_progress=on_progress)
    )


def export(run: Folder, out: Folder, *, format: str = "keras", evaluation: Folder | None = None) -> Figures:  # noqa: A002
    """Write the model of a run for other programs, with its vocabulary and a model card.

    Args:
        run: a run folder.
        out: the folder to write.
        format: `keras`, `savedmodel`, `onnx` or `tflite`.
        evaluation: a JSON file that holds what `evaluate` returned, for the card.

    Raises:
        MissingExtraError: if the format needs the extra `export`.
        NurieError: if the written model does not give the run's own colours.
    """
    _load_tensorflow()
    from train.exports import export as stage  # noqa: PLC0415

    return stage.export(Path(run), Path(out), format, None if evaluation is None else Path(evaluation))


def show(run: Folder, out: Folder | None = None) -> Figures:
    """Write one HTML page about a training, finished or not: curves, film strip, alarms, figures.

    Args:
        run: a run folder.
        out: the HTML file to write; `RUN/show.html` by default.
    """
    from train.run_page import show as stage  # noqa: PLC0415

    return stage.show(Path(run), None if out is None else Path(out))
