"""KeptRows against the same rows as dictionaries."""

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
group_ids = st.none() | st.just("mine") | ids
credit_texts = st.none() | st.sampled_from(["", "CC0", "Zoë"])
rows = st.fixed_dictionaries(
    {
        "id": ids,
        "tags": st.none() | st.lists(tag, max_size=5),
        "family": group_ids,
        "group": group_ids,
        "split": st.sampled_from(SPLITS),
        "dropped": st.none() | st.sampled_from(["duplicate", "straddles"]),
        "license": credit_texts,
        "artist": credit_texts,
    }
)
parts = st.lists(st.lists(rows, max_size=6), min_size=1, max_size=4).filter(
    lambda parts: any(row["dropped"] is None for part in parts for row in part)
)
parts = parts.filter(lambda parts: len({row["id"] for part in parts for row in part}) == sum(map(len, parts)))


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Any:
    """Chunks of three rows, so that a few rows fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_rows, "ROWS_PER_CHUNK", 3)
        yield


def read(written: list[list[Row]]) -> tuple[kept_rows.KeptRows, dict[str, Any], list[Row]]:
    """Write parts as a manifest; return its kept rows, its counts, and the kept rows as expected."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest").mkdir()
        for number, part in enumerate(written):
            parquet.write_rows(parquet.part_path(Path(folder) / "manifest", number), part, MANIFEST_SCHEMA)
        kept, counts = kept_rows.read(Path(folder), None)
    expected = [{**row, "tags": row["tags"] or []} for part in written for row in part if row["dropped"] is None]
    return kept, counts, sorted(expected, key=lambda row: str(row["id"]))


@settings(deadline=None, max_examples=30)
@given(parts)
def test_kept_rows_are_those_of_the_manifest_sorted_by_id(written: list[list[Row]]) -> None:
    kept, counts, expected = read(written)
    assert [kept.hex_id(row) for row in range(len(kept))] == [row["id"] for row in expected]
    assert [SPLITS[number] for number in kept.splits] == [row["split"] for row in expected]
    fates = Counter(row["dropped"] for part in written for row in part)
    assert (counts["in"], counts["kept"]) == (fates.total(), fates.pop(None))
    assert counts["dropped"] == fates


@settings(deadline=None, max_examples=30)
@given(parts)
def test_the_digest_is_the_hash_of_all_rows_as_one_json(written: list[list[Row]]) -> None:
    kept, _, expected = read(written)
    assert kept.digest() == options_hash({"rows": expected})


@settings(deadline=None, max_examples=30)
@given(parts)
def test_counts_equal_those_of_counting_row_by_row(written: list[list[Row]]) -> None:
    kept, _, expected = read(written)
    for split, split_counts in zip(SPLITS, kept.tag_counts(), strict=True):
        assert split_counts == normalize.count_tags(row["tags"] for row in expected if row["split"] == split)
    for column in ("license", "artist"):
        assert kept.text_counts(column) == Counter(row[column] or "" for row in expected)


@settings(deadline=None, max_examples=30)
@given(parts, st.randoms(use_true_random=False))
def test_families_and_vocabulary_tags_are_returned_for_any_rows_in_any_order(
    written: list[list[Row]], random: Any
) -> None:
    kept, _, expected = read(written)
    vocabulary = {text: number for number, text in enumerate(kept.texts["tags"]) if number % 3}
    wanted = np.array([random.randrange(len(kept)) for _ in range(5)])
    numbers = np.array([vocabulary.get(text, -1) for text in kept.texts["tags"]], np.int64)
    family, group = kept.families_and_groups(wanted)
    assert family.to_pylist() == [expected[row]["family"] or "" for row in wanted]
    assert group.to_pylist() == [expected[row]["group"] or "" for row in wanted]
    assert kept.tag_numbers(wanted, numbers).to_pylist() == [
        sorted(vocabulary[tag] for tag in expected[row]["tags"] if tag in vocabulary) for row in wanted
    ]


@settings(deadline=None, max_examples=30)
@given(parts, st.lists(ids, max_size=3))
def test_a_kept_id_has_its_row_number_and_an_unknown_one_has_none(
    written: list[list[Row]], strangers: list[str]
) -> None:
    kept, _, expected = read(written)
    known = {row["id"]: number for number, row in enumerate(expected)}
    wanted = [*strangers, *(row["id"] for part in written for row in part)]
    assert kept.row_numbers(pa.array(wanted, pa.string())).tolist() == [known.get(key, -1) for key in wanted]
