"""Take screenshots of every page about the demo, light and dark, to look at; some are README's pictures.

Run after `make demo`: python -m tests.screenshots [DEMO] [OUT] [--readme FOLDER]. Needs a Chromium.
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
from tests.browser import DESKTOP, NO_NETWORK, PHONE, find_chromium
from tests.served import served

if TYPE_CHECKING:  # imported only to take screenshots
    from playwright.sync_api import Browser, Page

WINDOW_SIZES = {"desk": DESKTOP, "phone": PHONE}
HALF_WINDOW = (640, 800)
BROWSE_QUERY = "?filter=women"
WEBP_QUALITY = 85

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PreparePage = Callable[["Page"], None]
"""A function that prepares a page for its screenshot."""


def open_first_picture(page: Page) -> None:
    """Open the first picture of the list with its details."""
    page.locator("#list .tile").first.wait_for()
    page.locator("#list .tile").first.click()
    page.wait_for_timeout(1000)  # until its pictures are loaded


def color_unseen_drawing(demo: Path) -> PreparePage:
    """Return a function that colours the line art of a validation picture as tagged and with another colour tag."""
    rows, index = pd.read_parquet(demo / "dataset" / "manifest"), read_index(demo / "shards")
    vocabulary, colors = index.tags["train"], index.colors
    unseen = rows[(rows["split"] == "validation") & rows["dropped"].isna()].sort_values("id")
    path, tags = next(
        (path, [tag for tag in tags if tag in vocabulary])
        for path, tags in zip(unseen["path"], unseen["tags"], strict=True)
        if colors.keys() & {*tags}
    )
    own_tag = next(tag for tag in tags if tag in colors)
    other_tag = next(tag for tag, (_, noun) in colors.items() if noun == colors[own_tag][1] and tag != own_tag)

    def prepare(page: Page) -> None:
        page.locator("#file").set_input_files(demo / "art.lines" / Path(path).name)
        page.locator("#compare").check()
        for label, color_tag in (("A", own_tag), ("B", other_tag)):
            page.locator(f"#tags-{label}").fill(", ".join(color_tag if tag == own_tag else tag for tag in tags))
            page.locator(f"#tags-{label}").press("Enter")
        page.locator("#color").click()
        page.locator("#results figure >> nth=1").wait_for()

    return prepare


def shoot(
    browser: Browser, address: str, name: str, out: Path, prepare: PreparePage | None = None, *, full_page: bool = False
) -> None:
    """Screenshot a page in both window sizes and colour schemes: what the window shows, or the full page."""
    for size, (width, height) in WINDOW_SIZES.items():
        for scheme in SCHEMES:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            if prepare:
                prepare(page)
            page.screenshot(path=out / f"{name}-{size}-{scheme}.png", full_page=full_page)
            page.close()


def shoot_report_halves(browser: Browser, address: str, out: Path) -> None:
    """Screenshot two parts of the report for README: its beginning in light, and its recolours in dark."""
    anchors: dict[Scheme, str] = {"light": "", "dark": "#recolours"}
    for scheme, anchor in anchors.items():
        page = browser.new_page(viewport={"width": HALF_WINDOW[0], "height": HALF_WINDOW[1]}, color_scheme=scheme)
        page.goto(address + anchor)
        page.wait_for_timeout(1000)  # pictures load as they come into view
        page.screenshot(path=out / f"report-half-{scheme}.png")
        page.close()


def join_light_and_dark(out: Path, name: str, size: str, target: Path) -> None:
    """Write a WebP with the light page on the left and the dark one on the right.

    Of `desk` screenshots each side is half of the page; `half` screenshots are pages of half the width.
    """
    light, dark = (np.asarray(Image.open(out / f"{name}-{size}-{scheme}.png").convert("RGB")) for scheme in SCHEMES)
    if size == "desk":
        middle, height = light.shape[1] // 2, min(len(light), len(dark))
        light, dark = light[:height, :middle], dark[:height, middle:]
    Image.fromarray(np.concatenate([light, dark], axis=1)).save(target / f"{name}.webp", quality=WEBP_QUALITY)


@click.command()
@click.argument("demo", type=click.Path(path_type=Path, exists=True), default="demo")
@click.argument("out", type=click.Path(path_type=Path), default="build/screenshots")
@click.option(
    "--readme", type=click.Path(path_type=Path, exists=True), help="Also write README's pictures to this folder."
)
def main(demo: Path, out: Path, readme: Path | None) -> None:
    """Write screenshots of all pages about DEMO to OUT."""
    from playwright.sync_api import sync_playwright

    chromium = find_chromium()
    if chromium is None:
        raise click.ClickException("no Chromium on the path: apt-get install chromium, or put one there by hand")
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[NO_NETWORK])
        for name, page in (("report", demo / "report.html"), ("show", demo / "run" / "show.html")):
            shoot(browser, page.resolve().as_uri(), name, out)
        shoot_report_halves(browser, (demo / "report.html").resolve().as_uri(), out)
        with served("curate", "browse", str(demo / "dataset")) as server:
            shoot(browser, server.address + BROWSE_QUERY, "browse", out, open_first_picture)
        with served("train", "serve", str(demo / "run")) as server:
            shoot(browser, server.address, "serve", out, color_unseen_drawing(demo), full_page=True)
        browser.close()
    if readme:
        for name, size in (("report", "half"), ("browse", "desk"), ("serve", "desk")):
            join_light_and_dark(out, name, size, readme)
    click.echo(f"{len(list(out.glob('*.png')))} screenshots in {out}")


if __name__ == "__main__":
    main()
