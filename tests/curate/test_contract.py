import json
import shutil
from pathlib import Path

import pytest

from curate.contract import SPLITS, find_file_faults, read_index, shard_name, write_index
from curate.system.errors import DamagedError, NurieError
from curate.system.files import write_sealed


@pytest.fixture
def copy(shard_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shard_folder, tmp_path / "copy"))


def test_an_index_is_read_as_it_was_written(shard_folder: Path, tmp_path: Path) -> None:
    index = read_index(shard_folder)
    write_index(tmp_path, index)
    assert read_index(tmp_path) == index


def test_an_index_of_another_version_is_refused(copy: Path) -> None:
    raw = json.loads((copy / "index.json").read_bytes())
    write_sealed(copy / "index.json", raw | {"version": 99})
    with pytest.raises(NurieError, match=r"version 99, this nurie reads 1.*curate shard"):
        read_index(copy)


def test_an_index_of_an_unknown_format_is_refused(copy: Path) -> None:
    raw = json.loads((copy / "index.json").read_bytes())
    raw["options"]["shard"]["format"] = "zip"
    write_sealed(copy / "index.json", raw)
    with pytest.raises(NurieError, match=r"unknown format 'zip'.*curate shard"):
        read_index(copy)


@pytest.mark.parametrize("options", [None, [], {"shard": None}])
def test_an_index_without_proper_options_is_damaged(copy: Path, options: object) -> None:
    raw = json.loads((copy / "index.json").read_bytes())
    write_sealed(copy / "index.json", raw | {"options": options})
    with pytest.raises(DamagedError, match=r"index\.json is damaged"):
        read_index(copy)


@pytest.mark.parametrize("name", ["files", "pairs", "colors", "size"])
def test_an_index_without_a_field_is_damaged(copy: Path, name: str) -> None:
    raw = json.loads((copy / "index.json").read_bytes())
    del raw[name]
    write_sealed(copy / "index.json", raw)
    with pytest.raises(DamagedError, match=r"index\.json is damaged"):
        read_index(copy)


def test_a_folder_without_an_index_is_not_a_finished_shard_folder(tmp_path: Path) -> None:
    with pytest.raises(NurieError, match="not a finished shard folder"):
        read_index(tmp_path)


def test_undamaged_shards_have_no_faults(shard_folder: Path) -> None:
    assert find_file_faults(shard_folder, read_index(shard_folder)) == []


def test_a_flipped_bit_in_any_file_is_found_and_named(copy: Path) -> None:
    for name in read_index(copy).files:
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        [fault] = find_file_faults(copy, read_index(copy))
        assert name in fault
        assert "SHA-256" in fault
        (copy / name).write_bytes(data)


def test_missing_cut_and_extra_files_are_found_and_named(copy: Path) -> None:
    index = read_index(copy)
    first, second, *_ = index.shard_names("train")
    (copy / first).unlink()
    (copy / second).write_bytes(b"short")
    (copy / "letter.txt").touch()
    faults = find_file_faults(copy, index)
    assert [fault.rpartition("/")[2].split()[0] for fault in faults] == [first, second, "letter.txt"]


def test_shards_of_a_split_are_listed_in_the_order_of_their_numbers(shard_folder: Path) -> None:
    index = read_index(shard_folder)
    for split in SPLITS:
        names = index.shard_names(split)
        assert names == [shard_name(split, number, len(names)) for number in range(len(names))]
        assert sum(index.files[name].records for name in names) == index.pairs[split]
