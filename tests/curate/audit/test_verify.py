"""What `curate verify` finds in damaged datasets and shards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from curate.audit.verify import verify
from curate.cli import main
from curate.dataset import ledger, parquet
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import NurieError
from curate.system.files import write_sealed


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


def replace(dataset: Path, name: str, table: pa.Table) -> None:
    """Write another table into a part and list its digest in dataset.json, so that only its contents are wrong."""
    parquet.write_table(dataset / name, table)
    state = ledger.read_ledger(dataset)
    del state["parts"][name]
    ledger.write_ledger(dataset, state)


def test_folders_that_the_stages_made_have_no_faults(dataset: Path, shard_folder: Path) -> None:
    assert verify(dataset) == []
    assert verify(shard_folder) == []


@pytest.mark.parametrize("folder", ["records", "pairs", "manifest", "edges"])
def test_a_flipped_bit_in_any_part_is_a_fault_that_names_the_part(copy: Path, folder: str) -> None:
    path = parquet.part_path(copy / folder, 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    [fault] = verify(copy)
    assert str(path) in fault


def test_a_flipped_bit_in_the_tag_table_is_a_fault_that_names_it(copy: Path) -> None:
    path = copy / ledger.TAG_TABLE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    [fault] = verify(copy)
    assert str(path) in fault


def test_a_tag_table_that_differs_from_the_manifest_is_found(copy: Path) -> None:
    replace(copy, ledger.TAG_TABLE, pq.read_table(copy / ledger.TAG_TABLE).slice(1))
    [fault] = verify(copy)
    assert "has other tags than the manifest: run `curate dedupe`" in fault
    (copy / ledger.TAG_TABLE).unlink()
    ledger.write_ledger(copy, ledger.read_ledger(copy))
    [fault] = verify(copy)
    assert fault.endswith("tags.parquet is missing")  # it stays listed


def test_missing_and_extra_files_are_found(copy: Path) -> None:
    parquet.part_path(copy / "pairs", 1).unlink()
    (copy / "pairs" / "letter.txt").touch()
    faults = verify(copy)
    assert len(faults) == 2
    assert "part-00001.parquet is missing" in faults[0]
    assert "letter.txt is not in dataset.json" in faults[1]


def test_a_row_missing_in_the_manifest_is_found(copy: Path) -> None:
    name = "manifest/part-00001.parquet"
    replace(copy, name, pq.read_table(copy / name).slice(1))
    assert any("has other rows than the records" in fault for fault in verify(copy))


def test_a_kept_picture_without_a_pair_is_found(copy: Path) -> None:
    name = "pairs/part-00000.parquet"
    table = pq.read_table(copy / name)
    replace(copy, name, table.slice(1))
    [fault] = verify(copy)
    assert fault == f"kept picture {table['id'][0]} has no pair"


def test_a_repeated_pair_and_a_pair_without_a_record_are_found(copy: Path) -> None:
    name = "pairs/part-00001.parquet"
    table = pq.read_table(copy / name)
    stray = table.slice(0, 1).set_column(0, "id", pa.array(["f" * 32]))
    replace(copy, name, pa.concat_tables([table, table.slice(0, 1), stray.cast(table.schema)]))
    assert verify(copy) == [f"pair {'f' * 32} belongs to no record", f"pair {table['id'][0]} is stored 2 times"]


def test_a_listed_part_that_is_not_parquet_is_found(copy: Path) -> None:
    path = parquet.part_path(copy / "pairs", 0)
    path.write_bytes(b"garbage")
    state = ledger.read_ledger(copy)
    del state["parts"]["pairs/part-00000.parquet"]
    ledger.write_ledger(copy, state)
    [fault] = verify(copy)
    assert f"{path} cannot be read as Parquet" in fault


def test_wrong_counts_in_the_ledger_are_found(copy: Path) -> None:
    state = ledger.read_ledger(copy)
    write_sealed(copy / "dataset.json", state | {"counts": {"in": 1, "kept": 1, "dropped": {}}})
    [fault] = verify(copy)
    assert "dataset.json says" in fault


def test_a_killed_extract_is_reported_as_unfinished(art: Path, tmp_path: Path) -> None:
    target = tmp_path / "d"
    target.mkdir()
    state = extract._open_dataset(target, [Source("art", art)], extract.ExtractOptions(), fresh=False)
    assert "counts" not in state
    [fault] = verify(target)
    assert "run `curate extract` again" in fault


def test_wrong_counts_in_a_shard_index_are_found(shard_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shard_folder, tmp_path / "s"))
    index = json.loads((copy / "index.json").read_bytes())
    index["pairs"]["train"] += 1
    index["tags"]["train"]["unheard_of"] = 1
    write_sealed(copy / "index.json", index)
    first, second = verify(copy)
    assert "pairs of train" in first
    assert "unheard_of" in second


def test_a_folder_that_is_neither_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NurieError, match="neither a dataset nor a shard folder"):
        verify(tmp_path)


def test_faults_are_printed_one_per_line_with_exit_code_1(copy: Path, run: Callable[..., Any]) -> None:
    assert run("verify", copy)["faults"] == []
    parquet.part_path(copy / "pairs", 1).unlink()
    result = CliRunner().invoke(main, ["verify", str(copy), "--quiet"])
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].endswith("part-00001.parquet is missing")
    result = CliRunner().invoke(main, ["verify", str(copy), "--json"])
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["faults"]) == 1
