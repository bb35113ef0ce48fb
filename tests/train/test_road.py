"""From a pandas filter to a model, by the programs' own command lines."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

import curate.cli
import train.cli
from train.data.pairs import Pairs
from train.model.trained import load_trained


def told(program: Any, *arguments: object) -> Any:
    result = CliRunner().invoke(program.main, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_manifest_filtered_in_pandas_is_sharded_and_trained_on(pairs32: Path, tmp_path: Path) -> None:
    dataset, chosen, shards, run = (
        pairs32.parent / "dataset",
        tmp_path / "hands.parquet",
        tmp_path / "shards",
        tmp_path / "run",
    )
    pictures = pd.read_parquet(dataset / "manifest")
    hands = pictures[pictures["tags"].map(lambda tags: "hand" in tags)]
    hands.to_parquet(chosen)
    made = told(curate.cli, "shard", dataset, shards, "--manifest", chosen, "--min-count", 1)
    assert made["kept"] == len(hands[hands["dropped"].isna()]) < len(pictures)
    ids = {one for split in ("train", "validation", "test") for one in Pairs(shards, split).ids}
    assert ids == set(hands["id"])
    settings = (
        "width=8",
        "levels=3",
        "batch_size=4",
        "jit=false",
        "log_every=1",
        "snapshot_every=2",
        "half_until=0",
        "adversary_from=0.5",
    )
    given = [word for setting in settings for word in ("--set", setting)]
    assert told(train.cli, "fit", shards, run, "--steps", 2, *given)["images_seen"] == 8
    assert "hand" in load_trained(run).vocabulary


def test_every_stage_accounts_for_what_went_in(pairs32: Path, tmp_path: Path) -> None:
    made = told(curate.cli, "shard", pairs32.parent / "dataset", tmp_path / "shards")
    assert made["in"] == made["kept"] + sum(made["dropped"].values())
    assert made["kept"] == sum(len(Pairs(tmp_path / "shards", split)) for split in ("train", "validation", "test"))


@pytest.mark.parametrize("column", ["split", "id"])
def test_a_filter_that_lost_a_needed_column_is_told_so(column: str, pairs32: Path, tmp_path: Path) -> None:
    pd.read_parquet(pairs32.parent / "dataset" / "manifest").drop(columns=column).to_parquet(tmp_path / "m.parquet")
    words = ["shard", pairs32.parent / "dataset", tmp_path / "shards", "--manifest", tmp_path / "m.parquet"]
    result = CliRunner().invoke(curate.cli.main, [*map(str, words)])
    assert result.exit_code == 1
    assert column in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
