from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cogapp import Cog

from curate.dataset import filtered_manifest, ledger, parquet
from curate.dataset.schema import LINE_COLUMN, MANIFEST_SCHEMA, SCHEMA_VERSION
from curate.system.errors import DamagedError, DatasetError
from curate.system.files import write_json
from tests import ROOT

COLUMNS_PAGE = ROOT / "manifests" / "columns.md"


def test_the_page_of_columns_is_up_to_date() -> None:
    assert Cog().main(["cog", "--check", str(COLUMNS_PAGE)]) == 0, "run `make docs`"


def test_stored_tables_have_the_columns_of_the_page(dataset: Path) -> None:
    page = COLUMNS_PAGE.read_text("utf-8")
    for folder in ("records", "manifest", "pairs"):
        for name in parquet.read_parts(dataset / folder).column_names:
            shown = LINE_COLUMN if name.startswith("line_") and folder == "pairs" else name
            assert f"| `{shown}` |" in page


def test_pandas_reads_a_manifest_of_plain_columns_without_pixels(dataset: Path) -> None:
    pictures = pd.read_parquet(dataset / "manifest")
    assert list(pictures.columns) == MANIFEST_SCHEMA.names
    assert sum(path.stat().st_size for path in parquet.part_paths(dataset / "manifest")) < 5_000 * len(pictures)


def test_a_manifest_saved_by_pandas_is_read_in_its_own_types(dataset: Path, tmp_path: Path) -> None:
    pd.read_parquet(dataset / "manifest").iloc[::2].to_parquet(tmp_path / "half.parquet")
    expected = parquet.read_parts(dataset / "manifest").to_pylist()[::2]
    assert filtered_manifest.read(tmp_path / "half.parquet").to_pylist() == expected


def test_a_filtered_manifest_may_be_one_file_row_groups_or_a_folder(dataset: Path, tmp_path: Path) -> None:
    table = parquet.read_parts(dataset / "manifest")
    pq.write_table(table, tmp_path / "groups.parquet", row_group_size=2)
    for path in (tmp_path / "groups.parquet", dataset / "manifest"):
        assert filtered_manifest.read(path).to_pylist() == table.to_pylist()
        [*batches] = filtered_manifest.iter_tables(path, ["id", "tags"])
        assert pa.concat_tables(batches).to_pylist() == table.select(["id", "tags"]).to_pylist()


def test_a_manifest_swap_killed_between_its_renames_is_finished(dataset: Path, tmp_path: Path) -> None:
    new, old = (pa.Table.from_pylist([{"path": path}], schema=MANIFEST_SCHEMA) for path in ("new", "old"))
    write_json(tmp_path / "dataset.json", {"version": SCHEMA_VERSION, "options": {}, "parts": {}})
    for folder, table in ((parquet.NEW_MANIFEST, new), (parquet.OLD_MANIFEST, old)):
        (tmp_path / folder).mkdir()
        parquet.write_table(parquet.part_path(tmp_path / folder, 0), table)
    ledger.read_ledger(tmp_path)
    assert parquet.read_parts(tmp_path / "manifest")["path"].to_pylist() == ["new"]


@pytest.mark.parametrize("state", [[], {"labels": []}, {"version": 1, "parts": {}}])
def test_a_foreign_dataset_json_is_refused(tmp_path: Path, state: object) -> None:
    write_json(tmp_path / "dataset.json", state)
    with pytest.raises(DatasetError, match="was not written by `curate`"):
        ledger.read_ledger(tmp_path)


def test_a_dataset_of_another_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    write_json(tmp_path / "dataset.json", {"version": 99, "options": {}, "parts": {}})
    with pytest.raises(DatasetError, match=r"version 99, this nurie reads 1.*--fresh"):
        ledger.read_ledger(tmp_path)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    path = parquet.part_path(tmp_path, 0)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DamagedError, match=r"part-00000\.parquet cannot be read as Parquet"):
        parquet.read_parts(tmp_path)


def test_uncompressed_bytes_do_not_depend_on_compression(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pixels = [bytes([number]) * 10_000 for number in range(50)]
    parquet.write_table(path, pa.table({"color": pixels, "line_dilate": [data[:5_000] for data in pixels]}))
    assert path.stat().st_size < 50_000
    assert parquet.uncompressed_bytes(path, {"color"}) == pytest.approx(500_000, rel=0.01)
    assert parquet.uncompressed_bytes(path, {"color", "line_dilate"}) == pytest.approx(750_000, rel=0.01)
    assert parquet.uncompressed_bytes(path, {"sketch"}) == 0


def test_equal_tables_are_written_with_equal_bytes(dataset: Path, tmp_path: Path) -> None:
    table = parquet.read_parts(dataset / "manifest")
    for name in ("first", "second"):
        parquet.write_table(tmp_path / name, table)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
