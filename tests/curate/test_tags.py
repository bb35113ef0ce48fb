import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import SidecarError
from curate.tags import count, merge, normalize, read_aliases, read_sidecar, split_color


@given(st.text(), st.sampled_from(["", "artist", "meta"]))
def test_normalising_twice_is_normalising_once(tag: str, namespace: str) -> None:
    once = normalize(tag, namespace)
    assert normalize(once) == once


@given(st.text())
def test_a_normal_tag_has_no_white_space_and_no_capitals(tag: str) -> None:
    tag = normalize(tag)
    assert not any(character.isspace() for character in tag)
    assert tag == tag.lower()


def test_namespaces_of_every_source_are_spelled_alike() -> None:
    assert normalize("creator:Some One") == "artist:some_one"
    assert normalize("series:X") == "copyright:x"
    assert normalize("Blue Hair") == "blue_hair"
    assert normalize(":d") == ":d"


def test_gallery_dl_lists_and_danbooru_strings_give_the_same_tags() -> None:
    danbooru = {"tag_string_general": "blue_hair smile", "tag_string_artist": "someone", "rating": "g", "score": 3}
    gallery_dl = {"tags": ["blue_hair", "smile", "artist:someone"]}
    one, other = (read_sidecar("a.json", json.dumps(post).encode()) for post in (danbooru, gallery_dl))
    assert set(one.tags) == set(other.tags) == {"blue_hair", "smile", "artist:someone"}
    assert (one.rating, one.score) == ("g", 3)


def test_what_a_sidecar_says_besides_is_kept() -> None:
    sidecar = read_sidecar("a.json", b'{"tags": "a b", "source": "x", "license": "CC0", "artist": ["P", "Q"]}')
    assert dict(sidecar.extra) == {"source": "x"}
    assert (sidecar.license, sidecar.artist) == ("CC0", "P, Q")


def test_text_sidecars_are_comma_or_newline_lists() -> None:
    assert read_sidecar("a.txt", b"blue hair, smile").tags == ("blue_hair", "smile")
    assert read_sidecar("a.txt", b"blue hair\nhat, red\n").tags == ("blue_hair", "hat,_red")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"{", b"[1]", b'"x"', b"[" * 100_000])
def test_a_malformed_sidecar_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(SidecarError, match=r"a\.json"):
        read_sidecar("a.json", data)


@given(st.binary(max_size=200))
def test_no_bytes_make_a_sidecar_reader_fail_otherwise(data: bytes) -> None:
    for name in ("a.txt", "a.json"):
        try:
            read_sidecar(name, data)
        except SidecarError:
            pass


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda v: (
            st.lists(v)
            | st.dictionaries(
                st.sampled_from(["tags", "tag_string", "tags_general", "score", "rating", "artist", "license"])
                | st.text(),
                v,
            )
        ),
    )
)
def test_json_of_any_shape_is_read_or_refused(value: object) -> None:
    try:
        sidecar = read_sidecar("a.json", json.dumps(value).encode())
    except SidecarError:
        assert not isinstance(value, dict)
    else:
        assert all(tag and tag == normalize(tag) for tag in sidecar.tags)


def test_merging_unites_tags_and_prefers_the_first() -> None:
    one = read_sidecar("a.json", b'{"tags": "a b", "rating": "g"}')
    other = read_sidecar("a.txt", b"b, c")
    assert merge([one, other]).tags == ("a", "b", "c")
    assert merge([other, one]).rating == "g"


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
def test_colour_tags_are_told_from_shape_tags(tag: str, expected: tuple[str, str] | None) -> None:
    assert split_color(tag) == expected


def test_counting_is_by_picture_most_frequent_first_ties_by_name() -> None:
    assert list(count([["b", "b"], ["a", "c"], ["c"]]).items()) == [("c", 2), ("a", 1), ("b", 1)]


def test_an_alias_file_names_its_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "aliases.csv"
    file.write_text("# comment\nblond hair,blonde_hair\n\n")
    assert read_aliases(file) == {"blond_hair": "blonde_hair"}
    file.write_text("a,b\nc\n")
    with pytest.raises(SidecarError, match="line 2"):
        read_aliases(file)
