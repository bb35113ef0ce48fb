"""What a command holds does not grow with the pictures, where it need not; tests.faults.memory measures all of them."""

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
from tests.faults.drawn import drawn
from tests.faults.grown import grown
from tests.faults.memory import run

PART = 64
FEW, MANY = 4 * PART, 32 * PART
A_ROW = 200  # bytes: what is told of each part comes to tens, and the row itself would take thousands
KEYS = 800  # bytes: of what looks for keys that are there twice, and holds a picture's path, id and tags' numbers
POOLS: list[pa.MemoryPool] = []  # for good: what was taken from them may be given back later


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    home: Path = tmp_path_factory.mktemp("grown")
    extract.extract([Source("art", drawn(home / "art"))], home / "dataset", extract.ExtractOptions(("dilate",)))
    dedupe.dedupe(home / "dataset", dedupe.DedupeOptions())
    return {count: grown(home / "dataset", home / f"{count}", count, 16, part=PART) for count in (FEW, MANY)}


def held(call: Callable[[], object]) -> int:
    """Bytes that Python and Arrow had allocated at most; the least of three calls, as other threads allocate too."""
    call()  # what is loaded stays
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


def counted(dataset: Path) -> object:
    return tag_counts.count_tags(dataset, 50, TagRules())


def selected(dataset: Path) -> object:
    return selection.select(dataset, dataset.with_suffix(".parquet"), ["drawing"], where="width >= 100")


def told(dataset: Path) -> object:
    return explain_picture.why(
        dataset, str(parquet.read_table(parquet.part_path(dataset / "manifest", 0), ["id"])["id"][0])
    )


def verified(dataset: Path) -> object:
    return verify.verify(dataset)


@pytest.mark.parametrize(("command", "of_row"), [(counted, A_ROW), (selected, A_ROW), (told, A_ROW), (verified, KEYS)])
def test_memory_is_that_of_some_parts_whatever_their_number(
    datasets: dict[int, Path], command: Callable[[Path], object], of_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MIN_ROW_GROUP_ROWS", 2 * PART)
    monkeypatch.setattr(tag_table, "PICTURES_PER_TABLE", 2 * PART)
    monkeypatch.setattr(hashing, "READ_BUFFER_BYTES", 1 << 12)  # of each thread that hashes, as many as find work
    few, many = (held(partial(command, dataset)) for dataset in datasets.values())
    assert many - few < of_row * (MANY - FEW), (few, many)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what a process has in memory")
def test_the_peak_of_a_command_is_seen(datasets: dict[int, Path]) -> None:
    found = run("curate", ("tags", datasets[FEW]))
    assert 10e6 < found.own < found.resident < 2e9
