"""`train ladder`: train every preset on equal terms (same pairs, budget, widths and seed) and compare them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.system import lock
from curate.system.files import atomic_write, read_json, write_json
from train.coloring import grids
from train.coloring.colorize import choose_pairs
from train.config import Config, override
from train.data.batches import fixed_batch
from train.data.pairs import Pairs
from train.errors import ConfigError
from train.evaluation.evaluate import Evaluation, evaluate
from train.evaluation.isolated_call import run_in_child_process
from train.model import trained_model
from train.presets import PRESETS, preset_config
from train.training import fit
from train.training.schedule import TrainingLength

RUNGS = tuple(name for name in PRESETS if name != "tags-gpu")
EVALUATION_FILE = "evaluation.json"
PICTURE_ROWS = 6
TABLE_TITLES = ("CIEDE2000", "L1", "PSNR", "SSIM", "chroma", "line F1", "KID", "D loss", "pairs/s", "verdict")
TABLE_FIGURES = ("ciede2000", "l1", "psnr", "ssim", "chroma_ratio", "line_f1")
ProgressCallback = Callable[..., None]
"""What `fit` reports its progress to."""


class RungResult(Evaluation):
    """RUNG/evaluation.json: the validation figures of a trained rung."""

    steps: int
    last: dict[str, Any]
    """What `fit` returned: the last figures of the training and a verdict."""


class LadderRow(RungResult):
    """A row of ladder.json."""

    rung: str


def ladder(
    shards: Path,
    out: Path,
    rungs: Sequence[str],
    budget: int,
    settings: Sequence[str],
    *,
    progress_for: Callable[[str], ProgressCallback],
) -> dict[str, Any]:
    """Train each rung on `budget` pairs and evaluate it on the validation split; go on where an earlier call stopped.

    Writes a run folder OUT/RUNG for each, the table as OUT/ladder.json and OUT/ladder.md, and OUT/ladder.png. Each rung
    has a process of its own, which frees its memory. `progress_for(rung)` is called before each training and returns
    what hears of its progress. Returns the CIEDE2000 of the `rungs` by name, the path of the `picture` and the `table`.

    Raises ConfigError for an unknown rung, or a budget smaller than a batch.
    """
    configs = [_rung_config(name, settings) for name in rungs]
    if short := [config for config in configs if budget < config.batch_size]:
        raise ConfigError(f"a budget of {budget} images is less than a batch of {short[0].batch_size}: give more")
    out.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(out):
        fit.check_shards(shards)
        rows = [_measure_rung(shards, out / config.preset, config, budget, progress_for) for config in configs]
        picture = _save_picture(shards, out, rungs)
        write_json(out / "ladder.json", {"budget": budget, "rungs": rows})
        with atomic_write(out / "ladder.md") as file:
            file.write(markdown_table(rows).encode())
    return {
        "rungs": {row["rung"]: row["ciede2000"] for row in rows},
        "picture": str(picture),
        "table": markdown_table(rows),
    }


def _rung_config(name: str, settings: Sequence[str]) -> Config:
    if name not in RUNGS:
        raise ConfigError(f"there is no rung {name!r}: choose from {', '.join(RUNGS)}")
    return override(preset_config(name), settings)


def _measure_rung(
    shards: Path, folder: Path, config: Config, budget: int, progress_for: Callable[[str], ProgressCallback]
) -> LadderRow:
    """The rung's stored figures if they are of this budget; otherwise train and evaluate it."""
    steps = budget // config.batch_size
    path = folder / EVALUATION_FILE
    result: RungResult | None = read_json(path) if path.is_file() else None
    if result is None or result.get("steps") != steps:
        on_progress = progress_for(config.preset)
        result = run_in_child_process(_train_and_evaluate, shards, folder, config, steps, on_progress=on_progress)
        write_json(path, result)
    return {"rung": config.preset, **result}


def _train_and_evaluate(
    shards: Path, folder: Path, config: Config, steps: int, *, on_progress: ProgressCallback
) -> RungResult:
    last = fit.fit(shards, folder, config, TrainingLength(steps=steps), on_progress=on_progress)
    return {"steps": steps, "last": last, **evaluate(folder, shards)}


def markdown_table(rows: Sequence[LadderRow]) -> str:
    """The figures as a Markdown table, one rung a line; a figure that does not apply is an empty cell."""
    titles = ("rung", *TABLE_TITLES)
    head, *body = (f"| {' | '.join(cells)} |" for cells in (titles, *map(_table_cells, rows)))
    return "\n".join([head, "|---" * len(titles) + "|", *body]) + "\n"


def _table_cells(row: LadderRow) -> tuple[str, ...]:
    """Texts of the cells under `rung` and TABLE_TITLES."""
    last, kid = row["last"], row["kid"]
    figures: list[Any] = [row[name] for name in TABLE_FIGURES]  # type: ignore[literal-required]
    figures += [kid and kid["mean"], last.get("discriminator"), last["images_seen"] / last["elapsed"]]
    return (row["rung"], *("" if figure is None else f"{figure:.3g}" for figure in figures), last["verdict"])


def _save_picture(shards: Path, out: Path, rungs: Sequence[str]) -> Path:
    """Write OUT/ladder.png: a row for each of a few validation pairs; columns are lines, each rung's colours, truth."""
    pairs = Pairs(shards, "validation")
    batch = fixed_batch(pairs, choose_pairs(pairs, pairs.index.colors, PICTURE_ROWS))
    colored = [
        trained_model.generate_colors(trained_model.load_trained(out / name).model, batch, batch.tags) for name in rungs
    ]
    sheet = grids.draw_grid([np.asarray(batch.lines), *colored, np.asarray(batch.colors)], ["lines", *rungs, "truth"])
    grids.save_png(out / "ladder.png", sheet)
    return out / "ladder.png"
