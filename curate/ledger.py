"""dataset.json, the ledger of a dataset folder: version, options, and the SHA-256 of every part; what is cleared."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate import manifest
from curate.contract import read_json, sha256, write_json
from curate.errors import DatasetError

STATE = "dataset.json"
FOLDERS = ("records", "pairs", "edges", "manifest")  # what stages make, and may make again
TAG_TABLE = "tags.parquet"  # derived whenever the manifest is
DECISIONS = "decisions"  # what people made
REMOVED = "removed"  # who opted out
CLEARED = ("edges", "manifest", "records", "pairs")  # the same in an order such that what is left vouches for itself
GONE = ".{}.gone"  # their names until they are deleted
LOOKS = ".looks"  # blocks of candidates, while dedupe looks at them
LASTING = (DECISIONS, REMOVED)  # what outlives a dataset begun afresh


def clear(dataset: Path) -> bool:
    """Delete what this package made in a dataset folder, and nothing else that may lie there; False if it made none."""
    if not (dataset / STATE).is_file():
        return False
    clear_torn(dataset)
    write_json(dataset / STATE, {**_state(dataset), "parts": {}})  # a kill below must leave no digest of what is gone
    for name in CLEARED:  # at once or not at all: half of the records would pass for all of them
        if (dataset / name).exists():
            (dataset / name).rename(dataset / GONE.format(name))
    clear_torn(dataset)
    (dataset / TAG_TABLE).unlink(missing_ok=True)
    (dataset / STATE).unlink()
    return True


def clear_torn(dataset: Path) -> None:
    """Delete what a killed stage left half written; only for a stage that writes, as another may be at work."""
    for path in [*dataset.glob("*/.*.parquet"), *dataset.glob(".*.tmp"), *dataset.glob("*/.*.tmp")]:
        path.unlink(missing_ok=True)  # a worker that outlived its run may be renaming it
    for name in (manifest.NEW, manifest.OLD, LOOKS, *map(GONE.format, CLEARED)):
        shutil.rmtree(dataset / name, ignore_errors=True)
    for path in manifest.parts(dataset / "pairs")[len(manifest.parts(dataset / "records")) :]:
        path.unlink()  # its records, which are committed after it, never were


def read_state(dataset: Path) -> dict[str, Any]:
    """`dataset.json`, after finishing a manifest's swap that was killed between its two renames.

    Raises DatasetError if the folder is no dataset or of another version, DamagedError if the file is malformed.
    """
    state = peek_state(dataset)
    if not (dataset / "manifest").exists() and (dataset / manifest.OLD).exists():
        (dataset / manifest.NEW).rename(dataset / "manifest")  # whole by then
    return state


def peek_state(dataset: Path) -> dict[str, Any]:
    """`dataset.json`, with nothing finished, for whom is to write nothing. Raises as `read_state` does."""
    if not (dataset / STATE).is_file():
        raise DatasetError(f"{dataset} is not a dataset folder (no {STATE}): run `curate extract SOURCE {dataset}`")
    state = _state(dataset)
    if state["version"] != manifest.SCHEMA_VERSION:
        differ = f"{dataset / STATE} has version {state['version']!r}, this nurie reads {manifest.SCHEMA_VERSION}"
        raise DatasetError(f"{differ}: run `curate extract` with --fresh")
    return state


def _state(dataset: Path) -> dict[str, Any]:
    state = read_json(dataset / STATE)
    if not isinstance(state, dict) or not {"version", "options", "parts"} <= state.keys():
        raise DatasetError(f"{dataset / STATE} was not written by `curate`: give another folder for the dataset")
    return state


def write_state(dataset: Path, state: dict[str, Any], *, rehash: Sequence[str] = ()) -> None:
    """Write `dataset.json` with the SHA-256 of every part; those of what `rehash` names are read again."""
    known = {name: digest for name, digest in state.get("parts", {}).items() if name.partition("/")[0] not in rehash}
    found = _found(dataset, (*FOLDERS, *LASTING, TAG_TABLE))
    state["parts"] = {name: known.get(name) or sha256(path) for name, path in found.items()}
    write_json(dataset / STATE, state)


def _found(dataset: Path, folders: Sequence[str]) -> dict[str, Path]:
    """The files there are of some folders, by name; the table of tags is a file itself."""
    files = [path for folder in folders for path in sorted((dataset / folder).glob("[!.]*.parquet"))]
    files += [dataset / name for name in folders if name == TAG_TABLE and (dataset / name).is_file()]
    return {path.relative_to(dataset).as_posix(): path for path in files}


def digests(dataset: Path, state: dict[str, Any], folders: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file of some folders: as `dataset.json` has it, or taken now."""
    return {name: state["parts"].get(name) or sha256(path) for name, path in _found(dataset, folders).items()}


def whole(dataset: Path, state: dict[str, Any], folders: Sequence[str], *, bytewise: bool) -> bool:
    """Whether the files of some folders are those that `dataset.json` names; `bytewise`, with the same bytes."""
    told = {name: digest for name, digest in state["parts"].items() if name.partition("/")[0] in folders}
    found = _found(dataset, folders)
    if found.keys() != told.keys():
        return False
    return not bytewise or all(sha256(path) == told[name] for name, path in found.items())


def forget(dataset: Path, files: Sequence[Path]) -> None:
    """Take the digests of files that are about to change from `dataset.json`, whose next writing adds the new ones."""
    state, gone = _state(dataset), {path.relative_to(dataset).as_posix() for path in files}
    left = {name: digest for name, digest in state["parts"].items() if name not in gone}
    if left != state["parts"]:
        write_json(dataset / STATE, state | {"parts": left})
