import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.dataset import ledger, parquet
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import DatasetError, SourceError

Tree = Callable[[Path], dict[str, bytes]]
OPTIONS = extract.ExtractOptions()


@pytest.fixture
def messy(tmp_path: Path, art: Path) -> Path:
    """Two good pictures, and one file for each way to be dropped."""
    folder = tmp_path / "messy"
    folder.mkdir()
    shutil.copy(art / "1F600.png", folder / "good.png")
    shutil.copy(art / "1F600.png", folder / "copy.png")
    (folder / "good.png.json").write_text('{"tags": "smile", "score": 3}')
    (folder / "copy.png.json").write_text("{broken")
    (folder / "torn.png").write_bytes((art / "1F44B.png").read_bytes()[:500])
    (folder / "empty.jpg").touch()
    (folder / "page.png").write_text("<html>not found</html>")
    Image.new("RGB", (300, 300)).save(folder / "large.png")
    Image.new("RGB", (300, 3)).save(folder / "small.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    return folder


def by_path(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of a records or manifest folder."""
    return {row["path"]: row for row in parquet.read_parts(folder).to_pylist()}


def test_every_file_is_a_row_and_in_equals_kept_plus_dropped(messy: Path, tmp_path: Path) -> None:
    options = extract.ExtractOptions(max_pixels=80_000, min_side=10)
    counts = extract.extract([Source("m", messy)], tmp_path / "d", options)
    assert counts["in"] == 9 == counts["kept"] + sum(counts["dropped"].values())
    assert counts["dropped"] == {"too_large": 1, "too_small": 1, "unreadable": 5}
    assert counts["sidecar_errors"] == 1
    rows = by_path(tmp_path / "d" / "manifest")
    assert all(rows[name]["error"] for name in ("torn.png", "empty.jpg", "page.png", "pipe.png", "gone.png"))
    assert str(messy) not in repr(rows)  # no machine path


def test_pandas_reads_hashes_as_strings_even_beside_an_unreadable_file(messy: Path, tmp_path: Path) -> None:
    extract.extract([Source("m", messy)], tmp_path / "d", OPTIONS)
    rows = pd.read_parquet(tmp_path / "d" / "manifest").set_index("path")
    assert rows["phash"].isna().any()
    assert rows["phash"].dropna().str.fullmatch("[0-9a-f]{16}").all()
    rows.to_parquet(tmp_path / "again.parquet")
    assert pd.read_parquet(tmp_path / "again.parquet")["phash"].equals(rows["phash"])


def test_pairs_have_one_row_for_each_id_even_across_parts(messy: Path, tmp_path: Path) -> None:
    extract.extract([Source("m", messy)], tmp_path / "d", OPTIONS, part_size=1)
    ids = pd.read_parquet(tmp_path / "d" / "pairs")["id"]
    assert ids.is_unique
    assert set(ids) == set(pd.read_parquet(tmp_path / "d" / "records").query("dropped.isnull()")["id"])


def test_before_dedupe_the_manifest_equals_the_records(messy: Path, tmp_path: Path) -> None:
    extract.extract([Source("m", messy)], tmp_path / "d", OPTIONS)
    assert pq.read_table(tmp_path / "d" / "manifest").equals(pq.read_table(tmp_path / "d" / "records"))


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_bytes(art: Path, tmp_path: Path, tree: Tree, workers: int) -> None:
    for name, count in (("one", 1), ("many", workers)):
        extract.extract([Source("art", art)], tmp_path / name, OPTIONS, workers=count, part_size=4)
    assert tree(tmp_path / "one") == tree(tmp_path / "many")


def test_a_second_run_reads_nothing_and_changes_nothing(art: Path, tmp_path: Path, tree: Tree) -> None:
    extract.extract([Source("art", art)], tmp_path / "d", OPTIONS)
    before = tree(tmp_path / "d")
    assert extract.extract([Source("art", art)], tmp_path / "d", OPTIONS)["new"] == 0
    assert tree(tmp_path / "d") == before


def test_a_grown_dataset_has_the_rows_of_one_made_afresh(art: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in art.glob("*.png"))
    (tmp_path / "a").mkdir()
    for name in names[:10]:
        shutil.copy(art / name, tmp_path / "a")
    extract.extract([Source("a", tmp_path / "a")], tmp_path / "grown", OPTIONS)
    for name in names[10:]:
        shutil.copy(art / name, tmp_path / "a")
    assert extract.extract([Source("a", tmp_path / "a")], tmp_path / "grown", OPTIONS)["new"] == len(names) - 10
    extract.extract([Source("a", tmp_path / "a")], tmp_path / "afresh", OPTIONS)
    grown, afresh = (parquet.read_parts(tmp_path / d / "manifest").sort_by("path") for d in ("grown", "afresh"))
    assert grown.equals(afresh)


def test_other_options_are_refused_and_fresh_starts_over(art: Path, tmp_path: Path) -> None:
    extract.extract([Source("art", art)], tmp_path / "d", OPTIONS, limit=2)
    with pytest.raises(DatasetError, match=r"begun with lines=\['contour', 'dilate', 'xdog'\]"):
        extract.extract([Source("art", art)], tmp_path / "d", extract.ExtractOptions(lines=("xdog",)))
    counts = extract.extract(
        [Source("art", art)], tmp_path / "d", extract.ExtractOptions(lines=("xdog",)), limit=2, fresh=True
    )
    assert counts["in"] == 2


def test_records_hashed_in_another_way_are_neither_extended_nor_deduplicated(art: Path, tmp_path: Path) -> None:
    target = tmp_path / "d"
    extract.extract([Source("art", art)], target, OPTIONS, limit=2)
    part = parquet.part_path(target / "records", 0)
    table = pq.read_table(part)
    parquet.write_table(part, table.replace_schema_metadata({**table.schema.metadata, b"nurie.hashes": b"dhash"}))
    ledger.write_ledger(target, ledger.peek_ledger(target), rehash=("records",))
    with pytest.raises(DatasetError, match="was hashed as 'dhash'"):
        extract.extract([Source("art", art)], target, OPTIONS)
    with pytest.raises(DatasetError, match="was hashed as 'dhash'"):
        dedupe.dedupe(target, dedupe.DedupeOptions())
    assert extract.extract([Source("art", art)], target, OPTIONS, limit=2, fresh=True)["in"] == 2


def test_a_folder_with_other_files_is_refused_and_left_alone(art: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for fresh in (False, True):
        with pytest.raises(DatasetError, match="holds other files"):
            extract.extract([Source("art", art)], tmp_path, OPTIONS, fresh=fresh)
    assert (tmp_path / "letter.txt").read_text() == "dear"


SCRIPT = """
import sys
from pathlib import Path
from curate.extraction import extract
from curate.sources.scan import Source
if __name__ == "__main__":
    options = extract.ExtractOptions()
    extract.extract([Source("art", Path(sys.argv[1]))], Path(sys.argv[2]), options, workers=2, part_size=2)
"""


def kill_when(arguments: list[str], ready: Callable[[], bool]) -> int:
    process: subprocess.Popen[Any] = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not ready() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.parametrize("parts", [0, 3, 7])
def test_killed_and_run_again_gives_the_bytes_of_an_unbroken_run(
    art: Path, tmp_path: Path, tree: Tree, parts: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    target = tmp_path / "killed"
    command = [sys.executable, str(script), str(art), str(target)]
    assert kill_when(command, lambda: len(parquet.part_paths(target / "records")) > parts) == -signal.SIGKILL
    done = len(parquet.part_paths(target / "records"))
    assert parts < done < 13
    extract.extract([Source("art", art)], target, OPTIONS, part_size=2)
    extract.extract([Source("art", art)], tmp_path / "unbroken", OPTIONS, part_size=2)
    assert tree(target) == tree(tmp_path / "unbroken")


def test_a_manifest_that_lags_behind_its_records_after_a_kill_is_made_again(art: Path, tmp_path: Path) -> None:
    target = tmp_path / "d"
    extract.extract([Source("art", art)], target, OPTIONS, limit=4, part_size=2)
    old = shutil.copytree(target, tmp_path / "old")
    extract.extract([Source("art", art)], target, OPTIONS, limit=8, part_size=2)
    shutil.rmtree(target / "manifest")
    shutil.copytree(old / "manifest", target / "manifest")  # as if killed between the last part's records and the swap
    shutil.copy(old / "dataset.json", target)
    assert extract.extract([Source("art", art)], target, OPTIONS, limit=8, part_size=2)["in"] == 8
    assert pq.read_table(target / "manifest").equals(pq.read_table(target / "records"))


def test_a_dataset_among_its_own_pictures_is_refused(art: Path) -> None:
    with pytest.raises(SourceError, match="lies inside the source"):
        extract.extract([Source("art", art)], art / "dataset", OPTIONS)
    assert not (art / "dataset").exists()


def test_starting_over_keeps_other_files_in_the_folder(art: Path, tmp_path: Path) -> None:
    target = tmp_path / "d"
    extract.extract([Source("art", art)], target, OPTIONS, limit=2)
    (target / "notes.txt").write_text("mine")
    assert extract.extract([Source("art", art)], target, OPTIONS, limit=1, fresh=True)["in"] == 1
    assert (target / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("deleted", range(4))
def test_a_fresh_start_that_was_killed_and_continued_loses_nothing(
    art: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch, deleted: int
) -> None:
    options = dedupe.DedupeOptions()
    extract.extract([Source("art", art)], tmp_path / "d", OPTIONS, part_size=4)
    dedupe.dedupe(tmp_path / "d", options)
    whole = tree(tmp_path / "d")
    folders = iter(range(9))

    def dying(folder: Path, **_: object) -> None:
        if folder.exists() and next(folders) == deleted:
            max(folder.iterdir()).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dying)
        with pytest.raises(KeyboardInterrupt):
            extract.extract([Source("art", art)], tmp_path / "d", OPTIONS, fresh=True, part_size=4)
    extract.extract([Source("art", art)], tmp_path / "d", OPTIONS, part_size=4)
    dedupe.dedupe(tmp_path / "d", options)
    assert tree(tmp_path / "d") == whole


def test_pairs_without_records_after_a_kill_are_deleted_even_if_their_pictures_are_gone(
    art: Path, tmp_path: Path, tree: Tree
) -> None:
    for name, limit in (("more", 8), ("whole", 4)):
        extract.extract([Source("art", art)], tmp_path / name, OPTIONS, limit=limit, part_size=4)
    shutil.copytree(tmp_path / "whole", tmp_path / "d")
    shutil.copy(parquet.part_path(tmp_path / "more" / "pairs", 1), tmp_path / "d" / "pairs")
    extract.extract([Source("art", art)], tmp_path / "d", OPTIONS, limit=4, part_size=4)
    assert tree(tmp_path / "d") == tree(tmp_path / "whole")


def test_a_dataset_json_of_another_program_is_never_deleted(art: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"labels": [["a.png", 3]]}')  # as StyleGAN's tools write it
    (tmp_path / "a.png").touch()
    for fresh in (False, True):
        with pytest.raises(DatasetError, match="was not written by `curate`"):
            extract.extract([Source("art", art)], tmp_path, OPTIONS, fresh=fresh)
    assert (tmp_path / "a.png").exists()


def test_folders_without_pictures_give_a_dataset_without_rows(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    counts = extract.extract([Source("empty", tmp_path / "empty")], tmp_path / "d", OPTIONS)
    assert (counts["in"], counts["kept"], counts["dropped"]) == (0, 0, {})
    assert list(pd.read_parquet(tmp_path / "d" / "manifest").columns) == MANIFEST_SCHEMA.names
