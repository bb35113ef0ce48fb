"""Names that harm: every one is a record, and none leads out of a folder or into a terminal, all along the road."""

from __future__ import annotations

import json
import os
import re
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from curate.audit import explain_picture, verify
from curate.cli import main
from curate.dataset import parquet, remove_pictures
from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.shards import shard
from curate.sources.scan import Source, scan_sources
from curate.system.text import escape_unprintable
from tests.faults.hostile.sound import drawing

NAMES = [
    b"two\nlines.png",
    b"'quoted' \"twice\" `id` $(id).png",
    b"-rf.png",
    b"--json",
    b"n" * 251 + b".png",
    b"not \xff\xfe utf-8.png",
    unicodedata.normalize("NFD", "\u00e9\u304c.png").encode(),
    unicodedata.normalize("NFC", "\u00e9\u304c.png").encode(),
    "gpj.\u202egnp.png".encode(),
    b"CASE.png",
    b"case.png",
    b"\x1b[2J\x1b]0;owned\x07.png",
    "c1 \u009b31m.png".encode(),
    b"tab\tand\rreturn.png",
    b"..\\..\\windows.png",
    b"~",
    b"*.png",
    b"a=b.png",
    b"con.png",
    b" .png",
]
WILD = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
Tree = dict[str, bytes]


def put(folder: Path, name: bytes, seed: int) -> None:
    """A coloured picture of its own under a name of any bytes, and a sidecar that is no better than the name."""
    with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123  # bytes are no Path
        Image.fromarray(drawing(seed, 40, 48)).save(file, "PNG")
    if len(name) < 200 and name.endswith(b".png"):
        told = {"tags": ["smile", "\x1b[31mred", "../../up", "a\u2028b", f"own{seed}"], "artist": "\x1b]0;x\x07\n/../x"}
        with open(os.fsencode(folder) + b"/" + name + b".json", "w") as file:  # noqa: PTH123
            json.dump(told, file)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All those names, in two folders that are hardly better; links of all kinds, a FIFO, a socket's name."""
    outside: Path = tmp_path_factory.mktemp("outside")
    folder: Path = tmp_path_factory.mktemp("names") / "art"
    folder.mkdir()
    below = Path(os.fsdecode(os.fsencode(folder) + b"/-d\n\xff\x1b[1m"))
    below.mkdir()
    for seed, name in enumerate(NAMES):
        put(folder, name, seed)
        put(below, name, 100 + seed)
    put(outside, b"elsewhere.png", 99)
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "ping.png").symlink_to("pong.png")
    (folder / "pong.png").symlink_to("ping.png")
    (folder / "nowhere.png").symlink_to("not there")
    (folder / "leaves.png").symlink_to(outside / "elsewhere.png")
    (folder / "round").symlink_to(".")
    (folder / "up").symlink_to(outside)
    (folder / "zero.png").symlink_to("/dev/zero")
    for pipe in ("fifo.png", "posts.jsonl", "case.txt"):
        os.mkfifo(folder / pipe)
    return folder


UNREADABLE = 7  # the links to nowhere or in a circle, the device, two FIFOs; the third one is a sidecar


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their dataset, deduplicated. Not to be changed."""
    folder: Path = tmp_path_factory.mktemp("made") / "dataset"
    result = extract.extract(
        [Source("-\x1b[2J art", source)], folder, extract.ExtractOptions(lines=("dilate",), size=32)
    )
    assert result["in"] == 2 * len(NAMES) + 1 + UNREADABLE
    assert result["dropped"] == {"unreadable": UNREADABLE}
    dedupe.dedupe(folder, dedupe.DedupeOptions(shares=SplitShares(0.8, 0.1, 0.1)))
    return folder


@pytest.fixture(scope="module")
def rows(made: Path) -> list[dict[str, Any]]:
    """Rows of their manifest."""
    found: list[dict[str, Any]] = parquet.read_parts(made / "manifest").to_pylist()
    return found


def test_every_name_is_a_record_under_its_own_bytes(rows: list[dict[str, Any]]) -> None:
    raw = {row["path_raw"] or row["path"].encode() for row in rows}
    assert len(raw) == len(rows)
    assert raw >= {*NAMES, *(b"-d\n\xff\x1b[1m/" + name for name in NAMES)}
    assert sum(row["dropped"] is None or row["dropped"] == "duplicate" for row in rows) == 2 * len(NAMES) + 1


def test_links_and_pipes_are_rows_that_say_what_they_are(rows: list[dict[str, Any]]) -> None:
    told = {row["path"]: row["error"] for row in rows if row["dropped"] == "unreadable"}
    assert len(told) == UNREADABLE
    assert "No such file" in told["nowhere.png"]
    assert told["loop.png"]
    assert "not a regular file" not in told["loop.png"]
    assert all("not a regular file" in told[name] for name in ("fifo.png", "posts.jsonl", "zero.png"))
    assert next(row for row in rows if row["path"] == "case.png")["error"] == "OSError: not a regular file"


@pytest.mark.parametrize("form", ["tfrecord", "webdataset", "imagefolder"])
def test_no_name_or_tag_makes_a_file_outside_of_the_shards(made: Path, tmp_path: Path, form: str) -> None:
    before = {path for path in tmp_path.parent.rglob("*") if tmp_path not in path.parents}
    shard.shard(made, tmp_path / "in" / "shards", shard.ShardOptions(min_count=1, format=form))
    assert {path for path in tmp_path.parent.rglob("*") if tmp_path not in path.parents} == before
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["shards"]
    assert verify.verify(tmp_path / "in" / "shards") == []
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert all(re.fullmatch(r"[\w./-]+", name) and ".." not in name for name in found)


def test_why_and_remove_take_any_name(made: Path, source: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    for row in rows:
        assert explain_picture.why(made, row["path"])
    again = tmp_path / "dataset"
    extract.extract([Source("art", source)], again, extract.ExtractOptions(lines=("dilate",), size=32))
    kept = [row["path"] for row in parquet.read_parts(again / "manifest").to_pylist() if row["dropped"] is None]
    single = [path for path in kept if kept.count(path) == 1]
    assert remove_pictures.remove(again, single)["removed"] == len(single)
    left = parquet.read_parts(again / "manifest").to_pylist()
    assert len(left) == len(rows)
    assert verify.verify(again) == []


def told(*arguments: str) -> str:
    """All that `curate` prints."""
    return CliRunner().invoke(main, arguments, catch_exceptions=False).output


def test_no_escape_reaches_the_terminal(made: Path, rows: list[dict[str, Any]]) -> None:
    path = next(row["path"] for row in rows if "owned" in row["path"] and "/" not in row["path"])
    own = os.fsdecode(b"\x1b[2J\xff")
    for arguments in (
        ["tags", str(made)],
        ["why", str(made), path],
        ["why", str(made), own],
        ["verify", f"{made}{own}"],
    ):
        shown = told(*arguments)
        assert not WILD.search(shown)
        assert "\\u001b[" in shown or "\\x1b[" in shown
    assert json.loads(told("why", str(made), path, "--json"))["records"][0]["path"] == path


def test_a_line_of_a_terminal_is_spelled_out_and_json_stays_what_it_is() -> None:
    every = " ".join(map(chr, [*range(0x3000), *range(0xD800, 0xE000), 0x1F600]))
    assert not WILD.search(escape_unprintable(every))
    escape_unprintable(every).encode()
    assert json.loads(escape_unprintable(json.dumps(every, ensure_ascii=False))) == every
    assert escape_unprintable("\u96ea \u00e9 caf\u00e9") == "\u96ea \u00e9 caf\u00e9"


@pytest.fixture
def restless(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files another thread changes, cuts, takes away, and exchanges for FIFOs, all the time."""
    folder = tmp_path / "art"
    folder.mkdir()
    names = [f"{number}.png" for number in range(8)]
    for seed, name in enumerate(names):
        put(folder, name.encode(), seed)
    whole, stop = {name: (folder / name).read_bytes() for name in names}, threading.Event()

    def disturb() -> None:
        turn = 0
        while not stop.is_set():
            path = folder / names[turn % 8]
            path.unlink(missing_ok=True)
            if turn % 5 == 1:
                os.mkfifo(path)
            elif turn % 5:
                path.write_bytes(whole[path.name][: -turn % len(whole[path.name])])
            turn += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    yield folder
    stop.set()
    thread.join()


def test_files_that_change_while_they_are_read_are_rows(restless: Path, tmp_path: Path) -> None:
    for number in range(5):
        files = list(scan_sources([Source("art", restless)]))
        result = extract.extract(
            [Source("art", restless)], tmp_path / str(number), extract.ExtractOptions(("dilate",), 32)
        )
        assert result["in"] == result["kept"] + sum(result["dropped"].values())
        assert abs(result["in"] - len(files)) <= 16  # pictures, and sidecars whose pictures were away
        assert verify.verify(tmp_path / str(number)) == []
        stored = {
            row["id"]
            for row in parquet.read_parts(tmp_path / str(number) / "manifest").to_pylist()
            if not row["dropped"]
        }
        pairs = (
            pq.read_table(parquet.part_path(tmp_path / str(number) / "pairs", 0))["id"].to_pylist()
            if result["in"]
            else []
        )
        assert stored == set(pairs)
