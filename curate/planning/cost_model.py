"""What each stage costs: pure functions of a workload and of constants that were measured on one machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from curate.deduplication.compare import CANDIDATE_SCHEMA
from curate.deduplication.partitioned_search import HASHES_PER_PARTITION, MAX_CUT_BITS
from curate.deduplication.thumbnails import MAX_CACHED_COLUMNS
from curate.extraction.part import FILES_PER_PART
from curate.hash_search.array_types import HASH_BITS
from curate.hash_search.multi_index import MAX_BAND_BITS, MIN_BANDS
from curate.signatures.orientations import SLANTS
from curate.system.errors import NurieError

SECONDS_PER_HOUR, BYTES_PER_GB = 3600, 1e9
PAIR_SIDE_PX = 128  # of the pairs with which the constants were measured
QUADRATIC_SEARCH_HASHES = 4 << min(MAX_BAND_BITS, HASH_BITS // MIN_BANDS)
"""From so many hashes on, comparing the hashes of a bucket costs more than probing buckets (see multi_index.py)."""
MEASURED_HASHES = 1e6  # for which the search was measured
MAX_PROBE_BITS = 2  # by which the keys of two look-alikes differ at most
CACHED_PARTS = MAX_CACHED_COLUMNS // 2  # of `pairs/` that a worker caches to compare: two columns each
MAX_PICTURES = 1e15

Costs = Mapping[str, float]
"""Constants by name; costs.json has their units."""


@dataclass(frozen=True)
class Workload:
    """What to estimate the cost of."""

    pictures: float
    megapixels: float
    """Of each picture."""
    workers: int
    lines: int = 1
    """Line-art styles to store."""
    strangers: float | None = None
    """Share of all pairs of different pictures that dedupe has to compare; None: as measured on icons of one style."""

    def __post_init__(self) -> None:
        if not (1 <= self.pictures <= MAX_PICTURES and 0 < self.megapixels <= 1e6):
            raise NurieError("a plan takes 1 to 1e15 pictures of up to a million megapixels: give other numbers")


@dataclass(frozen=True)
class CostTerm:
    """One kind of work of a stage."""

    stage: str
    name: str
    cpu_hours: float
    wall_hours: float
    divides: bool
    """Whether workers share it; else one process does it alone."""


@dataclass(frozen=True)
class StageCost:
    """What a stage takes. Wall hours are added up, as if its kinds of work came one after another."""

    name: str
    terms: tuple[CostTerm, ...]
    disk_gb: Mapping[str, float]
    """Disk space by folder; `scratch` is freed when the stage ends."""
    worker_gb: float
    """Memory of each worker."""
    node_gb: float
    """Memory of the parent process, which joins the workers' results."""
    exchange_gb: float
    """Read from and written to the folders that all hosts share."""

    @property
    def cpu_hours(self) -> float:
        """Sum over all kinds of work."""
        return sum(term.cpu_hours for term in self.terms)

    @property
    def wall_hours(self) -> float:
        """Sum over all kinds of work."""
        return sum(term.wall_hours for term in self.terms)


def _term(workload: Workload, stage: str, name: str, seconds: float, *, divides: bool) -> CostTerm:
    return CostTerm(
        stage,
        name,
        seconds / SECONDS_PER_HOUR,
        seconds / SECONDS_PER_HOUR / (workload.workers if divides else 1),
        divides,
    )


def _pair_bytes(workload: Workload, costs: Costs) -> float:
    """Bytes of the PNG files of a pair that go into shards."""
    return costs["color_bytes"] + workload.lines * costs["line_bytes"]


def picture_seconds(workload: Workload, costs: Costs) -> float:
    """CPU seconds to make one picture's record and pair."""
    first = costs["picture_seconds"] + workload.megapixels * costs["megapixel_seconds"]
    return first + (workload.lines - 1) * (
        costs["style_seconds"] + workload.megapixels * costs["style_megapixel_seconds"]
    )


def extract_cost(workload: Workload, costs: Costs) -> StageCost:
    """Cost of extract: time grows with pixels and line styles, bytes with pictures."""
    n = workload.pictures
    stored = {"pairs": _pair_bytes(workload, costs) + costs["compared_bytes"], "records": costs["records_bytes"]}
    source = workload.megapixels * 1e6 * costs["source_bytes"]
    return StageCost(
        "extract",
        (
            _term(workload, "extract", "reading pictures", n * picture_seconds(workload, costs), divides=True),
            _term(workload, "extract", "listing files, finishing", n * costs["list_seconds"], divides=False),
            _term(workload, "extract", "committing parts", n / FILES_PER_PART * costs["commit_seconds"], divides=False),
            _term(
                workload, "extract", "handing out tasks", n / FILES_PER_PART / 2 * costs["task_seconds"], divides=False
            ),
        ),
        {name: n * size_of / BYTES_PER_GB for name, size_of in stored.items()},
        worker_gb=(costs["extract_worker_mb"] + workload.megapixels * costs["megapixel_mb"]) / 1e3,
        node_gb=n * costs["extract_bytes"] / BYTES_PER_GB,
        exchange_gb=n * (source + sum(stored.values()) + costs["manifest_bytes"]) / BYTES_PER_GB,
    )


def proposed_pairs(workload: Workload, costs: Costs) -> float:
    """Pairs that pass the sieve: look-alikes in proportion to the pictures, strangers to their square."""
    return workload.pictures * costs["alike"] + _stranger_pairs(workload, costs)


def _stranger_pairs(workload: Workload, costs: Costs) -> float:
    share = costs["strangers"] if workload.strangers is None else workload.strangers
    return share * workload.pictures * workload.pictures / 2


def near_pairs(workload: Workload, costs: Costs) -> float:
    """Pairs that the searches find, before the sieve removes most of the strangers."""
    return workload.pictures * costs["alike"] + costs["unsifted"] * _stranger_pairs(workload, costs)


def _search_seconds(n: float, costs: Costs) -> float:
    """CPU seconds of dedupe's searches: four over all pictures, and one for each rotated and mirrored variant.

    Up to a million hashes by the measured power. Beyond, linear, times what larger buckets cost.
    """

    def search(count: float, radius: int) -> float:
        power = costs[f"search{radius}_growth"] if count < MEASURED_HASHES else 1.0
        grown = (
            math.pow(count / MEASURED_HASHES, power)
            * (1 + count / QUADRATIC_SEARCH_HASHES)
            / (1 + MEASURED_HASHES / QUADRATIC_SEARCH_HASHES)
        )
        return costs[f"search{radius}_seconds"] * grown

    return search(n, 8) + 3 * search(n, 6) + len(SLANTS) * search(2 * n, 8)


def _search_table_bytes(n: float) -> float:
    """Bytes that the searches write and read: a table per band, in pieces, each read with the pieces of near keys."""
    cut = min(MAX_CUT_BITS, max(0, int(n).bit_length() - HASHES_PER_PARTITION.bit_length() + 1))
    near = sum(math.comb(cut, bits) for bits in range(MAX_PROBE_BITS + 1))
    return (4 + 2 * len(SLANTS)) * MIN_BANDS * 8 * n * (1 + near)


def part_reads(n: float, pairs: float) -> float:
    """How often workers read a part of `pairs/` to compare proposed pairs, which are sorted by part."""
    parts = n / FILES_PER_PART
    return max(parts, min(pairs, parts * parts / 2)) if parts > CACHED_PARTS else parts


def dedupe_cost(workload: Workload, costs: Costs) -> StageCost:
    """Cost of dedupe: time grows with the hashes searched and the pairs proposed."""
    n, pairs = workload.pictures, proposed_pairs(workload, costs)
    reads = part_reads(n, pairs)
    proposed = pairs * sum(field.type.bit_width for field in CANDIDATE_SCHEMA) / 8
    stored = n * (costs["records_bytes"] + costs["manifest_bytes"])
    compared = reads * FILES_PER_PART * costs["compared_bytes"]
    return StageCost(
        "dedupe",
        (
            _term(workload, "dedupe", "gathering and deciding", n * costs["judge_seconds"], divides=False),
            _term(workload, "dedupe", "searching near hashes", _search_seconds(n, costs), divides=True),
            _term(
                workload,
                "dedupe",
                "filtering pairs",
                near_pairs(workload, costs) * costs["sift_seconds"],
                divides=False,
            ),
            _term(workload, "dedupe", "proposing pairs", pairs * costs["propose_seconds"], divides=False),
            _term(workload, "dedupe", "comparing pairs", pairs * costs["look_seconds"], divides=True),
            _term(workload, "dedupe", "reading parts to compare", reads * costs["part_seconds"], divides=True),
        ),
        {
            "manifest": n * costs["manifest_bytes"] / BYTES_PER_GB,
            "edges": n * costs["edges_bytes"] / BYTES_PER_GB,
            "scratch": max(MIN_BANDS * 8 * n, proposed) / BYTES_PER_GB,
        },
        worker_gb=costs["dedupe_worker_mb"] / 1e3,
        node_gb=(n * (costs["dedupe_bytes"] + 2 * costs["search_bytes"]) + pairs * costs["propose_bytes"])
        / BYTES_PER_GB,
        exchange_gb=(stored + _search_table_bytes(n) + 2 * proposed + compared) / BYTES_PER_GB,
    )


def shard_cost(workload: Workload, costs: Costs) -> StageCost:
    """Cost of shard: everything grows with the pictures; for PNG shards."""
    n, pair = workload.pictures, _pair_bytes(workload, costs)
    packed = pair + costs["packed_bytes"]
    return StageCost(
        "shard",
        (
            _term(workload, "shard", "choosing and planning", n * costs["choose_seconds"], divides=False),
            _term(workload, "shard", "packing pairs", n * costs["pack_seconds"], divides=True),
        ),
        {"shards": n * packed / BYTES_PER_GB, "scratch": n * pair / BYTES_PER_GB},
        worker_gb=costs["shard_worker_mb"] / 1e3,
        node_gb=n * costs["shard_bytes"] / BYTES_PER_GB,
        exchange_gb=n * (3 * pair + packed) / BYTES_PER_GB,
    )


def raw_shards_gb(workload: Workload, costs: Costs) -> float:
    """Disk space of shards with `--encoding raw` instead of PNG."""
    return (
        workload.pictures * (PAIR_SIDE_PX * PAIR_SIDE_PX * (3 + workload.lines) + costs["packed_bytes"]) / BYTES_PER_GB
    )
