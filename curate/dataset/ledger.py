"""dataset.json, the ledger of a dataset folder: version, options, and the SHA-256 of every part; what is cleared."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from curate.dataset import parquet
from curate.dataset.rows import FateCounts
from curate.dataset.schema import SCHEMA_VERSION
from curate.system import lock
from curate.system.errors import DamagedError, DatasetError
from curate.system.files import SEAL_KEY, check_seal, read_json, write_sealed
from curate.system.hashing import sha256_file, sha256_files
from curate.system.paths import is_safe_relative_path

LEDGER_FILE = "dataset.json"
STAGE_FOLDERS = ("records", "pairs", "edges", "manifest")  # what stages make, and may make again
TAG_TABLE = "tags.parquet"  # derived whenever the manifest is
DECISIONS_FOLDER = "decisions"  # what people made
OPT_OUT_FOLDER = "removed"  # who opted out
DELETION_ORDER = (
    "edges",
    "manifest",
    "records",
    "pairs",
)  # the same in an order such that what is left vouches for itself
DELETED_FOLDER_NAME = ".{}.gone"  # their names until they are deleted
COMPARED_FILE = "_looked.parquet"  # beside edges; readers of a folder of Parquet pass over names that begin with "_"
CANDIDATE_FOLDER = ".looks"  # blocks of candidates, while dedupe looks at them
PERMANENT_FOLDERS = (DECISIONS_FOLDER, OPT_OUT_FOLDER)  # what outlives a dataset begun afresh
AFRESH = "restore it from a copy, or begin anew with `curate extract --fresh`"
REMEDIES = {
    "records": AFRESH,
    "pairs": AFRESH,
    "edges": "delete its folder, and run `curate dedupe`",
    DECISIONS_FOLDER: "restore it from a copy, or delete it and decide anew",
    OPT_OUT_FOLDER: "restore it from a copy, or delete it and run `curate remove` for all who opted out",
}
"""Of damage; what is not named is derived by dedupe."""


class Ledger(TypedDict):
    """What `dataset.json` says. Keys of a stage are there once it has run."""

    version: int
    """`SCHEMA_VERSION` of the dataset."""
    options: dict[str, Any]
    """The options of `extract`, as JSON."""
    sources: NotRequired[list[str]]
    """Names of all sources read so far."""
    parts: dict[str, str]
    """SHA-256 by path below the dataset folder."""
    counts: NotRequired[FateCounts]
    """Rows of the manifest by fate; missing until `extract` has finished."""
    dedupe: NotRequired[dict[str, Any]]
    """The options of `dedupe`, as JSON."""
    decisions: NotRequired[int]
    """How many decisions the manifest follows."""
    hashes: NotRequired[dict[str, str]]
    """By stage, a hash of everything that decided its result."""


def delete_dataset(dataset: Path) -> bool:
    """Delete what this package made in a dataset folder, and nothing else that may lie there; False if it made none."""
    if not (dataset / LEDGER_FILE).is_file():
        return False
    delete_leftovers(dataset)
    write_sealed(
        dataset / LEDGER_FILE, {**_load_ledger(dataset), "parts": {}}
    )  # a kill below must leave no digest of what is gone
    for name in DELETION_ORDER:  # at once or not at all: half of the records would pass for all of them
        if (dataset / name).exists():
            (dataset / name).rename(dataset / DELETED_FOLDER_NAME.format(name))
    delete_leftovers(dataset)
    (dataset / TAG_TABLE).unlink(missing_ok=True)
    (dataset / LEDGER_FILE).unlink()
    return True


def delete_leftovers(dataset: Path) -> None:
    """Delete what a killed stage left half written; only for a stage that writes, as another may be at work."""
    for path in [*dataset.glob("*/.*.parquet"), *dataset.glob(".*.tmp"), *dataset.glob("*/.*.tmp")]:
        path.unlink(missing_ok=True)  # a worker that outlived its run may be renaming it
    for name in (
        parquet.NEW_MANIFEST,
        parquet.OLD_MANIFEST,
        CANDIDATE_FOLDER,
        *map(DELETED_FOLDER_NAME.format, DELETION_ORDER),
    ):
        shutil.rmtree(dataset / name, ignore_errors=True)
    for path in parquet.part_paths(dataset / "pairs")[len(parquet.part_paths(dataset / "records")) :]:
        path.unlink()  # its records, which are committed after it, never were


def read_ledger(dataset: Path, *needed: str) -> Ledger:
    """`dataset.json`, after finishing a manifest's swap that was killed between its two renames.

    Every byte of the folders `needed`, and of `tags.parquet` if that is, is compared with its digest: what is read of
    damaged data would be less than there is, or other. Raises DatasetError if the folder is no dataset, one of another
    version or one without the manifest that is needed, DamagedError if a file is not what it was.
    """
    state = peek_ledger(dataset)
    if not (dataset / "manifest").exists() and (dataset / parquet.OLD_MANIFEST).exists():
        lock.check_free(dataset)
        (dataset / parquet.NEW_MANIFEST).rename(dataset / "manifest")  # whole by then
    check_files(dataset, state, needed)
    if "manifest" in needed and not parquet.part_paths(dataset / "manifest"):
        raise DatasetError(f"{dataset} is not finished: run `curate extract` again")
    return state


def check_files(dataset: Path, state: Ledger, needed: Collection[str]) -> None:
    """Raise DamagedError if a file that is listed below one of `needed` has other bytes, is not there, or has company.

    Records and pairs have to be there, needed or not: stages count them.
    """
    listed: dict[str, str] = state["parts"]
    present = [name for name in listed if _folder(name) in {"records", "pairs", *needed}]
    lost = [name for name in present if not (dataset / name).is_file() and not _is_deleted_as_advised(dataset, name)]
    fault = next((f"{dataset / name} is missing: {_remedy(name)}" for name in lost), "")
    if not fault:
        fault = next(_unlisted_part_faults(dataset, listed, {"records", "pairs", *needed}), "")
    if not fault:
        sought = {name: listed[name] for name in present if _folder(name) in needed and (dataset / name).exists()}
        fault = next(_changed_file_faults(dataset, sought), "")
    if fault:
        lock.check_free(dataset)  # it may be what is being written now
        raise DamagedError(fault)


def _unlisted_part_faults(dataset: Path, listed: Collection[str], folders: Collection[str]) -> Iterator[str]:
    """Parts that no stage wrote. A killed extract leaves some unlisted, the next numbers; other stages all or none."""
    for folder in sorted(set(folders) & {*STAGE_FOLDERS, *PERMANENT_FOLDERS}):
        ours = {path.name for path in _stage_files(dataset / folder)}
        if folder not in {"records", "pairs"} and any(_folder(name) == folder for name in listed):
            ours = {name.partition("/")[2] for name in listed if _folder(name) == folder}
        for path in parquet.part_paths(dataset / folder):
            if path.name not in ours:
                yield f"{path} is not in {LEDGER_FILE}: move it elsewhere"


def _stage_files(folder: Path) -> list[Path]:
    """Files of a folder that a stage may have written: parts numbered without a gap, and what was looked at."""
    there = {path.name: path for path in sorted(folder.glob("[!.]*.parquet"))}
    parts = takewhile(there.__contains__, (parquet.part_path(folder, number).name for number in count()))
    return [there[name] for name in (*there.keys() & {COMPARED_FILE}, *parts)]


def _changed_file_faults(dataset: Path, parts: dict[str, str]) -> Iterator[str]:
    for name, (path, found) in zip(parts, sha256_files(dataset / name for name in parts), strict=True):
        if isinstance(found, OSError):
            yield f"{path} cannot be read ({found.strerror or found}): {_remedy(name)}"
        elif found != parts[name]:
            yield f"{path} has other bytes than {LEDGER_FILE} says: {_remedy(name)}"


def _folder(name: str) -> str:
    return name.partition("/")[0]


def _remedy(name: str) -> str:
    return REMEDIES.get(_folder(name), "run `curate dedupe` again")


def _is_deleted_as_advised(dataset: Path, name: str) -> bool:
    """Whether it was deleted as its remedy says: what people made, whole, or what dedupe then looks at afresh."""
    folder = dataset / _folder(name)
    return (folder.name == "edges" and not (folder / COMPARED_FILE).exists()) or (
        folder.name in PERMANENT_FOLDERS and not folder.exists()
    )


def peek_ledger(dataset: Path) -> Ledger:
    """`dataset.json`, with nothing finished, for whom is to write nothing. Raises as `read_state` does."""
    if not (dataset / LEDGER_FILE).is_file():
        raise DatasetError(
            f"{dataset} is not a dataset folder (no {LEDGER_FILE}): run `curate extract SOURCE {dataset}`"
        )
    state = _load_ledger(dataset)
    if state["version"] != SCHEMA_VERSION:
        differ = f"{dataset / LEDGER_FILE} has version {state['version']!r}, this nurie reads {SCHEMA_VERSION}"
        raise DatasetError(f"{differ}: run `curate extract` with --fresh")
    return state


def _load_ledger(dataset: Path) -> Ledger:
    state: Any = read_json(dataset / LEDGER_FILE)
    check_seal(dataset / LEDGER_FILE, state)
    if (
        not isinstance(state, dict)
        or not isinstance(state.get("parts"), dict)
        or not {"version", "options"} <= state.keys()
    ):
        raise DatasetError(f"{dataset / LEDGER_FILE} was not written by `curate`: give another folder for the dataset")
    if not isinstance(state["options"], dict) or not all(map(is_safe_relative_path, state["parts"])):
        raise DamagedError(f"{dataset / LEDGER_FILE} is damaged: restore it, or give another folder for the dataset")
    state.pop(SEAL_KEY, None)
    return cast("Ledger", state)


def write_ledger(dataset: Path, state: Ledger, *, rehash: Sequence[str] = ()) -> None:
    """Write `dataset.json` with the SHA-256 of every part; those of what `rehash` names are read again."""
    known = {name: digest for name, digest in state["parts"].items() if _folder(name) not in rehash}
    files = [path for folder in (*STAGE_FOLDERS, *PERMANENT_FOLDERS) for path in _stage_files(dataset / folder)]
    files += sorted(dataset.glob(TAG_TABLE))
    new = [path for path in files if path.relative_to(dataset).as_posix() not in known]
    for path, found in sha256_files(new):
        if isinstance(found, OSError):
            raise found
        known[path.relative_to(dataset).as_posix()] = found
    state["parts"] = known  # what is listed and not there stays listed: it is lost
    write_sealed(dataset / LEDGER_FILE, state)


def _existing_files(dataset: Path, folders: Sequence[str]) -> dict[str, Path]:
    """The files there are of some folders, by name; the table of tags is a file itself."""
    files = [path for folder in folders for path in sorted((dataset / folder).glob("[!.]*.parquet"))]
    files += [dataset / name for name in folders if name == TAG_TABLE and (dataset / name).is_file()]
    return {path.relative_to(dataset).as_posix(): path for path in files}


def file_digests(dataset: Path, state: Ledger, folders: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file of some folders: as `dataset.json` has it, or taken now."""
    return {
        name: state["parts"].get(name) or sha256_file(path) for name, path in _existing_files(dataset, folders).items()
    }


def is_intact(dataset: Path, parts: Mapping[str, str], folders: Sequence[str], *, bytewise: bool) -> bool:
    """Whether the files of some folders are those that `dataset.json` names; `bytewise`, with the same bytes."""
    told = {name: digest for name, digest in parts.items() if _folder(name) in folders}
    found = _existing_files(dataset, folders)
    if found.keys() != told.keys():
        return False
    return not bytewise or all(sha256_file(path) == told[name] for name, path in found.items())


def forget_digests(dataset: Path, files: Sequence[Path]) -> None:
    """Remove the digests of files that are about to change from `dataset.json`; `write_ledger` adds the new ones.

    So a kill in between is not taken for damage.
    """
    state = _load_ledger(dataset)
    _write_if_changed(dataset, state, _without_digests(dataset, state, files))


def forget_manifest_digests(dataset: Path) -> None:
    """Remove the manifest's digests and what `dedupe` noted from `dataset.json`, before the manifest is replaced."""
    state = _load_ledger(dataset)
    left = _without_digests(dataset, state, [*parquet.part_paths(dataset / "manifest"), dataset / TAG_TABLE])
    forget_dedupe(left)
    _write_if_changed(dataset, state, left)


def forget_dedupe(state: Ledger) -> None:
    """Remove what `dedupe` noted of its options from a ledger in memory."""
    state.pop("dedupe", None)
    if "hashes" in state:
        state["hashes"] = {stage: value for stage, value in state["hashes"].items() if stage != "dedupe"}


def _without_digests(dataset: Path, state: Ledger, files: Sequence[Path]) -> Ledger:
    gone = {path.relative_to(dataset).as_posix() for path in files}
    return state | {"parts": {name: digest for name, digest in state["parts"].items() if name not in gone}}


def _write_if_changed(dataset: Path, before: Ledger, after: Ledger) -> None:
    if after != before:
        write_sealed(dataset / LEDGER_FILE, after)
