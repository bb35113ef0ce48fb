"""The run folder at its beginning: what a training is of, written down, and compared when it goes on."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.contract import VOCABULARY_FILE
from curate.system.errors import DamagedError
from curate.system.files import atomic_write, write_sealed
from curate.system.hashing import sha256_file
from curate.system.lock import LOCK_FILE
from train.config import CONFIG_FILE, DEFAULTS_FOR_OLDER_RUNS, Config, read_run_config
from train.data.pairs import open_index
from train.errors import RunError
from train.model.trained import RUN_VOCABULARY_FILE

RUN_VERSION = 1
DELETED_SNAPSHOTS = ".snapshots.gone"  # their folder's name until it is deleted


def prepare_run_folder(shards: Path, run: Path, config: Config, *, fresh: bool) -> None:
    """Make the run folder RUN, or see that it is of this config and these shards; `fresh` deletes one there is.

    Raises RunError if it is of others, or holds files that are no run's, DamagedError if its config is damaged.
    """
    index = open_index(shards)
    wanted: dict[str, Any] = {
        "version": RUN_VERSION,
        "config": asdict(config),
        "shards": index.options_hash,
        "vocabulary": index.files[VOCABULARY_FILE].sha256,
        "size": index.size,
        "lines": list(index.lines),
        "colors": {tag: list(pair) for tag, pair in index.colors.items()},
        "tags": dict(index.tags["train"]),
        "pairs": dict(index.pairs),  # from here on, what a model that is handed on must tell of its data
        "licenses": dict(index.licenses),
        "attribution": list(index.attribution),
    }
    if fresh and (run / CONFIG_FILE).exists():
        _clear(run)
    if (run / CONFIG_FILE).exists():
        _check_same_run(run, read_run_config(run), wanted)
    elif run.exists() and any(path.name not in {LOCK_FILE, f".{CONFIG_FILE}.tmp"} for path in run.iterdir()):
        raise RunError(f"{run} holds other files: give a new or empty folder for the run")
    else:
        run.mkdir(parents=True, exist_ok=True)
        write_sealed(run / CONFIG_FILE, wanted)  # first: it says that the folder is a run's
    if not (run / RUN_VOCABULARY_FILE).exists():
        _copy_tags(shards, run, wanted["vocabulary"])


def _copy_tags(shards: Path, run: Path, digest: str) -> None:
    with atomic_write(run / RUN_VOCABULARY_FILE) as file:
        file.write((shards / VOCABULARY_FILE).read_bytes())
    if sha256_file(run / RUN_VOCABULARY_FILE) != digest:
        (run / RUN_VOCABULARY_FILE).unlink()
        raise DamagedError(f"{shards / VOCABULARY_FILE} is not what the index says: make the shards again")


def _clear(run: Path) -> None:
    """Delete a run but its lock; a kill midway leaves one that has not begun yet: the config is deleted at last."""
    delete_partial_files(run)
    if (run / "snapshots").exists():
        (run / "snapshots").rename(run / DELETED_SNAPSHOTS)
    for path in run.iterdir():
        if path.name not in {CONFIG_FILE, LOCK_FILE}:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (run / CONFIG_FILE).unlink()


def delete_partial_files(run: Path) -> None:
    """Delete what a killed training left half written, or half deleted; only for one that trains there."""
    shutil.rmtree(run / DELETED_SNAPSHOTS, ignore_errors=True)
    for path in [*run.glob(".*.tmp"), *run.glob("*/.*.tmp"), *run.glob(".*.keras")]:
        path.unlink()


def _check_same_run(run: Path, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    if held.get("shards") != wanted["shards"]:
        raise RunError(f"{run} was trained on other shards: give another run folder, or --fresh to start over")
    mine, yours = DEFAULTS_FOR_OLDER_RUNS | held.get("config", {}), wanted["config"]
    if different := [key for key in yours if mine.get(key) != yours[key]]:
        was = ", ".join(f"{key}={mine.get(key)}" for key in different)
        raise RunError(f"{run} was begun with {was}: use the same settings, or --fresh to start over")
