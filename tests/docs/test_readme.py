"""README and the docs are true: commands exist, Python runs, generated tables are fresh, links lead somewhere."""

import contextlib
import importlib
import importlib.util
import io
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
from cogapp import Cog

from tests import ROOT

DOCS = ROOT / ".github" / "docs"
MAX_README_LINES = 200
TABLE = DOCS / "ladder.md"  # not a page: `make ladder` writes it, and the page of results shows it
GUIDES = [ROOT / "README.md", DOCS / "guide.md"]  # their tested Python runs in this order
PAGES = [
    *GUIDES,
    *sorted({*DOCS.rglob("*.md")} - {*GUIDES, TABLE}),
    *(ROOT / ".github").glob("*.md"),
    *(ROOT / "manifests").glob("*.md"),
    ROOT / "tests" / "faults" / "README.md",
    ROOT / "tests" / "bench" / "openclipart" / "README.md",
]
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)


def test_readme_is_read_in_three_minutes() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MAX_README_LINES


def run(program: str, *arguments: str) -> str:
    """Run `curate` or `train` in this process; its standard output."""
    out = io.StringIO()
    main = importlib.import_module(f"{program}.cli").main
    with mock.patch.object(sys, "argv", [program, *arguments]), contextlib.redirect_stdout(out):
        try:
            main()
        except SystemExit as end:
            assert not end.code, f"{program} {' '.join(arguments)}: exit code {end.code}"  # noqa: PT017
    return out.getvalue()


@cache
def help_text(program: str, *commands: str) -> str:
    return run(program, *commands, "--help")


def commands() -> Iterator[str]:
    """Every command line in a bash block, its continuation lines joined and its comment cut off."""
    for block in re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words:
                yield shlex.join(words)


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_command_exists(line: str) -> None:
    program, *arguments = shlex.split(line)
    if program in {"curate", "train"}:
        command = [] if not arguments or arguments[0].startswith("-") else arguments[:1]
        options = set(re.findall(r"--[a-z][a-z-]*", help_text(program, *command)))
        assert {word.split("=")[0] for word in arguments if word.startswith("--")} <= options
    elif program == "make":
        targets = set(re.findall(r"^([a-z.]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
        assert {word for word in arguments if "=" not in word and not word.startswith("-")} <= targets
    elif "pip" in line:
        extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
        assert {name for names in re.findall(r"\[([a-z,-]+)\]", line) for name in names.split(",")} <= extras
    elif program == "python":
        assert arguments[0] == "-m"
        assert importlib.util.find_spec(arguments[1]), f"no module {arguments[1]}"
    else:
        assert program in {"cd", "git", "source", "."}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `art`, real drawings with tags of our own, and `dataset`, as README's commands leave it."""
    monkeypatch.chdir(tmp_path)
    run("curate", "sample", "openmoji", "art", "--limit", "12", "--size", "128", "--workers", "1", "--quiet")
    for number, sidecar in enumerate(sorted(Path("art").glob("*.json"))):
        sidecar.unlink()
        hair = "blue_hair" if number % 2 else "red_hair"
        Path("art", sidecar.name.split(".")[0] + ".txt").write_text(f"{hair}, smile, 1girl\n", "utf-8")
    run("curate", "extract", "art", "dataset", "--lines", "dilate", "--workers", "1", "--quiet")
    run("curate", "dedupe", "dataset", "--quiet")
    return tmp_path


def test_python_blocks_run(folder: Path) -> None:
    """A block below the comment `<!-- test -->` is run; its names carry over to the next."""
    blocks = re.findall(r"<!-- test -->\n+```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 3, "the docs show no tested Python"
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"tested block {number}", "exec"), names)
    kept = json.loads(run("curate", "shard", "dataset", "blue-shards", "--manifest", "blue.parquet", "--json"))["kept"]
    assert kept == len(names["blue"])  # type: ignore[arg-type]  # the block made it a table
    assert 0 < kept < 12


def test_recipes_parse(tmp_path: Path) -> None:
    from curate.cli.recipe_command import STAGE_COMMANDS
    from curate.planning.recipe import read_recipe

    blocks = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert blocks, "the docs show no recipe"
    for block in blocks:
        path = tmp_path / "art.toml"
        path.write_text(block, "utf-8")
        recipe = read_recipe(path, STAGE_COMMANDS)
        assert [recipe.make_context(stage, {}).info_name for stage in recipe.stages] == list(recipe.stages)


GENERATED = [str(page.relative_to(ROOT)) for page in PAGES if "[[[cog" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", GENERATED)
def test_generated_tables_are_fresh(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert Cog().main(["cog", "--check", page]) == 0, "run `make docs`"


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_block_is_one_function_call(page: str) -> None:
    blocks = re.findall(r"\[\[\[cog(.*?)\]\]\]", (ROOT / page).read_text("utf-8"), re.DOTALL)
    call = re.compile(r" from tests\.docs import (tables|speed|reference); cog\.out\(\1\.\w+\([^()]*\)\) ")
    assert [block for block in blocks if not call.fullmatch(block)] == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and the site name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    targets = re.findall(
        r"\]\(([^)#]*)(?:#([^)]*))?\)",
        re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL),
    )
    local = [(page.parent / path if path else page, anchor) for path, anchor in targets if "://" not in path]
    assert [path for path, _ in local if not path.exists()] == []
    assert [(path, anchor) for path, anchor in local if anchor and anchor not in anchors(path)] == []
