"""Count the pairs that dedupe has to verify after its searches and its sieve: look-alikes and strangers.

Strangers are different drawings with close hashes. Among pictures of one kind, their pairs grow with the square of the
number of pictures, as a quarter, a half and all of the dataset's families show. Their share of all pairs depends on the
kind of art; OpenMoji's icons have one style, so few kinds have a larger share.

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
from curate.deduplication.candidates import pairs_as_stored, pairs_reoriented
from curate.deduplication.pictures import PICTURE_COLUMNS, Pictures, gather_pictures
from curate.deduplication.sieve import Sieve
from curate.hash_search import multi_index
from curate.hash_search.hamming import RowPairs

SHARES = (4, 2, 1)  # one in this many families
SAMPLES = 64  # random samples of each share


def pictures_of(dataset: Path) -> Pictures:
    """The pictures as dedupe compares them."""
    return gather_pictures(parquet.read_parts(dataset / "records", [*PICTURE_COLUMNS, "color_grid", "own_tags"]))


def proposals(pictures: Pictures, *, sifted: bool = True) -> RowPairs:
    """(m, 2) pairs that dedupe's searches find, once per orientation; if `sifted`, only those that pass the sieve."""
    fresh, radius = np.ones(len(pictures.ids), np.bool_), dedupe.DedupeOptions().max_distance
    sieve = Sieve(pictures) if sifted else None
    search, pair_filter = multi_index.near_hash_pairs, sieve.may_be_lookalikes if sieve else None
    as_stored = pairs_as_stored(pictures, radius, fresh, search, pair_filter)
    return np.concatenate([as_stored, pairs_reoriented(pictures, radius, fresh, search, sieve)[:, :2]])


def report(dataset: Path) -> dict[str, Any]:
    """Means of the samples, and figures of pairs.

    `alike`: look-alike pairs per picture; `strangers`: the share of all pairs that are strangers and pass the sieve;
    `growth`: the power with which their number grows; `unsifted`: pairs of strangers that the searches find for each
    that passes the sieve.
    """
    pictures = pictures_of(dataset)
    sifted, raw = proposals(pictures), proposals(pictures, sifted=False)
    rows = parquet.read_parts(dataset / "manifest", ["id", "family"]).to_pylist()
    by_id = {row["id"]: row["family"] for row in rows}
    family = np.unique([by_id[key] or key for key in pictures.ids], return_inverse=True)[1]
    random = np.random.default_rng(0)
    counts = [
        np.mean([_count_kinds(sifted, family, random, share) for _ in range(SAMPLES)], axis=0) for share in SHARES
    ]
    (few, _, least), _, (most, alike, strangers) = [means.tolist() for means in counts]
    _, _, unsifted = _count_kinds(raw, family, random, 1)
    return {
        "samples": [dict(zip(("pictures", "alike", "strangers"), means.tolist(), strict=True)) for means in counts],
        "alike": alike / most,
        "strangers": strangers / (most * (most - 1) / 2),
        "unsifted": unsifted / strangers,
        "sift_seconds": sifting(pictures, raw),
        "growth": log(strangers / least) / log(most / few),
    }


def sifting(pictures: Pictures, raw: RowPairs) -> float:
    """CPU seconds to find a pair and check it with the sieve."""
    started = time.process_time()
    proposals(pictures)  # an earlier call has compiled everything
    return (time.process_time() - started) / len(raw)


def _count_kinds(
    pairs: RowPairs, family: npt.NDArray[np.int64], random: np.random.Generator, share: int
) -> tuple[int, int, int]:
    """Numbers of pictures, of proposed pairs within a family and of other pairs, in a random share of the families."""
    taken = random.permutation(int(family.max()) + 1) < (int(family.max()) + 1) // share
    pairs = pairs[taken[family[pairs]].all(axis=1)]
    same = family[pairs[:, 0]] == family[pairs[:, 1]]
    return int(taken[family].sum()), int(same.sum()), int((~same).sum())


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, as_json: bool) -> None:
    """Count the proposed pairs of the pictures in DATASET."""
    result = report(dataset)
    if as_json:
        click.echo(json.dumps(result))
        return
    for sample in result["samples"]:
        line = "{pictures:8,.0f} pictures: {alike:9,.0f} pairs in a family, {strangers:9,.0f} others"
        click.echo(line.format(**sample))
    click.echo("strangers: {strangers:.6f} of all pairs, growing with power {growth:.2f}".format(**result))
    click.echo(
        "{unsifted:.1f} for each of them are found; {sift_seconds:.2g} CPU s to find and sift a pair".format(**result)
    )


if __name__ == "__main__":
    main()
