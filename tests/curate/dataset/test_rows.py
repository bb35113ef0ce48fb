from typing import get_type_hints

import pytest

from curate.dataset.rows import DecisionRow, EdgeRow, ManifestRow, PairRow, RecordRow
from curate.dataset.schema import DECIDED_COLUMNS, DECISIONS_SCHEMA, EDGES_SCHEMA, MANIFEST_SCHEMA, pairs_schema

ONLY_DECIDED = {name for name, _, _ in DECIDED_COLUMNS} - {"dropped", "error"}


@pytest.mark.parametrize(
    ("row_type", "columns"),
    [
        (RecordRow, [name for name in MANIFEST_SCHEMA.names if name not in ONLY_DECIDED]),
        (ManifestRow, MANIFEST_SCHEMA.names),
        (EdgeRow, EDGES_SCHEMA.names),
        (DecisionRow, DECISIONS_SCHEMA.names),
    ],
)
def test_a_row_type_has_the_keys_of_its_schema(row_type: type, columns: list[str]) -> None:
    assert set(get_type_hints(row_type)) == set(columns)


def test_a_pair_row_has_the_columns_of_its_schema() -> None:
    row = PairRow("1f", b"color", {"xdog": b"x", "dilate": b"d"}, b"sketch", b"view", (0, 1, 2, 3)).to_columns()
    assert set(row) == set(pairs_schema(["xdog", "dilate"]).names)
    assert (row["line_xdog"], row["line_dilate"], row["content_box"]) == (b"x", b"d", (0, 1, 2, 3))
