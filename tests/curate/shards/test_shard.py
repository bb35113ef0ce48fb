"""Shard folders as TensorFlow, pandas and the index read them."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from curate.contract import SPLITS, find_file_faults, read_index, read_vocabulary
from curate.dataset import parquet
from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.images.decode import decode
from curate.shards import pack, shard
from curate.sources.scan import Source
from curate.system.errors import DatasetError
from curate.system.files import write_json
from curate.tags.aliases import TagRules
from curate.workers import executor

Tree = Callable[[Path], dict[str, bytes]]
Record = dict[str, Any]
OPTIONS = shard.ShardOptions(shard_size=4, min_count=1)


def read(path: Path) -> list[Record]:
    """Records of a shard, as TensorFlow reads them."""
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in ("id", "family", "group", "color")}
    features |= {f"line_{method}": tf.io.FixedLenFeature([], tf.string) for method in ("dilate", "xdog")}
    features |= {"content_box": tf.io.FixedLenFeature([4], tf.int64), "tags": tf.io.VarLenFeature(tf.int64)}
    parsed = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(str(path))]
    return [
        {name: (tf.sparse.to_dense(value) if name == "tags" else value).numpy() for name, value in one.items()}
        for one in parsed
    ]


def kept_rows(dataset: Path) -> dict[str, dict[str, Any]]:
    rows = parquet.read_parts(dataset / "manifest").to_pylist()
    return {row["id"]: row for row in rows if row["dropped"] is None}


def test_every_kept_picture_is_in_exactly_one_record_of_its_split(dataset: Path, shard_folder: Path) -> None:
    index, rows = read_index(shard_folder), kept_rows(dataset)
    ids_by_split = {
        split: [record["id"].decode() for name in index.shard_names(split) for record in read(shard_folder / name)]
        for split in SPLITS
    }
    assert Counter(key for ids in ids_by_split.values() for key in ids) == Counter(rows.keys())
    assert all(rows[key]["split"] == split for split, ids in ids_by_split.items() for key in ids)
    assert {split: len(ids) for split, ids in ids_by_split.items()} == dict(index.pairs)


def test_a_record_holds_the_pair_and_the_tags_of_its_picture(dataset: Path, shard_folder: Path) -> None:
    pairs = {pair["id"]: pair for pair in parquet.read_parts(dataset / "pairs").to_pylist()}
    rows, vocabulary = kept_rows(dataset), read_vocabulary(shard_folder)
    for path in shard_folder.glob("*.tfrecord"):
        for record in read(path):
            key = record["id"].decode()
            assert {name: record[name] for name in ("color", "line_dilate", "line_xdog")} == {
                name: pairs[key][name] for name in ("color", "line_dilate", "line_xdog")
            }
            assert record["content_box"].tolist() == pairs[key]["content_box"]
            assert (record["family"].decode(), record["group"].decode()) == (rows[key]["family"], rows[key]["group"])
            assert {vocabulary[tag] for tag in record["tags"]} == set(rows[key]["tags"]) & set(vocabulary)


def test_a_record_has_the_bytes_that_tensorflow_would_write(shard_folder: Path) -> None:
    for path in shard_folder.glob("*.tfrecord"):
        for record in tf.data.TFRecordDataset(str(path)):
            example = tf.train.Example.FromString(record.numpy())
            assert example.SerializeToString(deterministic=True) == record.numpy()


def test_offset_and_length_in_the_listing_locate_each_record(shard_folder: Path) -> None:
    for path in shard_folder.glob("*.tfrecord"):
        data, table = path.read_bytes(), pd.read_parquet(path.with_suffix(".parquet"))
        records = [one.numpy() for one in tf.data.TFRecordDataset(str(path))]
        cut = [data[at : at + long] for at, long in zip(table["offset"], table["length"], strict=True)]
        assert cut == records
        assert [record["id"].decode() for record in read(path)] == list(table["id"])
        assert [record["family"].decode() for record in read(path)] == list(table["family"])


def test_raw_and_png_shards_hold_the_same_pixels(dataset: Path, shard_folder: Path, tmp_path: Path) -> None:
    shard.shard(dataset, tmp_path / "raw", shard.ShardOptions(shard_size=4, min_count=1, encoding="raw"))
    for path in sorted(shard_folder.glob("*.tfrecord")):
        for png, raw in zip(read(path), read(tmp_path / "raw" / path.name), strict=True):
            color = np.frombuffer(raw["color"], np.uint8).reshape(128, 128, 3)
            np.testing.assert_array_equal(color, decode(png["color"]).rgb)
            line = np.frombuffer(raw["line_xdog"], np.uint8).reshape(128, 128)
            np.testing.assert_array_equal(line, decode(png["line_xdog"]).rgb[..., 0])


def test_any_number_of_workers_and_a_second_run_give_the_same_bytes(
    dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree
) -> None:
    shard.shard(dataset, tmp_path / "two", OPTIONS, workers=2)
    assert tree(tmp_path / "two") == tree(shard_folder)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").iterdir()}
    shard.shard(dataset, tmp_path / "two", OPTIONS)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "two").iterdir()} == stamps


def test_parts_of_another_size_give_the_same_records(
    art: Path, dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree
) -> None:
    extract.extract([Source("art", art)], tmp_path / "d", extract.ExtractOptions(), part_size=5)
    dedupe.dedupe(tmp_path / "d", dedupe.DedupeOptions(shares=SplitShares(0.5, 0.25, 0.25)))
    shard.shard(tmp_path / "d", tmp_path / "s", OPTIONS)
    assert tree(tmp_path / "s") == tree(shard_folder)


@pytest.mark.parametrize(
    ("limit", "value"),
    [("pack.SPILL_BATCH_BYTES", 1), ("shard_plan.MAX_SPILL_FILES", 1), ("shard_plan.MAX_SPILL_FILES", 3)],
)
def test_the_limits_on_spills_change_no_byte(
    dataset: Path,
    shard_folder: Path,
    tmp_path: Path,
    tree: Tree,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(f"curate.shards.{limit}", value)
    shard.shard(dataset, tmp_path / "s", OPTIONS)
    assert tree(tmp_path / "s") == tree(shard_folder)


def test_shards_are_as_few_as_possible_and_equal_to_within_one_pair(dataset: Path, tmp_path: Path) -> None:
    for size in (1, 3, 5, 100):
        shard.shard(dataset, tmp_path / str(size), shard.ShardOptions(shard_size=size))
        index = read_index(tmp_path / str(size))
        for split in SPLITS:
            counts = [index.files[name].records for name in index.shard_names(split)]
            assert len(counts) == -(-index.pairs[split] // size)
            assert max(counts) - min(counts) <= 1


def test_each_seed_gives_another_shuffled_order(dataset: Path, tmp_path: Path) -> None:
    orders = []
    for seed in (0, 1):
        shard.shard(dataset, tmp_path / str(seed), shard.ShardOptions(seed=seed))
        [name] = read_index(tmp_path / str(seed)).shard_names("train")
        orders.append(list(pd.read_parquet((tmp_path / str(seed) / name).with_suffix(".parquet"))["id"]))
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert sorted(orders[0]) not in orders


def test_the_vocabulary_lists_training_tags_by_count_then_by_name(dataset: Path, tmp_path: Path) -> None:
    shard.shard(dataset, tmp_path / "s", shard.ShardOptions(min_count=2))
    counts = Counter(tag for row in kept_rows(dataset).values() if row["split"] == "train" for tag in row["tags"])
    expected = sorted((tag for tag, count in counts.items() if count >= 2), key=lambda tag: (-counts[tag], tag))
    assert read_vocabulary(tmp_path / "s") == expected
    assert dict(read_index(tmp_path / "s").tags["train"]) == {tag: counts[tag] for tag in expected}


def test_the_index_counts_licences_and_names_the_artists(dataset: Path, shard_folder: Path) -> None:
    index = read_index(shard_folder)
    assert index.licenses == {"CC BY-SA 4.0": len(kept_rows(dataset))}
    assert index.attribution == ("OpenMoji",)
    assert find_file_faults(shard_folder, index) == []


def test_a_manifest_filtered_in_pandas_makes_shards_of_its_rows(dataset: Path, tmp_path: Path) -> None:
    pictures = pd.read_parquet(dataset / "manifest")
    hearts = pictures[pictures["tags"].map(lambda tags: "heart" in tags)]
    assert 0 < len(hearts) < len(pictures)
    hearts.to_parquet(tmp_path / "hearts.parquet")
    counts = shard.shard(dataset, tmp_path / "s", OPTIONS, manifest=tmp_path / "hearts.parquet")
    assert counts["kept"] == len(hearts)
    assert sum(read_index(tmp_path / "s").pairs.values()) == len(hearts)


def test_null_tags_count_as_no_tags(dataset: Path, tmp_path: Path) -> None:
    pictures = pd.read_parquet(dataset / "manifest")
    pictures.loc[::2, "tags"] = None
    pictures.to_parquet(tmp_path / "some.parquet")
    assert shard.shard(dataset, tmp_path / "s", OPTIONS, manifest=tmp_path / "some.parquet")["kept"] == len(pictures)


def test_tags_changed_in_pandas_reach_the_vocabulary(dataset: Path, tmp_path: Path) -> None:
    pictures = pd.read_parquet(dataset / "manifest")
    pictures["tags"] = [["mine"]] * len(pictures)
    pictures.to_parquet(tmp_path / "mine.parquet")
    shard.shard(dataset, tmp_path / "s", OPTIONS, manifest=tmp_path / "mine.parquet")
    assert read_vocabulary(tmp_path / "s") == ["mine"]


def test_tag_rules_give_the_shards_of_a_manifest_with_the_rules_applied(
    dataset: Path, tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    rules = TagRules({"blue_heart": "heart"}, {"heart": ("love", "symbol")})
    pictures = pd.read_parquet(dataset / "manifest")
    pictures["tags"] = [list(rules.apply(tags)) for tags in pictures["tags"]]
    pictures.to_parquet(tmp_path / "applied.parquet")
    shard.shard(dataset, tmp_path / "expected", OPTIONS, manifest=tmp_path / "applied.parquet")
    shard.shard(dataset, tmp_path / "ruled", OPTIONS, rules=rules)
    assert tree(tmp_path / "ruled") == tree(tmp_path / "expected")
    assert {"heart", "love", "symbol"} <= {*read_vocabulary(tmp_path / "ruled")} - {"blue_heart"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="family"), "lacks the column family"),
        (lambda table: table.assign(width="wide"), "does not have the manifest's types"),
        (lambda table: table.assign(split=None), "has no splits: run `curate dedupe"),
        (lambda table: table.head(0), "keeps no picture"),
        (lambda table: pd.concat([table, table]), "keeps a picture twice"),
        (lambda table: table.assign(id="0" * 31 + "1").head(1), "has no pair of 1 chosen pictures"),
        (lambda table: table.assign(id="A" * 32).head(1), "keeps 'AAAA.*', which is not a picture's id"),
        (lambda table: table.assign(id=None).head(1), "keeps a file that could not be read"),
        (lambda table: table.assign(tags=[["a", "b\nc"]] * len(table)), "a tag is one line of text"),
    ],
)
def test_a_manifest_that_makes_no_shards_is_refused_in_one_line(
    dataset: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    change(pd.read_parquet(dataset / "manifest")).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(DatasetError, match=message) as caught:
        shard.shard(dataset, tmp_path / "s", OPTIONS, manifest=tmp_path / "m.parquet")
    assert "\n" not in str(caught.value)


def test_a_manifest_without_splits_is_refused(art: Path, tmp_path: Path) -> None:
    extract.extract([Source("art", art)], tmp_path / "d", extract.ExtractOptions(lines=("dilate",)), limit=2)
    with pytest.raises(DatasetError, match="has no splits: run `curate dedupe"):
        shard.shard(tmp_path / "d", tmp_path / "s", OPTIONS)
    assert not (tmp_path / "s").exists()


def test_a_folder_with_other_files_is_not_touched(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match=r"holds other files \(letter.txt\)"):
        shard.shard(dataset, tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def lose(folder: Path) -> None:
    next(folder.glob("train-*.tfrecord")).unlink()


def cut(folder: Path) -> None:
    (folder / "tags.txt").write_bytes(b"")


def garble(folder: Path) -> None:
    (folder / "index.json").write_bytes(b"{")


def age(folder: Path) -> None:
    write_json(folder / "index.json", {"version": 0})


def stop(folder: Path) -> None:
    (folder / "index.json").unlink()
    (folder / ".spill").mkdir()
    (folder / ".tags.txt.tmp").touch()


@pytest.mark.parametrize("damage", [lose, cut, garble, age, stop])
def test_damaged_unfinished_and_outdated_shards_are_made_again(
    dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree, damage: Callable[[Path], None]
) -> None:
    again = Path(shutil.copytree(shard_folder, tmp_path / "s"))
    damage(again)
    shard.shard(dataset, again, OPTIONS)
    assert tree(again) == tree(shard_folder)


def test_other_options_replace_the_shards(dataset: Path, shard_folder: Path, tmp_path: Path, tree: Tree) -> None:
    again = Path(shutil.copytree(shard_folder, tmp_path / "s"))
    shard.shard(dataset, again, shard.ShardOptions(shard_size=100, min_count=1))
    assert len(list(again.glob("*.tfrecord"))) == 3
    shard.shard(dataset, again, OPTIONS)
    assert tree(again) == tree(shard_folder)


@pytest.mark.parametrize("form", ["tfrecord", "webdataset"])
def test_running_every_task_twice_changes_no_byte(
    dataset: Path, tmp_path: Path, tree: Tree, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster, a worker that was given up as lost may still have finished its task."""
    options = replace(OPTIONS, format=form)
    shard.shard(dataset, tmp_path / "once", options)

    def twice(function: Callable[[Any], Any], tasks: Iterable[Any], _workers: int) -> Iterator[Any]:
        for task in tasks:
            function(task)
            yield function(task)

    monkeypatch.setattr(executor, "run", twice)
    shard.shard(dataset, tmp_path / "twice", options)
    assert tree(tmp_path / "twice") == tree(tmp_path / "once")


@pytest.mark.parametrize("form", ["tfrecord", "webdataset"])
def test_half_written_files_of_lost_attempts_are_deleted(
    dataset: Path, tmp_path: Path, tree: Tree, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(OPTIONS, format=form)
    shard.shard(dataset, tmp_path / "whole", options)
    run = executor.run

    def losing(function: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Iterator[Any]:
        for result in run(function, tasks, workers):
            for path in [*(tmp_path / "s").rglob("*.tfrecord"), *(tmp_path / "s").rglob("*-of-*.parquet")]:
                path.with_name(f".{path.name}.deadbeef.tmp").write_bytes(b"half")
            yield result

    monkeypatch.setattr(executor, "run", losing)
    shard.shard(dataset, tmp_path / "s", options)
    assert tree(tmp_path / "s") == tree(tmp_path / "whole")


def test_a_shard_with_missing_spills_is_not_written(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late attempt meets spills that the run is already deleting."""
    run = executor.run

    def late(function: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Iterator[Any]:
        for result in run(function, tasks, workers):
            if function is pack._spill:
                min((tmp_path / "s" / pack.SPILL_FOLDER / result[1]).glob("*.arrows")).unlink()
            yield result

    monkeypatch.setattr(executor, "run", late)
    with pytest.raises(DatasetError, match=r"holds 0 of \d spilled pairs"):
        shard.shard(dataset, tmp_path / "s", OPTIONS)
    assert not list((tmp_path / "s").glob("*.tfrecord"))
