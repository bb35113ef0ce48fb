"""Delete what `curate` made in a dataset folder, so that a kill at any point leaves no half dataset behind."""

from __future__ import annotations

import shutil
from pathlib import Path

from curate.dataset import ledger, parquet
from curate.system.files import write_sealed

DELETION_ORDER = ("edges", "manifest", "records", "pairs")  # what is still there never lacks a folder it was made from
TRASH_NAME = ".{}.gone"  # a folder's name between its rename and its deletion


def delete_dataset(dataset: Path) -> bool:
    """Delete what this package made in a folder, and nothing else in it; returns False if there is no dataset.

    Decisions and opt-outs stay.
    """
    if not (dataset / ledger.LEDGER_FILE).is_file():
        return False
    delete_leftovers(dataset)
    # first, so that a kill below leaves no digests of deleted files
    write_sealed(dataset / ledger.LEDGER_FILE, {**ledger.load_any_version(dataset), "parts": {}})
    for name in DELETION_ORDER:  # by rename: half of the records would pass for all of them
        if (dataset / name).exists():
            (dataset / name).rename(dataset / TRASH_NAME.format(name))
    delete_leftovers(dataset)
    (dataset / ledger.TAG_TABLE).unlink(missing_ok=True)
    (dataset / ledger.LEDGER_FILE).unlink()
    return True


def delete_leftovers(dataset: Path) -> None:
    """Delete what a killed stage left half written. The caller holds the dataset's lock."""
    for path in [*dataset.glob("*/.*.parquet"), *dataset.glob(".*.tmp"), *dataset.glob("*/.*.tmp")]:
        path.unlink(missing_ok=True)  # a worker that outlived its run may be renaming it now
    trash = map(TRASH_NAME.format, DELETION_ORDER)
    for name in (parquet.NEW_MANIFEST, parquet.OLD_MANIFEST, ledger.CANDIDATE_FOLDER, *trash):
        shutil.rmtree(dataset / name, ignore_errors=True)
    committed = len(parquet.part_paths(dataset / "records"))
    for path in parquet.part_paths(dataset / "pairs")[committed:]:  # records are committed after their pairs
        path.unlink()
