"""The run folder at its beginning: what a training is of, written down, and compared when it goes on."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.contract import VOCABULARY
from curate.system.errors import DamagedError
from curate.system.files import atomic_write, write_sealed
from curate.system.hashing import sha256
from curate.system.lock import LOCK
from train.config import CONFIG, LATER, Config, described
from train.data.pairs import open_index
from train.errors import RunError
from train.model.trained import TAGS

RUN_VERSION = 1
GONE = ".snapshots.gone"  # their folder's name until it is deleted


def prepare(shards: Path, run: Path, config: Config, *, fresh: bool) -> None:
    """Make the run folder RUN, or see that it is of this config and these shards; `fresh` deletes one there is.

    Raises RunError if it is of others, or holds files that are no run's, DamagedError if its config is damaged.
    """
    index = open_index(shards)
    wanted: dict[str, Any] = {
        "version": RUN_VERSION,
        "config": asdict(config),
        "shards": index.options_hash,
        "vocabulary": index.files[VOCABULARY].sha256,
        "size": index.size,
        "lines": list(index.lines),
        "colors": {tag: list(pair) for tag, pair in index.colors.items()},
        "tags": dict(index.tags["train"]),
        "pairs": dict(index.pairs),  # from here on, what a model that is handed on must tell of its data
        "licenses": dict(index.licenses),
        "attribution": list(index.attribution),
    }
    if fresh and (run / CONFIG).exists():
        _clear(run)
    if (run / CONFIG).exists():
        _same(run, described(run), wanted)
    elif run.exists() and any(path.name not in {LOCK, f".{CONFIG}.tmp"} for path in run.iterdir()):
        raise RunError(f"{run} holds other files: give a new or empty folder for the run")
    else:
        run.mkdir(parents=True, exist_ok=True)
        write_sealed(run / CONFIG, wanted)  # first: it says that the folder is a run's
    if not (run / TAGS).exists():
        _copy_tags(shards, run, wanted["vocabulary"])


def _copy_tags(shards: Path, run: Path, digest: str) -> None:
    with atomic_write(run / TAGS) as file:
        file.write((shards / VOCABULARY).read_bytes())
    if sha256(run / TAGS) != digest:
        (run / TAGS).unlink()
        raise DamagedError(f"{shards / VOCABULARY} is not what the index says: make the shards again")


def _clear(run: Path) -> None:
    """Delete a run but its lock; a kill midway leaves one that has not begun yet: the config is deleted at last."""
    clear_torn(run)
    if (run / "snapshots").exists():
        (run / "snapshots").rename(run / GONE)
    for path in run.iterdir():
        if path.name not in {CONFIG, LOCK}:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (run / CONFIG).unlink()


def clear_torn(run: Path) -> None:
    """Delete what a killed training left half written, or half deleted; only for one that trains there."""
    shutil.rmtree(run / GONE, ignore_errors=True)
    for path in [*run.glob(".*.tmp"), *run.glob("*/.*.tmp"), *run.glob(".*.keras")]:
        path.unlink()


def _same(run: Path, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    if held.get("shards") != wanted["shards"]:
        raise RunError(f"{run} was trained on other shards: give another run folder, or --fresh to start over")
    mine, yours = LATER | held.get("config", {}), wanted["config"]
    if different := [key for key in yours if mine.get(key) != yours[key]]:
        was = ", ".join(f"{key}={mine.get(key)}" for key in different)
        raise RunError(f"{run} was begun with {was}: use the same settings, or --fresh to start over")
