"""Pages in a real browser: the Chromium of this machine, headless, driven by Playwright, and watched.

`visit(address)` opens a page. What it does wrong meanwhile is a fault, and a test with faults fails at its end: an
error on the console, an exception, a dialog, a request that leaves the machine or fails, a canary that sang.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:  # loaded with every conftest, and only few tests open a browser
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
LOCAL = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost", "ws://127.0.0.1")
DESKTOP, PHONE = (1280, 800), (360, 740)
CANARY = "nurie_canary"
"""A global that only hostile text sets, if it is ever run. As lower case and without spaces as tags are."""
SONG = f"window.{CANARY}=1"
HOSTILE = (
    f"<script>{SONG};alert(1)</script>",
    f"</script><script>{SONG}</script>",
    f"</style></title></textarea><img/src/onerror={SONG}>",
    f"\"><svg/onload='{SONG}'>",
    f"'/onmouseover='{SONG}'/x='",
    f'"/autofocus/onfocus="{SONG}"/x="',
    f"javascript:{SONG}",
    f"<!--><script>{SONG}</script>-->",
    f"&lt;img src=x onerror={SONG}&gt; &amp; &#60;b&#62;",
    f"{{{{ cycler.__init__ }}}}{{% raw %}}${{{SONG}}}`{SONG}`",
    f"line\u2028{SONG}\u2029separators\u0085",
    "right\u202eot\u202ctfel \u2066isolate \u200fmark",
    f"]]><iframe/srcdoc='<script>parent.{CANARY}=1</script>'>",
    "\\u003cscript\\u003e \\x3cscript\\x3e %3Cscript%3E",
    "\ufeff\ufffe\x01 \x7f",
)
"""Text that has no business in a page but as text. Also good in names, but for the slashes."""


class Visit(Protocol):
    """Opens a page in a context of its own. `options` are Playwright's of a context."""

    def __call__(
        self, address: str | Path, *, size: tuple[int, int] = DESKTOP, dark: bool = False, **options: Any
    ) -> Page: ...


class Watch:
    """What goes wrong on a page, in words, and every address it asks for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self._faults: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._faults.append(f"exception: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("crash", lambda _: self._faults.append("the page crashed"))

    def faults(self) -> list[str]:
        """All so far. Hostile text may be run a little after the page is there."""
        self.page.wait_for_timeout(50)
        sung = [frame.url for frame in self.page.frames if frame.evaluate(f"'{CANARY}' in window")]
        return self._faults + [f"hostile text was run in {url}" for url in sung]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._faults.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self._faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.asked.append(request.url)
        if not request.url.startswith(LOCAL):
            self._faults.append(f"asked for {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a download, or a page that was left
            self._faults.append(f"{request.url}: {request.failure}")


def installed() -> str | None:
    """Where this machine has a Chromium."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of one module: Playwright's event loop would be in the way of others'."""
    found = installed()
    if found is None:
        pytest.skip("no Chromium on the path: apt-get install chromium, or put one there by hand")
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: make the environment from the lock again")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[NO_NETWORK])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens pages for a test, which fails at its end if one of them had faults."""
    watches: list[Watch] = []

    def call(address: str | Path, *, size: tuple[int, int] = DESKTOP, dark: bool = False, **options: Any) -> Page:
        options |= {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": "dark" if dark else "light"}
        page = chromium.new_page(**options)
        watches.append(Watch(page))
        page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return page

    yield call
    faults = [fault for watch in watches for fault in watch.faults()]
    for watch in watches:
        watch.page.close()
    assert not faults, "\n".join(faults)


def barriers(page: Page) -> list[str]:
    """What axe-core finds in the way of people with a keyboard, a screen reader, or weak sight; one line a place."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]


def overflow(page: Page) -> int:
    """px that the page is wider than its window: more than 0 makes people scroll sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
