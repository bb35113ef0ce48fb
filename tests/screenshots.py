"""Every page on the demo, as Chromium shows it in light and in dark: to be looked at; some are README's pictures.

Run, after make demo: python -m tests.screenshots [DEMO] [OUT] [--readme FOLDER]; needs a Chromium
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import numpy as np
import pandas as pd
from PIL import Image

from curate.contract import read_index
from tests.browser import DESKTOP, NO_NETWORK, PHONE, installed
from tests.served import served

if TYPE_CHECKING:  # as in tests.browser
    from playwright.sync_api import Browser, Page

SIZES = {"desk": DESKTOP, "phone": PHONE}
HALF = (640, 800)
FOUND = "?filter=women"
QUALITY = 85  # of WebP

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
Look = Callable[["Page"], None]
"""What is done on a page before it is shown."""


def opened(page: Page) -> None:
    """The first picture, with what is told of it."""
    page.locator("#list .tile").first.wait_for()
    page.locator("#list .tile").first.click()
    page.wait_for_timeout(1000)  # its pictures are on their way


def colored(demo: Path) -> Look:
    """An artist's lines of a picture that the network never saw, coloured as tagged and in another colour."""
    rows, index = pd.read_parquet(demo / "dataset" / "manifest"), read_index(demo / "shards")
    known, colors = index.tags["train"], index.colors
    unseen = rows[(rows["split"] == "validation") & rows["dropped"].isna()].sort_values("id")
    path, tags = next(
        (path, [tag for tag in tags if tag in known])
        for path, tags in zip(unseen["path"], unseen["tags"], strict=True)
        if colors.keys() & {*tags}
    )
    own = next(tag for tag in tags if tag in colors)
    other = next(tag for tag, (_, noun) in colors.items() if noun == colors[own][1] and tag != own)

    def look(page: Page) -> None:
        page.locator("#file").set_input_files(demo / "art.lines" / Path(path).name)
        page.locator("#compare").check()
        for place, wanted in (("A", own), ("B", other)):
            page.locator(f"#tags-{place}").fill(", ".join(wanted if tag == own else tag for tag in tags))
            page.locator(f"#tags-{place}").press("Enter")
        page.locator("#go").click()
        page.locator("#results figure >> nth=1").wait_for()

    return look


def shoot(
    browser: Browser, address: str, name: str, out: Path, look: Look | None = None, *, whole: bool = False
) -> None:
    """A page at both sizes, by day and by night; what fits the window, or all of it."""
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            if look:
                look(page)
            page.screenshot(path=out / f"{name}-{size}-{scheme}.png", full_page=whole)
            page.close()


def parts(browser: Browser, address: str, out: Path) -> None:
    """Two parts of the report, for README: its beginning by day, and recolours by night."""
    anchors: dict[Scheme, str] = {"light": "", "dark": "#recolours"}
    for scheme, anchor in anchors.items():
        page = browser.new_page(viewport={"width": HALF[0], "height": HALF[1]}, color_scheme=scheme)
        page.goto(address + anchor)
        page.wait_for_timeout(1000)  # pictures are read as they come into view
        page.screenshot(path=out / f"report-half-{scheme}.png")
        page.close()


def joined(out: Path, name: str, size: str, target: Path) -> None:
    """A page by day on the left and by night on the right: two halves of it, or two pages of half the width."""
    light, dark = (np.asarray(Image.open(out / f"{name}-{size}-{scheme}.png").convert("RGB")) for scheme in SCHEMES)
    if size == "desk":
        middle, lowest = light.shape[1] // 2, min(len(light), len(dark))
        light, dark = light[:lowest, :middle], dark[:lowest, middle:]
    Image.fromarray(np.concatenate([light, dark], axis=1)).save(target / f"{name}.webp", quality=QUALITY)


@click.command()
@click.argument("demo", type=click.Path(path_type=Path, exists=True), default="demo")
@click.argument("out", type=click.Path(path_type=Path), default="build/screenshots")
@click.option("--readme", type=click.Path(path_type=Path, exists=True), help="Put README's pictures here.")
def main(demo: Path, out: Path, readme: Path | None) -> None:
    """Take pictures of all pages of DEMO into OUT."""
    from playwright.sync_api import sync_playwright

    chromium = installed()
    if chromium is None:
        raise click.ClickException("no Chromium on the path: install Debian's package chromium")
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[NO_NETWORK])
        for name, page in (("report", demo / "report.html"), ("show", demo / "run" / "show.html")):
            shoot(browser, page.resolve().as_uri(), name, out)
        parts(browser, (demo / "report.html").resolve().as_uri(), out)
        with served("curate", "browse", str(demo / "dataset")) as server:
            shoot(browser, server.address + FOUND, "browse", out, opened)
        with served("train", "serve", str(demo / "run")) as server:
            shoot(browser, server.address, "serve", out, colored(demo), whole=True)
        browser.close()
    if readme:
        for name, size in (("report", "half"), ("browse", "desk"), ("serve", "desk")):
            joined(out, name, size, readme)
    click.echo(f"{len(list(out.glob('*.png')))} screenshots in {out}")


if __name__ == "__main__":
    main()
