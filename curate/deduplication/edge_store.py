"""The look-alike pairs of a dataset, stored so that two pictures are compared only once.

`edges/part-*.parquet` holds the verified pairs. `edges/_looked.parquet` lists the pictures that were compared, each
with a digest of its tags, which help to tell a recolour from a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.dataset import ledger, parquet
from curate.dataset.rows import EdgeRow
from curate.dataset.schema import EDGES_SCHEMA, HASH_RECIPE, OPTIONS_METADATA_KEY, with_options
from curate.deduplication.compare import COMPARISON_VERSION, Edge
from curate.deduplication.lookalike_search import find_edges
from curate.deduplication.pictures import Pictures
from curate.system.files import canonical_json
from curate.workers.executor import Workers

COMPARED_SCHEMA = pa.schema([("id", pa.string()), ("tags_digest", pa.int64())])


def update_edges(
    dataset: Path, pictures: Pictures, max_distance: int, *, mirror: bool, workers: Workers = 1
) -> list[Edge]:
    """Every verified pair of look-alikes, sorted. Writes `edges/`.

    Pairs of two pictures that were compared before are read. The result and the files are the same either way.
    """
    digests = [_tags_digest(tags) for tags in pictures.tags]
    method = {"look": COMPARISON_VERSION, "hashes": HASH_RECIPE, "max_distance": max_distance, "mirror": mirror}
    compared = _compared_digests(dataset, method)
    fresh = [compared.get(picture_id) != digest for picture_id, digest in zip(pictures.ids, digests, strict=True)]
    edges = {} if all(fresh) else _stored_edges(dataset, pictures, fresh)
    if any(fresh):
        ledger.check_files(dataset, ledger.peek_ledger(dataset), ["pairs"])
        edges |= find_edges([dataset], pictures, max_distance, np.array(fresh, np.bool_), workers=workers)
    ordered = [edges[pair] for pair in sorted(edges)]
    _write(dataset, pictures, digests, ordered, method)
    return ordered


def _tags_digest(tags: tuple[str, ...]) -> int:
    """64 bits; the order of the tags does not matter to any comparison."""
    text = "\n".join(sorted(tags)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def _compared_digests(dataset: Path, method: Mapping[str, object]) -> dict[str, int]:
    """Digest of the tags of each compared picture, by id; empty if they were compared by another method."""
    path = dataset / "edges" / ledger.COMPARED_FILE
    if not path.is_file():
        return {}
    table = parquet.read_table(path)
    if (table.schema.metadata or {}).get(OPTIONS_METADATA_KEY) != canonical_json(method):
        return {}
    return dict(zip(table["id"].to_pylist(), table["tags_digest"].to_pylist(), strict=True))


def _stored_edges(dataset: Path, pictures: Pictures, fresh: list[bool]) -> dict[tuple[int, int], Edge]:
    """The stored edges of two pictures that still exist and are not fresh."""
    index_by_id = pictures.index_by_id()
    edges = {}
    rows: list[EdgeRow] = parquet.read_parts(dataset / "edges").to_pylist()
    for row in rows:
        a, b = index_by_id.get(row["a"]), index_by_id.get(row["b"])
        if a is not None and b is not None and not (fresh[a] or fresh[b]):
            edges[a, b] = Edge(a, b, row["kind"], row["distance"], row["color_distance"], row["line_difference"])
    return edges


def _write(
    dataset: Path, pictures: Pictures, digests: list[int], edges: list[Edge], method: Mapping[str, object]
) -> None:
    """Write the edges before the list of compared pictures, which vouches for them."""
    folder = dataset / "edges"
    ledger.forget_digests(dataset, list(folder.glob("*.parquet")))
    if folder.exists() and not (folder / ledger.COMPARED_FILE).exists():
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    (folder / ledger.COMPARED_FILE).unlink(missing_ok=True)
    rows = [edge._asdict() | {"a": pictures.ids[edge.a], "b": pictures.ids[edge.b]} for edge in edges]
    parquet.write_rows(parquet.part_path(folder, 0), rows, with_options(EDGES_SCHEMA, method))
    compared = [pa.array(pictures.ids, pa.string()), pa.array(digests, pa.int64())]
    table = pa.table(compared, schema=with_options(COMPARED_SCHEMA, method))
    parquet.write_table(folder / ledger.COMPARED_FILE, table)
