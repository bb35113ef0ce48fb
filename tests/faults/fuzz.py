"""Fuzz every reader of files with cut, flipped, spliced, generated and coverage-guided inputs.

    python -m tests.faults.fuzz [--inputs N] [--tally FILE] [--json] [--only READER,...]

The tally records the batches done, and the next run continues it: a batch depends only on its name, so that two runs of
N inputs equal one of 2 N. A watched child process reads the inputs. Faults are: the end of that process, more than ten
seconds or two gigabytes for an input, an error of the wrong class, and a file written elsewhere. Inputs with faults are
kept, and `pytest tests/faults` tries them again. Exit code 1 if there are faults.
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
from tests.faults.hostile import valid_files
from tests.faults.hostile.child import Row
from tests.faults.hostile.readers import READERS
from tests.faults.hostile.watched_child import WatchedChild

INPUTS = 120_000
BATCH = 25  # inputs per batch, multiplied by the reader's weight
KINDS = ("cut", "flip", "splice", "shape", "guided")
GUIDED_FACTOR = 4  # guided batches are larger by this factor, because each starts a process
KEPT_INPUTS = Path(__file__).with_name("crashes")
INPUT_PACKAGES = (
    "pillow",
    "pyarrow",
    "opencv-python-headless",
    "simplejpeg",
    "resvg-py",
    "numpy",
    "keras",
    "hypothesis",
)
MAX_KEPT_INPUTS = 2  # per fault


def lanes(only: list[str]) -> list[tuple[str, str]]:
    """(reader, kind of mutation) of all batches. Guided ones need atheris."""
    guided = find_spec("atheris") is not None
    names = [name for name, reader in READERS.items() if reader.weight and (not only or name in only)]
    return [(name, kind) for kind in KINDS for name in names if kind != "guided" or (guided and READERS[name].packages)]


def jobs(tally: Row, only: list[str]) -> Iterator[Row]:
    """Batches of all lanes in turn, continuing the tally. A lane ends when it has no more inputs."""
    open_lanes = [lane for lane in lanes(only) if not tally["lanes"].get("/".join(lane), {}).get("ended")]
    while open_lanes:
        least = min(tally["lanes"].get("/".join(lane), {}).get("batches", 0) for lane in open_lanes)
        for reader, kind in list(open_lanes):
            lane = tally["lanes"].setdefault(
                f"{reader}/{kind}", {"batches": 0, "inputs": 0, "fates": {}, "ended": False}
            )
            if lane["batches"] > least:
                continue  # the last run stopped within a round
            count = round(BATCH * READERS[reader].weight * (GUIDED_FACTOR if kind == "guided" else 1))
            yield {"reader": reader, "kind": kind, "batch": lane["batches"], "count": count}
            if lane["ended"]:
                open_lanes.remove((reader, kind))


def add_batch(tally: Row, job: Row, result: Row, keep: Path) -> None:
    """Add the result of a batch to the tally. Deletes inputs of a fault beyond MAX_KEPT_INPUTS."""
    lane = tally["lanes"][f"{job['reader']}/{job['kind']}"]
    read = sum(result["fates"].values())
    lane["batches"] += 1
    lane["inputs"] += read
    lane["ended"] = job["kind"] == "cut" and read < job["count"]
    for fate, count in result["fates"].items():
        lane["fates"][fate] = lane["fates"].get(fate, 0) + count
    tally["inputs"] += read
    tally["peak"] = max(tally["peak"], result["peak"])
    for fault in result["faults"]:
        entry = tally["faults"].setdefault(f"{fault['reader']}: {fault['what']}", {"times": 0, "inputs": []})
        entry["times"] += 1
        if fault["input"] in entry["inputs"]:
            continue
        if len(entry["inputs"]) < MAX_KEPT_INPUTS:
            entry["inputs"].append(fault["input"])
        else:
            (keep / fault["input"]).unlink(missing_ok=True)


def fuzz(inputs: int, path: Path, work: Path, *, only: list[str], keep: Path = KEPT_INPUTS, quiet: bool = False) -> Row:
    """Read inputs until the tally counts `inputs` of them or there are no more; returns the tally."""
    tally = open_tally(path)
    last_report = time.monotonic()
    valid_files.dataset_and_shards(work / "corpus" / "data")  # in this process: the child may not write there
    with WatchedChild(work / "corpus", work / "scratch", keep) as child:
        for job in jobs(tally, only):
            if tally["inputs"] >= inputs:
                break
            add_batch(tally, job, child.run(job), keep)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, tally)
            if not quiet and time.monotonic() - last_report > 15:
                last_report = time.monotonic()
                print(f"fuzz: {tally['inputs']:,} of {inputs:,}, {len(tally['faults'])} faults", file=sys.stderr)
    return tally


def open_tally(path: Path) -> Row:
    """Read a tally or begin one. Exits if other package versions began it, because their inputs would differ."""
    versions = {name: version(name) for name in INPUT_PACKAGES}
    if not path.exists():
        return {"inputs": 0, "peak": 0, "lanes": {}, "faults": {}, "versions": versions}
    tally: Row = json.loads(path.read_bytes())
    if tally["versions"] != versions:
        raise SystemExit(f"{path} was begun with {tally['versions']}, installed are {versions}: give another --tally")
    return tally


def format_table(tally: Row) -> str:
    """Markdown table of inputs and fates by reader."""
    rows = [
        "| reader | inputs | " + " | ".join(KINDS) + " | fates |",
        "| --- |" + " ---: |" * (1 + len(KINDS)) + " --- |",
    ]
    for name in [name for name, reader in READERS.items() if reader.weight]:
        lanes_by_kind = {kind: tally["lanes"].get(f"{name}/{kind}", {"inputs": 0, "fates": {}}) for kind in KINDS}
        fates: dict[str, int] = {}
        for lane in lanes_by_kind.values():
            for fate, count in lane["fates"].items():
                fates[fate] = fates.get(fate, 0) + count
        counts = [lane["inputs"] for lane in lanes_by_kind.values()]
        shown = ", ".join(f"{fate} {count:,}" for fate, count in sorted(fates.items(), key=lambda pair: -pair[1]))
        rows.append(f"| {name} | {sum(counts):,} | " + " | ".join(f"{count:,}" for count in counts) + f" | {shown} |")
    return "\n".join(rows)


def parse_arguments() -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=INPUTS, help="total, with those in the tally")
    parser.add_argument("--tally", type=Path, default=ROOT / "faults/fuzz.json", help="continue this file")
    parser.add_argument("--only", default="", help="readers, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--table", action="store_true", help="print the tally as a table; read no inputs")
    return parser.parse_args()


def main() -> None:
    """Fuzz and print the result."""
    arguments = parse_arguments()
    only = [name for name in arguments.only.split(",") if name]
    if arguments.table:
        print(format_table(open_tally(arguments.tally)))
        return
    with tempfile.TemporaryDirectory() as work:
        tally = fuzz(arguments.inputs, arguments.tally, Path(work), only=only)
    if arguments.json:
        print(json.dumps(tally))
    else:
        print(f"{tally['inputs']:,} inputs, peak {tally['peak'] >> 20:,} MiB, {len(tally['faults'])} kinds of faults")
        for fault, entry in tally["faults"].items():
            print(f"  {entry['times']:,} times {fault}: {', '.join(entry['inputs'])}")
    raise SystemExit(1 if tally["faults"] else 0)


if __name__ == "__main__":
    main()
