"""What the demo promises, on all of its art and after three minutes of training."""

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


def run_json(*arguments: object, cwd: Path = ROOT) -> Any:
    """What a command prints with --json."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *map(str, arguments), "--json"]
    result = subprocess.run(command, capture_output=True, check=True, cwd=cwd, env=env)
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder up to its shards; every stage accounts for every picture."""
    folder: Path = tmp_path_factory.mktemp("demo")
    settings = {
        "sample.art": "art",
        "extract.sources": "openmoji=art",
        "extract.dataset": "dataset",
        "shard.shards": "shards",
    }
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    result = run_json("curate", "run", ROOT / "manifests" / "openmoji.toml", *options, cwd=folder)
    for stage in result["stages"][1:]:
        assert stage["in"] == stage["kept"] + sum(stage["dropped"].values()) == 4495
    assert result["expected"] == "these"
    return folder


@pytest.mark.slow
def test_families_lose_only_byte_copies_and_nearly_all_stay_whole(demo: Path) -> None:
    families = report(pd.read_parquet(demo / "dataset" / "manifest"), None)
    for kind in ("tone", "color"):
        assert families[kind]["dropped_as_duplicate_but_no_byte_copy"] == 0
    assert families["tone"]["straddling_splits"] == 0
    assert families["tone"]["whole"] >= 0.98 * families["tone"]["families"]


@pytest.mark.slow
def test_after_three_minutes_true_tags_beat_no_tags_and_shuffled_tags(demo: Path) -> None:
    run_json("train", "fit", demo / "shards", demo / "run", "--preset", "tags", "--minutes", MINUTES)
    tags = run_json("train", "evaluate", demo / "run", demo / "shards")["tags"]
    assert tags["none_minus_true"]["low"] > 0
    assert tags["shuffled_minus_true"]["low"] > 0
    assert tags["obedience"]["accuracy"] > 2 * tags["obedience"]["chance"]
