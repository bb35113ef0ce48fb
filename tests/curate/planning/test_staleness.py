"""Why a stage has work to do: decided by hashes of options and inputs, never by timestamps."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from curate.contract import read_index
from curate.dataset import decisions, ledger, parquet
from curate.dataset.schema import HASH_RECIPE
from curate.deduplication import dedupe as stage_dedupe
from curate.deduplication.compare import COMPARISON_VERSION
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract as stage_extract
from curate.planning import staleness
from curate.query import selection as stage_select
from curate.shards import shard as stage_shards
from curate.sources import sample_art
from curate.sources.scan import Source
from curate.system.errors import DatasetError, NurieError
from curate.system.files import SEAL_KEY, options_hash, read_json, write_sealed

SHARES = SplitShares(0.5, 0.25, 0.25)  # of the session's dataset
PACKED = stage_shards.ShardOptions(shard_size=4, min_count=1)
Tree = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "dataset"))


def of_extract(art: Path, dataset: Path, **options: Any) -> str | None:
    forecast = stage_extract.forecast_extract([Source("art", art)], dataset, stage_extract.ExtractOptions(), **options)
    return staleness.reason_to_extract(forecast, dataset, fresh=options.get("fresh", False))


def of_dedupe(dataset: Path, other: Path | None = None, **options: Any) -> str | None:
    return staleness.reason_to_dedupe(dataset, stage_dedupe.DedupeOptions(**{"shares": SHARES, **options}), other)


def test_a_finished_stage_has_no_work_whatever_its_timestamps(
    art: Path, copy: Path, shard_folder: Path, tmp_path: Path, tree: Tree
) -> None:
    out = tmp_path / "out.parquet"
    stage_select.select(copy, out, include=["heart"])
    for path in (out, *copy.rglob("*")):
        os.utime(path, (0, 0))
    before = tree(tmp_path)
    assert of_extract(art, copy) is None
    assert of_dedupe(copy) is None
    assert staleness.reason_to_select(copy, out, ["Heart"], [], None) is None
    assert staleness.reason_to_shard(copy, shard_folder, PACKED, None, None) is None
    assert tree(tmp_path) == before


def test_a_stage_whose_folder_is_missing_has_work(art: Path, tmp_path: Path) -> None:
    here = tmp_path / "none"
    assert of_extract(art, here) == "23 files to read"
    assert of_dedupe(here) == staleness.reason_to_select(here, here, [], [], None) == staleness.NO_DATASET
    assert staleness.reason_to_shard(here, here, PACKED, None, None) == staleness.NO_DATASET
    assert not here.exists()


def test_a_new_file_gives_every_stage_work_in_turn(art: Path, copy: Path, shard_folder: Path, tmp_path: Path) -> None:
    more = Path(shutil.copytree(art, tmp_path / "art"))
    (more / "blob.png").write_bytes((more / "1F408.png").read_bytes() + b"\0")
    assert of_extract(more, copy) == "1 of 24 files to read"
    assert of_dedupe(copy) is None  # not before it is read
    stage_extract.extract([Source("art", more)], copy, stage_extract.ExtractOptions())
    assert of_extract(more, copy) is None
    assert of_dedupe(copy) == staleness.NOT_MADE
    assert "run `curate dedupe" in str(staleness.reason_to_shard(copy, shard_folder, PACKED, None, None))
    stage_dedupe.dedupe(copy, stage_dedupe.DedupeOptions(shares=SHARES))
    assert of_dedupe(copy) is None


def test_changed_options_are_named(copy: Path, shard_folder: Path) -> None:
    assert of_dedupe(copy, max_distance=4, survivor="score") == "options changed: max_distance, survivor"
    other = stage_shards.ShardOptions(shard_size=4, min_count=2)
    assert staleness.reason_to_shard(copy, shard_folder, other, None, None) == "pictures or options changed"
    with pytest.raises(NurieError, match="with --format tfrecord only"):
        staleness.reason_to_shard(
            copy, shard_folder, stage_shards.ShardOptions(encoding="raw", format="webdataset"), None, None
        )


def test_a_decision_gives_dedupe_work(copy: Path) -> None:
    decisions.decide(copy, "drop", ["1F408.png"])
    assert of_dedupe(copy) == "pictures or decisions changed"
    stage_dedupe.dedupe(copy, stage_dedupe.DedupeOptions(shares=SHARES))
    assert of_dedupe(copy) is None


def test_a_changed_other_dataset_gives_dedupe_work(copy: Path, art: Path, tmp_path: Path) -> None:
    other, few = tmp_path / "other", tmp_path / "few"
    few.mkdir()
    shutil.copy2(art / "1F408.png", few)
    stage_extract.extract([Source("few", few)], other, stage_extract.ExtractOptions())
    stage_dedupe.dedupe(copy, stage_dedupe.DedupeOptions(shares=SHARES), against=other)
    assert of_dedupe(copy, other) is None
    assert of_dedupe(copy) == "options changed: against"
    shutil.copy2(art / "1F600.png", few)
    stage_extract.extract([Source("few", few)], other, stage_extract.ExtractOptions())
    assert of_dedupe(copy, other) == "options changed: against"
    with pytest.raises(DatasetError):
        of_dedupe(copy, few)


@pytest.mark.parametrize("name", ["manifest/part-00001.parquet", "edges/part-00000.parquet", "tags.parquet"])
def test_changed_files_of_dedupe_give_it_work(copy: Path, tree: Tree, name: str) -> None:
    before = tree(copy)
    shutil.copy2(copy / "records" / "part-00002.parquet", copy / name)
    assert of_dedupe(copy) == "its files were changed"
    (copy / name).unlink()
    assert of_dedupe(copy) == "its files were changed"
    if name.startswith("edges"):  # dedupe trusts edges that it reads
        shutil.rmtree(copy / "edges")
    stage_dedupe.dedupe(copy, stage_dedupe.DedupeOptions(shares=SHARES))
    assert of_dedupe(copy) is None
    assert tree(copy) == before


def test_an_unfinished_extract_has_work(art: Path, copy: Path) -> None:
    state = read_json(copy / ledger.LEDGER_FILE)
    del state["parts"]["records/part-00002.parquet"]
    write_sealed(copy / ledger.LEDGER_FILE, {key: value for key, value in state.items() if key != SEAL_KEY})
    assert of_extract(art, copy) == "was interrupted"
    assert of_extract(art, copy, fresh=True) == "23 files to read"


def test_a_changed_manifest_or_filter_gives_select_work(copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    stage_select.select(copy, out, exclude=["heart"], where="width > 3")
    assert staleness.reason_to_select(copy, out, [], ["heart"], "width > 3") is None
    other = "pictures or options changed"
    assert staleness.reason_to_select(copy, out, [], ["heart"], "width > 4") == other
    stage_dedupe.dedupe(copy, stage_dedupe.DedupeOptions(shares=SHARES, drop_alternates=True))
    assert staleness.reason_to_select(copy, out, [], ["heart"], "width > 3") == other
    pd.read_parquet(out).to_parquet(out)  # somebody else's now
    assert staleness.reason_to_select(copy, out, [], ["heart"], "width > 3") == other
    out.write_bytes(b"PAR1")
    assert staleness.reason_to_select(copy, out, [], ["heart"], "width > 3") == other
    with pytest.raises(NurieError, match="names no column"):
        staleness.reason_to_select(copy, tmp_path / "none", [], [], "widht > 3")


def test_sample_draws_the_pictures_missing_in_that_size(tmp_path: Path) -> None:
    art = tmp_path / "art"
    assert staleness.reason_to_sample(art, 32, 3) == "3 pictures to draw"
    sample_art.draw_openmoji(art, 32, limit=3)
    assert staleness.reason_to_sample(art, 32, 3) is None
    assert staleness.reason_to_sample(art, 48, 4) == "4 pictures to draw"
    sample_art.draw_openmoji(art, 48, limit=3)
    assert staleness.reason_to_sample(art, 48, 4) == "1 pictures to draw"


def test_every_file_stores_the_hash_of_its_options(copy: Path, shard_folder: Path, tmp_path: Path) -> None:
    state = read_json(copy / ledger.LEDGER_FILE)
    assert state["hashes"]["extract"] == options_hash(state["options"])
    options = {"extract": state["options"]}
    for path in (*parquet.part_paths(copy / "records"), *parquet.part_paths(copy / "pairs")):
        assert stored_options_hash(path) == options_hash(options)
    options["dedupe"] = state["dedupe"]
    for path in parquet.part_paths(copy / "manifest"):
        assert stored_options_hash(path) == options_hash(options)
    stage_select.select(copy, tmp_path / "out.parquet", include=["heart"])
    options["select"] = {"include": ["heart"], "exclude": [], "where": None}
    assert stored_options_hash(tmp_path / "out.parquet") == options_hash(options)
    edge_hashes = {stored_options_hash(path) for path in (copy / "edges").glob("*.parquet")}
    assert edge_hashes == {
        options_hash({"look": COMPARISON_VERSION, "hashes": HASH_RECIPE, "max_distance": 8, "mirror": False})
    }
    index = read_index(shard_folder)
    assert index.options_hash == options_hash(index.options)
    assert {stored_options_hash(path) for path in shard_folder.glob("*.parquet")} == {index.options_hash}
    assert index.options["extract"] == state["options"]


def stored_options_hash(path: Path) -> str:
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata
    return metadata[b"nurie.options_hash"].decode()
