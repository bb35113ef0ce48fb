"""The look-alike pairs of a dataset, remembered: what was looked at once is not looked at again.

`edges/part-*.parquet` are the verified pairs, `edges/_looked.parquet` the pictures they were sought among, each with a
digest of the tags that helped to tell a recolour from a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.dataset import ledger, parquet
from curate.dataset.schema import EDGES_SCHEMA, HASH_RECIPE, OPTIONS_METADATA_KEY, with_options
from curate.deduplication.compare import COMPARISON_VERSION, Edge
from curate.deduplication.lookalike_search import find_edges
from curate.deduplication.pictures import Pictures
from curate.system.files import canonical_json
from curate.workers.executor import Workers

SCHEMA = pa.schema([("id", pa.string()), ("tags_digest", pa.int64())])


def update_edges(
    dataset: Path, pictures: Pictures, max_distance: int, *, mirror: bool, workers: Workers = 1
) -> list[Edge]:
    """Every verified look-alike pair, sorted; the pairs of two pictures that were looked at before are read.

    Writes `edges/`. What it finds and writes does not hang on what was remembered.
    """
    digests = [_digest(tags) for tags in pictures.tags]
    how = {"look": COMPARISON_VERSION, "hashes": HASH_RECIPE, "max_distance": max_distance, "mirror": mirror}
    known = _compared_tag_digests(dataset, how)
    fresh = [known.get(key) != digest for key, digest in zip(pictures.ids, digests, strict=True)]
    edges = {} if all(fresh) else _stored_edges(dataset, pictures, fresh)
    if any(fresh):
        ledger.check_files(dataset, ledger.peek_ledger(dataset), ["pairs"])
        edges |= find_edges([dataset], pictures, max_distance, np.array(fresh, np.bool_), workers=workers)
    ordered = [edges[pair] for pair in sorted(edges)]
    _write(dataset, pictures, digests, ordered, how)
    return ordered


def _digest(tags: tuple[str, ...]) -> int:
    """The order of tags does not matter to any look."""
    text = "\n".join(sorted(tags)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def _compared_tag_digests(dataset: Path, how: Mapping[str, object]) -> dict[str, int]:
    """Digest of the tags of each picture that was looked at, by id; none where it was done in another way."""
    path = dataset / "edges" / ledger.COMPARED_FILE
    if not path.is_file():
        return {}
    table = parquet.read_table(path)
    if (table.schema.metadata or {}).get(OPTIONS_METADATA_KEY) != canonical_json(how):
        return {}
    return dict(zip(table["id"].to_pylist(), table["tags_digest"].to_pylist(), strict=True))


def _stored_edges(dataset: Path, pictures: Pictures, fresh: list[bool]) -> dict[tuple[int, int], Edge]:
    """The stored edges between pictures that are there still and not to be looked at again."""
    places = pictures.index_by_id()
    edges = {}
    for row in parquet.read_parts(dataset / "edges").to_pylist():
        a, b = places.get(row["a"]), places.get(row["b"])
        if a is not None and b is not None and not (fresh[a] or fresh[b]):
            edges[a, b] = Edge(**{**row, "a": a, "b": b})
    return edges


def _write(dataset: Path, pictures: Pictures, digests: list[int], edges: list[Edge], how: Mapping[str, object]) -> None:
    """Pairs before what was looked at, which vouches for them."""
    folder = dataset / "edges"
    ledger.forget_digests(dataset, list(folder.glob("*.parquet")))
    if folder.exists() and not (folder / ledger.COMPARED_FILE).exists():
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    (folder / ledger.COMPARED_FILE).unlink(missing_ok=True)
    rows = [edge._asdict() | {"a": pictures.ids[edge.a], "b": pictures.ids[edge.b]} for edge in edges]
    parquet.write_rows(parquet.part_path(folder, 0), rows, with_options(EDGES_SCHEMA, how))
    looked = [pa.array(pictures.ids, pa.string()), pa.array(digests, pa.int64())]
    parquet.write_table(folder / ledger.COMPARED_FILE, pa.table(looked, schema=with_options(SCHEMA, how)))
