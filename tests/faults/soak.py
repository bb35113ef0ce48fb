"""Extract, dedupe, shard and fit on real art, round after round, until nothing could grow unseen.

Rounds go in twos, as a user works: one on fresh folders, whose dataset and shards must have the bytes of the first
ones; then one on the same folders, where extract and shard find all done, dedupe decides anew and fit goes on. The
stages of curate run in this process, which tells after each round what it holds: open files, threads, processes,
temporary files, and anonymous memory, once what allocators keep and nobody uses is given back. Each fit is a command in
a process of its own, as TensorFlow asks for (see README.md), and its peak is told. It fails if any of them grew after
the first rounds, which load and fill what is kept for good.

Every round is a line of the tally, a file of JSON lines: run again with the same one, the minutes go on from there, in
a new process, whose growth is told by its own rounds.

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
from tests.faults.watching import Held

PICTURES = 150
WORKERS = 2
STEPS = 4  # of a round's fit
WARM = 6  # rounds that load, and fill what is kept for good
LEAST = 20  # rounds after them, to tell growth by: what allocators take at once, tens of MB, is no slope of so many
ALLOWED = 0.03  # growth of memory, as a share of what was held after the first rounds: more than it sways
MEMORY = {"anonymous_mb": "memory", "fit_mb": "the peak of fit"}
COUNTED = ("handles", "threads", "children", "temporary")
Round = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """Where the rounds of a sitting work."""

    art: Path
    home: Path

    def round(self, number: int) -> float:
        """Even ones on fresh folders, odd ones on those of the round before; returns the peak of fit, MB."""
        resumed = number % 2
        if not resumed:
            shutil.rmtree(self.home / "made", ignore_errors=True)
        dataset, packed = self.home / "made" / "dataset", self.home / "made" / "shards"
        options = extract.ExtractOptions(("dilate",), 32, keep_monochrome=True)
        told = extract.extract([Source("art", self.art)], dataset, options, workers=WORKERS)
        assert told["new"] == (0 if resumed else told["in"]), told
        dedupe.dedupe(dataset, dedupe.DedupeOptions(), workers=WORKERS)
        shard.shard(dataset, packed, shard.ShardOptions(shard_size=64), workers=WORKERS)
        return self._fit(packed, STEPS * (1 + resumed))

    def _fit(self, packed: Path, steps: int) -> float:
        out, sets = self.home / "made" / "run", [word for one in SMALL for word in ("--set", one)]
        found = run("train", ("fit", packed, out, "--preset", "tags-cpu", "--steps", steps, *sets))
        assert (out / "snapshots" / f"{steps:09d}.npz").is_file()
        return found.own / 1e6

    def digest(self) -> str:
        """Of every byte of the dataset and the shards."""
        whole = hashlib.sha256()
        for name in ("dataset", "shards"):
            for path in sorted((self.home / "made" / name).rglob("*")):
                if path.is_file():
                    whole.update(path.relative_to(self.home).as_posix().encode() + path.read_bytes())
        return whole.hexdigest()


@contextmanager
def working(art: Path) -> Iterator[Work]:
    """A folder for a sitting, with some of the art; temporary files go to a folder in it, to be counted."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name in ("art", "temporary"):
            (home / name).mkdir()
        for path in sorted(art.glob("*.png"))[:: max(1, len(list(art.glob("*.png"))) // PICTURES)][:PICTURES]:
            for one in (path, path.with_suffix(".json"), path.with_name(f"{path.name}.json"), path.with_suffix(".txt")):
                if one.exists():
                    (home / "art" / one.name).symlink_to(one.resolve())
        os.environ["TMPDIR"] = tempfile.tempdir = str(home / "temporary")
        quiet = QUIET.set(True)
        try:
            yield Work(home / "art", home)
        finally:
            QUIET.reset(quiet)
            tempfile.tempdir = None
            del os.environ["TMPDIR"]


def sit(art: Path, tally: Path, minutes: float) -> None:
    """Rounds until the tally has the minutes."""
    done, sitting = read(tally), uuid4().hex[:8]
    left, number = 60 * minutes - sum(one["seconds"] for one in done), 0
    with working(art) as work:
        while left > 0 or number % 2:
            started = time.monotonic()
            peak = work.round(number)
            digest = work.digest()
            give_back()
            seconds = time.monotonic() - started
            row = {"sitting": sitting, "round": number, "seconds": round(seconds, 1), "digest": digest}
            row |= {**Held.now(work.home / "temporary").told(), "fit_mb": peak}
            with tally.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"# {json.dumps(row)}", file=sys.stderr, flush=True)
            left, number = left - seconds, number + 1


def give_back() -> None:
    """Have Python, Arrow and glibc give to the system what they hold and nobody uses: it sways by 30 MB."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def read(tally: Path) -> list[Round]:
    """The rounds so far."""
    return [json.loads(line) for line in tally.read_text().splitlines()] if tally.exists() else []


def growth(rounds: list[Round]) -> dict[str, Any]:
    """What a sitting's rounds hold more at their end than after the first ones; nothing of too few rounds.

    Memory by its median slope, the median of those between all pairs of rounds, which does not mind the few that sway:
    `share` of what was held, `a_round` in MB with its 95 % interval. Source: Theil (1950), Sen (1968).
    """
    held = rounds[WARM:]
    if len(held) < LEAST:
        return {}
    grown: dict[str, Any] = {name: held[-1][name] - max(one[name] for one in held[:2]) for name in COUNTED}
    for name in MEMORY:
        slope, _, low, high = map(float, stats.theilslopes([one[name] for one in held], alpha=0.95))
        share = slope * (len(held) - 1) / held[0][name]
        grown[name] = {
            "share": round(share, 4),
            "a_round": round(slope, 3),
            "interval": [round(low, 3), round(high, 3)],
        }
    return grown


def report(rounds: list[Round]) -> dict[str, Any]:
    """Figures of all sittings, and every fault."""
    sittings: dict[str, list[Round]] = {}
    for one in rounds:
        sittings.setdefault(one["sitting"], []).append(one)
    grown = {name: growth(held) for name, held in sittings.items()}
    told = [(name, one) for name, one in grown.items() if one]
    faults = [f"{name}: {what} grew by {one[what]:g}" for name, one in told for what in COUNTED if one[what] > 0]
    faults += [
        f"{name}: {words} grew by {one[what]['share']:.1%}"
        for name, one in told
        for what, words in MEMORY.items()
        if one[what]["share"] > ALLOWED and one[what]["interval"][0] > 0
    ]
    faults += (
        [] if told else [f"no sitting has {WARM + LEAST} rounds, by which growth can be told: give more --minutes"]
    )
    for state in (0, 1):
        digests = {one["digest"] for one in rounds if one["round"] % 2 == state}
        faults += [f"the bytes of {len(digests)} rounds differ"] if len(digests) > 1 else []
    return {
        "rounds": len(rounds),
        "minutes": round(sum(one["seconds"] for one in rounds) / 60, 1),
        "sittings": {
            name: {"first": _held(held[0]), "last": _held(held[-1]), "grown": grown[name]}
            for name, held in sittings.items()
        },
        "faults": faults,
    }


def _held(one: Round) -> dict[str, float]:
    memory = {name: round(one[name], 1) for name in MEMORY}
    return {"round": one["round"], **memory, **{name: one[name] for name in COUNTED}}


@click.command()
@click.argument("art", type=click.Path(path_type=Path, exists=True), default="demo/art")
@click.option("--minutes", type=click.FloatRange(0), default=60, show_default=True, help="In all, over all sittings.")
@click.option("--tally", type=click.Path(path_type=Path), default="faults/soak.jsonl", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(art: Path, minutes: float, tally: Path, as_json: bool) -> None:
    """Repeat the road on ART until the tally has the minutes; fails if something grew."""
    tally.parent.mkdir(parents=True, exist_ok=True)
    sit(art, tally, minutes)
    told = report(read(tally))
    click.echo(json.dumps(told, indent=None if as_json else 1))
    raise SystemExit(bool(told["faults"]))


if __name__ == "__main__":
    main()
