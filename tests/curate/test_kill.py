"""A stage killed at any rename and run again leaves the bytes of an uninterrupted run. Every commit is a rename."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.dataset import tag_table
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.sources.scan import Source

Tree = Callable[[Path], dict[str, bytes]]

# argv: the rename at which to die (0: none), then curate's arguments; prints the number of renames on standard error
SCRIPT = """
import os, signal, sys
from curate.cli import main

fatal, done = int(sys.argv[1]), 0

def dying(real):
    def rename(*arguments, **options):
        global done
        done += 1
        if done == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return rename

os.rename, os.replace = dying(os.rename), dying(os.replace)
main(sys.argv[2:], standalone_mode=False)
print(done, file=sys.stderr)
"""


def curate(fatal: int, *arguments: object) -> int:
    """Run curate; return its number of renames, 0 if it was killed."""
    command = [sys.executable, "-c", SCRIPT, str(fatal), *map(str, arguments), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if fatal:
        assert done.returncode == -signal.SIGKILL, done.stderr
        return 0
    assert done.returncode == 0, done.stderr
    return int(done.stderr)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text("[extract]\nlines = 'dilate'\n[dedupe]\n[select]\nexclude = ['book']\n[shard]\nmin-count = 1\n")
    return path


@pytest.fixture
def begun(art: Path, tmp_path: Path, recipe: Path, run: Callable[..., Any]) -> Callable[[str, str], list[object]]:
    """Return a function that prepares a stage's input in a folder and returns its command line."""

    def begin(stage: str, name: str) -> list[object]:
        stage, _, form = stage.partition(" ")
        home = tmp_path / name
        home.mkdir()
        dataset, shards = home / "dataset", home / "shards"
        if stage == "run":
            places = {"extract.dataset": dataset, "select.out": home / "out.parquet", "shard.shards": shards}
            settings = [word for key, place in places.items() for word in ("--set", f"{key}={place}")]
            return ["run", recipe, *settings, "--set", f"extract.sources=art={art}", "--workers", 1]
        extract = ["extract", f"art={art}", dataset, "--lines", "dilate", "--workers", 1]
        if stage == "extract":
            return extract
        run(*extract)
        if stage == "dedupe":
            return ["dedupe", dataset]
        run("dedupe", dataset)
        shard = ["shard", dataset, shards, "--shard-size", 8, "--min-count", 1, "--workers", 1]
        return [*shard, "--format", form] if form else shard

    return begin


LONG = [
    pytest.param(stage, marks=pytest.mark.slow)
    for stage in ("dedupe", "shard", "shard webdataset", "shard imagefolder")
]


@pytest.mark.parametrize("stage", ["extract", "run", *LONG])
def test_killed_at_a_rename_and_run_again_gives_the_bytes_of_an_unbroken_run(
    tmp_path: Path, tree: Tree, run: Callable[..., Any], begun: Callable[[str, str], list[object]], stage: str
) -> None:
    renames = curate(0, *begun(stage, "unbroken"))
    expected = tree(tmp_path / "unbroken")
    few = {1, renames // 2, renames}  # tests/faults tries all of them
    for fatal in sorted(few if stage != "run" else {renames // 3, renames // 2, renames - 3}):
        command = begun(stage, "killed")
        curate(fatal, *command)
        run(*command)
        assert tree(tmp_path / "killed") == expected, f"killed at rename {fatal} of {renames}"
        shutil.rmtree(tmp_path / "killed")


def test_added_pictures_are_still_deduplicated_after_a_kill_behind_the_manifest(
    art: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(dataset: Path, limit: int | None = None) -> None:
        extract.extract([Source("art", art)], dataset, extract.ExtractOptions(lines=("dilate",)), limit=limit)

    for name in ("killed", "unbroken"):
        add(tmp_path / name, 4)
        dedupe.dedupe(tmp_path / name, dedupe.DedupeOptions())
    add(tmp_path / "unbroken")

    def stop(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tag_table, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            add(tmp_path / "killed")
    add(tmp_path / "killed")
    assert tree(tmp_path / "killed") == tree(tmp_path / "unbroken")
