"""How many pairs of pictures dedupe's searches and sieve propose to its second look: look-alikes, and strangers.

Of pictures of one kind, pairs of strangers grow with the square: a quarter, a half and all of the dataset's families
show it. What share of all pairs they are hangs on the kind; OpenMoji's icons, in one style, are as alike as art gets.

Run: python -m tests.bench.strangers [DATASET] [--json]
"""

from __future__ import annotations

import json
import time
from math import log
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from curate.dataset import parquet
from curate.deduplication import dedupe
from curate.deduplication.pictures import PICTURE_COLUMNS, Pictures, gather_pictures
from curate.deduplication.proposals import pairs_as_stored, pairs_reoriented
from curate.deduplication.sieve import Sieve
from curate.search import multi_index
from curate.search.hamming import RowPairs

SHARES = (4, 2, 1)  # of the families, one in so many
SAMPLES = 64  # draws of each share


def pictures_of(dataset: Path) -> Pictures:
    """As dedupe compares them."""
    return gather_pictures(parquet.read_parts(dataset / "records", [*PICTURE_COLUMNS, "color_grid", "own_tags"]))


def proposals(pictures: Pictures, *, sifted: bool = True) -> RowPairs:
    """Every pair that dedupe's searches find, (m, 2), once a variant; if `sifted`, what the sieve leaves of them."""
    fresh, radius = np.ones(len(pictures.ids), np.bool_), dedupe.DedupeOptions().max_distance
    sieve = Sieve(pictures) if sifted else None
    search, pair_filter = multi_index.near_hash_pairs, sieve.may_be_lookalikes if sieve else None
    as_stored = pairs_as_stored(pictures, radius, fresh, search, pair_filter)
    return np.concatenate([as_stored, pairs_reoriented(pictures, radius, fresh, search, sieve)[:, :2]])


def report(dataset: Path) -> dict[str, Any]:
    """Means of the samples, pairs of one family a picture, the share of strangers' pairs, the power they grow with.

    And how many such pairs searches find for one that the sieve leaves.
    """
    pictures = pictures_of(dataset)
    found, raw = proposals(pictures), proposals(pictures, sifted=False)
    rows = parquet.read_parts(dataset / "manifest", ["id", "family"]).to_pylist()
    by_id = {row["id"]: row["family"] for row in rows}
    family = np.unique([by_id[key] or key for key in pictures.ids], return_inverse=True)[1]
    random = np.random.default_rng(0)
    counts = [np.mean([_kinds(found, family, random, share) for _ in range(SAMPLES)], axis=0) for share in SHARES]
    (few, _, least), _, (most, alike, strangers) = [one.tolist() for one in counts]
    _, _, unsifted = _kinds(raw, family, random, 1)
    return {
        "samples": [dict(zip(("pictures", "alike", "strangers"), one.tolist(), strict=True)) for one in counts],
        "alike": alike / most,
        "strangers": strangers / (most * (most - 1) / 2),
        "unsifted": unsifted / strangers,
        "sift_seconds": sifting(pictures, raw),
        "growth": log(strangers / least) / log(most / few),
    }


def sifting(pictures: Pictures, raw: RowPairs) -> float:
    """CPU seconds to find and sift, a pair that is found."""
    started = time.process_time()
    proposals(pictures)  # compiled already
    return (time.process_time() - started) / len(raw)


def _kinds(
    found: RowPairs, family: npt.NDArray[np.int64], random: np.random.Generator, share: int
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
    click.echo("strangers: {strangers:.6f} of all pairs, growing with power {growth:.2f}".format(**result))
    click.echo(
        "{unsifted:.1f} for each of them are found; {sift_seconds:.2g} CPU s to find and sift a pair".format(**result)
    )


if __name__ == "__main__":
    main()
