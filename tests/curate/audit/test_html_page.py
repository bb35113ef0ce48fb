from hypothesis import given
from hypothesis import strategies as st

from curate.audit.html_page import shorten


@given(st.text(), st.integers(1, 50))
def test_a_short_text_is_short_and_keeps_both_ends(text: str, most: int) -> None:
    cut = shorten(text, most)
    assert len(cut) <= max(most, 1)
    if len(text) > most:
        start, _, end = cut.partition("…")
        assert text.startswith(start)
        assert text.endswith(end)
