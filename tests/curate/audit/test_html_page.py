"""Text from data as the report shows it."""

from hypothesis import given
from hypothesis import strategies as st

from curate.audit.html_page import shorten


@given(st.text(), st.integers(1, 50))
def test_a_shortened_text_keeps_both_ends(text: str, limit: int) -> None:
    cut = shorten(text, limit)
    assert len(cut) <= max(limit, 1)
    if len(text) > limit:
        start, _, end = cut.partition("…")
        assert text.startswith(start)
        assert text.endswith(end)
