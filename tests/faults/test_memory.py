"""Memory of tags, select, why and verify is bounded by some parts; tests.faults.memory measures all commands."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from curate.audit import explain_picture, tag_counts, verify
from curate.dataset import parquet, tag_table
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.query import selection
from curate.sources.scan import Source
from curate.system import hashing
from curate.tags.aliases import TagRules
from tests.faults.large_dataset import make_large_dataset
from tests.faults.memory import run
from tests.faults.simple_art import draw_simple_art

PART = 64
FEW, MANY = 4 * PART, 32 * PART
BYTES_PER_ROW = 200  # the state per row takes tens of bytes; holding rows would take thousands
BYTES_PER_ROW_OF_VERIFY = 800  # verify looks for duplicate keys: it holds each path, id and tag numbers
POOLS: list[pa.MemoryPool] = []  # kept alive: memory allocated from a pool may be freed later


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    home: Path = tmp_path_factory.mktemp("grown")
    extract.extract(
        [Source("art", draw_simple_art(home / "art"))], home / "dataset", extract.ExtractOptions(("dilate",))
    )
    dedupe.dedupe(home / "dataset", dedupe.DedupeOptions())
    return {
        count: make_large_dataset(home / "dataset", home / f"{count}", count, 16, part=PART) for count in (FEW, MANY)
    }


def peak_allocation(call: Callable[[], object]) -> int:
    """Peak bytes allocated by Python and Arrow; the smallest of three calls, because other threads allocate too."""
    call()  # imports and caches
    return min(_peak(call) for _ in range(3))


def _peak(call: Callable[[], object]) -> int:
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        call()
        return int(tracemalloc.get_traced_memory()[1] + pool.max_memory())
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def count_tags(dataset: Path) -> object:
    return tag_counts.count_tags(dataset, 50, TagRules())


def select(dataset: Path) -> object:
    return selection.select(dataset, dataset.with_suffix(".parquet"), ["drawing"], where="width >= 100")


def explain(dataset: Path) -> object:
    return explain_picture.why(
        dataset, str(parquet.read_table(parquet.part_path(dataset / "manifest", 0), ["id"])["id"][0])
    )


def verify_dataset(dataset: Path) -> object:
    return verify.verify(dataset)


@pytest.mark.parametrize(
    ("command", "bytes_per_row"),
    [
        (count_tags, BYTES_PER_ROW),
        (select, BYTES_PER_ROW),
        (explain, BYTES_PER_ROW),
        (verify_dataset, BYTES_PER_ROW_OF_VERIFY),
    ],
)
def test_memory_per_added_row_stays_below_that_of_holding_rows(
    datasets: dict[int, Path], command: Callable[[Path], object], bytes_per_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MIN_ROW_GROUP_ROWS", 2 * PART)
    monkeypatch.setattr(tag_table, "PICTURES_PER_TABLE", 2 * PART)
    monkeypatch.setattr(
        hashing, "READ_BUFFER_BYTES", 1 << 12
    )  # one per hashing thread, whose number grows with the files
    few, many = (peak_allocation(partial(command, dataset)) for dataset in datasets.values())
    assert many - few < bytes_per_row * (MANY - FEW), (few, many)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_measured_peaks_of_a_command_are_plausible(datasets: dict[int, Path]) -> None:
    peak = run("curate", ("tags", datasets[FEW]))
    assert 10e6 < peak.own < peak.resident < 2e9
