import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.system.text import escape_unprintable, format_bytes


@given(st.text(st.characters()))
def test_escaped_text_is_one_encodable_line_without_controls_or_direction_marks(text: str) -> None:
    shown = escape_unprintable(text)
    shown.encode()
    harmless = {"L", "R", "AL", "AN", "EN", "NSM", "ES", "ET", "CS", "ON", "WS", "BN"}
    assert {unicodedata.bidirectional(one) for one in shown} - {""} <= harmless
    assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_letters_numbers_symbols_and_spaces_stay_as_they_are(text: str) -> None:
    assert escape_unprintable(text) == text


def test_escapes_are_those_of_json() -> None:
    text = "e\u0301 \u202etxt.exe\n\u2028\x00\ud800\U000e0041"
    assert escape_unprintable(text) == "e\u0301 \\u202etxt.exe\\n\\u2028\\u0000\\ud800\\udb40\\udc41"
    assert escape_unprintable("👨\u200d👩 \u3000é") == "👨\u200d👩 \u3000é"


@given(st.text(st.characters()))
def test_escaped_json_means_the_same(text: str) -> None:
    assert json.loads(escape_unprintable(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (20_500, "20.5 kB"),
        (2_500_000, "2.5 MB"),
        (3 * 10**9, "3.0 GB"),
        (3 * 10**12, "3.0 TB"),
        (12 * 10**15, "12,000.0 TB"),
    ],
)
def test_bytes_are_given_in_the_largest_decimal_unit(count: int, text: str) -> None:
    assert format_bytes(count) == text
