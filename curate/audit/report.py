"""The stage that shows a dataset: one HTML page with all it needs inside, to look at before a training.

Two passes over the manifest and one over the look-alikes, a part at a time; pixels only of what is shown. Of everything
that grows with the dataset the page has counts and a fixed number of examples, so that its size does not grow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.audit import census, count_tables, examples, html_page
from curate.dataset import ledger
from curate.system.errors import DatasetError, NurieError
from curate.system.files import atomic_write

EXAMPLES_PER_KIND = 12  # pictures, pairs or families of each kind


def report(dataset: Path, target: Path) -> dict[str, Any]:
    """Write the page `target` on a dataset, atomically: equal datasets give equal bytes.

    Returns counts: `in`, `kept`, `dropped` by reason, and more of what the page tells. Raises DatasetError if the
    folder is no finished dataset, NurieError if there is no place for the page, DamagedError if a part is damaged.
    """
    state = ledger.read_ledger(dataset)
    if "counts" not in state:
        raise DatasetError(f"{dataset} is not finished: run `curate extract` again")
    _check_target(dataset, target)
    found = census.take(dataset, EXAMPLES_PER_KIND)
    told, families, lines = (
        count_tables.summary_counts(found),
        count_tables.family_sizes(found),
        state["options"]["lines"],
    )
    known = bool(told["roles"]) or not told["kept"]  # what was added since is not compared yet
    html = html_page.render(
        "report",
        sources=sorted(found.sources.items()),
        options=state["options"],
        dedupe=state.get("dedupe") if known else None,
        hashes=state.get("hashes", {}),
        told=told,
        found=found,
        tables=count_tables.build_tables(found),
        splits=count_tables.split_rows(found),
        lines=lines,
        shown=examples.gather_examples(dataset, found, families.choose_examples(EXAMPLES_PER_KIND), lines),
    )
    with atomic_write(target) as file:
        file.write(html)
    return told | {"page_bytes": len(html)}


def _check_target(dataset: Path, target: Path) -> None:
    if target.is_dir():
        raise NurieError(f"{target} is a folder: give the page a name, as in {target / 'report.html'}")
    if not target.absolute().parent.is_dir():
        raise NurieError(f"there is no folder {target.parent}: make it, or give another path")
    if target.resolve().is_relative_to(dataset.resolve()):
        raise NurieError(f"{target} lies in the dataset, where only stages write: give a path elsewhere")
