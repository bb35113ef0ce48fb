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
    """Stands for shutil.disk_usage of a disk with 1,000 bytes left."""

    free: int = 1000


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every disk has 1,000 bytes left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage())


def test_a_dry_run_counts_files_and_bytes_and_writes_nothing(art: Path, tmp_path: Path, tree: Tree) -> None:
    source = Path(shutil.copytree(art, tmp_path / "s"))
    (source / "notes.txt").write_text("no sidecar of anything")
    (source / "README").touch()
    before = tree(tmp_path)
    forecast = extract.forecast_extract([Source("s", source)], tmp_path / "new" / "d", OPTIONS).to_json_dict()
    assert tree(tmp_path) == before
    assert not (tmp_path / "new").exists()
    pictures = len(list(art.glob("*.png")))
    assert forecast["in"] == forecast["kept"] == pictures + 2
    assert forecast["sidecars"] == pictures
    assert forecast["suffixes"] == {".png": pictures, ".txt": 1, "none": 1}
    read = [path for path in source.iterdir() if path.suffix != ".json"]
    assert forecast["bytes_to_read"] == sum(path.stat().st_size for path in read)
    assert forecast["fits"] == "yes"


def test_recorded_files_count_as_dropped_and_the_dataset_stays_as_it_is(art: Path, tmp_path: Path, tree: Tree) -> None:
    target = tmp_path / "d"
    extract.extract([Source("art", art)], target, OPTIONS, limit=3)
    before = tree(tmp_path)
    forecast = extract.forecast_extract([Source("art", art)], target, OPTIONS, limit=5).to_json_dict()
    assert (forecast["in"], forecast["kept"], forecast["dropped"]) == (5, 2, {"recorded": 3})
    afresh = extract.forecast_extract([Source("art", art)], target, OPTIONS, limit=5, fresh=True).to_json_dict()
    assert (afresh["in"], afresh["kept"], afresh["dropped"]) == (5, 5, {})
    with pytest.raises(DatasetError, match="use the same options"):
        extract.forecast_extract([Source("art", art)], target, extract.ExtractOptions(size=64)).to_json_dict()
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "options", [OPTIONS, extract.ExtractOptions(lines=("dilate",), size=64), extract.ExtractOptions(size=256)]
)
def test_a_dataset_takes_between_the_least_and_the_most_bytes(
    art: Path, tmp_path: Path, tree: Tree, options: extract.ExtractOptions
) -> None:
    forecast = extract.forecast_extract([Source("art", art)], tmp_path / "d", options).to_json_dict()["bytes_to_write"]
    extract.extract([Source("art", art)], tmp_path / "d", options)
    taken = sum(map(len, tree(tmp_path / "d").values()))
    assert forecast["least"] <= taken <= forecast["most"]


def test_a_disk_that_is_too_small_is_reported_in_one_line_with_exit_code_1(
    full: None, art: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["extract", str(art), str(tmp_path / "d"), "--dry-run", "--json"])
    forecast = json.loads(result.stdout)
    assert (result.exit_code, forecast["fits"]) == (1, "no")
    result = CliRunner().invoke(main, ["extract", str(art), str(tmp_path / "d"), "--dry-run"])
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line == f"Error: {forecast['faults'][0]}"
    assert "1.0 kB free: give another disk, or --limit" in line


def test_extract_refuses_a_disk_that_is_too_small_before_it_changes_anything(
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


def test_the_numbers_that_a_dry_run_prints_add_up(art: Path, tmp_path: Path, run: Callable[..., Any]) -> None:
    forecast = run("extract", art, tmp_path / "d", "--dry-run")
    assert forecast["in"] == forecast["kept"] + sum(forecast["dropped"].values())
    assert not (tmp_path / "d").exists()
