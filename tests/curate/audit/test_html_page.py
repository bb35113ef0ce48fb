import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from curate.audit.html_page import escape_invisible, format_bytes, shorten


@given(st.text())
def test_visible_text_has_nothing_that_hides_or_turns(text: str) -> None:
    shown = escape_invisible(text)
    turning = {"L", "R", "AL", "AN", "EN", "NSM", "ES", "ET", "CS", "ON", "WS", "B", "S", "BN"}
    assert {unicodedata.bidirectional(one) for one in shown} - {""} <= turning
    assert all(one.isprintable() or one in "\u200c\u200d" for one in shown)


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_can_be_seen_is_left_as_it_is(text: str) -> None:
    assert escape_invisible(text) == text


def test_escapes_are_pythons_own() -> None:
    assert (
        escape_invisible("e\u0301 \u202etxt.exe\n\u2028\x00\U000e0041")
        == "e\u0301 \\u202etxt.exe\\n\\u2028\\x00\\U000e0041"
    )
    assert escape_invisible("👨\u200d👩") == "👨\u200d👩"


@given(st.text(), st.integers(1, 50))
def test_a_short_text_is_short_and_keeps_both_ends(text: str, most: int) -> None:
    cut = shorten(text, most)
    assert len(cut) <= max(most, 1)
    if len(text) > most:
        start, _, end = cut.partition("…")
        assert text.startswith(start)
        assert text.endswith(end)


def test_bytes_have_the_unit_that_people_would_name() -> None:
    assert [format_bytes(count) for count in (0, 999, 1000, 2_500_000, 3_000_000_000)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "2.5 MB",
        "3.0 GB",
    ]
