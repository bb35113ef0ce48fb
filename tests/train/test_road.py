"""The whole road by command line: a manifest filtered in pandas, shards, a trained model."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

import curate.cli
import train.cli
from train.data.pairs import Pairs
from train.model.trained_model import load_trained

SPLITS = ("train", "validation", "test")


def run_json(program: Any, *arguments: object) -> Any:
    """What a command prints with --json."""
    result = CliRunner().invoke(program.main, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_manifest_filtered_in_pandas_can_be_sharded_and_trained_on(pairs32: Path, tmp_path: Path) -> None:
    dataset, manifest = pairs32.parent / "dataset", tmp_path / "hands.parquet"
    shards, run = tmp_path / "shards", tmp_path / "run"
    pictures = pd.read_parquet(dataset / "manifest")
    hands = pictures[pictures["tags"].map(lambda tags: "hand" in tags)]
    hands.to_parquet(manifest)
    result = run_json(curate.cli, "shard", dataset, shards, "--manifest", manifest, "--min-count", 1)
    assert result["kept"] == len(hands[hands["dropped"].isna()]) < len(pictures)
    ids = {pair_id for split in SPLITS for pair_id in Pairs(shards, split).ids}
    assert ids == set(hands["id"])
    settings = (
        "width=8",
        "levels=2",
        "batch_size=4",
        "jit=false",
        "log_every=1",
        "snapshot_every=2",
        "half_until=0",
        "adversary_from=0.5",
    )
    options = [word for setting in settings for word in ("--set", setting)]
    assert run_json(train.cli, "fit", shards, run, "--steps", 2, *options)["images_seen"] == 8
    assert "hand" in load_trained(run).vocabulary


def test_shard_accounts_for_every_picture(pairs32: Path, tmp_path: Path) -> None:
    result = run_json(curate.cli, "shard", pairs32.parent / "dataset", tmp_path / "shards")
    assert result["in"] == result["kept"] + sum(result["dropped"].values())
    assert result["kept"] == sum(len(Pairs(tmp_path / "shards", split)) for split in SPLITS)


@pytest.mark.parametrize("column", ["split", "id"])
def test_a_manifest_without_a_needed_column_is_refused_in_one_line(column: str, pairs32: Path, tmp_path: Path) -> None:
    pd.read_parquet(pairs32.parent / "dataset" / "manifest").drop(columns=column).to_parquet(tmp_path / "m.parquet")
    arguments = ["shard", pairs32.parent / "dataset", tmp_path / "shards", "--manifest", tmp_path / "m.parquet"]
    result = CliRunner().invoke(curate.cli.main, [*map(str, arguments)])
    assert result.exit_code == 1
    assert column in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
