"""Nothing is left open by rounds of the stages in one process; and what a soak calls growth. The long one has fits."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pytest

from curate.deduplication import dedupe
from curate.extraction import extract
from curate.shards import shard
from curate.sources.scan import Source
from tests.faults.drawn import drawn
from tests.faults.soak import COUNTED, LEAST, MEMORY, WARM, report
from tests.faults.watching import Held


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what a process holds")
def test_rounds_of_the_stages_leave_no_file_open_no_thread_no_process_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    art, temporary = drawn(tmp_path / "art", 8), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    seen = []
    for number in range(4):
        home = tmp_path / f"{number}"
        for _ in range(2):  # the second finds all done
            extract.extract([Source("art", art)], home / "dataset", extract.ExtractOptions(("dilate",)), part_size=3)
            dedupe.dedupe(home / "dataset", dedupe.DedupeOptions())
            shard.shard(home / "dataset", home / "shards", shard.ShardOptions(shard_size=4, min_count=1))
        gc.collect()
        seen.append(Held.now(temporary).told())
    assert [{name: one[name] for name in COUNTED} for one in seen[2:]] == [
        {name: seen[1][name] for name in COUNTED}
    ] * 2


def rounds(**grown: float) -> list[dict[str, Any]]:
    """Thirty rounds of a sitting, in which some of what is held grows by so much a round."""
    held = {**dict.fromkeys(MEMORY, 1000.0), **dict.fromkeys(COUNTED, 20)}
    return [
        {"sitting": "a", "round": number, "seconds": 3.0, "digest": f"{number % 2}"}
        | {name: value + number * grown.get(name, 0) for name, value in held.items()}
        for number in range(30)
    ]


@pytest.mark.parametrize("name", COUNTED)
def test_one_more_of_anything_a_round_is_a_fault(name: str) -> None:
    assert report(rounds())["faults"] == []
    assert report(rounds(**{name: 1}))["faults"] == [f"a: {name} grew by {30 - WARM - 2}"]


@pytest.mark.parametrize(("name", "words"), MEMORY.items())
def test_memory_that_grows_by_half_a_percent_a_round_is_a_fault_and_that_sways_is_none(name: str, words: str) -> None:
    assert report(rounds(**{name: 5}))["faults"] == [f"a: {words} grew by 11.2%"]
    swaying = rounds()
    for number, one in enumerate(swaying):
        one[name] += (-1) ** number * 20 + (number == 20) * 300
    assert report(swaying)["faults"] == []


def test_too_few_rounds_are_no_proof() -> None:
    assert [fault[:20] for fault in report(rounds()[: WARM + LEAST - 1])["faults"]] == ["no sitting has 26 ro"]
    assert report(rounds()[: WARM + LEAST])["faults"] == []


def test_rounds_whose_bytes_differ_are_a_fault() -> None:
    odd = rounds()
    odd[7]["digest"] = "other"
    assert report(odd)["faults"] == ["the bytes of 2 rounds differ"]
