"""Compare every line-art method with the artists' own lines of OpenMoji, at 128 px.

Three kinds of picture: as drawn, with the outline in brown, and with the outline removed (only fills). A pixel is right
if it is within 1 px. The threshold of each method and kind is tuned on a third of the pictures; the rest are reported.

Run: python -m tests.bench.lineart [--pictures N] [--methods contour,hed] [--json]
hed takes seconds per picture.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt

from curate.extraction.record import parse_line_methods
from curate.images.array_types import Gray, Rgb
from curate.images.decode import decode
from curate.images.lineart import LINE_METHODS
from curate.images.square import letterbox
from curate.images.svg import render_svg_text
from curate.sources.sample_art import LINE_GROUP_IDS, _drawings, read_svg

SIZE, PAIR = 512, 128  # px of the sample, and of stored pairs
BROWN = "#6b4423"
FAR = 5.0  # px, the cap of a chamfer distance
THRESHOLDS = (*range(20, 240, 20), 240, 246, 250, 252, 253, 254, 255)  # darker grays are ink
NEAR = np.ones((3, 3), np.uint8)

Mask = npt.NDArray[np.bool_]


def as_drawn(root: ET.Element) -> None:
    """The picture as it is."""


def brown(root: ET.Element) -> None:
    """Black strokes and fills of the line groups become brown."""
    for group in line_groups(root):
        group.set("fill", BROWN)  # for shapes that name no colour and would be black
        for shape in group.iter():
            for name in ("stroke", "fill", "style"):
                if value := shape.get(name):
                    shape.set(name, re.sub(r"#(?:000){1,2}\b|\bblack\b", BROWN, value))


def no_outline(root: ET.Element) -> None:
    """The line groups are removed."""
    for group in line_groups(root):
        root.remove(group)


def line_groups(root: ET.Element) -> list[ET.Element]:
    return [child for child in root if child.get("id") in LINE_GROUP_IDS]


KINDS: dict[str, Callable[[ET.Element], None]] = {"drawn": as_drawn, "brown": brown, "removed": no_outline}


def variant(svg: str, change: Callable[[ET.Element], None]) -> Rgb:
    root = ET.fromstring(svg)
    change(root)
    return decode(render_svg_text(ET.tostring(root, encoding="unicode"), SIZE, "white")).rgb


def only_lines(root: ET.Element) -> None:
    for child in list(root):
        if child.get("id") not in LINE_GROUP_IDS:
            root.remove(child)


@dataclass(frozen=True)
class Score:
    """How ink agrees with the truth: F1, precision and recall within 1 px; chamfer distance in px, at most FAR."""

    f1: float
    precision: float
    recall: float
    chamfer: float


def score(ink: Mask, truth: Mask) -> Score:
    precision = share(ink, near(truth))
    recall = share(truth, near(ink))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Score(f1, precision, recall, (distance(ink, truth) + distance(truth, ink)) / 2)


def near(ink: Mask) -> Mask:
    return cv2.dilate(ink.astype(np.uint8), NEAR).astype(bool)


def share(ink: Mask, inside: Mask) -> float:
    """Share of `ink` that is `inside`. Without ink: 1 if `inside` is empty too, else 0."""
    return float((ink & inside).sum() / ink.sum()) if ink.any() else float(not inside.any())


def distance(ink: Mask, target: Mask) -> float:
    """Mean distance of ink from the nearest pixel of `target`, px, at most FAR each."""
    if not ink.any() or not target.any():
        return 0.0 if ink.any() == target.any() else FAR
    distances = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.minimum(distances[ink], FAR).mean())


def against(lines: list[Gray], truths: list[Mask]) -> dict[str, float]:
    """Mean scores of all pictures except the third on which the threshold is tuned."""
    tuned = len(lines) // 3

    def mean_f1(threshold: int) -> float:
        tuning = zip(lines[:tuned], truths[:tuned], strict=True)
        return float(np.mean([score(line < threshold, truth).f1 for line, truth in tuning]))

    best = max(THRESHOLDS, key=mean_f1)
    scores = [score(line < best, truth) for line, truth in zip(lines[tuned:], truths[tuned:], strict=True)]
    means = {name: float(np.mean([getattr(each, name) for each in scores])) for name in Score.__dataclass_fields__}
    return {name: round(value, 4) for name, value in means.items()} | {"threshold": best}


def report(pictures: int, methods: tuple[str, ...]) -> dict[str, Any]:
    """Scores by method and kind of `pictures` drawings, chosen by the hash of their names."""
    codes = sorted((drawing.code for drawing in _drawings()), key=lambda code: sha256(code.encode()).digest())
    svgs = [svg for code in codes if line_groups(ET.fromstring(svg := read_svg(code)))][:pictures]
    truths = [letterbox(variant(svg, only_lines)[..., 0], PAIR) < 128 for svg in svgs]
    scores: dict[str, dict[str, Any]] = {name: {} for name in methods}
    for kind, change in KINDS.items():
        drawn: dict[str, list[Gray]] = {name: [] for name in methods}
        for svg in svgs:
            picture = variant(svg, change)
            for name in methods:
                drawn[name].append(letterbox(LINE_METHODS[name](picture), PAIR))
        for name, lines in drawn.items():
            scores[name][kind] = against(lines, truths)
    return {"pictures": len(svgs), "reported": len(svgs) - len(svgs) // 3, "methods": scores}


@click.command()
@click.option("--pictures", type=click.IntRange(3), default=450, show_default=True)
@click.option("--methods", default=",".join(LINE_METHODS), show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(pictures: int, methods: str, as_json: bool) -> None:
    """Print F1 (precision/recall, chamfer in px) of each method, by kind of picture."""
    result = report(pictures, parse_line_methods(methods))
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"{result['reported']} of {result['pictures']} pictures; F1 (precision/recall, chamfer px)")
    for name, kinds in result["methods"].items():
        cells = [
            f"{k} {v['f1']:.3f} ({v['precision']:.2f}/{v['recall']:.2f}, {v['chamfer']:.2f})" for k, v in kinds.items()
        ]
        click.echo(f"{name:9} " + "  ".join(cells))


if __name__ == "__main__":
    main()
