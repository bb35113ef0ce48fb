from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.dataset import parquet
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.query.selection import select
from curate.system.errors import NurieError


def select_rows(dataset: Path, out: Path, **options: Any) -> list[dict[str, Any]]:
    counts = select(dataset, out / "out.parquet", **options)
    rows: list[dict[str, Any]] = pq.read_table(out / "out.parquet").to_pylist()
    assert counts["kept"] == len(rows)
    assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
    return rows


def test_the_result_has_the_columns_and_types_of_the_manifest(dataset: Path, tmp_path: Path) -> None:
    select_rows(dataset, tmp_path, include=["heart"])
    whole = pq.read_schema(dataset / "manifest" / "part-00000.parquet")
    selected = pq.read_schema(tmp_path / "out.parquet")
    assert selected.equals(whole)
    assert selected.metadata.items() >= MANIFEST_SCHEMA.metadata.items()
    assert whole.names == MANIFEST_SCHEMA.names


def test_selected_rows_have_every_included_tag_and_no_excluded_one(dataset: Path, tmp_path: Path) -> None:
    rows = select_rows(dataset, tmp_path, include=["waving_hand", "Dark Skin Tone"])  # not normalised
    assert [row["path"] for row in rows] == ["1F44B-1F3FF.png"]
    rows = select_rows(dataset, tmp_path, include=["waving_hand"], exclude=["dark_skin_tone", "light_skin_tone"])
    assert len(rows) == 4
    assert not any({"dark_skin_tone", "light_skin_tone"} & set(row["tags"]) for row in rows)


def test_without_conditions_all_kept_rows_are_selected(dataset: Path, tmp_path: Path) -> None:
    everything = parquet.read_parts(dataset / "manifest").to_pylist()
    assert select_rows(dataset, tmp_path) == [row for row in everything if row["dropped"] is None]


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("width >= 256 and height < 300", lambda row: row["width"] >= 256 and row["height"] < 300),
        ("bytes > 6000 or line_ink < 0.1", lambda row: row["bytes"] > 6000 or row["line_ink"] < 0.1),
        ("not bytes > 6000", lambda row: row["bytes"] <= 6000),
        ("split == 'train'", lambda row: row["split"] == "train"),
        ("split in ['train', 'test']", lambda row: row["split"] in {"train", "test"}),
        ("bytes / width > 25", lambda row: row["bytes"] / row["width"] > 25),
        ("1000 < bytes < 7000", lambda row: 1000 < row["bytes"] < 7000),
        ("distance >= 0", lambda row: row["distance"] is not None),  # null for all kept rows
        (" role != 'survivor'", lambda row: row["role"] != "survivor"),
    ],
)
def test_where_holds_for_exactly_the_selected_rows(dataset: Path, tmp_path: Path, where: str, holds: Any) -> None:
    everything = parquet.read_parts(dataset / "manifest").to_pylist()
    expected = [row["path"] for row in everything if row["dropped"] is None and holds(row)]
    assert [row["path"] for row in select_rows(dataset, tmp_path, where=where)] == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "not an expression"),
        ("width >=", "not an expression"),
        ("(" * 500 + "width" + ")" * 500, "not an expression"),
        ("widht >= 3", "no column 'widht'.*width"),
        ("1 < 2", "names no column"),
        ("width", "not true or false"),
        ("width + 1", "not true or false"),
        ("artist > 3", "compare like with like"),
        ("-artist == 'x'", "compare like with like"),
        ("tags == 'heart'", "use --include"),
        ("__import__('os').system('true')", "only compare columns with values"),
        ("path.str.len() > 3", "only compare columns with values"),
        ("@width > 3", "not an expression"),
        ("path == 'a' * 1000000000", "computes with text"),
        ("width in 2 * ([1] * 1000000000)", "computes with text or a list"),
        ("width > 10 ** 9", "only compare columns with values"),
    ],
)
def test_a_bad_where_gives_a_one_line_error_and_no_file(
    dataset: Path, tmp_path: Path, where: str, message: str
) -> None:
    with pytest.raises(NurieError, match=message) as caught:
        select(dataset, tmp_path / "out.parquet", where=where)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


names = st.sampled_from(
    ["width", "score", "artist", "split", "line_ink", "dropped", "1", "'x'", "-2.5", "[1, 2]", "None"]
)
expressions = st.recursive(
    names,
    lambda inner: (
        st.builds(
            "({} {} {})".format,
            inner,
            st.sampled_from(["<", ">=", "==", "!=", "and", "or", "in", "not in", "+", "*", "/"]),
            inner,
        )
        | inner.map("(not {})".format)
        | inner.map("(-{})".format)
    ),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expressions)
def test_any_expression_selects_kept_rows_or_gives_a_one_line_error(dataset: Path, tmp_path: Path, where: str) -> None:
    kept = pd.read_parquet(dataset / "manifest").query("dropped.isnull()", engine="python")
    try:
        rows, message = select_rows(dataset, tmp_path, where=where), ""
    except NurieError as error:
        rows, message = [], str(error)
    assert "\n" not in message
    assert {row["path"] for row in rows} <= set(kept["path"])
