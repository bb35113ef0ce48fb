"""The search of near hashes, 10^4 to 10^7 of them: CPU seconds, memory, growth, and recall against brute force.

Hashes are made from those of real pictures: every cluster of them keeps its size and the bits its members differ by,
and gets a new head, each bit of which is that of a picture drawn anew. So bits are as skewed and look-alikes as many as
they are, whatever the number. Every figure is taken in a process of its own, compilation left out.

Run: python -m tests.bench.search [DATASET] [--largest 7] [--peers FOLDER] [--json]; ten million take minutes and 2 GB
Peers: pip install --no-deps --target PEERS faiss-cpu, and imagededup as tests/peers.py says
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from math import log10
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np

from curate.dataset import parquet
from curate.hash_search.hamming import Hashes, RowPairs, near_pairs, parse_hex_hashes
from tests import peers as others

LEAST, BRUTE = 4, 5  # powers of ten: of the smallest set, and of the largest that all pairs are compared of
NEW = 10_000  # hashes added
RADII = (6, 8)
CLUSTER = 8  # bits within which real pictures are of one cluster


def brute(hashes: Hashes, radius: int) -> RowPairs:
    """The oracle: every pair compared, a block of rows at a time."""
    found = []
    for start in range(0, len(hashes), 256):
        block = hashes[start : start + 256, None] ^ hashes[None, start:]
        a, b = np.nonzero(np.bitwise_count(block) <= radius)
        found.append(np.stack([a, b], axis=1)[a < b] + start)
    return np.concatenate(found)


def clusters(hashes: Hashes) -> list[Hashes]:
    """What the members of each cluster of look-alikes differ by from its head, 0 being the head itself."""
    head = np.arange(len(hashes))
    for a, b in brute(hashes, CLUSTER).tolist():
        head[b] = min(head[b], head[a])
    return [hashes[head == one] ^ hashes[one] for one in np.unique(head[head[head] == head])]


def made(hashes: Hashes, count: int, seed: int) -> Hashes:
    """`count` hashes as skewed, and in clusters as large, as the real ones (n,)."""
    random, real = np.random.default_rng(seed), clusters(hashes)
    drawn = random.integers(0, len(real), count)
    sizes = np.array([len(one) for one in real])[drawn]
    drawn = drawn[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    heads = np.zeros(len(drawn), np.uint64)
    for bit in range(64):
        heads |= hashes[random.integers(0, len(hashes), len(drawn))] & np.uint64(1 << bit)
    members = np.concatenate([real[one] for one in drawn])
    found: Hashes = np.repeat(heads, [len(real[one]) for one in drawn]) ^ members
    return found[:count]


def real_hashes(dataset: Path) -> Hashes:
    """What dedupe compares of each picture that is not empty."""
    rows = parquet.read_parts(dataset / "records", ["search_hashes", "emptiness"]).to_pylist()
    return np.unique(
        parse_hex_hashes([row["search_hashes"][0] for row in rows if row["search_hashes"] and row["emptiness"] < 0.995])
    )


def measured(real: Hashes, count: int, radius: int, what: str, peers: Path | None) -> dict[str, Any]:
    """One search, in a process of its own."""
    search = SEARCHES[what](peers)
    search(made(real, 1000, 1), radius)  # compiles
    hashes = made(real, count, 0)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = search(hashes, radius)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"hashes": count, "radius": radius, "pairs": len(found), "cpu_seconds": seconds}
    return told | {
        "peak_mb": peak / 1024,
        "more_mb": (peak - before) / 1024,
        "checksum": int(np.sort(found, axis=0).sum()),
    }


def added(real: Hashes, count: int, radius: int) -> dict[str, Any]:
    """`NEW` hashes added to `count`, against the search of all of them."""
    hashes = made(real, count + NEW, 0)
    fresh = np.arange(len(hashes)) >= count
    near_pairs(hashes[-1000:], radius, fresh[-1000:] & (np.arange(1000) % 2 > 0))  # compiles
    seconds = []
    for mask in (fresh, None, fresh, None):
        started = time.process_time()
        near_pairs(hashes, radius, mask)
        seconds.append(time.process_time() - started)
    return {"hashes": count, "radius": radius, "ratio": min(seconds[::2]) / min(seconds[1::2])}


Search = Callable[[Hashes, int], RowPairs]
SEARCHES: dict[str, Callable[[Path | None], Search]] = {
    "ours": lambda _: near_pairs,
    "brute": lambda _: brute,
    "faiss_flat": lambda peers: others.faiss_search(peers, "flat"),
    "faiss_multihash": lambda peers: others.faiss_search(peers, "multihash"),
    "imagededup": others.imagededup_search,
}


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def report(real: Hashes, largest: int, peers: Path | None) -> dict[str, Any]:
    """Ours at every size, others as far as they go, recall, growth, and the cost of additions."""
    told: dict[str, Any] = {"real": len(real), "ours": [], "others": [], "growth": {}, "growth_in_all": {}, "added": []}
    for radius in RADII:
        ours = [alone(measured, real, 10**power, radius, "ours", None) for power in range(LEAST, largest + 1)]
        told["ours"] += ours
        last, before = ours[-1]["cpu_seconds"], ours[-2]["cpu_seconds"]
        told["growth"][str(radius)] = log10(last / before) if len(ours) > 1 else None
        told["growth_in_all"][str(radius)] = slope([one["cpu_seconds"] for one in ours])
        told["added"].append(alone(added, real, 10 ** min(largest, 6), radius))
        for power in range(LEAST, min(largest, BRUTE) + 1):
            told["others"] += [
                beside(alone(measured, real, 10**power, radius, what, peers), what, ours[power - LEAST])
                for what in (["brute", *others.SEARCHES] if peers else ["brute"])
                if what != "imagededup" or power == LEAST
            ]
    return told


def slope(seconds: list[float]) -> float | None:
    """Exponent of the growth over all powers of ten: least squares of the logarithms."""
    if len(seconds) < 2:
        return None
    return float(np.polyfit(range(len(seconds)), np.log10(seconds), 1)[0])


def beside(other: dict[str, Any], what: str, ours: dict[str, Any]) -> dict[str, Any]:
    """What another took of our time, and whether it found the same."""
    same = (other["pairs"], other["checksum"]) == (ours["pairs"], ours["checksum"])
    keep = {name: other[name] for name in ("hashes", "radius", "pairs")}
    return {"what": what, **keep, "times_ours": other["cpu_seconds"] / ours["cpu_seconds"], "same_pairs": same}


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--largest", type=click.IntRange(LEAST, 7), default=7, show_default=True, help="Power of ten.")
@click.option("--peers", type=click.Path(path_type=Path, exists=True), help="Compare with what is installed here.")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, largest: int, peers: Path | None, as_json: bool) -> None:
    """Search sets made from DATASET's hashes, and print seconds, megabytes and ratios."""
    result = report(real_hashes(dataset), largest, peers)
    if as_json:
        click.echo(json.dumps(result))
        return
    for one in result["ours"]:
        speed = f"{one['cpu_seconds']:8.2f} CPU s, {one['more_mb']:7.0f} MB more, {one['peak_mb']:7.0f} in all"
        click.echo(f"{one['hashes']:>10,} within {one['radius']}: {speed}, {one['pairs']:,} pairs")
    for one in result["others"]:
        same = "the same pairs" if one["same_pairs"] else f"{one['pairs']:,} pairs"
        click.echo(
            f"{one['hashes']:>10,} within {one['radius']}: {one['what']} {one['times_ours']:.1f} times ours, {same}"
        )
    for one in result["added"]:
        click.echo(f"{NEW:,} added to {one['hashes']:,} within {one['radius']}: {one['ratio']:.3f} of all over again")
    click.echo(f"growth exponent of the last tenfold: {result['growth']}, over all: {result['growth_in_all']}")


if __name__ == "__main__":
    main()
