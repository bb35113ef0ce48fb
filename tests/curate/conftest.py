"""Real art for the tests of curate: a few OpenMoji families, drawn from the installed package."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.shards import shard
from curate.sources import sample_art
from curate.sources.scan import Source
from tests.browser import HOSTILE
from tests.hosts import end

CODES = (
    "1F44B",
    "1F44D",
    "1F499",
    "1F49A",
    "1F49B",
    "2764",
    "1F600",
    "1F408",
    "1F34E",
    "1F4D5",
    "1F4D7",
    "1F4D8",
    "E041",
)
SIZE = 256  # px


@pytest.fixture(scope="session")
def art(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tone families of six, hearts and books in several colours, four others: 25 pictures with sidecars."""
    folder: Path = tmp_path_factory.mktemp("sample") / "art"
    drawings = [one for one in sample_art._drawings() if sample_art.without_skin_tones(one.code) in CODES]
    for path in (folder, sample_art.line_art_folder(folder)):
        path.mkdir()
    sample_art._draw_all((drawings, folder, SIZE))
    return folder


@pytest.fixture(scope="session")
def dataset(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The art, extracted and deduplicated, in parts of eight. Not to be changed."""
    folder: Path = tmp_path_factory.mktemp("made") / "dataset"
    extract.extract([Source("art", art)], folder, extract.ExtractOptions(), part_size=8)
    dedupe.dedupe(folder, dedupe.DedupeOptions(shares=SplitShares(0.5, 0.25, 0.25)))
    return folder


@pytest.fixture(scope="session")
def shard_folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset as shards of at most four pairs. Not to be changed."""
    folder: Path = tmp_path_factory.mktemp("packed") / "shards"
    shard.shard(dataset, folder, shard.ShardOptions(shard_size=4, min_count=1))
    return folder


@pytest.fixture(scope="session")
def mixed(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cat and two JPEGs of it, an apple and its byte copy, two hands that differ in tone, a heart whose tags, artist
    and name bite where a page runs them, a file that is no picture: nine files, deduplicated. Not to be changed."""
    home: Path = tmp_path_factory.mktemp("mixed")
    source = home / "s"
    source.mkdir()
    for name in ("1F408.png", "1F34E.png", "1F44B-1F3FB.png", "1F44B-1F3FF.png"):
        shutil.copy(art / name, source)
        shutil.copy(art / f"{name}.json", source)
    for number, quality in enumerate((90, 70)):
        with Image.open(art / "1F408.png") as picture:
            picture.convert("RGB").resize((200, 200)).save(file := io.BytesIO(), "JPEG", quality=quality)
        (source / f"cat{number}.jpg").write_bytes(file.getvalue())
    (source / "cat0.txt").write_text("asleep")
    shutil.copy(art / "1F34E.png", source / "apple again.png")
    biting = HOSTILE[4].replace("/", " ") + ".png"  # no slash goes into a name, and a space parts attributes as well
    shutil.copy(art / "1F499.png", source / biting)
    (source / f"{biting}.json").write_text(json.dumps({"tags": HOSTILE, "artist": HOSTILE[0], "license": HOSTILE[3]}))
    (source / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    extract.extract([Source("s", source)], home / "d", extract.ExtractOptions(("contour", "dilate")), part_size=4)
    dedupe.dedupe(home / "d", dedupe.DedupeOptions())
    return home / "d"


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture
def run() -> Callable[..., Any]:
    """Call `curate` in this process; returns the parsed JSON of a command that succeeds."""
    from click.testing import CliRunner

    from curate.cli import main

    def call(*arguments: object) -> Any:
        result = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return call


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A real S3 server on this host, and its bucket s3://bucket, empty."""
    import s3fs

    server, address = _served()
    told = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in {**told, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
    yield server
    end(server)
    s3fs.S3FileSystem.clear_instance_cache()


def _served() -> tuple[subprocess.Popen[bytes], str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert server.poll() is None
            time.sleep(0.05)
        else:
            return server, f"http://127.0.0.1:{port}"
