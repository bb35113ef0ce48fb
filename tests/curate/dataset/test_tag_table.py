import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.audit.verify import verify
from curate.dataset import clear_dataset, decisions, ledger, parquet, tag_table
from curate.dataset.schema import MANIFEST_SCHEMA, TAG_TABLE_SCHEMA
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.sources.scan import Source

Tree = Callable[[Path], dict[str, bytes]]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abc"),
            "tags": st.lists(st.sampled_from(["x", "y", "é"])),
            "dropped": st.sampled_from([None, "duplicate"]),
        }
    )
)


def pairs(folder: Path) -> list[tuple[str, str]]:
    """(id, tag) of the kept rows of a manifest, computed in plain Python."""
    rows = parquet.read_parts(folder).to_pylist()
    return sorted({(row["id"], tag) for row in rows if row["dropped"] is None for tag in row["tags"]})


@settings(max_examples=40)
@given(st.lists(ROWS, max_size=3), st.sampled_from([1, 2, 100]))
def test_the_tag_table_is_the_sorted_set_of_ids_and_tags_of_kept_rows(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[dict[str, object]]], pictures_per_table: int
) -> None:
    dataset: Path = tmp_path_factory.mktemp("t")
    (dataset / "manifest").mkdir()
    for number, rows in enumerate(parts):
        parquet.write_rows(parquet.part_path(dataset / "manifest", number), rows, MANIFEST_SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tag_table, "PICTURES_PER_TABLE", pictures_per_table)
        tag_table.write(dataset)
        table = parquet.read_table(dataset / ledger.TAG_TABLE)
        assert table.schema == TAG_TABLE_SCHEMA
        assert [tuple(row.values()) for row in table.to_pylist()] == pairs(dataset / "manifest")
        assert tag_table.faults(dataset) == []
        parquet.write_table(dataset / ledger.TAG_TABLE, pa.concat_tables([table, table.slice(0, 1)]))
        assert len(tag_table.faults(dataset)) == bool(table.num_rows)


def test_the_tag_table_follows_the_manifest_through_every_stage(art: Path, tmp_path: Path) -> None:
    target = tmp_path / "d"
    for limit in (4, None):
        extract.extract([Source("art", art)], target, extract.ExtractOptions(lines=("dilate",)), limit=limit)
        frame = pd.read_parquet(target / "tags.parquet")
        assert list(frame.itertuples(index=False, name=None)) == pairs(target / "manifest")
    decisions.decide(target, "retag", ["1F408.png"], "chosen by people")
    dedupe.dedupe(target, dedupe.DedupeOptions())
    parts = parquet.part_paths(target / "manifest")
    frame = pd.read_parquet(target / "tags.parquet")
    assert list(frame.itertuples(index=False, name=None)) == pairs(target / "manifest")
    assert "chosen_by_people" in set(frame["tag"])
    hashes = {pq.read_schema(path).metadata[b"nurie.options_hash"] for path in (target / "tags.parquet", *parts)}
    assert len(hashes) == 1
    assert verify(target) == []


def test_the_run_after_a_kill_between_manifest_and_tags_repairs_them(dataset: Path, tmp_path: Path, tree: Tree) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "d"))
    options = dedupe.DedupeOptions()
    dedupe.dedupe(copy, options)
    whole = tree(copy)
    (copy / "tags.parquet").write_bytes(b"older")
    dedupe.dedupe(copy, options)
    assert tree(copy) == whole


def test_starting_over_deletes_the_tag_table(dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "d"))
    assert clear_dataset.delete_dataset(copy)
    assert not list(copy.iterdir())
