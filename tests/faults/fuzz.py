"""Fuzz every reader of files: cut, flipped, spliced, made of the pieces of their formats, and guided by coverage.

    python -m tests.faults.fuzz [--inputs N] [--tally FILE] [--json] [--only READER,...]

What is done stands in the tally, so a run may be stopped and gone on with: every batch of inputs depends on its name
alone, and two runs of N inputs after one another are one of 2 N. A child reads them, and is watched: what ends it, or
takes it more than ten seconds or two gigabytes, is a fault like an error of the wrong class or a file written
elsewhere. Inputs that made faults are kept, and tried again by `pytest tests/faults`. Exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curate.system.files import write_json
from tests import ROOT
from tests.faults.hostile import sound
from tests.faults.hostile.child import Row
from tests.faults.hostile.readers import READERS
from tests.faults.hostile.watch import Watched

INPUTS = 120_000
BATCH = 25  # inputs of a batch, times the reader's weight
KINDS = ("cut", "flip", "splice", "shape", "guided")
GUIDED = 4  # times as many of those guided by coverage, each batch of which is a process that starts
CRASHES = Path(__file__).with_name("crashes")
DECISIVE = ("pillow", "pyarrow", "opencv-python-headless", "simplejpeg", "resvg-py", "numpy", "keras", "hypothesis")
KEPT = 2  # inputs of one fault that are kept


def lanes(only: list[str]) -> list[tuple[str, str]]:
    """Every reader with every kind of mutation; those guided by coverage where atheris is installed."""
    guided = find_spec("atheris") is not None
    names = [name for name, reader in READERS.items() if reader.weight and (not only or name in only)]
    return [(name, kind) for kind in KINDS for name in names if kind != "guided" or (guided and READERS[name].packages)]


def jobs(tally: Row, only: list[str]) -> Iterator[Row]:
    """Batches in turn, from where the tally is; a lane that has no more inputs is left."""
    open_lanes = [lane for lane in lanes(only) if not tally["lanes"].get("/".join(lane), {}).get("ended")]
    while open_lanes:
        least = min(tally["lanes"].get("/".join(lane), {}).get("batches", 0) for lane in open_lanes)
        for reader, kind in list(open_lanes):
            lane = tally["lanes"].setdefault(
                f"{reader}/{kind}", {"batches": 0, "inputs": 0, "fates": {}, "ended": False}
            )
            if lane["batches"] > least:
                continue  # where the last run stopped midway through a round
            count = round(BATCH * READERS[reader].weight * (GUIDED if kind == "guided" else 1))
            yield {"reader": reader, "kind": kind, "batch": lane["batches"], "count": count}
            if lane["ended"]:
                open_lanes.remove((reader, kind))


def note(tally: Row, job: Row, found: Row, keep: Path) -> None:
    """Add what came of a batch; inputs of faults beyond some of each are not kept."""
    lane = tally["lanes"][f"{job['reader']}/{job['kind']}"]
    read = sum(found["fates"].values())
    lane["batches"] += 1
    lane["inputs"] += read
    lane["ended"] = job["kind"] == "cut" and read < job["count"]
    for fate, count in found["fates"].items():
        lane["fates"][fate] = lane["fates"].get(fate, 0) + count
    tally["inputs"] += read
    tally["peak"] = max(tally["peak"], found["peak"])
    for fault in found["faults"]:
        known = tally["faults"].setdefault(f"{fault['reader']}: {fault['what']}", {"times": 0, "inputs": []})
        known["times"] += 1
        if fault["input"] in known["inputs"]:
            continue
        if len(known["inputs"]) < KEPT:
            known["inputs"].append(fault["input"])
        else:
            (keep / fault["input"]).unlink(missing_ok=True)


def fuzz(inputs: int, path: Path, work: Path, *, only: list[str], keep: Path = CRASHES, quiet: bool = False) -> Row:
    """Read inputs until the tally counts so many of them, or there are no more; returns it."""
    tally = begun(path)
    told = time.monotonic()
    sound.data(work / "corpus" / "data")  # here, not in a child whose writes are watched
    with Watched(work / "corpus", work / "scratch", keep) as watched:
        for job in jobs(tally, only):
            if tally["inputs"] >= inputs:
                break
            note(tally, job, watched.run(job), keep)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, tally)
            if not quiet and time.monotonic() - told > 15:
                told = time.monotonic()
                print(f"fuzz: {tally['inputs']:,} of {inputs:,}, {len(tally['faults'])} faults", file=sys.stderr)
    return tally


def begun(path: Path) -> Row:
    """A tally to go on with, or a new one. Exits where it is of other versions, whose inputs would differ."""
    versions = {name: version(name) for name in DECISIVE}
    if not path.exists():
        return {"inputs": 0, "peak": 0, "lanes": {}, "faults": {}, "versions": versions}
    tally: Row = json.loads(path.read_bytes())
    if tally["versions"] != versions:
        raise SystemExit(f"{path} was begun with {tally['versions']}, here are {versions}: give another --tally")
    return tally


def table(tally: Row) -> str:
    """Inputs and fates by reader, as Markdown."""
    rows = [
        "| reader | inputs | " + " | ".join(KINDS) + " | fates |",
        "| --- |" + " ---: |" * (1 + len(KINDS)) + " --- |",
    ]
    for name in [name for name, reader in READERS.items() if reader.weight]:
        told = {kind: tally["lanes"].get(f"{name}/{kind}", {"inputs": 0, "fates": {}}) for kind in KINDS}
        fates: dict[str, int] = {}
        for lane in told.values():
            for fate, count in lane["fates"].items():
                fates[fate] = fates.get(fate, 0) + count
        counts = [one["inputs"] for one in told.values()]
        shown = ", ".join(f"{fate} {count:,}" for fate, count in sorted(fates.items(), key=lambda pair: -pair[1]))
        rows.append(f"| {name} | {sum(counts):,} | " + " | ".join(f"{count:,}" for count in counts) + f" | {shown} |")
    return "\n".join(rows)


def parsed() -> Any:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=INPUTS, help="how many in all, those of the tally counted in")
    parser.add_argument("--tally", type=Path, default=ROOT / "faults/fuzz.json", help="what was done before")
    parser.add_argument("--only", default="", help="readers, parted by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--table", action="store_true", help="print the tally as a table, and read nothing")
    return parser.parse_args()


def main() -> None:
    """Fuzz, and tell what came of it."""
    asked = parsed()
    only = [name for name in asked.only.split(",") if name]
    if asked.table:
        print(table(begun(asked.tally)))
        return
    with tempfile.TemporaryDirectory() as work:
        tally = fuzz(asked.inputs, asked.tally, Path(work), only=only)
    if asked.json:
        print(json.dumps(tally))
    else:
        print(f"{tally['inputs']:,} inputs, peak {tally['peak'] >> 20:,} MiB, {len(tally['faults'])} kinds of faults")
        for what, told in tally["faults"].items():
            print(f"  {told['times']:,} times {what}: {', '.join(told['inputs'])}")
    raise SystemExit(1 if tally["faults"] else 0)


if __name__ == "__main__":
    main()
