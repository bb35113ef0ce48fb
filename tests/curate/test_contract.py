import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contract import (
    ATTEMPT,
    SPLITS,
    atomic_write,
    canonical_json,
    check_files,
    options_hash,
    read_index,
    read_json,
    shard_name,
    write_index,
    write_json,
    write_sealed,
)
from curate.faults import DamagedError, NurieError
from curate.stopping import Stopped, stoppable


@pytest.fixture
def copy(shard_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shard_folder, tmp_path / "copy"))


def half_write(path: Path, error: type[BaseException]) -> None:
    with atomic_write(path) as file:
        file.write(b"half of the n")
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error):
        half_write(path, error)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": b"old"}


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_two_attempts_at_one_file_at_once_leave_one_of_them_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    tokens = [ATTEMPT.set("one")]
    with atomic_write(path) as slow:
        slow.write(b"slow, ")
        tokens.append(ATTEMPT.set("two"))
        with atomic_write(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
        slow.write(b"and longer")
    for token in reversed(tokens):
        ATTEMPT.reset(token)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": b"slow, and longer"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values))
def test_equal_options_hash_alike_whatever_their_order(options: dict[str, object]) -> None:
    turned = dict(reversed(options.items()))
    assert canonical_json(turned) == canonical_json(options)
    assert options_hash(turned) == options_hash(options)
    assert options_hash({**options, "one more": 1}) != options_hash(options)


def test_what_is_written_as_json_is_read_again_and_other_bytes_are_refused_by_name(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, None]}
    for damaged in (b"", b"{", b"\xff", b"[" * 100_000):
        (tmp_path / "a.json").write_bytes(damaged)
        with pytest.raises(DamagedError, match=r"a\.json"):
            read_json(tmp_path / "a.json")


def test_an_index_is_read_as_it_was_written(shard_folder: Path, tmp_path: Path) -> None:
    index = read_index(shard_folder)
    write_index(tmp_path, index)
    assert read_index(tmp_path) == index


def test_an_index_of_another_version_is_refused_by_number(copy: Path) -> None:
    raw = json.loads((copy / "index.json").read_bytes())
    write_sealed(copy / "index.json", raw | {"version": 99})
    with pytest.raises(NurieError, match=r"version 99, this nurie reads 1.*curate shard"):
        read_index(copy)


def test_an_index_of_an_unknown_format_is_refused_by_name(copy: Path) -> None:
    raw = json.loads((copy / "index.json").read_bytes())
    raw["options"]["shard"]["format"] = "zip"
    write_sealed(copy / "index.json", raw)
    with pytest.raises(NurieError, match=r"unknown format 'zip'.*curate shard"):
        read_index(copy)


@pytest.mark.parametrize("options", [None, [], {"shard": None}])
def test_an_index_whose_options_are_none_is_damaged(copy: Path, options: object) -> None:
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


def test_a_folder_without_an_index_is_no_finished_shard_folder(tmp_path: Path) -> None:
    with pytest.raises(NurieError, match="not a finished shard folder"):
        read_index(tmp_path)


def test_whole_shards_have_no_faults(shard_folder: Path) -> None:
    assert check_files(shard_folder, read_index(shard_folder)) == []


def test_a_flipped_bit_in_any_file_is_found_and_named(copy: Path) -> None:
    for name in read_index(copy).files:
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        [fault] = check_files(copy, read_index(copy))
        assert name in fault
        assert "SHA-256" in fault
        (copy / name).write_bytes(data)


def test_missing_cut_and_extra_files_are_found_and_named(copy: Path) -> None:
    index = read_index(copy)
    first, second, *_ = index.shards("train")
    (copy / first).unlink()
    (copy / second).write_bytes(b"short")
    (copy / "letter.txt").touch()
    faults = check_files(copy, index)
    assert [fault.rpartition("/")[2].split()[0] for fault in faults] == [first, second, "letter.txt"]


def test_shards_of_a_split_are_listed_in_the_order_of_their_numbers(shard_folder: Path) -> None:
    index = read_index(shard_folder)
    for split in SPLITS:
        names = index.shards(split)
        assert names == [shard_name(split, number, len(names)) for number in range(len(names))]
        assert sum(index.files[name].records for name in names) == index.pairs[split]


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def heard(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that is not ignored, as one may be by a background job."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_signal_stops_a_block_and_its_echo_does_not_break_off_what_puts_things_in_order(
    heard: signal.Signals,
) -> None:
    ordered = False

    def work() -> None:
        nonlocal ordered
        try:
            send(heard)
        finally:
            send(heard)
            ordered = True

    with pytest.raises(Stopped) as caught, stoppable():
        work()
    assert caught.value.number == heard
    assert ordered
    assert signal.getsignal(heard) is signal.default_int_handler


def test_a_signal_that_is_ignored_stays_so(heard: signal.Signals) -> None:
    signal.signal(heard, signal.SIG_IGN)
    with stoppable():
        send(heard)
    assert signal.getsignal(heard) is signal.SIG_IGN
