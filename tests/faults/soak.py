"""Repeat extract, dedupe, shard and fit on real art, and fail if what the process uses grows.

Rounds come in pairs. The first works on new folders and must make the same dataset and shards, byte by byte, as every
such round. The second works on the same folders: extract and shard find everything done, dedupe decides again and fit
continues. The stages of curate run in this process. After each round it measures its open files, threads, child
processes, temporary files, and its anonymous memory without what allocators keep unused. Each fit runs in a process of
its own, because TensorFlow keeps memory (see README.md), and its peak memory is measured. Warm-up rounds, in which
modules load and caches fill, do not count.

Every round is a line of the tally, a file of JSON lines. A later run with the same tally continues the minutes as a new
sitting, whose growth is measured by its own rounds.

Run: python -m tests.faults.soak [ART] [--minutes 60] [--tally FILE] [--json]; on Linux
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pyarrow as pa
from scipy import stats

from curate.deduplication import dedupe
from curate.extraction import extract
from curate.shards import shard
from curate.sources.scan import Source
from curate.terminal import QUIET
from tests.faults.memory import SMALL, run
from tests.faults.process_usage import ProcessUsage

PICTURES = 150
WORKERS = 2
STEPS = 4  # of a fit
WARM_UP_ROUNDS = 6  # modules load and caches fill
MIN_ROUNDS = 20  # after the warm-up; over this many, an allocator's one-time tens of MB are no slope
MAX_GROWTH = 0.03  # of memory, as a share of that after the warm-up; more than it fluctuates
MEMORY = {"anonymous_mb": "memory", "fit_mb": "the peak of fit"}
COUNTED = ("handles", "threads", "children", "temporary")
Round = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """The folders in which the rounds of a sitting work."""

    art: Path
    home: Path

    def round(self, number: int) -> float:
        """Do a round: even ones on new folders, odd ones on those of the round before. Returns fit's peak in MB."""
        resumed = number % 2
        if not resumed:
            shutil.rmtree(self.home / "made", ignore_errors=True)
        dataset, packed = self.home / "made" / "dataset", self.home / "made" / "shards"
        options = extract.ExtractOptions(("dilate",), 32, keep_monochrome=True)
        result = extract.extract([Source("art", self.art)], dataset, options, workers=WORKERS)
        assert result["new"] == (0 if resumed else result["in"]), result
        dedupe.dedupe(dataset, dedupe.DedupeOptions(), workers=WORKERS)
        shard.shard(dataset, packed, shard.ShardOptions(shard_size=64), workers=WORKERS)
        return self._fit(packed, STEPS * (1 + resumed))

    def _fit(self, packed: Path, steps: int) -> float:
        out, sets = self.home / "made" / "run", [word for setting in SMALL for word in ("--set", setting)]
        peak = run("train", ("fit", packed, out, "--preset", "tags-cpu", "--steps", steps, *sets))
        assert (out / "snapshots" / f"{steps:09d}.npz").is_file()
        return peak.own / 1e6

    def digest(self) -> str:
        """SHA-256 of all paths and bytes of the dataset and the shards."""
        sha256 = hashlib.sha256()
        for name in ("dataset", "shards"):
            for path in sorted((self.home / "made" / name).rglob("*")):
                if path.is_file():
                    sha256.update(path.relative_to(self.home).as_posix().encode() + path.read_bytes())
        return sha256.hexdigest()


@contextmanager
def temporary_work(art: Path) -> Iterator[Work]:
    """A folder with links to some of the art. Temporary files go to a folder in it, where they are counted."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("art", "temporary"):
            (home / name).mkdir()
        for path in sorted(art.glob("*.png"))[:: max(1, len(list(art.glob("*.png"))) // PICTURES)][:PICTURES]:
            sidecars = (path.with_suffix(".json"), path.with_name(f"{path.name}.json"), path.with_suffix(".txt"))
            for file in (path, *sidecars):
                if file.exists():
                    (home / "art" / file.name).symlink_to(file.resolve())
        os.environ["TMPDIR"] = tempfile.tempdir = str(home / "temporary")
        quiet = QUIET.set(True)
        try:
            yield Work(home / "art", home)
        finally:
            QUIET.reset(quiet)
            tempfile.tempdir = None
            del os.environ["TMPDIR"]


def run_rounds(art: Path, tally: Path, minutes: float) -> None:
    """Do rounds until those in the tally took `minutes`."""
    done, sitting = read(tally), uuid4().hex[:8]
    left, number = 60 * minutes - sum(round_["seconds"] for round_ in done), 0
    with temporary_work(art) as work:
        while left > 0 or number % 2:
            started = time.monotonic()
            peak = work.round(number)
            digest = work.digest()
            release_unused_memory()
            seconds = time.monotonic() - started
            row = {"sitting": sitting, "round": number, "seconds": round(seconds, 1), "digest": digest}
            row |= {**ProcessUsage.now(work.home / "temporary").to_dict(), "fit_mb": peak}
            with tally.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"# {json.dumps(row)}", file=sys.stderr, flush=True)
            left, number = left - seconds, number + 1


def release_unused_memory() -> None:
    """Let Python, Arrow and glibc return unused memory to the system: its amount varies by 30 MB."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def read(tally: Path) -> list[Round]:
    """The rounds in a tally."""
    return [json.loads(line) for line in tally.read_text().splitlines()] if tally.exists() else []


def growth(rounds: list[Round]) -> dict[str, Any]:
    """How much more a sitting uses at its end than after the warm-up; empty if it has too few rounds.

    Counts by their difference. Memory by the median of the slopes between all pairs of rounds, which a few outliers do
    not change: `share` of the memory after the warm-up, and `a_round` in MB with its 95 % interval. Source: Theil
    (1950), Sen (1968).
    """
    rounds_after_warm_up = rounds[WARM_UP_ROUNDS:]
    if len(rounds_after_warm_up) < MIN_ROUNDS:
        return {}
    first, last = rounds_after_warm_up[:2], rounds_after_warm_up[-1]
    grown: dict[str, Any] = {name: last[name] - max(round_[name] for round_ in first) for name in COUNTED}
    for name in MEMORY:
        slope, _, low, high = map(
            float, stats.theilslopes([round_[name] for round_ in rounds_after_warm_up], alpha=0.95)
        )
        share = slope * (len(rounds_after_warm_up) - 1) / rounds_after_warm_up[0][name]
        grown[name] = {
            "share": round(share, 4),
            "a_round": round(slope, 3),
            "interval": [round(low, 3), round(high, 3)],
        }
    return grown


def report(rounds: list[Round]) -> dict[str, Any]:
    """Figures of all sittings, and every fault."""
    sittings: dict[str, list[Round]] = {}
    for round_ in rounds:
        sittings.setdefault(round_["sitting"], []).append(round_)
    growth_by_sitting = {name: growth(of_sitting) for name, of_sitting in sittings.items()}
    measured = [(name, grown) for name, grown in growth_by_sitting.items() if grown]
    faults = [
        f"{name}: {resource} grew by {grown[resource]:g}"
        for name, grown in measured
        for resource in COUNTED
        if grown[resource] > 0
    ]
    faults += [
        f"{name}: {words} grew by {grown[resource]['share']:.1%}"
        for name, grown in measured
        for resource, words in MEMORY.items()
        if grown[resource]["share"] > MAX_GROWTH and grown[resource]["interval"][0] > 0
    ]
    if not measured:
        faults.append(
            f"no sitting has {WARM_UP_ROUNDS + MIN_ROUNDS} rounds, too few to measure growth: give more --minutes"
        )
    for state in (0, 1):
        digests = {round_["digest"] for round_ in rounds if round_["round"] % 2 == state}
        faults += [f"the bytes of {len(digests)} rounds differ"] if len(digests) > 1 else []
    return {
        "rounds": len(rounds),
        "minutes": round(sum(round_["seconds"] for round_ in rounds) / 60, 1),
        "sittings": {
            name: {"first": _usage(of_sitting[0]), "last": _usage(of_sitting[-1]), "grown": growth_by_sitting[name]}
            for name, of_sitting in sittings.items()
        },
        "faults": faults,
    }


def _usage(round_: Round) -> dict[str, float]:
    memory = {name: round(round_[name], 1) for name in MEMORY}
    return {"round": round_["round"], **memory, **{name: round_[name] for name in COUNTED}}


@click.command()
@click.argument("art", type=click.Path(path_type=Path, exists=True), default="demo/art")
@click.option("--minutes", type=click.FloatRange(0), default=60, show_default=True, help="Total over all sittings.")
@click.option("--tally", type=click.Path(path_type=Path), default="faults/soak.jsonl", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(art: Path, minutes: float, tally: Path, as_json: bool) -> None:
    """Repeat all stages on ART until the tally has the minutes. Exit code 1 if something grew."""
    tally.parent.mkdir(parents=True, exist_ok=True)
    run_rounds(art, tally, minutes)
    result = report(read(tally))
    click.echo(json.dumps(result, indent=None if as_json else 1))
    raise SystemExit(bool(result["faults"]))


if __name__ == "__main__":
    main()
