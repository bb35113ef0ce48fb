"""Pages in a real browser: the installed Chromium, headless, driven by Playwright.

The fixture `visit(address)` opens a page and watches it. A test fails at its end if a page had a fault: an error on the
console, an exception, a dialog, a failed request, a request to another machine, or hostile text that was run as code.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:  # every conftest imports this module, and few tests open a browser
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
LOCAL_URLS = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost", "ws://127.0.0.1")
DESKTOP, PHONE = (1280, 800), (360, 740)
CANARY = "nurie_canary"
"""A global variable that only hostile text sets, if it is run. Lower case and without spaces, so that tags keep it."""
PAYLOAD = f"window.{CANARY}=1"
HOSTILE = (
    f"<script>{PAYLOAD};alert(1)</script>",
    f"</script><script>{PAYLOAD}</script>",
    f"</style></title></textarea><img/src/onerror={PAYLOAD}>",
    f"\"><svg/onload='{PAYLOAD}'>",
    f"'/onmouseover='{PAYLOAD}'/x='",
    f'"/autofocus/onfocus="{PAYLOAD}"/x="',
    f"javascript:{PAYLOAD}",
    f"<!--><script>{PAYLOAD}</script>-->",
    f"&lt;img src=x onerror={PAYLOAD}&gt; &amp; &#60;b&#62;",
    f"{{{{ cycler.__init__ }}}}{{% raw %}}${{{PAYLOAD}}}`{PAYLOAD}`",
    f"line\u2028{PAYLOAD}\u2029separators\u0085",
    "right\u202eot\u202ctfel \u2066isolate \u200fmark",
    f"]]><iframe/srcdoc='<script>parent.{CANARY}=1</script>'>",
    "\\u003cscript\\u003e \\x3cscript\\x3e %3Cscript%3E",
    "\ufeff\ufffe\x01 \x7f",
)
"""Texts that must stay text in a page. Those without slashes also work as file names."""


class Visit(Protocol):
    """Opens a page in a new browser context; `options` are those of Playwright's `new_page`."""

    def __call__(
        self, address: str | Path, *, size: tuple[int, int] = DESKTOP, dark: bool = False, **options: Any
    ) -> Page: ...


class Watch:
    """Collects the faults of a page, and every URL it requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requested_urls: list[str] = []
        self._faults: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._faults.append(f"exception: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("crash", lambda _: self._faults.append("the page crashed"))

    def faults(self) -> list[str]:
        """Faults so far, after a short wait, as hostile text may run a little after the page has loaded."""
        self.page.wait_for_timeout(50)
        infected = [frame.url for frame in self.page.frames if frame.evaluate(f"'{CANARY}' in window")]
        return self._faults + [f"hostile text was run in {url}" for url in infected]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._faults.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self._faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.requested_urls.append(request.url)
        if not request.url.startswith(LOCAL_URLS):
            self._faults.append(f"requested {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a download, or a page that was closed
            self._faults.append(f"{request.url}: {request.failure}")


def find_chromium() -> str | None:
    """Path of the installed Chromium; None if there is none."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of one module; Playwright's event loop would disturb asynchronous tests of others."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on the path: apt-get install chromium, or put one there by hand")
    api = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: install the environment of requirements.lock again"
    )
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[NO_NETWORK])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens pages for a test; the test fails at its end if one of them had faults."""
    watches: list[Watch] = []

    def open_page(address: str | Path, *, size: tuple[int, int] = DESKTOP, dark: bool = False, **options: Any) -> Page:
        options |= {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": "dark" if dark else "light"}
        page = chromium.new_page(**options)
        watches.append(Watch(page))
        page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return page

    yield open_page
    faults = [fault for watch in watches for fault in watch.faults()]
    for watch in watches:
        watch.page.close()
    assert not faults, "\n".join(faults)


def barriers(page: Page) -> list[str]:
    """Accessibility violations that axe-core finds (keyboard, screen reader, contrast), one line for each element."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in violations
        for node in violation["nodes"]
    ]


def overflow(page: Page) -> int:
    """By how many px the page is wider than its window; above 0 the page scrolls sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
