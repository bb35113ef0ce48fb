"""WebDataset and imagefolder shards, read by the programs they are shard_folders for."""

import io
import json
import re
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from curate.audit.explain_picture import why
from curate.audit.verify import verify
from curate.cli import main
from curate.contract import SPLITS, find_file_faults, read_index, read_vocabulary
from curate.dataset import parquet
from curate.shards import formats, shard, tar_format
from curate.system.errors import DatasetError
from tests import ROOT

Tree = Callable[[Path], dict[str, bytes]]
Row = dict[str, Any]
FORMATS = ("webdataset", "imagefolder")
PICTURES = ("color", "line_contour", "line_dilate", "line_xdog")


def shard_options(format_name: str, **others: Any) -> shard.ShardOptions:
    return shard.ShardOptions(**{"shard_size": 4, "min_count": 1, "format": format_name, **others})


@pytest.fixture(scope="module")
def shard_folders(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A shard folder in each format. Read-only."""
    home = tmp_path_factory.mktemp("formats")
    for form in FORMATS:
        shard.shard(dataset, home / form, shard_options(form))
    return {form: home / form for form in FORMATS}


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(shard_folders: dict[str, Path], form: str) -> Path:
    return shard_folders[form]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def kept_pairs(dataset: Path) -> dict[str, Row]:
    """Manifest rows of the kept pictures joined with their pairs, by id."""
    pairs = {pair["id"]: pair for pair in parquet.read_parts(dataset / "pairs").to_pylist()}
    rows = parquet.read_parts(dataset / "manifest").to_pylist()
    return {row["id"]: row | pairs[row["id"]] for row in rows if row["dropped"] is None}


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def read_webdataset(folder: Path, split: str) -> Iterator[Row]:
    """Samples of a split as the package `webdataset` reads them."""
    import webdataset

    urls = [str(folder / name) for name in read_index(folder).shard_names(split)]
    yield from webdataset.WebDataset(urls, shardshuffle=False) if urls else ()


def load(form: str, folder: Path, cache: Path) -> Any:
    """The folder as Hugging Face's `datasets` loads it."""
    import datasets

    return datasets.load_dataset(form, data_dir=str(folder), cache_dir=str(cache))


def test_webdataset_reads_every_kept_picture_once_in_its_split_with_its_bytes_and_tags(
    dataset: Path, shard_folders: dict[str, Path]
) -> None:
    rows, folder = kept_pairs(dataset), shard_folders["webdataset"]
    vocabulary = set(read_vocabulary(folder))
    samples_by_split = {split: list(read_webdataset(folder, split)) for split in SPLITS}
    assert Counter(one["__key__"] for samples in samples_by_split.values() for one in samples) == Counter(rows.keys())
    for split, samples in samples_by_split.items():
        for sample in samples:
            row, metadata = rows[sample["__key__"]], json.loads(sample["json"])
            assert row["split"] == split
            assert {name: sample[f"{name}.png"] for name in PICTURES} == {name: row[name] for name in PICTURES}
            assert metadata.pop("tags") == sorted(set(row["tags"]) & vocabulary, key=read_vocabulary(folder).index)
            assert metadata == {name: row[name] for name in ("id", "family", "group", "content_box")}


def test_webdataset_decodes_the_pictures_of_a_sample(dataset: Path, shard_folders: dict[str, Path]) -> None:
    import webdataset

    rows = kept_pairs(dataset)
    url = str(shard_folders["webdataset"] / read_index(shard_folders["webdataset"]).shard_names("train")[0])
    for key, color, line in (
        webdataset.WebDataset(url, shardshuffle=False)
        .decode("rgb8")
        .to_tuple("__key__", "color.png", "line_dilate.png")
    ):
        np.testing.assert_array_equal(color, pixels(rows[key]["color"]))
        np.testing.assert_array_equal(line[..., 0], pixels(rows[key]["line_dilate"]))


def test_datasets_loads_every_kept_picture_once_in_its_split_with_its_pixels_and_tags(
    dataset: Path, shard_folders: dict[str, Path], tmp_path: Path
) -> None:
    rows, folder = kept_pairs(dataset), shard_folders["imagefolder"]
    vocabulary = set(read_vocabulary(folder))
    loaded = load("imagefolder", folder, tmp_path)
    assert set(loaded) == set(SPLITS)
    assert Counter(key for split in SPLITS for key in loaded[split]["id"]) == Counter(rows.keys())
    for split in SPLITS:
        for sample in loaded[split]:
            row = rows[sample["id"]]
            assert row["split"] == split
            assert set(sample["tags"]) == set(row["tags"]) & vocabulary
            assert all(sample[name] == row[name] for name in ("family", "group", "content_box"))
            for name in PICTURES:
                loaded_pixels = np.asarray(sample["image" if name == "color" else name])
                np.testing.assert_array_equal(loaded_pixels, pixels(row[name]))


def test_datasets_loads_the_archives_and_not_the_listings(
    dataset: Path, shard_folders: dict[str, Path], tmp_path: Path
) -> None:
    rows = kept_pairs(dataset)
    loaded = load("webdataset", shard_folders["webdataset"], tmp_path)
    assert Counter(key for split in loaded for key in loaded[split]["__key__"]) == Counter(rows.keys())
    for split in loaded:
        for sample in loaded[split]:
            row = rows[sample["__key__"]]
            assert (row["split"], row["family"]) == (split, sample["json"]["family"])
            np.testing.assert_array_equal(np.asarray(sample["color.png"]), pixels(row["color"]))


def test_datasets_loads_splits_without_tags_and_tags_that_look_like_dates(dataset: Path, tmp_path: Path) -> None:
    pictures = pd.read_parquet(dataset / "manifest")
    pictures["tags"] = [["2020-01-01"] if split == "train" else [] for split in pictures["split"]]
    pictures.to_parquet(tmp_path / "m.parquet")
    shard.shard(dataset, tmp_path / "s", shard_options("imagefolder"), manifest=tmp_path / "m.parquet")
    loaded = load("imagefolder", tmp_path / "s", tmp_path / "cache")
    assert {tuple(tags) for tags in loaded["train"]["tags"]} == {("2020-01-01",)}
    assert {tuple(tags) for tags in loaded["test"]["tags"]} == {()}


def test_imagefolder_pictures_have_the_bytes_of_the_dataset(dataset: Path, shard_folders: dict[str, Path]) -> None:
    rows = kept_pairs(dataset)
    paths = list(shard_folders["imagefolder"].rglob("*.png"))
    assert len(paths) == len(rows) * len(PICTURES)
    for path in paths:
        key, name, _ = path.name.split(".")
        assert path.read_bytes() == rows[key][name]


def test_an_imagefolder_puts_at_most_so_many_files_in_one_folder(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAX_FILES_PER_FOLDER", 2 * len(PICTURES) + 1)
    shard.shard(dataset, tmp_path / "s", shard_options("imagefolder", shard_size=100))
    held = Counter(path.parent for path in (tmp_path / "s").rglob("*.png"))
    assert max(held.values()) == 2 * len(PICTURES)
    assert verify(tmp_path / "s") == []
    assert (
        len(load("imagefolder", tmp_path / "s", tmp_path / "cache")["train"])
        == read_index(tmp_path / "s").pairs["train"]
    )


def test_an_archive_holds_no_time_and_no_owner(shard_folders: dict[str, Path]) -> None:
    for path in shard_folders["webdataset"].glob("*.tar"):
        with tarfile.open(path) as archive:
            for entry in archive.getmembers():
                assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (0, 0, 0, "", "")
                assert entry.isreg()
                assert entry.mode == 0o644


def test_an_archive_has_the_bytes_that_tarfile_writes() -> None:
    files = {"a.json": b"{}", "b.png": bytes(range(256)) * 2, "c" * 120: b"", "d.txt": b"\n"}
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    members = tar_format.archive_members(files)
    assert members + tar_format.archive_ending(len(members)) == expected.getvalue()


def test_offset_and_length_in_the_listing_locate_a_sample_in_its_archive(shard_folders: dict[str, Path]) -> None:
    for path in shard_folders["webdataset"].glob("*.tar"):
        for row in pq.read_table(path.parent / "__listings__" / f"{path.stem}.parquet").to_pylist():
            cut = io.BytesIO(path.read_bytes()[row["offset"] : row["offset"] + row["length"]])
            with tarfile.open(fileobj=cut) as archive:
                names = [f"{name}.png" for name in PICTURES] + ["json"]
                assert archive.getnames() == [f"{row['id']}.{name}" for name in names]


def test_the_index_describes_what_the_folder_holds(dataset: Path, shard_folder: Path, folder: Path, form: str) -> None:
    index, other = read_index(folder), read_index(shard_folder)
    assert index.format == form
    assert (index.pairs, index.tags, index.licenses, index.lines) == (
        other.pairs,
        other.tags,
        other.licenses,
        other.lines,
    )
    assert index.options_hash != other.options_hash
    assert read_vocabulary(folder) == read_vocabulary(shard_folder)
    for split, pairs in index.pairs.items():
        assert sum(index.files[name].records for name in index.shard_names(split)) == pairs
    assert verify(folder) == []


def test_pairs_have_the_same_order_in_every_format(shard_folder: Path, shard_folders: dict[str, Path]) -> None:
    for split in SPLITS:
        names = read_index(shard_folder).shard_names(split)
        order = [key for name in names for key in pd.read_parquet((shard_folder / name).with_suffix(".parquet"))["id"]]
        assert [sample["__key__"] for sample in read_webdataset(shard_folders["webdataset"], split)] == order
        assert list(pd.read_parquet(shard_folders["imagefolder"] / split / "metadata.parquet")["id"]) == order


def test_any_number_of_workers_and_a_second_run_give_the_same_bytes(
    dataset: Path, folder: Path, form: str, tmp_path: Path, tree: Tree
) -> None:
    shard.shard(dataset, tmp_path / "two", shard_options(form), workers=2)
    assert tree(tmp_path / "two") == tree(folder)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").rglob("*")}
    shard.shard(dataset, tmp_path / "two", shard_options(form))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "two").rglob("*")} == stamps


def test_another_format_replaces_the_shards(
    dataset: Path, shard_folders: dict[str, Path], shard_folder: Path, tmp_path: Path, tree: Tree
) -> None:
    for form in (*FORMATS, "tfrecord", *reversed(FORMATS)):
        shard.shard(dataset, tmp_path / "s", shard_options(form))
        assert tree(tmp_path / "s") == tree(shard_folders.get(form, shard_folder))
        assert verify(tmp_path / "s") == []


def test_verify_names_the_file_with_a_flipped_bit(copy: Path) -> None:
    for name in read_index(copy).files:
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        [fault] = verify(copy)
        assert f"{copy / name} has other bytes" in fault
        (copy / name).write_bytes(data)


def test_verify_names_missing_and_stray_files(copy: Path) -> None:
    lost = read_index(copy).shard_names("train")[0]
    (copy / lost).unlink()
    (copy / "validation" / "00000").mkdir(parents=True, exist_ok=True)
    (copy / "validation" / "00000" / "stray.png").touch()
    faults = verify(copy)
    assert f"{copy / lost} is missing" in faults
    assert f"{copy}/validation/00000/stray.png is not in the index" in faults


def lose(folder: Path) -> None:
    (folder / read_index(folder).shard_names("train")[0]).unlink()


def stop(folder: Path) -> None:
    (folder / "index.json").unlink()
    (folder / ".spill" / "train-00000" / "000").mkdir(parents=True)
    (folder / ".spill" / "train-00000" / "000" / "torn.png").touch()
    (folder / "train").mkdir(exist_ok=True)
    (folder / "train" / ".metadata.parquet.tmp").touch()
    (folder / "__listings__").mkdir(exist_ok=True)
    (folder / "__listings__" / ".train-00000-of-00002.parquet.tmp").touch()


@pytest.mark.parametrize("damage", [lose, stop])
def test_damaged_and_unfinished_shards_are_made_again(
    dataset: Path, folder: Path, copy: Path, form: str, tree: Tree, damage: Callable[[Path], None]
) -> None:
    damage(copy)
    shard.shard(dataset, copy, shard_options(form))
    assert tree(copy) == tree(folder)


@pytest.mark.parametrize("name", ["train/cat.png", "train/00000/000/cat.png", "letter.txt", "mine/index.json"])
def test_a_folder_with_other_files_is_not_touched(dataset: Path, copy: Path, form: str, tree: Tree, name: str) -> None:
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_text("dear")
    before = tree(copy)
    with pytest.raises(DatasetError, match="holds other files") as caught:
        shard.shard(dataset, copy, shard_options(form, seed=1))
    assert "\n" not in str(caught.value)
    assert tree(copy) == before


def test_a_link_in_place_of_a_split_is_not_followed(dataset: Path, tmp_path: Path, tree: Tree) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "train").symlink_to(tmp_path / "home")
    shard.shard(dataset, tmp_path / "s", shard_options("imagefolder"))
    assert tree(tmp_path / "home") == {"letter.txt": b"dear"}
    assert verify(tmp_path / "s") == []


def test_raw_pixels_are_refused_in_one_line_with_the_remedy(dataset: Path, form: str, tmp_path: Path) -> None:
    arguments = ["shard", str(dataset), str(tmp_path / "s"), "--format", form, "--encoding", "raw"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "leave it out" in result.stderr
    assert not (tmp_path / "s").exists()


def test_the_command_writes_the_requested_format(
    dataset: Path, folder: Path, form: str, tmp_path: Path, tree: Tree, run: Callable[..., Any]
) -> None:
    counts = run(
        "shard", dataset, tmp_path / "s", "--format", form, "--shard-size", 4, "--min-count", 1, "--workers", 1
    )
    assert tree(tmp_path / "s") == tree(folder)
    assert counts["shards"] == sum(len(read_index(folder).shard_names(split)) for split in SPLITS)


def test_why_names_the_place_of_a_picture_in_any_format(dataset: Path, shard_folders: dict[str, Path]) -> None:
    for key in kept_pairs(dataset):
        ends = {form: why(dataset, key, shards=shard_folders[form])[0]["story"][-1] for form in FORMATS}
        path = shard_folders["imagefolder"] / ends["imagefolder"].removeprefix("shards: ")
        assert path.name == f"{key}.color.png"
        assert path.is_file()
        name, _, offset = ends["webdataset"].removeprefix("shards: ").partition(" at byte ")
        data = (shard_folders["webdataset"] / name).read_bytes()
        assert data[int(offset.replace(",", "")) :].startswith(key.encode())


def test_metadata_has_a_row_group_per_shard(shard_folders: dict[str, Path]) -> None:
    for path in shard_folders["imagefolder"].glob("*/metadata.parquet"):
        folders = [one for one in path.parent.iterdir() if one.is_dir()]
        assert pq.read_metadata(path).num_row_groups == len(folders)


def test_the_contract_finds_no_fault_in_any_format(folder: Path) -> None:
    assert find_file_faults(folder, read_index(folder)) == []


def test_the_code_in_the_docs_reads_every_training_pair_of_both_formats(
    dataset: Path, shard_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    guide = (ROOT / ".github" / "docs" / "programs.md").read_text("utf-8")
    [block] = re.findall(r"<!-- test formats -->\n+```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    for name, form in (("tars", "webdataset"), ("pictures", "imagefolder")):
        (tmp_path / name).symlink_to(shard_folders[form])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names: dict[str, Any] = {}
    exec(compile(block, "programs.md", "exec"), names)
    ids = sorted(key for key, row in kept_pairs(dataset).items() if row["split"] == "train")
    pairs = list(names["pairs"])
    assert sorted(metadata["id"] for *_, metadata in pairs) == ids
    assert all(line.shape == color.shape and 0 <= color.min() <= color.max() <= 1 for line, color, _ in pairs)
    assert sorted(names["train"]["id"]) == ids
