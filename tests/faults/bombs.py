"""Read decompression bombs one by one, and print the fate, seconds and peak memory of each.

    python -m tests.faults.bombs [--only NAME]... [--json]

Exit code 1 if a bomb takes more than ten seconds of CPU time or two gigabytes, or raises an error of the wrong class.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tests.faults.fuzz import KEPT_INPUTS
from tests.faults.hostile import bombs
from tests.faults.hostile.watched_child import WatchedChild

Row = dict[str, Any]


def read_bombs(work: Path, *, long: bool, keep: Path = KEPT_INPUTS, only: Collection[str] = ()) -> list[Row]:
    """Read every bomb, or those in `only`, in a watched process. Returns a row for each."""
    rows = []
    bombs_by_name = bombs.all_bombs(work / "corpus", long=long)
    (work / "bomb").mkdir(parents=True)
    with WatchedChild(work / "corpus", work / "scratch", keep) as child:
        for number, name in enumerate(only or bombs_by_name):
            reader, make = bombs_by_name[name]
            path = work / "bomb" / str(number)
            path.write_bytes(make())
            started = time.monotonic()
            result = child.run({"reader": reader, "files": [str(path)]})
            seconds, size = time.monotonic() - started, path.stat().st_size
            path.unlink()
            fates, faults = "".join(result["fates"]), [fault["what"] for fault in result["faults"]]
            rows.append(
                {
                    "bomb": name,
                    "bytes": size,
                    "fate": fates,
                    "seconds": round(seconds, 1),
                    "peak": result["peak"],
                    "faults": faults,
                }
            )
    return rows


def format_table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| bomb | bytes | fate | s | peak MiB |", "| --- | ---: | --- | ---: | ---: |"]
    for row in rows:
        outcome = ", ".join(row["faults"]) or row["fate"]
        lines.append(f"| {row['bomb']} | {row['bytes']:,} | {outcome} | {row['seconds']} | {row['peak'] >> 20:,} |")
    return "\n".join(lines)


def main() -> None:
    """Read all bombs and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", action="append", default=[], help="read this bomb only; repeatable")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = read_bombs(Path(work), long=True, only=arguments.only)
    print(json.dumps({"bombs": rows}) if arguments.json else format_table(rows))
    raise SystemExit(1 if any(row["faults"] for row in rows) else 0)


if __name__ == "__main__":
    main()
