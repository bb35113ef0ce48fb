"""The page in a real browser: filters, decisions, undo and tags by mouse and keyboard; hostile text; accessibility."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from curate.browsing.app import create_app
from curate.browsing.live_dataset import LiveDataset
from curate.dataset import decisions, parquet
from curate.deduplication import dedupe
from curate.web import server
from tests import ROOT
from tests.browser import DESKTOP, HOSTILE, PHONE, Visit, barriers, overflow

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def dataset(mixed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mixed, tmp_path / "d"))


@pytest.fixture
def address(dataset: Path) -> Iterator[str]:
    listening = server.listen("127.0.0.1", 0)
    running = server.make_server(create_app(LiveDataset(dataset)), "127.0.0.1")
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield server.browser_url(listening)
    running.should_exit = True
    thread.join(30)
    listening.close()


@pytest.fixture
def visit(address: str, visit: Visit) -> Visit:
    """Set up after the server, so that pages are closed before the server stops."""
    return visit


def decided(dataset: Path) -> list[tuple[str, bool]]:
    return [(row["kind"], row["holds"]) for row in decisions.read_with_holds(dataset)]


def tile(page: Page, path: str) -> str:
    return f"#list .tile[title='{path}']"


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_curl_commands_of_the_guide_find_and_decide(address: str, dataset: Path) -> None:
    guide = (ROOT / ".github" / "docs" / "guide.md").read_text("utf-8")
    [lines] = re.findall(r"^```text\n(curl .*?)^```", guide, re.MULTILINE | re.DOTALL)
    rows = parquet.read_parts(dataset / "manifest").to_pylist()
    [found] = [row["id"] for row in rows if row["path"] == "cat0.jpg"]
    script = lines.replace("http://127.0.0.1:8765", address.rstrip("/")).replace('"ID"', f'"{found}"')
    done = subprocess.run(["bash", "-ec", script], check=True, capture_output=True, text=True)
    assert f'"total":{sum(row["role"] == "duplicate" for row in rows)},' in done.stdout
    assert decided(dataset) == [("drop", True)]


def test_a_filter_completes_finds_and_is_in_the_url(visit: Visit, address: str) -> None:
    page = visit(address)
    page.wait_for_selector("#list .tile")
    assert page.locator("#list .tile").count() == 9
    page.fill("#filter", "role:duplicate waving")
    page.wait_for_selector("#completions option", state="attached")
    assert page.locator("#completions option").first.get_attribute("value") == "role:duplicate waving_hand"
    page.fill("#filter", "path:*cat* role:duplicate")
    page.press("#filter", "Enter")
    page.wait_for_selector("text=1 to 2 of 2 pictures")
    assert "filter=path%3A*cat*+role%3Aduplicate" in page.url
    page.get_by_role("button", name="asleep", exact=True).click()
    page.wait_for_selector("text=1 to 1 of 1 picture")
    page.go_back()
    page.wait_for_selector("text=1 to 2 of 2 pictures")
    page.fill("#filter", "waving_hnad")
    page.press("#filter", "Enter")
    page.get_by_role("button", name="waving_hand", exact=True).click()
    page.wait_for_selector("text=1 to 2 of 2 pictures")
    page.fill("#where", "width >")
    page.press("#where", "Enter")
    page.wait_for_selector("#message.bad >> text=is not an expression")
    page.get_by_role("button", name="Show all").click()
    page.wait_for_selector("text=1 to 9 of 9 pictures")
    page.fill("#filter", "waving_hnad|path:cat0*")
    page.press("#filter", "Enter")
    page.wait_for_selector("text=1 to 1 of 1 picture")
    page.get_by_role("button", name="waving_hand", exact=True).first.click()
    page.wait_for_selector("text=1 to 3 of 3 pictures")


def test_a_decision_is_made_shown_and_undone_by_mouse(visit: Visit, address: str, dataset: Path) -> None:
    page = visit(f"{address}?view=families")
    page.click(tile(page, "cat0.jpg"))
    panel = page.locator("#picture")
    panel.get_by_role("button", name="Not the same", exact=True).first.click()
    page.wait_for_selector("text=1 decision waits")
    assert decided(dataset) == [("different", True)]
    page.locator(tile(page, "cat0.jpg"), has_text="not the same").wait_for()
    panel.get_by_role("button", name="Not the same as any of these").click()
    page.wait_for_selector("text=2 decisions wait")
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    page.reload()
    page.wait_for_selector(f"{tile(page, 'cat0.jpg')}.kept", state="detached")  # it has no look-alikes any more
    page.get_by_role("link", name="Decisions").click()
    page.wait_for_selector("text=in force")
    page.locator("#list").get_by_role("button", name="Undo 0").click()
    page.wait_for_selector("text=1 decision waits")
    assert decided(dataset) == [("different", False), ("different", True), ("undo", True)]


def test_everything_works_by_keyboard(visit: Visit, address: str, dataset: Path) -> None:
    page = visit(f"{address}?filter=path:1F*")
    page.wait_for_selector("#list .tile")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.locator("#list .tile").first.focus()
    names = page.locator("#list .tile").evaluate_all("all => all.map(one => one.title)")
    press(page, "ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "ArrowRight")
    assert page.evaluate("document.activeElement.title") == names[1]
    press(page, "x")
    page.wait_for_selector(f"text=Stored: leave out {names[1]}")
    assert page.evaluate("document.activeElement.title") == names[1]
    press(page, "m", "ArrowRight")
    page.wait_for_selector(f"text=Marked {names[1]}")
    page.wait_for_selector("#list:not([aria-busy])")
    assert page.evaluate("document.activeElement.title") == names[2], "the list keeps the focus when it is drawn again"
    press(page, "c")
    page.wait_for_selector(f"text=Stored: a copy {names[2]} and {names[1]}")
    press(page, "ArrowLeft", "ArrowLeft", "k")
    page.wait_for_selector(f"text=Stored: keep {names[0]}")
    press(page, "u")
    page.wait_for_selector("text=Stored: undo 2")
    assert decided(dataset) == [("drop", True), ("duplicate", True), ("keep", False), ("undo", True)]
    press(page, "Enter")
    page.wait_for_selector("#picture-title")
    press(page, "Escape")
    page.wait_for_selector("#picture-title", state="detached")
    assert page.evaluate("document.activeElement.title") == names[0]
    press(page, "?")
    assert "keep this one" in page.locator("#keys dd").all_inner_texts()[2]
    assert not barriers(page)


def test_tags_are_edited_and_found(visit: Visit, address: str, dataset: Path) -> None:
    page = visit(address)
    page.wait_for_selector("#list .tile")
    page.locator(tile(page, "1F34E.png")).focus()
    press(page, "t")
    page.fill("#retag", "Red Apple\n,_,\n" + "\n".join(HOSTILE))
    page.click("text=Save tags")
    page.wait_for_selector("text=Tags given by people")
    page.locator("#picture .tags .tag >> nth=0", has_text="red_apple").wait_for()
    assert (decisions.read(dataset)[0]["tags"] or ())[:2] == ["red_apple", ",_,"]
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    page.fill("#filter", "red_apple")
    page.press("#filter", "Enter")
    page.wait_for_selector("text=of 1 picture")


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_hostile_text_is_only_text_and_there_are_no_barriers(
    visit: Visit, address: str, dataset: Path, size: tuple[int, int], dark: bool
) -> None:
    [name] = [path for path in parquet.read_parts(dataset / "manifest", ["path"])["path"].to_pylist() if "onm" in path]
    bitten = decisions.decide(dataset, "retag", [name], HOSTILE)["a"]
    for query in (f"?picture={bitten}", "?view=families", "?view=decisions"):
        page = visit(address + query, size=size, dark=dark)
        page.wait_for_selector("#list .tile, #list table")
        page.wait_for_load_state("networkidle")
        assert not barriers(page)
        assert overflow(page) == 0
    page = visit(f"{address}?picture={bitten}", size=size, dark=dark)
    page.wait_for_selector("#picture .tags .tag")
    shown = page.locator("#picture .tags .tag").evaluate_all("all => all.map(one => one.textContent)")
    assert shown == decisions.read(dataset)[0]["tags"]
    assert page.locator("#picture-title").inner_text() == name


def test_on_a_phone_the_picture_covers_the_page_until_it_is_closed(visit: Visit, address: str, dataset: Path) -> None:
    page = visit(f"{address}?view=families", size=PHONE)
    page.click(tile(page, "cat0.jpg"))
    page.wait_for_selector("#picture-title")
    assert page.evaluate("document.querySelector('header').inert")
    assert page.evaluate("document.activeElement.id") == "picture-title"
    page.get_by_role("button", name="Keep this one").click()
    page.wait_for_selector("text=Stored: keep cat0.jpg")
    page.wait_for_selector("button[aria-pressed=true] >> text=Keep this one")
    above = "(box => document.elementFromPoint(box.x + 20, box.y + box.height / 2).id)(message.getBoundingClientRect())"
    assert page.evaluate(above) == "message", "the message is hidden"
    page.get_by_role("button", name="Keep this one").click()
    page.wait_for_selector("button[aria-pressed=false] >> text=Keep this one")
    assert decided(dataset) == [("keep", False), ("undo", True)]
    page.get_by_role("button", name="Close").click()
    page.wait_for_selector("#picture-title", state="detached")
    assert page.evaluate("document.activeElement.title") == "cat0.jpg"
    assert not page.evaluate("document.querySelector('header').inert")


def test_every_line_style_can_be_shown_beside_the_colours(visit: Visit, address: str) -> None:
    page = visit(f"{address}?filter=path:1F34E*")
    page.wait_for_selector("#list .tile img")
    sources = "all => all.map(one => one.src.split('/').pop())"
    assert page.locator("#list .tile img").evaluate_all(sources) == ["line_contour", "color"]
    page.select_option("#show", "all")
    page.wait_for_selector("#list .tile img >> nth=2")
    assert page.locator("#list .tile img").evaluate_all(sources) == ["color", "line_contour", "line_dilate"]
    page.wait_for_load_state("networkidle")
    assert page.locator("#list img").evaluate_all("all => all.every(one => one.naturalWidth === 128)")
