"""The short version of the long runs: kept inputs, some of each mutation, bombs; and that the harness sees faults."""

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
from tests.faults.hostile.watch import Watched

CHEAP = [name for name, reader in READERS.items() if reader.weight and not reader.tensorflow]
KEPT = sorted(path for path in fuzz.CRASHES.rglob("*.bin"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("corpus")
    return folder


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem[:6]}")
def test_what_made_a_fault_once_makes_none(path: Path, corpus: Path, tmp_path: Path) -> None:
    assert readers.fate(READERS[path.parent.name], path.read_bytes(), Place(corpus, tmp_path))


def test_some_of_every_mutation_make_no_fault(corpus: Path, tmp_path: Path) -> None:
    with Watched(corpus, tmp_path / "scratch", tmp_path / "kept") as watched:
        for name in CHEAP:
            for kind in ("cut", "flip", "splice", "shape"):
                job = {"reader": name, "kind": kind, "batch": 1, "count": 3 if name.startswith("part-") else 5}
                found = watched.run(job)
                assert found["faults"] == []
                assert 0 < sum(found["fates"].values()) <= job["count"]


def test_every_bomb_costs_one_fate_and_bounded_memory(tmp_path: Path) -> None:
    rows = bombs.explode(tmp_path, long=False, keep=tmp_path / "kept")
    assert [row for row in rows if row["faults"] or row["peak"] > 1 << 30] == []
    assert all(row["fate"] for row in rows)


def test_two_runs_are_one_long_run(tmp_path: Path) -> None:
    only, counted = ["sidecar-json", "bmp"], {}
    for name, steps in (("once", (900,)), ("twice", (300, 900))):
        told = [
            fuzz.fuzz(inputs, tmp_path / name, tmp_path / "work", only=only, keep=tmp_path / "kept", quiet=True)
            for inputs in steps
        ]
        counted[name] = {**told[-1], "peak": 0}
    assert counted["once"] == counted["twice"]
    assert counted["once"]["inputs"] >= 900


def _misbehaves(data: bytes, place: Place) -> str:
    """What the harness has to see, by the input's first letter."""
    first = data[:1]
    if first == b"c":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif first == b"h":
        time.sleep(600)
    elif first == b"m":
        held = bytearray(600 << 20)
        time.sleep(600 if held else 0)
    elif first == b"e":
        raise KeyError("x")
    elif first == b"o":
        (place.scratch.parent / "elsewhere").write_bytes(b"")
    elif first == b"n":
        with socket.socket() as one:
            one.settimeout(0.1)
            one.connect_ex(("127.0.0.1", 9))
    return "read"


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Watched]:
    """A child with a reader that does what it is told to."""
    here = "from tests.faults import test_hostile as t; "
    here += "t.READERS['misbehaves'] = t.readers.Reader(t._misbehaves, lambda _: [], 'lines'); t.child.main()"
    monkeypatch.setattr("tests.faults.hostile.watch.WALL", 3.0)
    with Watched(tmp_path / "corpus", tmp_path / "scratch", tmp_path / "kept", memory=500 << 20) as watched:
        monkeypatch.setattr(watched, "command", ["-c", here])
        yield watched


def test_the_harness_sees_every_kind_of_fault_and_goes_on(misbehaving: Watched, tmp_path: Path) -> None:
    wanted = {
        "crash": "signal: SIGSEGV",
        "hang": "hang",
        "memory": "memory",
        "error": "KeyError",
        "outside": "outside",
        "net": "outside: socket.connect",
    }
    files = []
    for letters in ("good", *wanted, "good again"):
        files.append(tmp_path / letters)
        files[-1].write_text(letters)
    found = misbehaving.run({"reader": "misbehaves", "files": [str(path) for path in files]})
    assert sum(found["fates"].values()) == len(files)
    told = {(tmp_path / "kept" / fault["input"]).read_text(): fault["what"] for fault in found["faults"]}
    assert told.keys() == wanted.keys()
    assert all(what.startswith(wanted[name]) for name, what in told.items())


def test_the_guard_knows_paths_below_open_folders(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert child._paths("os.rmdir", ("x", descriptor)) == [f"/proc/self/fd/{descriptor}/x"]
    finally:
        os.close(descriptor)
    assert child._paths("os.rename", ("a", "b", -1, -1)) == ["a", "b"]
