import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.system.errors import SidecarError
from curate.tags.normalize import normalize_tag
from curate.tags.sidecar import merge_sidecars, read_sidecar


def test_gallery_dl_lists_and_danbooru_strings_give_the_same_tags() -> None:
    danbooru = {"tag_string_general": "blue_hair smile", "tag_string_artist": "someone", "rating": "g", "score": 3}
    gallery_dl = {"tags": ["blue_hair", "smile", "artist:someone"]}
    one, other = (read_sidecar("a.json", json.dumps(post).encode()) for post in (danbooru, gallery_dl))
    assert set(one.tags) == set(other.tags) == {"blue_hair", "smile", "artist:someone"}
    assert (one.rating, one.score) == ("g", 3)


@pytest.mark.parametrize("tags", ["blue_hair smile", "blue hair,smile", "blue hair, smile", " blue_hair\nsmile "])
def test_a_string_of_tags_is_split_at_commas_or_else_at_white_space(tags: str) -> None:
    assert read_sidecar("a.json", json.dumps({"tags": tags}).encode()).tags == ("blue_hair", "smile")


def test_unknown_fields_of_a_sidecar_are_kept_as_extra() -> None:
    sidecar = read_sidecar("a.json", b'{"tags": "a b", "source": "x", "license": "CC0", "artist": ["P", "Q"]}')
    assert dict(sidecar.extra) == {"source": "x"}
    assert (sidecar.license, sidecar.artist) == ("CC0", "P, Q")


def test_text_sidecars_are_comma_or_newline_lists() -> None:
    assert read_sidecar("a.txt", b"blue hair, smile").tags == ("blue_hair", "smile")
    assert read_sidecar("a.txt", b"blue hair\nhat, red\n").tags == ("blue_hair", "hat,_red")


def test_backslashes_of_prompts_are_removed_from_a_taggers_text() -> None:
    told = rb"1girl, solo, hatsune miku \(vocaloid\), blue hair"
    assert read_sidecar("a.txt", told).tags == ("1girl", "solo", "hatsune_miku_(vocaloid)", "blue_hair")


@pytest.mark.parametrize(
    ("post", "tags"),
    [
        ({"tags": {"1girl": 0.99, "blue hair": 0.35, "hat": 0.2}}, {"1girl", "blue_hair"}),
        (
            {"rating": {"general": 0.1, "sensitive": 0.8}, "general": {"smile": 0.7}, "character": {"miku": 0.9}},
            {"smile", "character:miku"},
        ),
    ],
)
def test_a_taggers_confidences_become_tags_from_a_threshold(post: dict[str, object], tags: set[str]) -> None:
    sidecar = read_sidecar("a.json", json.dumps(post).encode())
    assert set(sidecar.tags) == tags
    assert sidecar.rating == ("sensitive" if "rating" in post else None)
    assert not sidecar.extra


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"{", b"[1]", b'"x"', b"[" * 100_000, rb'{"tags": ["\ud800"]}', rb'{"x": "\udfff"}']
)
def test_a_malformed_sidecar_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(SidecarError, match=r"a\.json"):
        read_sidecar("a.json", data)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_sidecar_reader_raise_other_errors(data: bytes) -> None:
    for name in ("a.txt", "a.json"):
        with contextlib.suppress(SidecarError):
            read_sidecar(name, data)


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
        assert all(tag and tag == normalize_tag(tag) for tag in sidecar.tags)


def test_merging_unites_tags_and_prefers_the_first() -> None:
    one = read_sidecar("a.json", b'{"tags": "a b", "rating": "g"}')
    other = read_sidecar("a.txt", b"b, c")
    assert merge_sidecars([one, other]).tags == ("a", "b", "c")
    assert merge_sidecars([other, one]).rating == "g"


def test_nan_in_a_sidecar_becomes_null() -> None:
    assert dict(read_sidecar("a.json", b'{"x": NaN, "y": 1}').extra) == {"x": None, "y": 1}


def test_e621s_nested_tags_and_score_are_read() -> None:
    post = {"tags": {"general": ["smile"], "species": ["cat"]}, "score": {"up": 5, "down": -2, "total": 3}}
    sidecar = read_sidecar("a.json", json.dumps(post).encode())
    assert (sidecar.tags, sidecar.score) == (("smile", "cat"), 3)
