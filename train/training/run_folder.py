"""The run folder: create it, check that a training may resume in it, or clear it to start over."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.contract import VOCABULARY_FILE, ShardIndex
from curate.system.errors import DamagedError
from curate.system.files import atomic_write, write_sealed
from curate.system.hashing import sha256_file
from curate.system.lock import LOCK_FILE
from train.config import CONFIG_FILE, DEFAULTS_FOR_OLDER_RUNS, Config, read_run_config
from train.data.pairs import open_index
from train.errors import RunError
from train.model.trained_model import RUN_VOCABULARY_FILE

RUN_VERSION = 1
DELETED_SNAPSHOTS = ".snapshots.gone"  # name of the snapshots' folder while it is being deleted


def prepare_run_folder(shards: Path, run: Path, config: Config, *, fresh: bool) -> None:
    """Create the run folder, or check that it belongs to this config and these shards. `fresh` first deletes its run.

    Raises RunError if it belongs to others or holds files that are not a run's, DamagedError if its config is damaged.
    """
    index = open_index(shards)
    run_config = _make_run_config(index, config)
    if fresh and (run / CONFIG_FILE).exists():
        _clear(run)
    if (run / CONFIG_FILE).exists():
        _check_same_run(run, read_run_config(run), run_config)
    elif run.exists() and any(path.name not in {LOCK_FILE, f".{CONFIG_FILE}.tmp"} for path in run.iterdir()):
        raise RunError(f"{run} holds other files: give a new or empty folder for the run")
    else:
        run.mkdir(parents=True, exist_ok=True)
        write_sealed(run / CONFIG_FILE, run_config)  # first, since this file marks the folder as a run
    if not (run / RUN_VOCABULARY_FILE).exists():
        _copy_vocabulary(shards, run, run_config["vocabulary"])


def _make_run_config(index: ShardIndex, config: Config) -> dict[str, Any]:
    """Content of RUN/config.json: the config, and what the run, its model and its model card need of the shards."""
    return {
        "version": RUN_VERSION,
        "config": asdict(config),
        "shards": index.options_hash,
        "vocabulary": index.files[VOCABULARY_FILE].sha256,
        "size": index.size,
        "lines": list(index.lines),
        "colors": {tag: list(pair) for tag, pair in index.colors.items()},
        "tags": dict(index.tags["train"]),
        "pairs": dict(index.pairs),  # this and the following go into the model card
        "licenses": dict(index.licenses),
        "attribution": list(index.attribution),
    }


def _copy_vocabulary(shards: Path, run: Path, digest: str) -> None:
    with atomic_write(run / RUN_VOCABULARY_FILE) as file:
        file.write((shards / VOCABULARY_FILE).read_bytes())
    if sha256_file(run / RUN_VOCABULARY_FILE) != digest:
        (run / RUN_VOCABULARY_FILE).unlink()
        raise DamagedError(f"{shards / VOCABULARY_FILE} does not match the index of the shards: make them again")


def _clear(run: Path) -> None:
    """Delete a run except for its lock. The config goes last, so that a kill midway leaves a run without a step."""
    delete_partial_files(run)
    if (run / "snapshots").exists():
        (run / "snapshots").rename(run / DELETED_SNAPSHOTS)
    for path in run.iterdir():
        if path.name not in {CONFIG_FILE, LOCK_FILE}:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (run / CONFIG_FILE).unlink()


def delete_partial_files(run: Path) -> None:
    """Delete files that a killed training left half written or half deleted. The caller must hold the run's lock."""
    shutil.rmtree(run / DELETED_SNAPSHOTS, ignore_errors=True)
    for path in [*run.glob(".*.tmp"), *run.glob("*/.*.tmp"), *run.glob(".*.keras")]:
        path.unlink()


def _check_same_run(run: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    if stored.get("shards") != wanted["shards"]:
        raise RunError(f"{run} was trained on other shards: give another run folder, or --fresh to start over")
    settings = DEFAULTS_FOR_OLDER_RUNS | stored.get("config", {})
    if different := [key for key, value in wanted["config"].items() if settings.get(key) != value]:
        old_settings = ", ".join(f"{key}={settings.get(key)}" for key in different)
        raise RunError(f"{run} was started with {old_settings}: use the same settings, or --fresh to start over")
