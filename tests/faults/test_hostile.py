"""A short version of fuzzing and bombs: kept inputs, a few of each mutation; and the harness detects every fault."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import bombs, fuzz
from tests.faults.hostile import child, readers
from tests.faults.hostile.readers import READERS, Place
from tests.faults.hostile.watched_child import WatchedChild

READERS_WITHOUT_TENSORFLOW = [name for name, reader in READERS.items() if reader.weight and not reader.tensorflow]
KEPT_PATHS = sorted(path for path in fuzz.KEPT_INPUTS.rglob("*.bin"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("corpus")
    return folder


@pytest.mark.parametrize("path", KEPT_PATHS, ids=lambda path: f"{path.parent.name}-{path.stem[:6]}")
def test_an_input_that_once_made_a_fault_makes_none(path: Path, corpus: Path, tmp_path: Path) -> None:
    assert readers.fate(READERS[path.parent.name], path.read_bytes(), Place(corpus, tmp_path))


def test_a_few_inputs_of_every_mutation_make_no_fault(corpus: Path, tmp_path: Path) -> None:
    with WatchedChild(corpus, tmp_path / "scratch", tmp_path / "kept") as child_process:
        for name in READERS_WITHOUT_TENSORFLOW:
            for kind in ("cut", "flip", "splice", "shape"):
                job = {"reader": name, "kind": kind, "batch": 1, "count": 3 if name.startswith("part-") else 5}
                result = child_process.run(job)
                assert result["faults"] == []
                assert 0 < sum(result["fates"].values()) <= job["count"]


def test_every_bomb_costs_one_fate_and_bounded_memory(tmp_path: Path) -> None:
    rows = bombs.read_bombs(tmp_path, long=False, keep=tmp_path / "kept")
    assert [row for row in rows if row["faults"] or row["peak"] > 1 << 30] == []
    assert rows
    assert all(row["fate"] for row in rows)


def test_two_runs_with_one_tally_equal_one_long_run(tmp_path: Path) -> None:
    only, last_tally = ["sidecar-json", "bmp"], {}
    for name, steps in (("once", (900,)), ("twice", (300, 900))):
        tallies = [
            fuzz.fuzz(inputs, tmp_path / name, tmp_path / "work", only=only, keep=tmp_path / "kept", quiet=True)
            for inputs in steps
        ]
        last_tally[name] = {**tallies[-1], "peak": 0}
    assert last_tally["once"] == last_tally["twice"]
    assert last_tally["once"]["inputs"] >= 900


def _misbehave(data: bytes, place: Place) -> str:
    """A reader that makes the fault that the input's first letter names."""
    first = data[:1]
    if first == b"c":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif first == b"h":
        time.sleep(600)
    elif first == b"m":
        memory = bytearray(600 << 20)
        time.sleep(600 if memory else 0)
    elif first == b"e":
        raise KeyError("x")
    elif first == b"o":
        (place.scratch.parent / "elsewhere").write_bytes(b"")
    elif first == b"n":
        with socket.socket() as connection:
            connection.settimeout(0.1)
            connection.connect_ex(("127.0.0.1", 9))
    return "read"


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WatchedChild]:
    """A watched child process with the reader `_misbehave`."""
    script = "from tests.faults import test_hostile as t; "
    script += "t.READERS['misbehaves'] = t.readers.Reader(t._misbehave, lambda _: [], 'lines'); t.child.main()"
    monkeypatch.setattr("tests.faults.hostile.watched_child.MAX_WALL_SECONDS", 3.0)
    with WatchedChild(tmp_path / "corpus", tmp_path / "scratch", tmp_path / "kept", memory=500 << 20) as child_process:
        monkeypatch.setattr(child_process, "command", ["-c", script])
        yield child_process


def test_the_harness_detects_every_kind_of_fault_and_continues(misbehaving: WatchedChild, tmp_path: Path) -> None:
    expected = {
        "crash": "signal: SIGSEGV",
        "hang": "hang",
        "memory": "memory",
        "error": "KeyError",
        "outside": "outside",
        "net": "outside: socket.connect",
    }
    files = []
    for letters in ("good", *expected, "good again"):
        files.append(tmp_path / letters)
        files[-1].write_text(letters)
    result = misbehaving.run({"reader": "misbehaves", "files": [str(path) for path in files]})
    assert sum(result["fates"].values()) == len(files)
    fault_by_input = {(tmp_path / "kept" / fault["input"]).read_text(): fault["what"] for fault in result["faults"]}
    assert fault_by_input.keys() == expected.keys()
    assert all(fault.startswith(expected[name]) for name, fault in fault_by_input.items())


def test_the_guard_resolves_paths_below_open_folders(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert child._paths("os.rmdir", ("x", descriptor)) == [f"/proc/self/fd/{descriptor}/x"]
    finally:
        os.close(descriptor)
    assert child._paths("os.rename", ("a", "b", -1, -1)) == ["a", "b"]
