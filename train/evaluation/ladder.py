"""Every rung on equal terms: the same pairs, budget, widths and seed; one table and one picture."""

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
from train.evaluation.child_process import run_in_child_process
from train.evaluation.evaluate import evaluate
from train.model import trained
from train.presets import PRESETS, preset_config
from train.training import fit
from train.training.schedule import TrainingLength

RUNGS = tuple(name for name in PRESETS if name != "tags-gpu")
EVALUATION_FILE = "evaluation.json"
ProgressCallback = Callable[..., None]
PICTURE_ROWS = 6  # lines in the picture
TABLE_TITLES = ("CIEDE2000", "L1", "PSNR", "SSIM", "chroma", "line F1", "KID", "D loss", "pairs/s", "verdict")
TABLE_FIGURES = ("ciede2000", "l1", "psnr", "ssim", "chroma_ratio", "line_f1")


def ladder(
    shards: Path,
    out: Path,
    rungs: Sequence[str],
    budget: int,
    settings: Sequence[str],
    *,
    progress_for: Callable[[str], ProgressCallback],
) -> dict[str, Any]:
    """Train each rung for `budget` pairs and measure it on the validation split; goes on where it stopped.

    Each has its run folder OUT/RUNG, and a process of its own, with which all it held ends. The table is
    OUT/ladder.json and OUT/ladder.md, the picture OUT/ladder.png.
    `tell(rung)` is called before each and gives what `fit` tells of its progress to. Raises ConfigError for
    rungs there are not, or a budget of less than a batch.
    """
    configs = [_config(name, settings) for name in rungs]
    if short := [config for config in configs if budget < config.batch_size]:
        raise ConfigError(f"a budget of {budget} images is less than a batch of {short[0].batch_size}: give more")
    out.mkdir(parents=True, exist_ok=True)
    with lock.exclusive(out):
        fit.check_shards(shards)
        rows = [_rung(shards, out / config.preset, config, budget, progress_for) for config in configs]
        picture = _save_picture(shards, out, rungs)
        write_json(out / "ladder.json", {"budget": budget, "rungs": rows})
        with atomic_write(out / "ladder.md") as file:
            file.write(markdown_table(rows).encode())
    return {
        "rungs": {row["rung"]: row["ciede2000"] for row in rows},
        "picture": str(picture),
        "table": markdown_table(rows),
    }


def _config(name: str, settings: Sequence[str]) -> Config:
    if name not in RUNGS:
        raise ConfigError(f"no rung {name!r}: choose of {', '.join(RUNGS)}")
    return override(preset_config(name), settings)


def _rung(
    shards: Path, folder: Path, config: Config, budget: int, tell: Callable[[str], ProgressCallback]
) -> dict[str, Any]:
    steps = budget // config.batch_size
    known = read_json(folder / EVALUATION_FILE) if (folder / EVALUATION_FILE).is_file() else {}
    if known.get("steps") != steps:
        known = run_in_child_process(_train_and_evaluate, shards, folder, config, steps, tell=tell(config.preset))
        write_json(folder / EVALUATION_FILE, known)
    return {"rung": config.preset, **known}


def _train_and_evaluate(
    shards: Path, folder: Path, config: Config, steps: int, *, tell: ProgressCallback
) -> dict[str, Any]:
    last = fit.fit(shards, folder, config, TrainingLength(steps=steps), tell=tell)
    return {"steps": steps, "last": last, **evaluate(folder, shards)}


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line a rung, its figures beside it."""
    titles = ("rung", *TABLE_TITLES)
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in rows:
        last, kid = row["last"], row["kid"]
        cells = [row["rung"], *("" if row[name] is None else f"{row[name]:.3g}" for name in TABLE_FIGURES)]
        cells.append(f"{kid['mean']:.3g}" if kid else "")
        cells.append(f"{last['discriminator']:.3g}" if "discriminator" in last else "")
        cells += [f"{last['images_seen'] / last['elapsed']:.3g}", last["verdict"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _save_picture(shards: Path, out: Path, rungs: Sequence[str]) -> Path:
    """OUT/ladder.png: rows are validation pairs chosen by hash; columns their lines, each rung, the truth."""
    pairs = Pairs(shards, "validation")
    batch = fixed_batch(pairs, choose_pairs(pairs, pairs.index.colors, PICTURE_ROWS))
    made = [trained.generate_colors(trained.load_trained(out / name).model, batch, batch.tags) for name in rungs]
    sheet = grids.draw_grid([np.asarray(batch.lines), *made, np.asarray(batch.colors)], ["lines", *rungs, "truth"])
    grids.save_png(out / "ladder.png", sheet)
    return out / "ladder.png"
