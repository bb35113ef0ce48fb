"""What the demo promises, on all of its art and with its three minutes of training."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import ROOT
from tests.bench.families import report

MINUTES = 3


def told(*words: object, cwd: Path = ROOT) -> Any:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *map(str, words), "--json"]
    result = subprocess.run(command, capture_output=True, check=True, cwd=cwd, env=env)
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder after its shards are made; every stage accounts for what went in."""
    folder: Path = tmp_path_factory.mktemp("demo")
    places = {"sample.art": "art", "extract.sources": "openmoji=art", "extract.dataset": "dataset"}
    moved = [
        word for key, place in {**places, "shard.shards": "shards"}.items() for word in ("--set", f"{key}={place}")
    ]
    result = told("curate", "run", ROOT / "manifests" / "openmoji.toml", *moved, cwd=folder)
    for stage in result["stages"][1:]:
        assert stage["in"] == stage["kept"] + sum(stage["dropped"].values()) == 4495
    assert result["expected"] == "these"
    return folder


@pytest.mark.slow
def test_families_lose_byte_copies_only_and_nearly_all_are_whole(demo: Path) -> None:
    found = report(pd.read_parquet(demo / "dataset" / "manifest"), None)
    for kind in ("tone", "color"):
        assert found[kind]["dropped_as_duplicate_but_no_byte_copy"] == 0
    assert found["tone"]["straddling_splits"] == 0
    assert found["tone"]["whole"] >= 0.98 * found["tone"]["families"]


@pytest.mark.slow
def test_three_minutes_make_true_tags_better_than_none_and_than_others(demo: Path) -> None:
    told("train", "fit", demo / "shards", demo / "run", "--preset", "tags", "--minutes", MINUTES)
    tags = told("train", "evaluate", demo / "run", demo / "shards")["tags"]
    assert tags["none_minus_true"]["low"] > 0
    assert tags["shuffled_minus_true"]["low"] > 0
    assert tags["obedience"]["accuracy"] > 2 * tags["obedience"]["chance"]
