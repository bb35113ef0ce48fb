"""Measure the search of near hashes among 10^4 to 10^7: CPU seconds, memory, growth, and recall against brute force.

Hashes are made from those of real pictures: a cluster keeps its size and the bits by which its members differ, and gets
a new head, each bit of which comes from a random picture. So bits are as skewed and look-alikes as frequent as in the
real set, for any number of hashes. Every figure is measured in its own process, without compilation.

Run: python -m tests.bench.search [DATASET] [--largest 7] [--peers FOLDER] [--json]
Ten million hashes take minutes and 2 GB.
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
from tests import peers as peer_searches

LEAST, BRUTE = 4, 5  # powers of ten: the smallest set, and the largest that is searched by brute force
NEW = 10_000  # hashes that are added
RADII = (6, 8)
CLUSTER = 8  # bits within which real pictures belong to one cluster


def brute(hashes: Hashes, radius: int) -> RowPairs:
    """All near pairs, by comparing every pair, a block of rows at a time."""
    pairs = []
    for start in range(0, len(hashes), 256):
        block = hashes[start : start + 256, None] ^ hashes[None, start:]
        a, b = np.nonzero(np.bitwise_count(block) <= radius)
        pairs.append(np.stack([a, b], axis=1)[a < b] + start)
    return np.concatenate(pairs)


def clusters(hashes: Hashes) -> list[Hashes]:
    """The bits by which the members of each cluster differ from its head; 0 for the head itself."""
    head = np.arange(len(hashes))
    for a, b in brute(hashes, CLUSTER).tolist():
        head[b] = min(head[b], head[a])
    return [hashes[head == row] ^ hashes[row] for row in np.unique(head[head[head] == head])]


def synthetic(hashes: Hashes, count: int, seed: int) -> Hashes:
    """`count` hashes that are as skewed as the real ones, `hashes` (n,), in clusters as large."""
    random, real = np.random.default_rng(seed), clusters(hashes)
    chosen = random.integers(0, len(real), count)
    sizes = np.array([len(cluster) for cluster in real])[chosen]
    chosen = chosen[: int(np.searchsorted(np.cumsum(sizes), count)) + 1]
    heads = np.zeros(len(chosen), np.uint64)
    for bit in range(64):
        heads |= hashes[random.integers(0, len(hashes), len(chosen))] & np.uint64(1 << bit)
    members = np.concatenate([real[number] for number in chosen])
    values: Hashes = np.repeat(heads, sizes[: len(chosen)]) ^ members
    return values[:count]


def real_hashes(dataset: Path) -> Hashes:
    """The distinct first search hashes of the pictures that are not empty."""
    rows = parquet.read_parts(dataset / "records", ["search_hashes", "emptiness"]).to_pylist()
    return np.unique(
        parse_hex_hashes([row["search_hashes"][0] for row in rows if row["search_hashes"] and row["emptiness"] < 0.995])
    )


def measured(real: Hashes, count: int, radius: int, name: str, peers: Path | None) -> dict[str, Any]:
    """Figures of one search; run it in a fresh process."""
    search = SEARCHES[name](peers)
    search(synthetic(real, 1000, 1), radius)  # compiles
    hashes = synthetic(real, count, 0)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    pairs = search(hashes, radius)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "hashes": count,
        "radius": radius,
        "pairs": len(pairs),
        "cpu_seconds": seconds,
        "peak_mb": peak / 1024,
        "more_mb": (peak - before) / 1024,
        "checksum": int(np.sort(pairs, axis=0).sum()),
    }


def added(real: Hashes, count: int, radius: int) -> dict[str, Any]:
    """The time to add `NEW` hashes to `count`, as a share of the time to search all of them."""
    hashes = synthetic(real, count + NEW, 0)
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
    "faiss_flat": lambda peers: peer_searches.faiss_search(peers, "flat"),
    "faiss_multihash": lambda peers: peer_searches.faiss_search(peers, "multihash"),
    "imagededup": peer_searches.imagededup_search,
}


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def report(real: Hashes, largest: int, peers: Path | None) -> dict[str, Any]:
    """Our search at every size, the others at smaller ones, recall, growth, and the cost of additions."""
    result: dict[str, Any] = {
        "real": len(real),
        "ours": [],
        "others": [],
        "growth": {},
        "growth_in_all": {},
        "added": [],
    }
    for radius in RADII:
        ours = [alone(measured, real, 10**power, radius, "ours", None) for power in range(LEAST, largest + 1)]
        result["ours"] += ours
        last, before = ours[-1]["cpu_seconds"], ours[-2]["cpu_seconds"]
        result["growth"][str(radius)] = log10(last / before) if len(ours) > 1 else None
        result["growth_in_all"][str(radius)] = slope([figures["cpu_seconds"] for figures in ours])
        result["added"].append(alone(added, real, 10 ** min(largest, 6), radius))
        for power in range(LEAST, min(largest, BRUTE) + 1):
            result["others"] += [
                relative(alone(measured, real, 10**power, radius, name, peers), name, ours[power - LEAST])
                for name in (["brute", *peer_searches.SEARCHES] if peers else ["brute"])
                if name != "imagededup" or power == LEAST
            ]
    return result


def slope(seconds: list[float]) -> float | None:
    """Exponent of the growth over all powers of ten: least squares of the logarithms."""
    if len(seconds) < 2:
        return None
    return float(np.polyfit(range(len(seconds)), np.log10(seconds), 1)[0])


def relative(figures: dict[str, Any], name: str, ours: dict[str, Any]) -> dict[str, Any]:
    """The time of another search as a multiple of ours, and whether it found the same pairs."""
    same = (figures["pairs"], figures["checksum"]) == (ours["pairs"], ours["checksum"])
    kept = {key: figures[key] for key in ("hashes", "radius", "pairs")}
    return {"what": name, **kept, "times_ours": figures["cpu_seconds"] / ours["cpu_seconds"], "same_pairs": same}


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--largest", type=click.IntRange(LEAST, 7), default=7, show_default=True, help="Power of ten.")
@click.option(
    "--peers",
    type=click.Path(path_type=Path, exists=True),
    help="Compare with the programs that are installed in this folder.",
)
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, largest: int, peers: Path | None, as_json: bool) -> None:
    """Search sets made from DATASET's hashes, and print seconds, megabytes and ratios."""
    result = report(real_hashes(dataset), largest, peers)
    if as_json:
        click.echo(json.dumps(result))
        return
    line = "{hashes:>10,} within {radius}: {cpu_seconds:8.2f} CPU s, {more_mb:7.0f} MB more, {peak_mb:7.0f} in all"
    for figures in result["ours"]:
        click.echo(f"{line.format(**figures)}, {figures['pairs']:,} pairs")
    for figures in result["others"]:
        same = "the same pairs" if figures["same_pairs"] else f"{figures['pairs']:,} pairs"
        line = "{hashes:>10,} within {radius}: {what} {times_ours:.1f} times ours"
        click.echo(f"{line.format(**figures)}, {same}")
    for figures in result["added"]:
        line = "added to {hashes:,} within {radius}: {ratio:.3f} of the time of searching all again"
        click.echo(f"{NEW:,} {line.format(**figures)}")
    click.echo(f"growth exponent of the last tenfold: {result['growth']}, over all: {result['growth_in_all']}")


if __name__ == "__main__":
    main()
