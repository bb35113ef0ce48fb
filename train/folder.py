"""The run folder at its beginning: what a training is of, written down, and compared when it goes on."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curate.contract import VOCABULARY, atomic_write, read_json, write_json
from train.config import CONFIG, Config
from train.errors import RunError
from train.pairs import open_index
from train.trained import TAGS

RUN_VERSION = 1


def prepare(shards: Path, run: Path, config: Config, *, fresh: bool) -> None:
    """Make the run folder RUN, or see that it is of this config and these shards; `fresh` deletes one there is.

    Raises RunError if it is of others, or holds files that are no run's.
    """
    index = open_index(shards)
    wanted = {
        "version": RUN_VERSION,
        "config": asdict(config),
        "shards": index.options_hash,
        "size": index.size,
        "lines": list(index.lines),
        "colors": {tag: list(pair) for tag, pair in index.colors.items()},
        "tags": dict(index.tags["train"]),
        "pairs": dict(index.pairs),  # from here on, what a model that is handed on must tell of its data
        "licenses": dict(index.licenses),
        "attribution": list(index.attribution),
    }
    if fresh and (run / CONFIG).exists():
        shutil.rmtree(run)
    if (run / CONFIG).exists():
        _same(run, read_json(run / CONFIG), wanted)
        return
    if run.exists() and any(run.iterdir()):
        raise RunError(f"{run} holds other files: give a new or empty folder for the run")
    run.mkdir(parents=True, exist_ok=True)
    with atomic_write(run / TAGS) as file:
        file.write((shards / VOCABULARY).read_bytes())
    write_json(run / CONFIG, wanted)


def _same(run: Path, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    if held.get("shards") != wanted["shards"]:
        raise RunError(f"{run} was trained on other shards: give another run folder, or --fresh to start over")
    mine, yours = held.get("config", {}), wanted["config"]
    if different := [key for key in yours if mine.get(key) != yours[key]]:
        was = ", ".join(f"{key}={mine.get(key)}" for key in different)
        raise RunError(f"{run} was begun with {was}: use the same settings, or --fresh to start over")
