import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.tags.normalize import count_tags, normalize_tag, split_color


@given(st.text(), st.sampled_from(["", "artist", "meta"]))
def test_normalising_a_normal_tag_changes_nothing(tag: str, namespace: str) -> None:
    once = normalize_tag(tag, namespace)
    assert normalize_tag(once) == once


@given(st.text())
def test_a_normal_tag_has_no_white_space_and_no_capitals(tag: str) -> None:
    tag = normalize_tag(tag)
    assert not any(character.isspace() for character in tag)
    assert tag == tag.lower()


def test_namespaces_of_all_sources_get_the_same_spelling() -> None:
    assert normalize_tag("creator:Some One") == "artist:some_one"
    assert normalize_tag("series:X") == "copyright:x"
    assert normalize_tag("Blue Hair") == "blue_hair"
    assert normalize_tag(":d") == ":d"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("blue_hair", ("blue", "hair")),
        ("blue", ("blue", "")),
        ("light_blue_heart", ("light_blue", "heart")),
        ("medium_dark_skin_tone", ("medium_dark", "skin_tone")),
        ("first_dark_skin_tone", ("dark", "first_skin_tone")),
        ("light_bulb", None),
        ("smile", None),
    ],
)
def test_a_colour_tag_is_split_into_colour_and_noun(tag: str, expected: tuple[str, str] | None) -> None:
    assert split_color(tag) == expected


def test_counting_is_by_picture_most_frequent_first_ties_by_name() -> None:
    assert list(count_tags([["b", "b"], ["a", "c"], ["c"]]).items()) == [("c", 2), ("a", 1), ("b", 1)]
