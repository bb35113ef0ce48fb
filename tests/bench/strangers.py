"""How many pairs of pictures dedupe's searches propose to its second look: look-alikes, and strangers.

Of pictures of one kind, pairs of strangers grow with the square: a quarter, a half and all of the dataset's families
show it. What share of all pairs they are hangs on the kind; OpenMoji's icons, in one style, are as alike as art gets.

Run: python -m tests.bench.strangers [DATASET] [--json]
"""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from curate import dedupe, manifest
from curate.candidates import LINE_RADIUS
from curate.hamming import Pairs, near_pairs, parse
from curate.pictures import COLUMNS, Pictures, gather

SHARES = (4, 2, 1)  # of the families, one in so many
SAMPLES = 64  # draws of each share


def pictures_of(dataset: Path) -> Pictures:
    """As dedupe compares them."""
    return gather(manifest.read_parts(dataset / "records", [*COLUMNS, "color_grid", "own_tags"]))


def proposals(pictures: Pictures) -> Pairs:
    """Every pair that dedupe's searches propose, (m, 2), once a variant."""
    radii = {"trimmed": dedupe.Options().max_distance, "line": LINE_RADIUS, "outline": LINE_RADIUS, "edge": LINE_RADIUS}
    found = np.unique(np.concatenate([_near(pictures.hashes[name], radius) for name, radius in radii.items()]), axis=0)
    told = np.array([number for number, hashes in enumerate(pictures.variants) if hashes], np.int64)
    table = np.array([pictures.variants[number] for number in told.tolist()], np.uint64)
    turned = []
    for variant in range(1, table.shape[1]):
        pairs = near_pairs(np.concatenate([table[:, 0], table[:, variant]]), radii["trimmed"])
        across = pairs[(pairs[:, 0] < len(told)) & (pairs[:, 1] >= len(told))] - (0, len(told))
        turned.append(told[across[across[:, 0] != across[:, 1]]])
    return np.concatenate([found, *turned])


def _near(hashes: list[str | None], radius: int) -> Pairs:
    told = np.array([number for number, one in enumerate(hashes) if one is not None], np.int64)
    return told[near_pairs(parse([one for one in hashes if one is not None]), radius)].reshape(-1, 2)


def report(dataset: Path) -> dict[str, Any]:
    """Means of the samples, pairs of one family a picture, the share of strangers' pairs, the power they grow with."""
    pictures = pictures_of(dataset)
    found = proposals(pictures)
    rows = manifest.read_parts(dataset / "manifest", ["id", "family"]).to_pylist()
    by_id = {row["id"]: row["family"] for row in rows}
    family = np.unique([by_id[key] or key for key in pictures.ids], return_inverse=True)[1]
    random = np.random.default_rng(0)
    counts = [np.mean([_kinds(found, family, random, share) for _ in range(SAMPLES)], axis=0) for share in SHARES]
    (few, _, least), _, (most, alike, strangers) = [one.tolist() for one in counts]
    return {
        "samples": [dict(zip(("pictures", "alike", "strangers"), one.tolist(), strict=True)) for one in counts],
        "alike": alike / most,
        "strangers": strangers / (most * (most - 1) / 2),
        "growth": log(strangers / least) / log(most / few),
    }


def _kinds(
    found: Pairs, family: npt.NDArray[np.int64], random: np.random.Generator, share: int
) -> tuple[int, int, int]:
    """Pictures, proposed pairs of one family, and others, in one of so many parts of the families."""
    taken = random.permutation(int(family.max()) + 1) < (int(family.max()) + 1) // share
    here = found[taken[family[found]].all(axis=1)]
    same = family[here[:, 0]] == family[here[:, 1]]
    return int(taken[family].sum()), int(same.sum()), int((~same).sum())


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, as_json: bool) -> None:
    """Count what is proposed of DATASET's pictures."""
    result = report(dataset)
    if as_json:
        click.echo(json.dumps(result))
        return
    for one in result["samples"]:
        click.echo("{pictures:8,.0f} pictures: {alike:9,.0f} pairs of a family, {strangers:9,.0f} others".format(**one))
    click.echo("strangers: {strangers:.5f} of all pairs, growing with power {growth:.2f}".format(**result))


if __name__ == "__main__":
    main()
