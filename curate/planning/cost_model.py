"""Laws of what each stage takes: pure functions of a size and of constants that were measured on one machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from curate.deduplication.compare import CANDIDATE_SCHEMA
from curate.deduplication.partitions import HASHES_PER_PARTITION, MAX_CUT_BITS
from curate.deduplication.thumbnails import MAX_CACHED_COLUMNS
from curate.extraction.part import FILES_PER_PART
from curate.search.arrays import HASH_BITS
from curate.search.multi_index import MAX_BAND_BITS, MIN_BANDS
from curate.signatures.orientations import SLANTS
from curate.system.errors import NurieError

SECONDS_PER_HOUR, BYTES_PER_GB = 3600, 1e9
PAIR_SIDE_PX = 128  # px of pairs, as the constants were measured
QUADRATIC_SEARCH_HASHES = 4 << min(
    MAX_BAND_BITS, HASH_BITS // MIN_BANDS
)  # hashes from which buckets cost more than their probes, by bands.py
MEASURED_HASHES = 1e6  # hashes whose search was measured
MAX_PROBE_BITS = 2  # bits by which the keys of two pieces differ, at most
CACHED_PARTS = MAX_CACHED_COLUMNS // 2  # pairs parts of which a worker holds what dedupe compares: two columns each
MAX_PICTURES = 1e15  # pictures: more than there are

Costs = Mapping[str, float]
"""Constants by name; see costs.json for what they are of."""


@dataclass(frozen=True)
class Workload:
    """What is asked of: so many pictures of so many megapixels, line styles, and processes to work on them."""

    pictures: float
    megapixels: float
    workers: int
    lines: int = 1
    strangers: float | None = None
    """Share of the pairs of unlike pictures that searches propose; None: as measured, on icons of one style."""

    def __post_init__(self) -> None:
        if not (1 <= self.pictures <= MAX_PICTURES and 0 < self.megapixels <= 1e6):
            raise NurieError("a plan is for 1 to 1e15 pictures of up to a million megapixels: give other numbers")


@dataclass(frozen=True)
class CostTerm:
    """A kind of work: hours of one core, which workers share if it `divides`; else one process does it."""

    stage: str
    name: str
    cpu_hours: float
    wall_hours: float
    divides: bool


@dataclass(frozen=True)
class StageCost:
    """What a stage takes; wall hours as if its terms came one after another."""

    name: str
    terms: tuple[CostTerm, ...]
    disk_gb: Mapping[str, float]
    """By what lies there; `scratch` until the stage ends."""
    worker_gb: float
    node_gb: float
    """Memory of the one process that joins what workers find."""
    exchange_gb: float
    """Read from the folders that all hosts share, and written to them."""

    @property
    def cpu_hours(self) -> float:
        """Of all terms."""
        return sum(term.cpu_hours for term in self.terms)

    @property
    def wall_hours(self) -> float:
        """Of all terms."""
        return sum(term.wall_hours for term in self.terms)


def _term(size: Workload, stage: str, name: str, seconds: float, *, divides: bool) -> CostTerm:
    return CostTerm(
        stage, name, seconds / SECONDS_PER_HOUR, seconds / SECONDS_PER_HOUR / (size.workers if divides else 1), divides
    )


def _pair_bytes(size: Workload, costs: Costs) -> float:
    """Bytes of what shard takes of a pair."""
    return costs["color_bytes"] + size.lines * costs["line_bytes"]


def picture_seconds(size: Workload, costs: Costs) -> float:
    """CPU seconds to make a picture's record and pair."""
    first = costs["picture_seconds"] + size.megapixels * costs["megapixel_seconds"]
    return first + (size.lines - 1) * (costs["style_seconds"] + size.megapixels * costs["style_megapixel_seconds"])


def extract_cost(size: Workload, costs: Costs) -> StageCost:
    """Hours by pixels and line styles; bytes by picture."""
    n = size.pictures
    stored = {"pairs": _pair_bytes(size, costs) + costs["compared_bytes"], "records": costs["records_bytes"]}
    source = size.megapixels * 1e6 * costs["source_bytes"]
    return StageCost(
        "extract",
        (
            _term(size, "extract", "reading pictures", n * picture_seconds(size, costs), divides=True),
            _term(size, "extract", "listing files, finishing", n * costs["list_seconds"], divides=False),
            _term(size, "extract", "committing parts", n / FILES_PER_PART * costs["commit_seconds"], divides=False),
            _term(size, "extract", "handing out tasks", n / FILES_PER_PART / 2 * costs["task_seconds"], divides=False),
        ),
        {name: n * size_of / BYTES_PER_GB for name, size_of in stored.items()},
        worker_gb=(costs["extract_worker_mb"] + size.megapixels * costs["megapixel_mb"]) / 1e3,
        node_gb=n * costs["extract_bytes"] / BYTES_PER_GB,
        exchange_gb=n * (source + sum(stored.values()) + costs["manifest_bytes"]) / BYTES_PER_GB,
    )


def proposed_pairs(size: Workload, costs: Costs) -> float:
    """Pairs that pass the sieve: look-alikes as many a picture as in the demo, and strangers by the square."""
    return size.pictures * costs["alike"] + _stranger_pairs(size, costs)


def _stranger_pairs(size: Workload, costs: Costs) -> float:
    share = costs["strangers"] if size.strangers is None else size.strangers
    return share * size.pictures * size.pictures / 2


def near_pairs(size: Workload, costs: Costs) -> float:
    """Pairs that searches find: of strangers, so many for one that passes."""
    return size.pictures * costs["alike"] + costs["unsifted"] * _stranger_pairs(size, costs)


def _search_seconds(n: float, costs: Costs) -> float:
    """CPU seconds of dedupe's searches: four of every picture, and one a variant of every picture beside it.

    Up to a million hashes as measured; beyond, in pieces of a million, the same for each as long as buckets are small.
    """

    def one(count: float, radius: int) -> float:
        power = costs[f"search{radius}_growth"] if count < MEASURED_HASHES else 1.0
        grown = (
            math.pow(count / MEASURED_HASHES, power)
            * (1 + count / QUADRATIC_SEARCH_HASHES)
            / (1 + MEASURED_HASHES / QUADRATIC_SEARCH_HASHES)
        )
        return costs[f"search{radius}_seconds"] * grown

    return one(n, 8) + 3 * one(n, 6) + len(SLANTS) * one(2 * n, 8)


def _search_table_bytes(n: float) -> float:
    """Bytes that the searches write and read: a table a band, in pieces, each read with those whose keys are near."""
    cut = min(MAX_CUT_BITS, max(0, int(n).bit_length() - HASHES_PER_PARTITION.bit_length() + 1))
    near = sum(math.comb(cut, bits) for bits in range(MAX_PROBE_BITS + 1))
    return (4 + 2 * len(SLANTS)) * MIN_BANDS * 8 * n * (1 + near)


def part_reads(n: float, found: float) -> float:
    """How often workers read what dedupe compares of a part: pairs come sorted by the parts that they lie in."""
    parts = n / FILES_PER_PART
    return max(parts, min(found, parts * parts / 2)) if parts > CACHED_PARTS else parts


def dedupe_cost(size: Workload, costs: Costs) -> StageCost:
    """Hours by hashes searched and pairs proposed."""
    n, found = size.pictures, proposed_pairs(size, costs)
    reads = part_reads(n, found)
    proposed = found * sum(field.type.bit_width for field in CANDIDATE_SCHEMA) / 8
    stored = n * (costs["records_bytes"] + costs["manifest_bytes"])
    looked_at = reads * FILES_PER_PART * costs["compared_bytes"]
    return StageCost(
        "dedupe",
        (
            _term(size, "dedupe", "gathering and judging", n * costs["judge_seconds"], divides=False),
            _term(size, "dedupe", "searching near hashes", _search_seconds(n, costs), divides=True),
            _term(size, "dedupe", "sifting pairs", near_pairs(size, costs) * costs["sift_seconds"], divides=False),
            _term(size, "dedupe", "proposing pairs", found * costs["propose_seconds"], divides=False),
            _term(size, "dedupe", "looking at pairs", found * costs["look_seconds"], divides=True),
            _term(size, "dedupe", "reading parts to look", reads * costs["part_seconds"], divides=True),
        ),
        {
            "manifest": n * costs["manifest_bytes"] / BYTES_PER_GB,
            "edges": n * costs["edges_bytes"] / BYTES_PER_GB,
            "scratch": max(MIN_BANDS * 8 * n, proposed) / BYTES_PER_GB,
        },
        worker_gb=costs["dedupe_worker_mb"] / 1e3,
        node_gb=(n * (costs["dedupe_bytes"] + 2 * costs["search_bytes"]) + found * costs["propose_bytes"])
        / BYTES_PER_GB,
        exchange_gb=(stored + _search_table_bytes(n) + 2 * proposed + looked_at) / BYTES_PER_GB,
    )


def shard_cost(size: Workload, costs: Costs) -> StageCost:
    """All by picture; PNG."""
    n, pair = size.pictures, _pair_bytes(size, costs)
    packed = pair + costs["packed_bytes"]
    return StageCost(
        "shard",
        (
            _term(size, "shard", "choosing and planning", n * costs["choose_seconds"], divides=False),
            _term(size, "shard", "packing pairs", n * costs["pack_seconds"], divides=True),
        ),
        {"shards": n * packed / BYTES_PER_GB, "scratch": n * pair / BYTES_PER_GB},
        worker_gb=costs["shard_worker_mb"] / 1e3,
        node_gb=n * costs["shard_bytes"] / BYTES_PER_GB,
        exchange_gb=n * (3 * pair + packed) / BYTES_PER_GB,
    )


def raw_shards_gb(size: Workload, costs: Costs) -> float:
    """Disk of shards of `--encoding raw` in place of PNG."""
    return size.pictures * (PAIR_SIDE_PX * PAIR_SIDE_PX * (3 + size.lines) + costs["packed_bytes"]) / BYTES_PER_GB
