"""Rows as columns against the same rows as Python's dictionaries."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.contract import SPLITS
from curate.dataset import parquet
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.shards import kept_rows
from curate.system.files import options_hash
from curate.tags import normalize

Row = dict[str, Any]

ids = st.binary(min_size=16, max_size=16).map(bytes.hex)
tag = st.text(min_size=1, max_size=4).filter(lambda text: text.splitlines() == [text])
owners = st.none() | st.just("mine") | ids
told = st.none() | st.sampled_from(["", "CC0", "Zoë"])
rows = st.fixed_dictionaries(
    {
        "id": ids,
        "tags": st.none() | st.lists(tag, max_size=5),
        "family": owners,
        "group": owners,
        "split": st.sampled_from(SPLITS),
        "dropped": st.none() | st.sampled_from(["duplicate", "straddles"]),
        "license": told,
        "artist": told,
    }
)
parts = st.lists(st.lists(rows, max_size=6), min_size=1, max_size=4).filter(
    lambda found: any(row["dropped"] is None for part in found for row in part)
)
parts = parts.filter(lambda found: len({row["id"] for part in found for row in part}) == sum(map(len, found)))


@pytest.fixture(autouse=True, scope="module")
def few_at_once() -> Any:
    """Chunks of three rows, so that few rows make several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_rows, "ROWS_PER_CHUNK", 3)
        yield


def read(found: list[list[Row]]) -> tuple[kept_rows.KeptRows, dict[str, Any], list[Row]]:
    """What kept.read makes of a manifest of these parts; and the same rows as it should have them."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest").mkdir()
        for number, part in enumerate(found):
            parquet.write_rows(parquet.part_path(Path(folder) / "manifest", number), part, MANIFEST_SCHEMA)
        made, counted = kept_rows.read(Path(folder), None)
    expected = [{**row, "tags": row["tags"] or []} for part in found for row in part if row["dropped"] is None]
    return made, counted, sorted(expected, key=lambda row: str(row["id"]))


@settings(deadline=None, max_examples=30)
@given(parts)
def test_rows_are_those_of_the_manifest_in_the_order_of_their_ids(found: list[list[Row]]) -> None:
    made, counted, expected = read(found)
    assert [made.hex_id(row) for row in range(len(made))] == [row["id"] for row in expected]
    assert [SPLITS[number] for number in made.splits] == [row["split"] for row in expected]
    fates = Counter(row["dropped"] for part in found for row in part)
    assert (counted["in"], counted["kept"]) == (fates.total(), fates.pop(None))
    assert counted["dropped"] == fates


@settings(deadline=None, max_examples=30)
@given(parts)
def test_the_digest_is_that_of_the_rows_as_one_json(found: list[list[Row]]) -> None:
    made, _, expected = read(found)
    assert made.digest() == options_hash({"rows": expected})


@settings(deadline=None, max_examples=30)
@given(parts)
def test_counts_are_those_of_counting_row_by_row(found: list[list[Row]]) -> None:
    made, _, expected = read(found)
    for split, counted in zip(SPLITS, made.tag_counts(), strict=True):
        assert counted == normalize.count_tags(row["tags"] for row in expected if row["split"] == split)
    for column in ("license", "artist"):
        assert made.text_counts(column) == Counter(row[column] or "" for row in expected)


@settings(deadline=None, max_examples=30)
@given(parts, st.randoms(use_true_random=False))
def test_families_and_known_tags_are_told_of_any_rows_in_any_order(found: list[list[Row]], random: Any) -> None:
    made, _, expected = read(found)
    vocabulary = {text: number for number, text in enumerate(made.texts["tags"]) if number % 3}
    wanted = np.array([random.randrange(len(made)) for _ in range(5)])
    numbers = np.array([vocabulary.get(text, -1) for text in made.texts["tags"]], np.int64)
    family, group = made.families_and_groups(wanted)
    assert family.to_pylist() == [expected[row]["family"] or "" for row in wanted]
    assert group.to_pylist() == [expected[row]["group"] or "" for row in wanted]
    assert made.tag_numbers(wanted, numbers).to_pylist() == [
        sorted(vocabulary[one] for one in expected[row]["tags"] if one in vocabulary) for row in wanted
    ]


@settings(deadline=None, max_examples=30)
@given(parts, st.lists(ids, max_size=3))
def test_an_id_is_found_in_its_row_and_a_strangers_nowhere(found: list[list[Row]], strangers: list[str]) -> None:
    made, _, expected = read(found)
    known = {row["id"]: number for number, row in enumerate(expected)}
    wanted = [*strangers, *(row["id"] for part in found for row in part)]
    assert made.row_numbers(pa.array(wanted, pa.string())).tolist() == [known.get(key, -1) for key in wanted]
