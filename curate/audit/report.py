"""`curate report`: one self-contained HTML page that shows what a dataset holds, to look at before training.

It reads the manifest twice and `edges/` once, a part at a time, and pixels only of the pictures shown. The page's size
does not grow with the dataset: everything is counts and a fixed number of examples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.audit import census, count_tables, html_page, report_examples
from curate.dataset import ledger
from curate.system.errors import DatasetError, NurieError
from curate.system.files import atomic_write

EXAMPLES_PER_KIND = 12  # pictures, pairs or families


def report(dataset: Path, target: Path) -> dict[str, Any]:
    """Write the page `target` about a dataset, atomically; equal datasets give equal bytes.

    Returns counts: `in`, `kept`, `dropped` by reason, and other figures of the page. Raises DatasetError if the folder
    is not a finished dataset, NurieError if `target` is no path for a page, DamagedError if a part is damaged.
    """
    state = ledger.read_ledger(dataset)
    if "counts" not in state:
        raise DatasetError(f"{dataset} is not finished: run `curate extract` again")
    _check_target(dataset, target)
    counted = census.take(dataset, EXAMPLES_PER_KIND)
    summary = count_tables.summary_counts(counted)
    family_examples = count_tables.family_sizes(counted).choose_examples(EXAMPLES_PER_KIND)
    lines = state["options"]["lines"]
    deduped = bool(summary["roles"]) or not summary["kept"]  # pictures added since the last dedupe have no role
    html = html_page.render(
        "report",
        sources=sorted(counted.sources.items()),
        options=state["options"],
        dedupe=state.get("dedupe") if deduped else None,
        hashes=state.get("hashes", {}),
        summary=summary,
        counted=counted,
        tables=count_tables.build_tables(counted),
        splits=count_tables.split_rows(counted),
        lines=lines,
        shown=report_examples.gather_examples(dataset, counted, family_examples, lines),
    )
    with atomic_write(target) as file:
        file.write(html)
    return summary | {"page_bytes": len(html)}


def _check_target(dataset: Path, target: Path) -> None:
    if target.is_dir():
        raise NurieError(f"{target} is a folder: give a file name, for example {target / 'report.html'}")
    if not target.absolute().parent.is_dir():
        raise NurieError(f"there is no folder {target.parent}: make it, or give another path")
    if target.resolve().is_relative_to(dataset.resolve()):
        raise NurieError(f"{target} lies inside the dataset, where only the stages write: give a path elsewhere")
