"""Draw contact sheets of the pairs that dedupe joined, to judge by eye; pairs are chosen by the hash of their ids.

Duplicates are shown beside their survivor, alternates beside the survivor of their family; byte copies are only
counted. The verdicts about a set with fixed files are stored beside its sheets (`tests/bench/openclipart/`).

Run: python -m tests.bench.sheets [DATASET OUT] [--pairs 50] [--verdicts VERDICTS.csv] [--json]
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

KINDS = ("duplicate", "alternate")
SIDE, COLUMNS, GAP = 64, 10, 4  # px of a picture, pairs in a row, px between two pairs

Pixels = npt.NDArray[np.uint8]


def pairs(manifest: pd.DataFrame) -> pd.DataFrame:
    """(kind, a, b, distance) of every picture that was joined to another one, without byte copies."""
    readable = manifest[manifest["id"].notna()]
    survivor_ids = readable[readable["role"] == "survivor"].drop_duplicates("family").set_index("family")["id"]
    frames = []
    for kind in KINDS:
        rows = readable[readable["role"] == kind]
        partner = rows["duplicate_of"] if kind == "duplicate" else rows["family"].map(survivor_ids)
        frames.append(pd.DataFrame({"kind": kind, "a": rows["id"], "b": partner, "distance": rows["distance"]}))
    joined = pd.concat(frames).dropna(subset=["a", "b"])
    return joined[joined["a"] != joined["b"]].drop_duplicates(["a", "b"])


def groups(manifest: pd.DataFrame, joined: pd.DataFrame) -> dict[str, Any]:
    """How many records and groups there are of each kind."""
    families = manifest.loc[manifest["id"].notna()].groupby("family")["id"].nunique()
    copies = manifest["id"].dropna().duplicated()
    return {
        "records": len(manifest),
        "kept": int(manifest["dropped"].isna().sum()),
        "dropped": dict(Counter(manifest["dropped"].dropna())),
        "byte_copies": int(copies.sum()),
        "pairs": {kind: int((joined["kind"] == kind).sum()) for kind in KINDS},
        "groups_of_duplicates": int(joined.loc[joined["kind"] == "duplicate", "b"].nunique()),
        "families_of_several": int((families > 1).sum()),
        "largest_family": int(families.max()),
    }


def chosen(joined: pd.DataFrame, kind: str, count: int) -> pd.DataFrame:
    """`count` pairs of a kind, the same ones on every machine."""
    rows = joined[joined["kind"] == kind]
    key = (rows["a"] + rows["b"]).map(lambda text: sha256(text.encode()).hexdigest())
    return rows.iloc[np.argsort(key.to_numpy(str))][:count].reset_index(drop=True)


def colors(dataset: Path, ids: Iterable[str]) -> dict[str, Pixels]:
    """The colour square of each id: (size, size, 3) BGR."""
    wanted, squares = set(ids), {}
    for part in sorted((dataset / "pairs").glob("part-*.parquet")):
        table = pq.read_table(part, columns=["id", "color"])
        for key, data in zip(table["id"].to_pylist(), table["color"].to_pylist(), strict=True):
            if key in wanted:
                decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                squares[key] = np.asarray(decoded, np.uint8)
    return squares


def sheet(rows: pd.DataFrame, squares: dict[str, Pixels]) -> Pixels:
    """Pairs side by side, numbered from 0 along the rows."""
    cells = list(_cells(rows, squares))
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % COLUMNS)
    lines = [np.hstack(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    return np.asarray(np.vstack(lines), np.uint8)


def _cells(rows: pd.DataFrame, squares: dict[str, Pixels]) -> Iterator[Pixels]:
    for number, (a, b) in enumerate(zip(rows["a"], rows["b"], strict=True)):
        small = [cv2.resize(squares[key], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for key in (a, b)]
        cell = cv2.copyMakeBorder(np.hstack(small), 10, GAP, GAP, GAP, cv2.BORDER_CONSTANT, value=(225, 225, 225))
        cv2.putText(cell, str(number), (2, 9), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (0, 0, 0), 1, cv2.LINE_AA)
        yield np.asarray(cell, np.uint8)


def judged(verdicts: Path) -> dict[str, Any]:
    """Counts of a table of verdicts (kind, number, a, b, verdict): how many joins of each kind are false."""
    table = pd.read_csv(verdicts)
    return {
        kind: {"judged": len(rows), **dict(Counter(rows["verdict"]))}
        for kind, rows in ((kind, table[table["kind"] == kind]) for kind in KINDS)
    }


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.argument("out", type=click.Path(path_type=Path), default="demo/sheets")
@click.option("--pairs", "count", type=click.IntRange(1), default=50, show_default=True, help="Of each kind.")
@click.option("--verdicts", type=click.Path(path_type=Path, exists=True), help="Also count the verdicts in this file.")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, out: Path, count: int, verdicts: Path | None, as_json: bool) -> None:
    """Write OUT/duplicate.png, OUT/alternate.png and OUT/pairs.csv, and print the groups of DATASET."""
    manifest = pd.read_parquet(dataset / "manifest")
    joined = pairs(manifest)
    out.mkdir(parents=True, exist_ok=True)
    picked = {kind: chosen(joined, kind, count) for kind in KINDS}
    squares = colors(dataset, (key for rows in picked.values() for key in (*rows["a"], *rows["b"])))
    names = manifest.dropna(subset=["id"]).drop_duplicates("id").set_index("id")["path"]
    for kind, rows in picked.items():
        if len(rows):
            cv2.imwrite(str(out / f"{kind}.png"), sheet(rows, squares), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    listed = pd.concat(rows.assign(number=rows.index) for rows in picked.values())
    listed = listed.assign(a=listed["a"].map(names), b=listed["b"].map(names))
    listed[["kind", "number", "a", "b", "distance"]].to_csv(out / "pairs.csv", index=False)
    result = groups(manifest, joined) | ({"verdicts": judged(verdicts)} if verdicts else {})
    click.echo(json.dumps(result) if as_json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
