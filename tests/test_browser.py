"""The watch over pages is awake: each fault that a page can have is told."""

from pathlib import Path

import pytest

from tests.browser import CANARY, HOSTILE, SONG, Visit, Watch, barriers, overflow

pytestmark = pytest.mark.browser

SOUND = '<!doctype html><html lang="en"><title>A page</title><main><h1>Sound</h1></main></html>'


def watched(chromium: object, body: str) -> Watch:
    page = chromium.new_page()  # type: ignore[attr-defined]  # Playwright's, imported only in the fixture
    watch = Watch(page)
    page.set_content(SOUND.replace("Sound", body))
    return watch


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<script>alert(1)</script>", "dialog: 1"),
        ("<script>console.error('bad')</script>", "console: bad"),
        ("<script>nothing.there</script>", "exception: nothing is not defined"),
        (f"<script>{SONG}</script>", "hostile text was run"),
        ("<img src=https://example.com/x.png>", "asked for https://example.com"),
        (f"<iframe srcdoc='<script>{CANARY}=1</script>'></iframe>", "hostile text was run in about:srcdoc"),
    ],
)
def test_each_fault_of_a_page_is_told(chromium: object, body: str, told: str) -> None:
    watch = watched(chromium, body)
    assert any(told in fault for fault in watch.faults())
    watch.page.close()


@pytest.mark.parametrize("text", [text for text in HOSTILE if "<" in text or "onfocus" in text], ids=ascii)
def test_hostile_text_that_is_markup_bites_where_it_is_not_escaped(chromium: object, text: str) -> None:
    """In one of the places where pages hold text, at least."""
    places = (
        text,
        f'<p title="{text}">',
        f"<p title='{text}'>",
        f"<style>{text}</style>",
        f"<!--{text}-->",
        f'<input value="{text}">',
    )
    assert any(watched(chromium, place).faults() for place in places)


def test_a_sound_page_has_no_faults(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(SOUND, "utf-8")
    page = visit(tmp_path / "page.html", dark=True)
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert not barriers(page)
    assert overflow(page) == 0


def test_barriers_and_what_sticks_out_are_found(visit: Visit, tmp_path: Path) -> None:
    bad = SOUND.replace("Sound", "<img src='data:,'><hr style='width:3000px'><p style='color:#bbb'>faint")
    (tmp_path / "page.html").write_text(bad, "utf-8")
    page = visit(tmp_path / "page.html")
    told = "\n".join(barriers(page))
    assert "image-alt" in told
    assert "color-contrast" in told
    assert overflow(page) > 0
