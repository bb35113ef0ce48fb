"""Compare the families that dedupe finds in the OpenMoji sample with those that its file names give.

Run: python -m tests.bench.families demo/dataset [--art demo/art] [--list] [--json]
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import click
import cv2
import numpy as np
import pandas as pd

from curate.images.decode import decode
from curate.images.lineart import opencv_gray
from curate.sources.sample_art import line_art_folder, without_skin_tones
from curate.tags.normalize import COLORS, split_color

SAME_DRAWING = 0.7  # least intersection over union of the artists' own lines, widened by 1 px at 128 px


def true_families(manifest: pd.DataFrame) -> dict[str, list[int]]:
    """Row numbers by family: file names that differ only by skin tone, or titles that differ only by colour."""
    rows_by_code: dict[str, list[int]] = defaultdict(list)
    rows_by_noun: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (path, tags) in enumerate(zip(manifest["path"], manifest["own_tags"], strict=True)):
        rows_by_code[without_skin_tones(PurePosixPath(path).stem)].append(row)
        title = next((tag for tag in tags if ":" not in tag), "")
        color, noun = split_color(title) or ("", "")
        if color in COLORS and noun:
            rows_by_noun[noun][color] = row
    tones = {f"tone {code}": rows for code, rows in rows_by_code.items() if len(rows) > 1}
    return tones | {f"color {noun}": [*rows.values()] for noun, rows in rows_by_noun.items() if len(rows) > 1}


def report(manifest: pd.DataFrame, art: Path | None) -> dict[str, Any]:
    """Counts of families that are whole or split, of dropped members, and of different drawings that are joined."""
    families = true_families(manifest)
    kinds = {kind: {k: rows for k, rows in families.items() if k.startswith(kind)} for kind in ("tone", "color")}
    return {kind: _against(manifest, members) for kind, members in kinds.items()} | _strangers(
        manifest, kinds["tone"], art
    )


def _against(manifest: pd.DataFrame, families: Mapping[str, list[int]]) -> dict[str, Any]:
    family, dropped = manifest["family"], manifest["dropped"]
    whole = [name for name, rows in families.items() if len(family.iloc[rows].unique()) == 1]
    rows = [row for members in families.values() for row in members]
    twins = manifest["duplicate_of"].iloc[rows] == manifest["id"].iloc[rows]
    splits = [
        manifest.iloc[members].query("dropped.isnull()", engine="python")["split"].nunique()
        for members in families.values()
    ]
    return {
        "families": len(families),
        "pictures": len(rows),
        "whole": len(whole),
        "split": sorted(set(families) - set(whole)),
        "straddling_splits": sum(count > 1 for count in splits),
        "dropped": dict(Counter(dropped.iloc[rows].dropna())),
        "dropped_as_duplicate_but_no_byte_copy": int(((dropped.iloc[rows] == "duplicate") & ~twins).sum()),
    }


def _strangers(manifest: pd.DataFrame, tones: Mapping[str, list[int]], art: Path | None) -> dict[str, Any]:
    """Families of dedupe that join several of OpenMoji; given `art`, how many of them differ in the artists' lines."""
    bases = manifest["path"].map(lambda path: without_skin_tones(PurePosixPath(path).stem))
    members = bases.groupby(manifest["family"]).unique()
    mixed = members[members.map(len) > 1]
    toned = {name.removeprefix("tone ") for name in tones}
    joined = sum(len(set(names) & toned) for names in mixed)
    result: dict[str, Any] = {
        "found_families": int((manifest["family"].value_counts() > 1).sum()),
        "found_families_of_several_names": len(mixed),
        "tone_families_joined_with_others": joined,
        "largest": int(manifest["family"].value_counts().max()),
    }
    if art is not None:
        same = [_same_drawing(art, names[0], name) for names in mixed for name in names[1:]]
        result |= {"names_joined": len(same), "of_them_strangers_by_the_artists_lines": same.count(False)}
    return result


def _same_drawing(art: Path, first: str, second: str) -> bool:
    a, b = (_ink(art, code) for code in (first, second))
    wide = [cv2.dilate(mask, np.ones((3, 3), np.uint8)) for mask in (a, b)]
    covered = (int((a & wide[1]).sum()) + int((b & wide[0]).sum())) / max(1, int(a.sum()) + int(b.sum()))
    return covered >= SAME_DRAWING


@lru_cache(maxsize=1)
def _drawings(folder: Path) -> dict[str, Path]:
    """The first drawing of each family, by its base code."""
    return {without_skin_tones(path.stem): path for path in sorted(folder.glob("*.png"), reverse=True)}


def _ink(art: Path, code: str) -> Any:
    """The artists' lines of a family's first tone, trimmed and scaled to 128 px to ignore size and place."""
    path = _drawings(line_art_folder(art))[code]
    ink = (opencv_gray(decode(path.read_bytes()).rgb) < 128).astype(np.uint8)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return np.zeros((128, 128), np.uint8)
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (cv2.resize(cut * 255, (128, 128), interpolation=cv2.INTER_AREA) > 100).astype(np.uint8)


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option(
    "--art",
    type=click.Path(path_type=Path, exists=True),
    help="Judge joined families by the artists' lines in ART.lines.",
)
@click.option("--list", "listed", is_flag=True, help="Print every family with the fates of its members.")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, art: Path | None, listed: bool, as_json: bool) -> None:
    """Count the families in DATASET/manifest that are whole, split or joined with different drawings."""
    manifest = pd.read_parquet(dataset / "manifest")
    if listed:
        for name, rows in true_families(manifest).items():
            click.echo(
                f"{name}: " + ", ".join(f"{manifest['path'][row]} {manifest['dropped'][row] or 'kept'}" for row in rows)
            )
    result = report(manifest, art)
    click.echo(json.dumps(result) if as_json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
