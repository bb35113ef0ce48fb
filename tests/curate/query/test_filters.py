"""The filter of `curate browse` finds the rows that it describes, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.browsing.catalog import Catalog
from curate.dataset import parquet
from curate.query import filters
from curate.system.errors import NurieError

Row = dict[str, Any]


@pytest.fixture(scope="module")
def catalog(dataset: Path) -> Catalog:
    return Catalog(dataset)


@pytest.fixture(scope="module")
def rows(dataset: Path) -> list[Row]:
    return list(parquet.read_parts(dataset / "manifest").to_pylist())


def paths(catalog: Catalog, text: str, where: str = "", **decided: frozenset[str]) -> set[str]:
    mask = catalog.find_rows(text, where, decided).mask
    return {row["path"] for row in catalog.read_rows(np.flatnonzero(mask), ["path"])}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", lambda _: True),
        ("waving_hand", lambda row: "waving_hand" in row["tags"]),
        ("Waving_Hand", lambda row: "waving_hand" in row["tags"]),
        ("hand  -dark_skin_tone", lambda row: "hand" in row["tags"] and "dark_skin_tone" not in row["tags"]),
        ("*_heart", lambda row: any(tag.endswith("_heart") for tag in row["tags"])),
        ("-*skin*", lambda row: not any("skin" in tag for tag in row["tags"])),
        ("role:alternate", lambda row: row["role"] == "alternate"),
        ("-role:Alternate", lambda row: row["role"] != "alternate"),
        ("dropped:none", lambda row: row["dropped"] is None),
        ("dropped:*", lambda row: row["dropped"] is not None),
        ("distance:none", lambda row: row["distance"] is None),
        ("width:256", lambda row: row["width"] == 256),
        ("bytes>6000 bytes<=7000", lambda row: 6000 < row["bytes"] <= 7000),
        ("line_ink!=0", lambda row: row["line_ink"] != 0),
        ("path:1F44B*", lambda row: row["path"].startswith("1F44B")),
        ('license:"cc by*4.0"', lambda row: row["license"] == "CC BY-SA 4.0"),
        ('path:"1F44_-%"', lambda _: False),  # wildcards of SQL are plain text here
        ("artist:openmoji", lambda row: "artist:openmoji" in row["tags"]),
        ("-", lambda _: False),
        ("waving_hand|*_heart", lambda row: any(tag.endswith(("waving_hand", "_heart")) for tag in row["tags"])),
        ("-red_heart|blue_heart|nobody's", lambda row: not {"red_heart", "blue_heart"} & {*row["tags"]}),
        ('license:"cc by*4.0"|no hand|role:survivor', lambda row: "hand" in row["tags"] or row["role"] == "survivor"),
        ("|", lambda _: False),
    ],
)  # fmt: skip
def test_a_filter_finds_exactly_the_rows_it_describes(
    catalog: Catalog, rows: list[Row], text: str, holds: Callable[[Row], bool]
) -> None:
    assert paths(catalog, text) == {row["path"] for row in rows if holds(row)}


def test_a_where_expression_holds_in_addition_to_the_words(catalog: Catalog, rows: list[Row]) -> None:
    hands = [row for row in rows if "waving_hand" in row["tags"]]
    expected = {row["path"] for row in hands if row["bytes"] > 6000 or row["line_ink"] < 0.05}
    assert paths(catalog, "waving_hand", "bytes > 6000 or line_ink < 0.05") == expected


def test_decided_finds_pictures_by_the_kind_of_decision(catalog: Catalog, rows: list[Row]) -> None:
    kinds = {rows[3]["id"]: frozenset({"keep"}), rows[5]["id"]: frozenset({"drop", "retag"})}
    assert np.flatnonzero(catalog.find_rows("decided:*", "", kinds).mask).tolist() == [3, 5]
    assert np.flatnonzero(catalog.find_rows("decided:retag", "", kinds).mask).tolist() == [5]
    assert not catalog.find_rows("decided:*", "", {}).mask.any()


def test_an_unknown_word_is_reported_with_similar_tags(catalog: Catalog) -> None:
    misspelt = catalog.find_rows("waving_hnad", "", {})
    assert not misspelt.mask.any()
    assert misspelt.unknown_words["waving_hnad"][0] == "waving_hand"
    negated = catalog.find_rows("-nothing_like_it", "", {})
    assert negated.mask.all()
    assert negated.unknown_words == {"-nothing_like_it": []}


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("width>=wide", "", "width holds numbers, not 'wide'"),
        ("role>alternate", "", "role holds text: write role:alternate"),
        ("", "width ==", "not an expression"),
        ("", "extra == 'x'", "names no column 'extra'"),
    ],
)
def test_an_impossible_comparison_is_refused_in_one_line(catalog: Catalog, text: str, where: str, message: str) -> None:
    with pytest.raises(NurieError, match=message) as caught:
        catalog.find_rows(text, where, {})
    assert "\n" not in str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_words_match_the_rows_found_and_one_word_fails_for_every_other_row(
    catalog: Catalog, rows: list[Row], data: st.DataObject
) -> None:
    tag = st.sampled_from(sorted(catalog.tags.names)) | st.sampled_from(["role:survivor", "dropped:none"])
    words = data.draw(st.lists(st.tuples(st.booleans(), tag), max_size=4))

    def holds(row: Row) -> bool:
        matching = {*row["tags"], f"role:{row['role']}", f"dropped:{row['dropped'] or 'none'}"}
        return all((word in matching) == wanted for wanted, word in words)

    text = " ".join(("" if wanted else "-") + word for wanted, word in words)
    assert paths(catalog, text) == {row["path"] for row in rows if holds(row)}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40), where=st.sampled_from(["", "width > 3"]))
def test_any_text_gives_a_mask_or_a_one_line_error(catalog: Catalog, text: str, where: str) -> None:
    try:
        assert catalog.find_rows(text, where, {}).mask.shape == (catalog.table.num_rows,)
    except NurieError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_completions_match_the_start_of_any_word_of_a_tag(catalog: Catalog, rows: list[Row]) -> None:
    completions = filters.suggest_completions(catalog.tags, catalog.all_rows, "Ski", 50)
    expected = {name: sum(name in row["tags"] for row in rows) for name in catalog.tags.names if "_ski" in f"_{name}"}
    assert dict(completions) == expected
    assert [count for _, count in completions] == sorted(expected.values(), reverse=True)
    assert filters.suggest_completions(catalog.tags, catalog.all_rows, "(", 5) == []
