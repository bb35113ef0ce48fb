"""Hostile file names: each is a record; none leads outside the target or sends control codes to a terminal."""

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
from tests.faults.hostile.valid_files import drawing

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
TERMINAL_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
Tree = dict[str, bytes]


def write_picture(folder: Path, name: bytes, seed: int) -> None:
    """Write a picture that depends on `seed` under any bytes as name, and a sidecar with hostile tags beside it."""
    with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123  # a Path cannot hold bytes
        Image.fromarray(drawing(seed, 40, 48)).save(file, "PNG")
    if len(name) < 200 and name.endswith(b".png"):
        sidecar = {
            "tags": ["smile", "\x1b[31mred", "../../up", "a\u2028b", f"own{seed}"],
            "artist": "\x1b]0;x\x07\n/../x",
        }
        with open(os.fsencode(folder) + b"/" + name + b".json", "w") as file:  # noqa: PTH123
            json.dump(sidecar, file)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The NAMES in two folders, one of them with a hostile name; links of all kinds, and FIFOs."""
    outside: Path = tmp_path_factory.mktemp("outside")
    folder: Path = tmp_path_factory.mktemp("names") / "art"
    folder.mkdir()
    below = Path(os.fsdecode(os.fsencode(folder) + b"/-d\n\xff\x1b[1m"))
    below.mkdir()
    for seed, name in enumerate(NAMES):
        write_picture(folder, name, seed)
        write_picture(below, name, 100 + seed)
    write_picture(outside, b"elsewhere.png", 99)
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


UNREADABLE = 7  # four links to nowhere or in a circle, a device, two FIFOs; the third FIFO is a sidecar


@pytest.fixture(scope="module")
def dataset(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deduplicated dataset of `source`. Tests do not change it."""
    folder: Path = tmp_path_factory.mktemp("made") / "dataset"
    result = extract.extract(
        [Source("-\x1b[2J art", source)], folder, extract.ExtractOptions(lines=("dilate",), size=32)
    )
    assert result["in"] == 2 * len(NAMES) + 1 + UNREADABLE
    assert result["dropped"] == {"unreadable": UNREADABLE}
    dedupe.dedupe(folder, dedupe.DedupeOptions(shares=SplitShares(0.8, 0.1, 0.1)))
    return folder


@pytest.fixture(scope="module")
def rows(dataset: Path) -> list[dict[str, Any]]:
    """Rows of the dataset's manifest."""
    table_rows: list[dict[str, Any]] = parquet.read_parts(dataset / "manifest").to_pylist()
    return table_rows


def test_every_file_is_a_record_with_the_bytes_of_its_name(rows: list[dict[str, Any]]) -> None:
    raw = {row["path_raw"] or row["path"].encode() for row in rows}
    assert len(raw) == len(rows)
    assert raw >= {*NAMES, *(b"-d\n\xff\x1b[1m/" + name for name in NAMES)}
    assert sum(row["dropped"] is None or row["dropped"] == "duplicate" for row in rows) == 2 * len(NAMES) + 1


def test_links_devices_and_pipes_are_unreadable_rows_with_the_reason(rows: list[dict[str, Any]]) -> None:
    errors = {row["path"]: row["error"] for row in rows if row["dropped"] == "unreadable"}
    assert len(errors) == UNREADABLE
    assert "No such file" in errors["nowhere.png"]
    assert errors["loop.png"]
    assert "not a regular file" not in errors["loop.png"]
    assert all("not a regular file" in errors[name] for name in ("fifo.png", "posts.jsonl", "zero.png"))
    assert next(row for row in rows if row["path"] == "case.png")["error"] == "OSError: not a regular file"


@pytest.mark.parametrize("shard_format", ["tfrecord", "webdataset", "imagefolder"])
def test_no_name_or_tag_makes_a_file_outside_the_shards_or_with_an_unsafe_name(
    dataset: Path, tmp_path: Path, shard_format: str
) -> None:
    before = {path for path in tmp_path.parent.rglob("*") if tmp_path not in path.parents}
    shard.shard(dataset, tmp_path / "in" / "shards", shard.ShardOptions(min_count=1, format=shard_format))
    assert {path for path in tmp_path.parent.rglob("*") if tmp_path not in path.parents} == before
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["shards"]
    assert verify.verify(tmp_path / "in" / "shards") == []
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert all(re.fullmatch(r"[\w./-]+", name) and ".." not in name for name in names)


def test_why_and_remove_accept_every_name(
    dataset: Path, source: Path, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    for row in rows:
        assert explain_picture.why(dataset, row["path"])
    second_dataset = tmp_path / "dataset"
    extract.extract([Source("art", source)], second_dataset, extract.ExtractOptions(lines=("dilate",), size=32))
    kept = [
        row["path"] for row in parquet.read_parts(second_dataset / "manifest").to_pylist() if row["dropped"] is None
    ]
    single = [path for path in kept if kept.count(path) == 1]
    assert remove_pictures.remove(second_dataset, single)["removed"] == len(single)
    remaining = parquet.read_parts(second_dataset / "manifest").to_pylist()
    assert len(remaining) == len(rows)
    assert verify.verify(second_dataset) == []


def output_of(*arguments: str) -> str:
    """Everything that a `curate` command prints."""
    return CliRunner().invoke(main, arguments, catch_exceptions=False).output


def test_commands_print_control_characters_of_names_as_escapes(dataset: Path, rows: list[dict[str, Any]]) -> None:
    path = next(row["path"] for row in rows if "owned" in row["path"] and "/" not in row["path"])
    hostile_text = os.fsdecode(b"\x1b[2J\xff")
    for arguments in (
        ["tags", str(dataset)],
        ["why", str(dataset), path],
        ["why", str(dataset), hostile_text],
        ["verify", f"{dataset}{hostile_text}"],
    ):
        output = output_of(*arguments)
        assert not TERMINAL_CONTROL.search(output)
        assert "\\u001b[" in output or "\\x1b[" in output
    assert json.loads(output_of("why", str(dataset), path, "--json"))["records"][0]["path"] == path


def test_escaping_leaves_no_control_character_and_keeps_json_equal() -> None:
    every = " ".join(map(chr, [*range(0x3000), *range(0xD800, 0xE000), 0x1F600]))
    assert not TERMINAL_CONTROL.search(escape_unprintable(every))
    escape_unprintable(every).encode()
    assert json.loads(escape_unprintable(json.dumps(every, ensure_ascii=False))) == every
    assert escape_unprintable("\u96ea \u00e9 caf\u00e9") == "\u96ea \u00e9 caf\u00e9"


@pytest.fixture
def changing_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of pictures that a thread keeps truncating, removing and replacing by FIFOs."""
    folder = tmp_path / "art"
    folder.mkdir()
    names = [f"{number}.png" for number in range(8)]
    for seed, name in enumerate(names):
        write_picture(folder, name.encode(), seed)
    contents, stop = {name: (folder / name).read_bytes() for name in names}, threading.Event()

    def disturb() -> None:
        turn = 0
        while not stop.is_set():
            path = folder / names[turn % 8]
            path.unlink(missing_ok=True)
            if turn % 5 == 1:
                os.mkfifo(path)
            elif turn % 5:
                path.write_bytes(contents[path.name][: -turn % len(contents[path.name])])
            turn += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    yield folder
    assert thread.is_alive()  # otherwise the test ran undisturbed
    stop.set()
    thread.join()


def test_files_that_change_while_they_are_read_give_a_consistent_dataset(changing_folder: Path, tmp_path: Path) -> None:
    for number in range(5):
        files = list(scan_sources([Source("art", changing_folder)]))
        result = extract.extract(
            [Source("art", changing_folder)], tmp_path / str(number), extract.ExtractOptions(("dilate",), 32)
        )
        assert result["in"] == result["kept"] + sum(result["dropped"].values())
        assert abs(result["in"] - len(files)) <= 16  # pictures, and sidecars of missing pictures
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
