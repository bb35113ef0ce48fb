"""Polars, DuckDB and Hugging Face datasets read the same values from a manifest as pandas."""

from pathlib import Path
from typing import Any

import datasets
import duckdb
import pandas as pd
import polars
import pytest

PLAIN = ["id", "path", "width", "phash", "role", "split", "dropped", "distance", "emptiness"]


def by_polars(manifest: Path) -> list[dict[str, Any]]:
    return polars.read_parquet(manifest / "*.parquet").select(*PLAIN, "tags").to_dicts()


def by_duckdb(manifest: Path) -> list[dict[str, Any]]:
    columns = ", ".join(PLAIN)
    rows = duckdb.sql(f"SELECT {columns}, tags FROM '{manifest}/*.parquet' ORDER BY filename, file_row_number")
    assert rows is not None
    return list(rows.to_arrow_table().to_pylist())


def by_datasets(manifest: Path) -> list[dict[str, Any]]:
    files = [str(path) for path in sorted(manifest.glob("*.parquet"))]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(manifest.parent.parent / "c")
    )
    return list(loaded.select_columns([*PLAIN, "tags"]).to_list())


@pytest.mark.parametrize("read", [by_polars, by_duckdb, by_datasets])
def test_every_row_has_the_values_that_pandas_reads(dataset: Path, read: Any) -> None:
    pictures = pd.read_parquet(dataset / "manifest")[[*PLAIN, "tags"]]
    expected = [
        {name: list(value) if name == "tags" else None if pd.isna(value) else value for name, value in row.items()}
        for row in pictures.to_dict("records")
    ]
    assert read(dataset / "manifest") == expected
