import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from curate.cli import main
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import DatasetError, NurieError

Tree = Callable[[Path], dict[str, bytes]]
OPTIONS = extract.ExtractOptions()


class Usage(NamedTuple):
    """Of a disk with a thousand bytes left."""

    free: int = 1000


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with a thousand bytes left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage())


def test_a_dry_run_counts_what_there_is_and_writes_nothing(art: Path, tmp_path: Path, tree: Tree) -> None:
    source = Path(shutil.copytree(art, tmp_path / "s"))
    (source / "notes.txt").write_text("no sidecar of anything")
    (source / "README").touch()
    before = tree(tmp_path)
    told = extract.forecast_extract([Source("s", source)], tmp_path / "new" / "d", OPTIONS).to_json_dict()
    assert tree(tmp_path) == before
    assert not (tmp_path / "new").exists()
    pictures = len(list(art.glob("*.png")))
    assert told["in"] == told["kept"] == pictures + 2
    assert told["sidecars"] == pictures
    assert told["suffixes"] == {".png": pictures, ".txt": 1, "none": 1}
    read = [path for path in source.iterdir() if path.suffix != ".json"]
    assert told["bytes_to_read"] == sum(path.stat().st_size for path in read)
    assert told["fits"] == "yes"


def test_what_is_recorded_is_dropped_from_the_count_and_a_dataset_is_left_as_it_is(
    art: Path, tmp_path: Path, tree: Tree
) -> None:
    target = tmp_path / "d"
    extract.extract([Source("art", art)], target, OPTIONS, limit=3)
    before = tree(tmp_path)
    told = extract.forecast_extract([Source("art", art)], target, OPTIONS, limit=5).to_json_dict()
    assert (told["in"], told["kept"], told["dropped"]) == (5, 2, {"recorded": 3})
    afresh = extract.forecast_extract([Source("art", art)], target, OPTIONS, limit=5, fresh=True).to_json_dict()
    assert (afresh["in"], afresh["kept"], afresh["dropped"]) == (5, 5, {})
    with pytest.raises(DatasetError, match="use the same options"):
        extract.forecast_extract([Source("art", art)], target, extract.ExtractOptions(size=64)).to_json_dict()
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "options", [OPTIONS, extract.ExtractOptions(lines=("dilate",), size=64), extract.ExtractOptions(size=256)]
)
def test_a_dataset_takes_no_less_than_the_least_and_no_more_than_the_most(
    art: Path, tmp_path: Path, tree: Tree, options: extract.ExtractOptions
) -> None:
    told = extract.forecast_extract([Source("art", art)], tmp_path / "d", options).to_json_dict()["bytes_to_write"]
    extract.extract([Source("art", art)], tmp_path / "d", options)
    taken = sum(map(len, tree(tmp_path / "d").values()))
    assert told["least"] <= taken <= told["most"]


def test_a_disk_that_cannot_hold_it_is_one_line_and_exit_code_1(full: None, art: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["extract", str(art), str(tmp_path / "d"), "--dry-run", "--json"])
    told = json.loads(result.stdout)
    assert (result.exit_code, told["fits"]) == (1, "no")
    result = CliRunner().invoke(main, ["extract", str(art), str(tmp_path / "d"), "--dry-run"])
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line == f"Error: {told['faults'][0]}"
    assert "1.0 kB free: give another disk, or --limit" in line


def test_extract_refuses_a_disk_that_cannot_hold_it_before_it_touches_anything(
    art: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract.extract([Source("art", art)], tmp_path / "d", OPTIONS, limit=2)
    before = tree(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage())
    for target, fresh in (("d", False), ("d", True), ("new", False)):
        with pytest.raises(NurieError, match="the disk has"):
            extract.extract([Source("art", art)], tmp_path / target, OPTIONS, fresh=fresh)
    assert tree(tmp_path) == before
    assert extract.extract([Source("art", art)], tmp_path / "d", OPTIONS, limit=2)["new"] == 0


def test_the_command_prints_an_object_that_adds_up(art: Path, tmp_path: Path, run: Callable[..., Any]) -> None:
    told = run("extract", art, tmp_path / "d", "--dry-run")
    assert told["in"] == told["kept"] + sum(told["dropped"].values())
    assert not (tmp_path / "d").exists()
