"""Compare extract's pictures per CPU second with scripts that a user would write, and with decoding alone.

The pictures are JPEGs (quality 90) of 1 to 2 megapixels: pages of OpenMoji's drawings, 1,000 to 1,414 px wide. All take
turns on one core. The ratio of a round is of CPU seconds; the median of the rounds is reported.

Run: python -m tests.bench.extract [--pictures 48] [--rounds 5] [--json]
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image, ImageChops, ImageFilter

from curate.dataset import ledger
from curate.extraction.extract import ExtractOptions
from curate.extraction.part import PartTask, extract_part
from curate.images import lineart
from curate.images.array_types import Rgb
from curate.images.decode import decode
from curate.images.lanczos import resize_lanczos
from curate.images.png import encode_png
from curate.images.resample import pillow_luma
from curate.images.square import letterbox
from curate.images.svg import render_svg_text
from curate.signatures import phash
from curate.sources.sample_art import _drawings, read_svg
from curate.sources.scan import Source, scan_sources
from curate.workers import executor

SIDES = (1000, 1414)  # the shortest and longest longer side, px
QUALITY = 90
ACROSS = 5  # drawings in a row of a page, which gives as many bytes per pixel as in illustrations


def pictures(folder: Path, count: int, sides: tuple[int, int] = SIDES) -> list[Path]:
    """JPEGs of different sizes: pages of random drawings, as dense as an illustration."""
    codes, random = [drawing.code for drawing in _drawings()], np.random.default_rng(0)
    for number in range(count):
        side = int(random.integers(*sides)) // ACROSS
        drawn = [decode(render_svg_text(read_svg(code), side, "white")).rgb for code in random.choice(codes, ACROSS**2)]
        squares = [letterbox(rgb, side) for rgb in drawn]
        page = np.vstack([np.hstack(squares[row * ACROSS : (row + 1) * ACROSS]) for row in range(ACROSS)])
        height, width = (length - int(random.integers(0, length // 8)) for length in page.shape[:2])
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        cv2.imwrite(str(folder / f"{number:03d}.jpg"), np.ascontiguousarray(page[:height, :width, ::-1]), options)
    return sorted(folder.iterdir())


def by_pillow(paths: list[Path], out: Path) -> None:
    """A script with Pillow and imagehash; lines by a maximum filter."""
    rows = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        gray = image.convert("L")
        lines = ImageChops.invert(ImageChops.difference(gray.filter(ImageFilter.MaxFilter(5)), gray))
        for name, picture in (("color", image), ("line", lines)):
            picture.resize((128, 128), Image.Resampling.BOX).save(out / f"{path.stem}.{name}.png")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append({"path": path.name, "sha256": digest, "phash": str(imagehash.phash(image))})
    pd.DataFrame(rows).to_parquet(out / "rows.parquet")


def by_opencv(paths: list[Path], out: Path) -> None:
    """The same script with OpenCV and imagehash."""
    rows = []
    for path in paths:
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        lines = 255 - cv2.absdiff(cv2.dilate(gray, np.ones((5, 5), np.uint8)), gray)
        for name, picture in (("color", image), ("line", lines)):
            small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(out / f"{path.stem}.{name}.png"), small)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        hashed = imagehash.phash(Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))
        rows.append({"path": path.name, "sha256": digest, "phash": str(hashed)})
    pd.DataFrame(rows).to_parquet(out / "rows.parquet")


def decoding(paths: list[Path], _: Path) -> None:
    """OpenCV's decoder alone."""
    for path in paths:
        cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


def ours(lines: str) -> Callable[[list[Path], Path], None]:
    """Extract's work on one part: everything that dedupe and training need, written as rows and pairs."""

    def run(paths: list[Path], out: Path) -> None:
        for folder in ("records", "pairs"):
            (out / folder).mkdir(exist_ok=True)
        (out / ledger.LEDGER_FILE).write_text("{}")
        files = tuple(scan_sources([Source("bench", paths[0].parent)]))
        extract_part(
            PartTask(0, files, out, ExtractOptions(lines=(lines,), keep_monochrome=True), (None,) * len(files))
        )

    return run


def bare(encode: Callable[[Rgb], bytes]) -> Callable[[list[Path], Path], None]:
    """The scripts' results, made with extract's own functions: the least time that extract could take."""

    def run(paths: list[Path], out: Path) -> None:
        rows = []
        for path in paths:
            data = path.read_bytes()
            rgb = decode(data).rgb
            for name, picture in (("color", rgb), ("line", lineart.dilate(rgb))):
                (out / f"{path.stem}.{name}.png").write_bytes(encode(letterbox(picture, 128)))
            digest = hashlib.sha256(data).hexdigest()
            rows.append(
                {
                    "path": path.name,
                    "sha256": digest,
                    "phash": phash.phash_from_luma32(resize_lanczos(pillow_luma(rgb))),
                }
            )
        pd.DataFrame(rows).to_parquet(out / "rows.parquet")

    return run


WAYS: dict[str, Callable[[list[Path], Path], None]] = {
    "ours, dilate": ours("dilate"),
    "ours, contour": ours("contour"),
    "ours, no more than scripts": bare(encode_png),
    "ours, no PNG either": bare(lambda pixels: pixels.tobytes()),
    "Pillow and imagehash": by_pillow,
    "OpenCV and imagehash": by_opencv,
    "decoding alone": decoding,
}


def report(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """Pictures per CPU second of every way, and how many times faster each of ours is."""
    executor.set_up_worker()  # as in extract's workers; it helps the scripts too
    (folder / "art").mkdir()
    paths = pictures(folder / "art", count)
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(rounds + 1):
        for name, way in WAYS.items():
            out = folder / f"{turn}-{name}"
            out.mkdir()
            started = time.process_time()
            way(paths, out)
            spent[name].append(time.process_time() - started)
    megapixels = float(np.mean([np.prod(decode(path.read_bytes()).rgb.shape[:2]) for path in paths]) / 1e6)
    size = sum(path.stat().st_size for path in paths) / len(paths)
    figures: dict[str, Any] = {
        "pictures": len(paths),
        "megapixels": megapixels,
        "bytes_a_pixel": size / megapixels / 1e6,
    }
    figures["per_cpu_second"] = {name: len(paths) / median(seconds[1:]) for name, seconds in spent.items()}
    for name in ("ours, dilate", "ours, contour"):
        figures[f"speed of {name}"] = {
            peer: median(peers / ours for ours, peers in list(zip(spent[name], seconds, strict=True))[1:])
            for peer, seconds in spent.items()
            if not peer.startswith("ours")
        }
    return figures


@click.command()
@click.option("--pictures", "count", type=click.IntRange(8), default=48, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="After one to warm up.")
@click.option("--json", "as_json", is_flag=True)
def main(count: int, rounds: int, as_json: bool) -> None:
    """Time all ways on COUNT pictures, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        figures = report(Path(folder), count, rounds)
    if as_json:
        click.echo(json.dumps(figures))
        return
    click.echo("{pictures} JPEGs of {megapixels:.2f} megapixels, {bytes_a_pixel:.2f} bytes per pixel".format(**figures))
    for name, speed in figures["per_cpu_second"].items():
        click.echo(f"{name:27} {speed:7.1f} pictures per CPU second")
    for name in ("ours, dilate", "ours, contour"):
        ratios = ", ".join(f"{ratio:.2f} times {peer}" for peer, ratio in figures[f"speed of {name}"].items())
        click.echo(f"{name}: {ratios}")


if __name__ == "__main__":
    main()
