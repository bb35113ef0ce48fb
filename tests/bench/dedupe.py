"""Plant edited copies among real art, and measure which share of each edit dedupe finds and what it joins wrongly.

Half of the sources (and of the random choices of edits) is for tuning, the other half for reporting.

With --peers FOLDER, which holds the packages that tests/peers.py describes, imagededup's PHash reads the same files.

Run: python -m tests.bench.dedupe [ART] [--sources N] [--half report] [--mirror] [--peers FOLDER] [--work FOLDER]
[--json]
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pandas as pd

from curate.deduplication import dedupe
from curate.extraction import extract
from curate.images.array_types import Rgb
from curate.images.decode import decode
from curate.sources.scan import Source
from curate.system.hashing import usable_cores
from curate.workers import executor
from tests.peers import imagededup

Edit = Callable[[Rgb, np.random.Generator], Rgb]


def resized(scale: float) -> Edit:
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return lambda rgb, _: np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=method), np.uint8)


def cropped(share: float) -> Edit:
    """Crop `share` of the height and of the width, at a random place."""

    def edit(rgb: Rgb, random: np.random.Generator) -> Rgb:
        height, width, _ = rgb.shape
        cut = round(share * height), round(share * width)
        top, left = (int(random.integers(0, removed + 1)) for removed in cut)
        return rgb[top : top + height - cut[0], left : left + width - cut[1]]

    return edit


def padded(rgb: Rgb, _: np.random.Generator) -> Rgb:
    pad = rgb.shape[0] // 10
    return np.asarray(cv2.copyMakeBorder(rgb, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(255,) * 3), np.uint8)


def turned(rgb: Rgb, random: np.random.Generator) -> Rgb:
    height, width, _ = rgb.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 2.0 * random.choice([-1, 1]), 1)
    return np.asarray(cv2.warpAffine(rgb, turn, (width, height), borderValue=(255,) * 3), np.uint8)


def hued(degrees: int) -> Edit:
    def edit(rgb: Rgb, _: np.random.Generator) -> Rgb:
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + degrees // 2) % 180
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)

    return edit


def grayed(rgb: Rgb, _: np.random.Generator) -> Rgb:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def brighter(rgb: Rgb, _: np.random.Generator) -> Rgb:
    return np.asarray(cv2.convertScaleAbs(rgb, alpha=1.1, beta=10), np.uint8)


def blurred(rgb: Rgb, _: np.random.Generator) -> Rgb:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), rgb.shape[0] / 400), np.uint8)


def watermarked(rgb: Rgb, random: np.random.Generator) -> Rgb:
    height, width, _ = rgb.shape
    layer = rgb.copy()
    place = int(random.integers(0, width // 3)), int(random.integers(height // 8, height))
    cv2.putText(layer, "example.org", place, cv2.FONT_HERSHEY_SIMPLEX, height / 500, (128, 128, 128), 2, cv2.LINE_AA)
    return np.asarray(cv2.addWeighted(layer, 0.4, rgb, 0.6, 0), np.uint8)


def as_is(rgb: Rgb, _: np.random.Generator) -> Rgb:
    return rgb


EDITS: dict[str, tuple[Edit, str, int]] = {
    # name: (edit, suffix, JPEG quality); PNG is lossless
    "bytes": (as_is, "bytes", 0),
    "jpeg 90": (as_is, "jpg", 90),
    "jpeg 40": (as_is, "jpg", 40),
    "half": (resized(0.5), "png", 0),
    "half, jpeg 40": (resized(0.5), "jpg", 40),
    "150 %": (resized(1.5), "png", 0),
    "brighter": (brighter, "png", 0),
    "blurred": (blurred, "png", 0),
    "watermark": (watermarked, "png", 0),
    "pad 10 %": (padded, "png", 0),
    "crop 3 %": (cropped(0.03), "png", 0),
    "crop 10 %": (cropped(0.1), "png", 0),
    "turn 2": (turned, "png", 0),
    "flip": (lambda rgb, _: rgb[:, ::-1], "png", 0),
    "turn 90": (lambda rgb, _: np.rot90(rgb), "png", 0),
    "hue 30": (hued(30), "png", 0),
    "hue 180": (hued(180), "png", 0),
    "gray": (grayed, "png", 0),
}
RECOLORS = ("hue 30", "hue 180", "gray")


def plant(task: tuple[Path, Path, int]) -> int:
    """Write every edit of one source, and return their number."""
    source, folder, seed = task
    rgb = decode(source.read_bytes()).rgb
    for number, (name, (edit, suffix, quality)) in enumerate(EDITS.items()):
        path = folder / f"{source.stem}~{name.replace(' ', '_')}"
        if suffix == "bytes":
            path.with_name(path.name + ".png").write_bytes(source.read_bytes())
            continue
        key = int.from_bytes(sha256(f"{seed} {source.stem} {number}".encode()).digest()[:4], "big")
        picture = np.ascontiguousarray(edit(rgb, np.random.default_rng(key))[..., ::-1])
        options = [cv2.IMWRITE_JPEG_QUALITY, quality] if quality else []
        cv2.imwrite(str(path.with_name(f"{path.name}.{suffix}")), picture, options)
    return len(EDITS)


def colored(path: Path) -> bool:
    """Whether a picture has hues to change: a picture in grays has no recolours."""
    rgb = decode(path.read_bytes()).rgb
    return float((np.ptp(rgb, axis=2) > 60).mean()) > 0.02


def sources(art: Path, half: str, count: int) -> list[Path]:
    """Coloured drawings of one half, one for each family of skin tones, in the order of the hashes of their names."""
    paths = sorted(art.glob("*.png"), key=lambda path: sha256(path.name.encode()).digest())
    plain = [path for path in paths if not any(f"1F3F{last}" in path.stem for last in "BCDEF")]
    chosen = plain[::2] if half == "tune" else plain[1::2]
    return [path for path in chosen if colored(path)][:count]


def drawing(path: Path) -> tuple[str, str]:
    """A file's stem and a digest of its pixels. OpenMoji has some drawings under several names, in different files."""
    return path.stem, sha256(decode(path.read_bytes()).rgb.tobytes()).hexdigest()


def drawings(art: Path) -> dict[str, str]:
    """The digest of the pixels of each picture, by its stem."""
    return dict(executor.run(drawing, sorted(art.glob("*.png")), usable_cores()))


def report(manifest: pd.DataFrame, draws: dict[str, str]) -> dict[str, Any]:
    """Recall by edit (as duplicates, as look-alikes of either kind), and the precision of duplicates."""
    manifest = manifest.assign(stem=manifest["path"].str.rsplit(".", n=1).str[0])
    originals = {row["stem"]: row for row in manifest[manifest["source"] == "art"].to_dict("records")}
    copies = manifest[manifest["source"] == "copies"]
    joined: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    stems_by_drawing: dict[str, list[str]] = defaultdict(list)
    for stem in originals:
        stems_by_drawing[draws[stem]].append(stem)
    for row in copies.to_dict("records"):
        stem, name = row["stem"].split("~")
        if "straddles" in {row["dropped"], originals[stem]["dropped"]}:
            continue  # it looks like pictures of two splits, so it has no family
        same_drawings = [originals[same] for same in stems_by_drawing[draws[stem]]]
        # null equals nothing, not even null
        in_group, in_family = (
            any(row[column] == drawing[column] for drawing in same_drawings) for column in ("group", "family")
        )
        joined[name].append((in_group, in_family))
    edits = {
        name: {"duplicate": float(np.mean([d for d, _ in pairs])), "alike": float(np.mean([a for _, a in pairs]))}
        for name, pairs in ((name, joined[name.replace(" ", "_")]) for name in EDITS)
    }
    return {"pictures": len(manifest), "copies": len(copies), "edits": edits, "precision": precision(manifest, draws)}


def precision(manifest: pd.DataFrame, draws: dict[str, str]) -> dict[str, Any]:
    """The share of pairs (duplicate, survivor) that show one drawing or are the same bytes, and the wrong pairs."""
    drawn = manifest["stem"].str.split("~").str[0].map(draws)
    survivor = pd.Series(drawn.to_numpy(), index=manifest["id"]).groupby(level=0).first()
    name = pd.Series(manifest["stem"].to_numpy(), index=manifest["id"]).groupby(level=0).first()
    dropped = manifest[manifest["role"] == "duplicate"]
    right = (drawn[dropped.index].to_numpy() == survivor.reindex(dropped["duplicate_of"]).to_numpy()) | (
        dropped["id"].to_numpy() == dropped["duplicate_of"].to_numpy()
    )
    wrong = dropped[~right]
    pairs = sorted({(a, b) for a, b in zip(wrong["stem"], name.reindex(wrong["duplicate_of"]), strict=True)})
    return {"duplicates": len(dropped), "right": float(right.mean()), "wrong": [list(pair) for pair in pairs]}


def peer(peers: Path, art: Path, copies: Path, folder: Path, draws: dict[str, str]) -> dict[str, Any]:
    """imagededup's recall by edit on the same files, and the share of its pairs that show one drawing."""
    folder.mkdir()
    for path in (*art.glob("*.png"), *copies.iterdir()):
        (folder / path.name).symlink_to(path.resolve())
    pairs = imagededup(peers, folder)
    stems = {tuple(sorted(name.rsplit(".", 1)[0] for name in pair)) for pair in pairs}
    right = [len({draws[stem.split("~")[0]] for stem in pair}) == 1 for pair in stems]
    planted = {path.stem for path in copies.iterdir()}
    recall: dict[str, list[bool]] = defaultdict(list)
    for stem in sorted(planted):
        drawing, edit = stem.split("~")
        recall[edit.replace("_", " ")].append((drawing, stem) in stems)
    edits = {name: float(np.mean(hits)) for name, hits in recall.items()}
    return {"pairs": len(stems), "precision": float(np.mean(right)), "edits": edits}


@click.command()
@click.argument("art", type=click.Path(path_type=Path, exists=True), default="demo/art")
@click.option("--sources", "count", type=click.IntRange(1), default=200, show_default=True)
@click.option("--half", type=click.Choice(["tune", "report"]), default="report", show_default=True)
@click.option("--mirror", is_flag=True, help="As in curate dedupe.")
@click.option("--peers", type=click.Path(path_type=Path, exists=True), help="Folder with imagededup, to compare with.")
@click.option("--work", type=click.Path(path_type=Path), help="Keep the pictures and the dataset here.")
@click.option("--json", "as_json", is_flag=True)
def main(art: Path, count: int, half: str, mirror: bool, peers: Path | None, work: Path | None, as_json: bool) -> None:
    """Plant copies of COUNT drawings beside all of ART, extract, dedupe, and print what was found."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        copies, dataset = folder / "copies", folder / "dataset"
        copies.mkdir(parents=True, exist_ok=True)
        tasks = [(path, copies, len(half)) for path in sources(art, half, count)]
        for _ in executor.run(plant, tasks, usable_cores()):
            pass
        options = extract.ExtractOptions(lines=("dilate",), keep_monochrome=True)
        extract.extract([Source("art", art), Source("copies", copies)], dataset, options, workers=usable_cores())
        dedupe.dedupe(dataset, dedupe.DedupeOptions(mirror=mirror))
        draws = drawings(art)
        result = report(pd.read_parquet(dataset / "manifest"), draws)
        if peers:
            result["imagededup"] = peer(peers, art, copies, folder / "together", draws)
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{result['copies']} copies among {result['pictures']} pictures; share found as duplicate, as look-alike"
    )
    imagededup_result = result.get("imagededup", {"edits": {}})
    for name, shares in result["edits"].items():
        peer_recalls = imagededup_result["edits"]
        peer_text = f"  imagededup {peer_recalls[name]:.3f}" if name in peer_recalls else ""
        click.echo(f"{name:15} {shares['duplicate']:.3f}  {shares['alike']:.3f}{peer_text}")
    joins = result["precision"]
    click.echo(f"precision of {joins['duplicates']} duplicates: {joins['right']:.4f}; wrong: {joins['wrong']}")
    if peers:
        click.echo(f"imagededup: {imagededup_result['pairs']} pairs, precision {imagededup_result['precision']:.4f}")


if __name__ == "__main__":
    main()
