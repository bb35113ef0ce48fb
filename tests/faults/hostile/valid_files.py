"""Small valid files of every kind that is read; mutations start from them. Equal in every run of one environment."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.shards import shard
from curate.sources.scan import Source

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 6"><defs><linearGradient id="g"><stop stop-color="red"/>'
    b'<stop offset="1" stop-color="#00f"/></linearGradient><filter id="f"><feGaussianBlur stdDeviation=".1"/></filter>'
    b'</defs><g id="a"><rect width="4" height="3" fill="url(#g)" filter="url(#f)"/></g><use href="#a" x="3" y="2"/>'
    b'<path d="M0 0 C1 2 3 4 5 6 Z" stroke="#080" stroke-width=".5" fill="none"/></svg>'
)
POST = {
    "id": 7,
    "md5": "0" * 32,
    "rating": "g",
    "score": 3,
    "tag_string": "blue_hair smile 1girl",
    "tag_string_artist": "someone",
    "source": "https://example.org/7",
    "nested": {"up": [1, 2.5, None, True], "text": "snow \u96ea"},
}


def drawing(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3) uint8: coloured boxes with black outlines."""
    rng = np.random.default_rng(seed)
    rgb = np.full((height, width, 3), 255, np.uint8)
    for _ in range(4):
        top, left = rng.integers(0, height - 4), rng.integers(0, width - 4)
        rgb[top : top + height // 2, left : left + width // 2] = 0
        rgb[top + 1 : top + height // 2 - 1, left + 1 : left + width // 2 - 1] = rng.integers(60, 255, 3)
    return rgb


def _encode(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pictures() -> dict[str, list[bytes]]:
    """Tiny pictures by format."""
    rgb = Image.fromarray(drawing(1, 9, 12))
    rgba, palette = rgb.convert("RGBA"), rgb.convert("P")
    rgba.putpixel((2, 2), (9, 9, 9, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [Image.fromarray(drawing(2, 9, 12))]}
    deep = Image.fromarray(drawing(3, 9, 12)[..., 0].astype(np.uint16) * 257)
    return {
        "png": [
            _encode(rgb, "PNG"),
            _encode(rgba, "PNG"),
            _encode(deep, "PNG"),
            _encode(palette, "PNG", transparency=1),
        ],
        "apng": [_encode(rgb, "PNG", **more)],
        "jpeg": [
            _encode(rgb, "JPEG", exif=exif),
            _encode(rgb, "JPEG", progressive=True),
            _encode(rgb.convert("CMYK"), "JPEG"),
        ],
        "webp": [_encode(rgba, "WEBP", lossless=True), _encode(rgb, "WEBP"), _encode(rgb, "WEBP", **more)],
        "gif": [_encode(palette, "GIF"), _encode(rgb, "GIF", **more)],
        "bmp": [_encode(rgb, "BMP"), _encode(palette, "BMP")],
        "tiff": [
            *(_encode(rgb, "TIFF", compression=name) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
            _encode(rgb.convert("1"), "TIFF", compression="group4"),
            _encode(deep, "TIFF", **more),
        ],
        "avif": [_encode(rgb, "AVIF", speed=10)],
        "svg": [SVG],
    }


def texts() -> dict[str, list[bytes]]:
    """Sidecars, tables and tag rules by file name."""
    post, minimal_post = json.dumps(POST).encode(), {"tags": "smile, blue hair", "artist": "x"}
    files = [{"file_name": "a.png", "text": "smile, blue hair"}, {"file_name": "b/c.png", "tags": "red"}]
    columns = {"id": [7, 8], "md5": ["0" * 32, "1" * 32], "tags": [["a"], ["b", "c"]], "score": [1, None]}
    parquet = io.BytesIO()
    pq.write_table(pa.table(columns), parquet, compression="zstd")
    return {
        "a.png.json": [post, json.dumps(minimal_post, indent=1).encode()],
        "a.png.txt": [b"blue hair, smile, artist:someone\n", b"blue hair\nsmile\ncreator:x\n"],
        "posts.jsonl": [b"".join(json.dumps(POST | {"id": n}).encode() + b"\n" for n in range(3))],
        "posts.json": [json.dumps([POST, POST | {"id": 8}]).encode(), post + b"\n" + post],
        "metadata.jsonl": [b"".join(json.dumps(entry).encode() + b"\n" for entry in files)],
        "metadata.csv": [b'file_name,text,score\r\na.png,"smile, blue hair",3\r\nb/c.png,"a ""b""\n",\r\n'],
        "meta_cap.json": [json.dumps({"a": {"tags": "x, y"}, "/m/b/c.png": {"caption": "z"}}).encode()],
        "posts.parquet": [parquet.getvalue()],
        "aliases": [b"# of colours\nblond_hair,blonde_hair\ngrey\tgray\n"],
        "implications": [b"cat_ears,animal_ears\nanimal_ears,ears\n"],
    }


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Let `make` fill `folder` unless it exists. If two processes make it at once, one result is kept."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(mkdtemp(dir=folder.parent))
        make(unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            shutil.rmtree(unfinished)
    return folder


def dataset_and_shards(folder: Path) -> Path:
    """Make a folder with `art`, `dataset` and `shards` at 16 px."""

    def make(target: Path) -> None:
        (target / "art").mkdir()
        for number in range(6):
            Image.fromarray(drawing(number, 24, 30)).save(target / "art" / f"{number}.png")
            (target / "art" / f"{number}.txt").write_text(f"blue_hair, tag{number % 2}\n")
        source = [Source("art", target / "art")]
        extract.extract(source, target / "dataset", extract.ExtractOptions(lines=("dilate",), size=16))
        dedupe.dedupe(target / "dataset", dedupe.DedupeOptions(shares=SplitShares(0.6, 0.2, 0.2)))
        shard.shard(target / "dataset", target / "shards", shard.ShardOptions(shard_size=3, min_count=1))

    return make_once(folder, make)


def run_folder(folder: Path, data: Path) -> Path:
    """Make a folder with a `run`, whose model is untrained; `train` reads it like any other."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from train.config import override
    from train.data.pairs import open_index
    from train.model import networks, snapshots, trained_model  # the first import of TensorFlow
    from train.presets import preset_config
    from train.training.run_folder import prepare_run_folder

    settings = ("width=2", "levels=2", "tag_width=2", "discriminator_width=2", "half_until=0")

    def make(target: Path) -> None:
        config = override(preset_config("tags", gpu=False), settings)
        index = open_index(data / "shards")
        prepare_run_folder(data / "shards", target / "run", config, fresh=False)
        generator = networks.generator(config, index.size, len((target / "run/vocabulary.txt").read_text().split()))
        trained_model.save_model(target / "run", generator)
        state = {f"average/{place:03d}": weight for place, weight in enumerate(generator.weights[:3])}
        snapshots.save(target / "run", snapshots.TrainingClock(4, 32, 1.5), state)

    return make_once(folder, make)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk with a correct checksum."""
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
