"""The ledger of a dataset folder, `dataset.json`: version, options, counts and the SHA-256 of every part.

Stages read a dataset through `read_ledger`, which compares the folders they need with their digests: work on damaged
data would lose pictures without a word.
"""

from __future__ import annotations

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
STAGE_FOLDERS = ("records", "pairs", "edges", "manifest")  # made by stages, which can make them again
TAG_TABLE = "tags.parquet"  # derived together with the manifest
DECISIONS_FOLDER = "decisions"
OPT_OUT_FOLDER = "removed"
PERMANENT_FOLDERS = (DECISIONS_FOLDER, OPT_OUT_FOLDER)  # made by people; `extract --fresh` keeps them
COMPARED_FILE = "_looked.parquet"  # in edges/; readers of a folder of Parquet skip names that begin with "_"
CANDIDATE_FOLDER = ".looks"  # blocks of candidate pairs while dedupe compares them
AFRESH = "restore it from a copy, or start over with `curate extract --fresh`"
REMEDIES = {
    "records": AFRESH,
    "pairs": AFRESH,
    "edges": "delete its folder, then run `curate dedupe`",
    DECISIONS_FOLDER: "restore it from a copy, or delete it and decide again",
    OPT_OUT_FOLDER: "restore it from a copy, or delete it and run `curate remove` for everyone who opted out",
}
"""What to do about damage, by folder; `curate dedupe` derives all other files."""


class Ledger(TypedDict):
    """The content of `dataset.json`. What a stage notes is missing until the stage has run."""

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


def read_ledger(dataset: Path, *needed: str) -> Ledger:
    """Read `dataset.json` and compare the folders (or `tags.parquet`) named in `needed` with their digests.

    Finishes a swap of the manifest that was killed between its two renames. Raises DatasetError if the folder is not a
    dataset, has another version, or lacks the manifest that is needed; DamagedError if a file has changed.
    """
    state = peek_ledger(dataset)
    if not (dataset / "manifest").exists() and (dataset / parquet.OLD_MANIFEST).exists():
        lock.check_free(dataset)
        (dataset / parquet.NEW_MANIFEST).rename(dataset / "manifest")  # complete: the old one was moved away only then
    check_files(dataset, state, needed)
    if "manifest" in needed and not parquet.part_paths(dataset / "manifest"):
        raise DatasetError(f"{dataset} is not finished: run `curate extract` again")
    return state


def peek_ledger(dataset: Path) -> Ledger:
    """Read `dataset.json` and change nothing. Raises DatasetError as `read_ledger` does."""
    if not (dataset / LEDGER_FILE).is_file():
        raise DatasetError(
            f"{dataset} is not a dataset folder (no {LEDGER_FILE}): run `curate extract SOURCE {dataset}`"
        )
    state = load_any_version(dataset)
    if state["version"] != SCHEMA_VERSION:
        versions = f"has version {state['version']!r}, this nurie reads {SCHEMA_VERSION}"
        raise DatasetError(f"{dataset / LEDGER_FILE} {versions}: run `curate extract` with --fresh")
    return state


def load_any_version(dataset: Path) -> Ledger:
    """Read `dataset.json` of any version. Raises DatasetError if it is foreign, DamagedError if its seal is broken."""
    path = dataset / LEDGER_FILE
    state: Any = read_json(path)
    check_seal(path, state)
    if (
        not isinstance(state, dict)
        or not isinstance(state.get("parts"), dict)
        or not {"version", "options"} <= state.keys()
    ):
        raise DatasetError(f"{path} was not written by `curate`: give another folder for the dataset")
    if not isinstance(state["options"], dict) or not all(map(is_safe_relative_path, state["parts"])):
        raise DamagedError(f"{path} is damaged: restore it, or give another folder for the dataset")
    state.pop(SEAL_KEY, None)
    return cast("Ledger", state)


def check_files(dataset: Path, state: Ledger, needed: Collection[str]) -> None:
    """Raise DamagedError if a listed file in one of the folders `needed` is missing or changed, or one is unlisted.

    Missing and unlisted files are always reported for records and pairs, whose parts stages count.
    """
    if fault := next(_faults(dataset, state["parts"], needed), None):
        lock.check_free(dataset)  # if a run is writing, that explains the fault
        raise DamagedError(fault)


def _faults(dataset: Path, digests: Mapping[str, str], needed: Collection[str]) -> Iterator[str]:
    folders = {"records", "pairs", *needed}
    listed = [name for name in digests if _folder(name) in folders]
    for name in listed:
        if not (dataset / name).is_file() and not _is_deleted_as_advised(dataset, name):
            yield f"{dataset / name} is missing: {_remedy(name)}"
    yield from _unlisted_part_faults(dataset, digests, folders)
    present = [name for name in listed if _folder(name) in needed and (dataset / name).exists()]
    yield from _changed_file_faults(dataset, {name: digests[name] for name in present})


def _unlisted_part_faults(dataset: Path, listed: Collection[str], folders: Collection[str]) -> Iterator[str]:
    """Parts that no stage wrote.

    A killed `extract` leaves unlisted parts, with the next numbers, in records and pairs. Other stages list all parts
    of a folder or none.
    """
    for folder in sorted(set(folders) & {*STAGE_FOLDERS, *PERMANENT_FOLDERS}):
        expected = {path.name for path in _stage_files(dataset / folder)}
        if folder not in {"records", "pairs"} and any(_folder(name) == folder for name in listed):
            expected = {name.partition("/")[2] for name in listed if _folder(name) == folder}
        for path in parquet.part_paths(dataset / folder):
            if path.name not in expected:
                yield f"{path} is not in {LEDGER_FILE}: move it elsewhere"


def _stage_files(folder: Path) -> list[Path]:
    """Files in a folder that a stage may have written: parts numbered without a gap, and COMPARED_FILE."""
    paths = {path.name: path for path in sorted(folder.glob("[!.]*.parquet"))}
    parts = takewhile(paths.__contains__, (parquet.part_path(folder, number).name for number in count()))
    return [paths[name] for name in (*paths.keys() & {COMPARED_FILE}, *parts)]


def _changed_file_faults(dataset: Path, digests: Mapping[str, str]) -> Iterator[str]:
    for name, (path, digest) in zip(digests, sha256_files(dataset / name for name in digests), strict=True):
        if isinstance(digest, OSError):
            yield f"{path} cannot be read ({digest.strerror or digest}): {_remedy(name)}"
        elif digest != digests[name]:
            yield f"{path} has other bytes than {LEDGER_FILE} says: {_remedy(name)}"


def _folder(name: str) -> str:
    return name.partition("/")[0]


def _remedy(name: str) -> str:
    return REMEDIES.get(_folder(name), "run `curate dedupe` again")


def _is_deleted_as_advised(dataset: Path, name: str) -> bool:
    """Whether the user deleted a folder as REMEDIES advises; dedupe then compares all pictures again."""
    folder = dataset / _folder(name)
    return (folder.name == "edges" and not (folder / COMPARED_FILE).exists()) or (
        folder.name in PERMANENT_FOLDERS and not folder.exists()
    )


def write_ledger(dataset: Path, state: Ledger, *, rehash: Sequence[str] = ()) -> None:
    """Write `dataset.json` with the SHA-256 of every part, and update `state["parts"]`.

    Digests already in `state` are kept, except those of the folders (or `tags.parquet`) in `rehash`.
    """
    digests = {name: digest for name, digest in state["parts"].items() if _folder(name) not in rehash}
    files = [path for folder in (*STAGE_FOLDERS, *PERMANENT_FOLDERS) for path in _stage_files(dataset / folder)]
    files += sorted(dataset.glob(TAG_TABLE))
    for path, digest in sha256_files([path for path in files if path.relative_to(dataset).as_posix() not in digests]):
        if isinstance(digest, OSError):
            raise digest
        digests[path.relative_to(dataset).as_posix()] = digest
    state["parts"] = digests  # a file that is listed but missing stays listed, so that its loss is reported
    write_sealed(dataset / LEDGER_FILE, state)


def _existing_files(dataset: Path, folders: Sequence[str]) -> dict[str, Path]:
    """Files in some folders (or `tags.parquet` itself) by path below the dataset."""
    files = [path for folder in folders for path in sorted((dataset / folder).glob("[!.]*.parquet"))]
    files += [dataset / name for name in folders if name == TAG_TABLE and (dataset / name).is_file()]
    return {path.relative_to(dataset).as_posix(): path for path in files}


def file_digests(dataset: Path, state: Ledger, folders: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file in some folders by path: from the ledger, or computed if it is not listed."""
    return {
        name: state["parts"].get(name) or sha256_file(path) for name, path in _existing_files(dataset, folders).items()
    }


def is_intact(dataset: Path, parts: Mapping[str, str], folders: Sequence[str], *, bytewise: bool) -> bool:
    """Whether some folders hold exactly the files that `parts` lists for them; with `bytewise`, with equal digests."""
    listed = {name: digest for name, digest in parts.items() if _folder(name) in folders}
    present = _existing_files(dataset, folders)
    if present.keys() != listed.keys():
        return False
    return not bytewise or all(sha256_file(path) == listed[name] for name, path in present.items())


def forget_digests(dataset: Path, files: Sequence[Path]) -> None:
    """Remove the digests of files that are about to change from `dataset.json`; `write_ledger` adds the new ones.

    So a kill in between is not taken for damage.
    """
    state = load_any_version(dataset)
    _write_if_changed(dataset, state, _without_digests(dataset, state, files))


def forget_manifest_digests(dataset: Path) -> None:
    """Remove the manifest's digests and what `dedupe` noted from `dataset.json`, before the manifest is replaced."""
    state = load_any_version(dataset)
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
