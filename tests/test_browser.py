"""The page watcher of tests.browser reports each kind of fault that a page can have."""

from pathlib import Path

import pytest

from tests.browser import CANARY, HOSTILE, PAYLOAD, Visit, Watch, barriers, overflow

pytestmark = pytest.mark.browser

GOOD_PAGE = '<!doctype html><html lang="en"><title>A page</title><main><h1>Heading</h1></main></html>'


def open_page(chromium: object, body: str) -> Watch:
    """A watched page with this body."""
    page = chromium.new_page()  # type: ignore[attr-defined]  # a Playwright Browser, imported only in the fixture
    watch = Watch(page)
    page.set_content(GOOD_PAGE.replace("Heading", body))
    return watch


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>alert(1)</script>", "dialog: 1"),
        ("<script>console.error('bad')</script>", "console: bad"),
        ("<script>nothing.there</script>", "exception: nothing is not defined"),
        (f"<script>{PAYLOAD}</script>", "hostile text was run"),
        ("<img src=https://example.com/x.png>", "requested https://example.com"),
        (f"<iframe srcdoc='<script>{CANARY}=1</script>'></iframe>", "hostile text was run in about:srcdoc"),
    ],
)
def test_each_fault_of_a_page_is_reported(chromium: object, body: str, fault: str) -> None:
    watch = open_page(chromium, body)
    assert any(fault in reported for reported in watch.faults())
    watch.page.close()


@pytest.mark.parametrize("text", [text for text in HOSTILE if "<" in text or "onfocus" in text], ids=ascii)
def test_every_hostile_text_does_harm_in_some_unescaped_place(chromium: object, text: str) -> None:
    """Otherwise a page that does not escape it would pass."""
    places = (
        text,
        f'<p title="{text}">',
        f"<p title='{text}'>",
        f"<style>{text}</style>",
        f"<!--{text}-->",
        f'<input value="{text}">',
    )
    assert any(open_page(chromium, place).faults() for place in places)


def test_a_good_page_has_no_faults(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(GOOD_PAGE, "utf-8")
    page = visit(tmp_path / "page.html", dark=True)
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert not barriers(page)
    assert overflow(page) == 0


def test_accessibility_barriers_and_overflow_are_found(visit: Visit, tmp_path: Path) -> None:
    bad_page = GOOD_PAGE.replace("Heading", "<img src='data:,'><hr style='width:3000px'><p style='color:#bbb'>faint")
    (tmp_path / "page.html").write_text(bad_page, "utf-8")
    page = visit(tmp_path / "page.html")
    violations = "\n".join(barriers(page))
    assert "image-alt" in violations
    assert "color-contrast" in violations
    assert overflow(page) > 0
