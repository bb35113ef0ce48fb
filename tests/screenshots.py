"""Every page on the demo, as Chromium shows it in light and in dark: to be looked at; some are README's pictures.

Run, after make demo: python -m tests.screenshots [DEMO] [OUT] [--readme FOLDER]; needs a Chromium
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

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
README = ("report", "browse", "serve")  # pages that README shows, by day and by night
QUALITY = 85  # of WebP

Look = Callable[["Page"], None]
"""What is done on a page before it is shown."""


def compared(page: Page) -> None:
    """Two look-alikes side by side, as they come first."""
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


def shoot(browser: Browser, address: str, name: str, out: Path, look: Look | None = None) -> None:
    """A page at both sizes, by day and by night."""
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(address)
            if look:
                look(page)
            page.screenshot(path=out / f"{name}-{size}-{scheme}.png")
            page.close()


def halves(out: Path, name: str, target: Path) -> None:
    """A page of which the left half is by day and the right one by night."""
    light, dark = (
        np.asarray(Image.open(out / f"{name}-desk-{scheme}.png").convert("RGB")) for scheme in ("light", "dark")
    )
    middle = light.shape[1] // 2
    both = np.concatenate([light[:, :middle], dark[:, middle:]], axis=1)
    Image.fromarray(both).save(target / f"{name}.webp", quality=QUALITY)


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
        with served("curate", "browse", str(demo / "dataset")) as server:
            shoot(browser, server.address, "browse", out, compared)
        with served("train", "serve", str(demo / "run")) as server:
            shoot(browser, server.address, "serve", out, colored(demo))
        browser.close()
    if readme:
        for name in README:
            halves(out, name, readme)
    click.echo(f"{len(list(out.glob('*.png')))} screenshots in {out}")


if __name__ == "__main__":
    main()
