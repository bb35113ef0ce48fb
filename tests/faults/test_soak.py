"""Repeated stages in one process leave nothing open; and the faults that a soak run reports. The long run also fits."""

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
from tests.faults.process_usage import ProcessUsage
from tests.faults.simple_art import draw_simple_art
from tests.faults.soak import COUNTED, MEMORY, MIN_ROUNDS, WARM_UP_ROUNDS, report


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_repeated_stages_leave_no_open_file_thread_child_process_or_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    art, temporary = draw_simple_art(tmp_path / "art", 8), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    usages = []
    for number in range(4):
        home = tmp_path / f"{number}"
        for _ in range(2):  # the second time, extract and shard find everything done
            extract.extract([Source("art", art)], home / "dataset", extract.ExtractOptions(("dilate",)), part_size=3)
            dedupe.dedupe(home / "dataset", dedupe.DedupeOptions())
            shard.shard(home / "dataset", home / "shards", shard.ShardOptions(shard_size=4, min_count=1))
        gc.collect()
        usages.append(ProcessUsage.now(temporary).to_dict())
    counts = [{name: usage[name] for name in COUNTED} for usage in usages]
    assert counts[2] == counts[3] == counts[1]


def rounds(**growth: float) -> list[dict[str, Any]]:
    """Thirty rounds of a sitting; the resources in `growth` grow by that much per round."""
    usage = {**dict.fromkeys(MEMORY, 1000.0), **dict.fromkeys(COUNTED, 20)}
    return [
        {"sitting": "a", "round": number, "seconds": 3.0, "digest": f"{number % 2}"}
        | {name: value + number * growth.get(name, 0) for name, value in usage.items()}
        for number in range(30)
    ]


@pytest.mark.parametrize("name", COUNTED)
def test_one_more_handle_thread_child_or_temporary_file_per_round_is_a_fault(name: str) -> None:
    assert report(rounds())["faults"] == []
    assert report(rounds(**{name: 1}))["faults"] == [f"a: {name} grew by {30 - WARM_UP_ROUNDS - 2}"]


@pytest.mark.parametrize(("name", "words"), MEMORY.items())
def test_memory_that_grows_by_half_a_percent_per_round_is_a_fault_but_not_one_that_fluctuates(
    name: str, words: str
) -> None:
    assert report(rounds(**{name: 5}))["faults"] == [f"a: {words} grew by 11.2%"]
    fluctuating = rounds()
    for number, round_ in enumerate(fluctuating):
        round_[name] += (-1) ** number * 20 + (number == 20) * 300
    assert report(fluctuating)["faults"] == []


def test_fewer_rounds_than_the_minimum_are_a_fault() -> None:
    assert [fault[:20] for fault in report(rounds()[: WARM_UP_ROUNDS + MIN_ROUNDS - 1])["faults"]] == [
        "no sitting has 26 ro"
    ]
    assert report(rounds()[: WARM_UP_ROUNDS + MIN_ROUNDS])["faults"] == []


def test_rounds_with_different_bytes_are_a_fault() -> None:
    differing = rounds()
    differing[7]["digest"] = "different"
    assert report(differing)["faults"] == ["the bytes of 2 rounds differ"]
