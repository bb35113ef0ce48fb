"""The documentation's site builds without a warning, and everybody can read its pages."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests import ROOT
from tests.browser import DESKTOP, PHONE, Visit, barriers, overflow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, freshly built; Sphinx turns its warnings into errors."""
    out = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html", "-d", out / "doctrees"]
    build = subprocess.run(
        [sys.executable, *map(str, [*command, ROOT / ".github" / "docs", out])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    return out


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("index", "Every file is accounted for"),
        ("guide", "When dedupe is wrong"),
        ("training", "adversary_from"),
        ("gpu", "tags-gpu"),
        ("programs", "PyDataset"),
        ("api", "extract"),
        ("cluster", "Workers may come and go"),
        ("commands", "Usage: curate extract"),
        ("columns", "search_hashes"),
        ("faq", "My run was killed"),
        ("results", "line F1"),
        ("speed", "imagededup"),
        ("scaling", "--pictures"),
        ("compare", "img2dataset"),
        ("limits", "imagefolder"),
        ("faults", "Promised"),
        ("openclipart", "byte copies"),
        ("datasheet", "CC BY-SA 4.0"),
        ("model", "U-Net"),
        ("contributing", "--randomly-seed"),
        ("rooms", "deduplication/"),
        ("decisions/index", "Decisions"),
        ("security", "private security advisory"),
        ("changelog", "Unreleased"),
    ],
)
def test_a_page_holds_what_it_is_named_after(site: Path, page: str, text: str) -> None:
    assert text in (site / f"{page}.html").read_text("utf-8")


def test_links_to_included_files_lead_to_their_pages(site: Path) -> None:
    assert 'href="rooms.html"' in (site / "contributing.html").read_text("utf-8")
    assert 'href="../faults.html#damaged"' in (site / "decisions" / "seals.html").read_text("utf-8")


def test_every_decision_is_listed_and_says_why(site: Path) -> None:
    listed = (site / "decisions" / "index.html").read_text("utf-8")
    for path in (ROOT / ".github" / "docs" / "decisions").glob("*.md"):
        if path.stem != "index":
            assert f'href="{path.stem}.html"' in listed
            text = path.read_text("utf-8")
            assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences")), path.name


def test_the_pictures_are_part_of_the_site(site: Path) -> None:
    pictures = {path.name for path in (site / "_images").iterdir()}
    assert pictures >= {"strip.png", "report.webp", "browse.webp", "serve.webp", "ladder.webp"}


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """URL of the site, served over HTTP: axe fetches style sheets, which browsers forbid to local files."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def send_head(self) -> Any:
            if self.path != "/favicon.ico":  # browsers request it and the site has none
                return super().send_head()
            self.send_response(204)
            self.end_headers()
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("page", ["index", "guide", "commands", "results"])
def test_a_page_works_with_keyboard_and_screen_reader_and_has_enough_contrast(
    address: str, visit: Visit, page: str, size: tuple[int, int]
) -> None:
    for dark in (False, True):
        shown = visit(f"{address}/{page}.html", size=size, dark=dark)
        assert barriers(shown) == []
        assert overflow(shown) == 0
