from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.system.errors import DamagedError
from curate.system.files import ATTEMPT_ID, atomic_write, canonical_json, options_hash, read_json, write_json


def half_write(path: Path, error: type[BaseException]) -> None:
    with atomic_write(path) as file:
        file.write(b"half of the n")
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_only_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
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


def test_two_simultaneous_attempts_leave_one_complete_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    tokens = [ATTEMPT_ID.set("one")]
    with atomic_write(path) as slow:
        slow.write(b"slow, ")
        tokens.append(ATTEMPT_ID.set("two"))
        with atomic_write(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
        slow.write(b"and longer")
    for token in reversed(tokens):
        ATTEMPT_ID.reset(token)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": b"slow, and longer"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values))
def test_the_hash_of_options_does_not_depend_on_their_order(options: dict[str, object]) -> None:
    turned = dict(reversed(options.items()))
    assert canonical_json(turned) == canonical_json(options)
    assert options_hash(turned) == options_hash(options)
    assert options_hash({**options, "one more": 1}) != options_hash(options)


def test_json_is_read_as_written_and_damaged_json_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, None]}
    for damaged in (b"", b"{", b"\xff", b"[" * 100_000):
        (tmp_path / "a.json").write_bytes(damaged)
        with pytest.raises(DamagedError, match=r"a\.json"):
            read_json(tmp_path / "a.json")
