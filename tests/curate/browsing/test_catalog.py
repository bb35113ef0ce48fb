"""The catalog agrees with the manifest, and stored pictures with the pairs."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.browsing.catalog import FAMILY_SORT_KEYS, SORT_COLUMNS, Catalog
from curate.browsing.stored_pictures import StoredPictures
from curate.dataset import parquet
from curate.system.errors import DamagedError, NurieError

Row = dict[str, Any]


@pytest.fixture(scope="module")
def catalog(mixed: Path) -> Catalog:
    return Catalog(mixed)


@pytest.fixture(scope="module")
def rows(mixed: Path) -> list[Row]:
    return list(parquet.read_parts(mixed / "manifest").to_pylist())


@pytest.mark.parametrize("order", SORT_COLUMNS)
@pytest.mark.parametrize("descending", [False, True])
def test_rows_are_sorted_by_a_column_with_nulls_last(
    catalog: Catalog, rows: list[Row], order: str, descending: bool
) -> None:
    values = [rows[place][order] for place in catalog.sorted_rows(catalog.all_rows, order, descending=descending)]
    known = [value for value in values if value is not None]
    assert known == sorted((row[order] for row in rows if row[order] is not None), reverse=descending)
    assert values[len(known) :] == [None] * (len(rows) - len(known))


def test_rows_are_in_the_order_added_or_reversed(catalog: Catalog, rows: list[Row]) -> None:
    forward = catalog.sorted_rows(catalog.all_rows).tolist()
    assert forward == list(range(len(rows)))
    assert catalog.sorted_rows(catalog.all_rows, descending=True).tolist() == forward[::-1]


def test_an_unknown_order_is_refused(catalog: Catalog) -> None:
    with pytest.raises(NurieError, match="cannot sort by 'path'"):
        catalog.sorted_rows(catalog.all_rows, "path")
    with pytest.raises(NurieError, match="cannot sort families by 'path'"):
        catalog.family_codes(catalog.all_rows, "path")


@pytest.mark.parametrize("order", FAMILY_SORT_KEYS)
def test_every_family_is_listed_once_and_complete(catalog: Catalog, rows: list[Row], order: str) -> None:
    sizes = Counter(row["family"] for row in rows if row["family"])
    families = [
        [rows[place] for place in catalog.family_rows(code)] for code in catalog.family_codes(catalog.all_rows, order)
    ]
    assert Counter({members[0]["family"]: len(members) for members in families}) == Counter(
        {k: n for k, n in sizes.items() if n > 1}
    )
    assert len(families) == 3  # cats, apples, hands
    keys: dict[str, Callable[[list[Row]], int]] = {
        "added": lambda members: min(rows.index(row) for row in members),
        "size": lambda members: -len(members),
        "duplicates": lambda members: -sum(row["role"] == "duplicate" for row in members),
        "distance": lambda members: (
            -max([row["distance"] for row in members if row["distance"] is not None], default=-1)
        ),
    }
    assert [keys[order](members) for members in families] == sorted(keys[order](members) for members in families)


def test_a_family_starts_with_its_survivor_and_copies_follow_their_picture(catalog: Catalog, rows: list[Row]) -> None:
    for code in catalog.family_codes(catalog.all_rows):
        members = [rows[place] for place in catalog.family_rows(code)]
        assert members[0]["role"] == "survivor"
        assert [row["group"] for row in members] == sorted(
            (row["group"] for row in members), key=[row["group"] for row in members].index
        )


def test_only_families_with_a_matching_picture_are_listed(catalog: Catalog, rows: list[Row]) -> None:
    [code] = catalog.family_codes(catalog.find_rows("path:cat0*", "", {}).mask)
    assert {rows[place]["path"] for place in catalog.family_rows(code)} == {"1F408.png", "cat0.jpg", "cat1.jpg"}


def test_a_pair_of_look_alikes_is_found_from_either_picture(catalog: Catalog, rows: list[Row]) -> None:
    ids = {row["path"]: row["id"] for row in rows}
    cats = {ids[name] for name in ("1F408.png", "cat0.jpg", "cat1.jpg")}
    for cat in cats:
        looks = catalog.look_alikes(cat)
        assert {look["id"] for look in looks} == cats - {cat}
        assert {look["kind"] for look in looks} == {"duplicate"}
    [hand] = catalog.look_alikes(ids["1F44B-1F3FB.png"])
    assert (hand["id"], hand["kind"]) == (ids["1F44B-1F3FF.png"], "alternate")


def test_byte_copies_are_rows_of_one_id_with_the_kept_one_first(catalog: Catalog, rows: list[Row]) -> None:
    [apple] = {row["id"] for row in rows if "apple" in row["path"]}
    assert [rows[place]["dropped"] for place in catalog.rows_of_id(apple)] == [None, "duplicate"]
    assert catalog.path_of_id(apple) == rows[catalog.rows_of_id(apple)[0]]["path"]
    assert catalog.path_of_id("0" * 32) is None


def test_counts_are_of_the_rows_in_the_mask(catalog: Catalog, rows: list[Row]) -> None:
    assert catalog.value_counts("dropped", catalog.all_rows) == Counter(row["dropped"] or "none" for row in rows)
    assert catalog.value_counts("role", catalog.find_rows("dropped:unreadable", "", {}).mask) == {"none": 1}
    tags = Counter(tag for row in rows for tag in row["tags"])
    assert dict(catalog.tags.top(catalog.all_rows, 1000)) == tags


def test_a_dataset_before_dedupe_has_no_families(mixed: Path, tmp_path: Path) -> None:
    for name in ("manifest", "pairs"):
        shutil.copytree(mixed / ("records" if name == "manifest" else name), tmp_path / name)
    empty = Catalog(tmp_path)
    assert not empty.is_deduped
    assert len(empty.family_codes(empty.all_rows)) == 0
    assert empty.look_alikes("0" * 32) == []


def test_an_empty_dataset_has_an_empty_catalog(tmp_path: Path) -> None:
    empty = Catalog(tmp_path)
    assert empty.find_rows("blue_hair role:alternate", "width > 3", {}).mask.tolist() == []
    assert StoredPictures(tmp_path).read_png("0" * 32, "color") is None


def test_every_layer_is_returned_as_it_is_stored(mixed: Path) -> None:
    pictures = StoredPictures(mixed)
    assert pictures.layers == ["color", "line_contour", "line_dilate"]
    stored = parquet.read_parts(mixed / "pairs").to_pylist()
    assert len(parquet.part_paths(mixed / "pairs")) > 1
    for row in stored:
        assert pictures.has(row["id"])
        for layer in pictures.layers:
            assert pictures.read_png(row["id"], layer) == row[layer]


@pytest.mark.parametrize("key", ["", "0" * 32, "g" * 32, "f" * 33, "ü", "../../dataset.json"])
def test_an_unknown_id_has_no_picture(mixed: Path, key: str) -> None:
    pictures = StoredPictures(mixed)
    assert not pictures.has(key)
    assert pictures.read_png(key, "color") is None


@pytest.mark.parametrize("layer", ["id", "sketch", "content_box", "view", "line_xdog", "", "../color"])
def test_no_other_column_can_be_read(mixed: Path, layer: str) -> None:
    [row] = parquet.read_parts(mixed / "pairs").slice(0, 1).to_pylist()
    assert StoredPictures(mixed).read_png(row["id"], layer) is None


def test_the_cache_of_row_groups_stays_within_its_limit(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.browsing.stored_pictures.CACHE_BYTES", 1)
    pictures = StoredPictures(mixed)
    for row in parquet.read_parts(mixed / "pairs").to_pylist() * 2:
        assert pictures.read_png(row["id"], "color") == row["color"]
        assert len(pictures._cache) == 1


def test_a_truncated_part_raises_damaged_error(mixed: Path, tmp_path: Path) -> None:
    shutil.copytree(mixed / "pairs", tmp_path / "pairs")
    pictures = StoredPictures(tmp_path)
    ids = parquet.read_table(parquet.part_paths(mixed / "pairs")[0], ["id"])["id"].to_pylist()
    path = parquet.part_paths(tmp_path / "pairs")[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedError, match="part-00000"):
        pictures.read_png(ids[0], "color")
    assert np.all([not pictures.has(None), pictures.has(ids[0])])
