"""The documentation's site is built without a warning, and its pages hold what README and the tables hold."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


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
        ("programs", "PyDataset"),
        ("cluster", "Workers may come and go"),
        ("compare", "img2dataset"),
        ("speed", "imagededup"),
        ("commands", "Usage: curate extract"),
        ("columns", "search_hashes"),
        ("results", "obedience"),
        ("scaling", "--pictures"),
        ("faults", "What is promised"),
        ("datasheet", "CC BY-SA 4.0"),
        ("changelog", "Unreleased"),
    ],
)
def test_a_page_holds_what_it_is_named_after(site: Path, page: str, told: str) -> None:
    assert told in (site / f"{page}.html").read_text("utf-8")


def test_pictures_of_readme_are_on_the_pages(site: Path) -> None:
    assert {path.name for path in (site / "_images").iterdir()} >= {"strip.png", "ladder.webp"}
