"""The documentation's site is built without a warning, and its pages hold what README and the tables hold."""

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
    """The pages, built anew; Sphinx turns its warnings into errors."""
    out = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html", "-d", out / "doctrees"]
    told = subprocess.run(
        [sys.executable, *map(str, [*command, ROOT / ".github" / "docs", out])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return out


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("index", "trains a network that colours line art"),
        ("guide", "When dedupe is wrong"),
        ("training", "adversary_from"),
        ("gpu", "tags-gpu"),
        ("programs", "PyDataset"),
        ("cluster", "Workers may come and go"),
        ("compare", "img2dataset"),
        ("speed", "imagededup"),
        ("commands", "Usage: curate extract"),
        ("columns", "search_hashes"),
        ("results", "obedience"),
        ("scaling", "--pictures"),
        ("faults", "What is promised"),
        ("limits", "imagefolder"),
        ("contributing", "extract.py"),
        ("datasheet", "CC BY-SA 4.0"),
        ("changelog", "Unreleased"),
    ],
)
def test_a_page_holds_what_it_is_named_after(site: Path, page: str, told: str) -> None:
    assert told in (site / f"{page}.html").read_text("utf-8")


def test_pictures_of_readme_are_on_the_pages(site: Path) -> None:
    assert {path.name for path in (site / "_images").iterdir()} >= {"strip.png", "ladder.webp"}


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served: axe fetches its style sheets, which a browser lets no page of a file do."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def send_head(self) -> Any:
            if self.path != "/favicon.ico":  # which a browser asks for, and the site has none
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
def test_a_page_is_read_by_keyboard_screen_reader_and_weak_sight(
    address: str, visit: Visit, page: str, size: tuple[int, int]
) -> None:
    for dark in (False, True):
        shown = visit(f"{address}/{page}.html", size=size, dark=dark)
        assert barriers(shown) == []
        assert overflow(shown) == 0
