"""A picture that crashes its decoder, or needs too much memory, is dropped alone; all other pictures are kept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curate.dataset import ledger, parquet
from curate.dataset.opt_out import OptOut
from curate.extraction import extract, isolated_reader, part
from curate.sources.scan import Source, scan_sources
from curate.system.errors import NurieError

OPTIONS = extract.ExtractOptions(("dilate",), keep_monochrome=True)
COLORS = ("red", "blue", "green", "gold", "teal", "pink")
NESTED = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{"<g>" * 900}<path/>{"</g>" * 900}</svg>'

# Every started Python process runs this. Opening a file `*fatal.png` then ends it as a crash of a native decoder would.
CRASH_HOOK = """
import os, signal, sys

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("fatal.png"):
        os.kill(os.getpid(), signal.SIGSEGV)

sys.addaudithook(hook)
"""
# Arguments: the limit of address space in bytes, then the arguments of curate
LIMITED_SCRIPT = """
import resource, sys
from curate.cli import main

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    main(sys.argv[2:])
"""


@pytest.fixture
def art(tmp_path: Path) -> Path:
    folder = tmp_path / "art"
    folder.mkdir()
    for number, color in enumerate(COLORS):
        Image.linear_gradient("L").convert("RGB").save(folder / f"{number}.png")
        Image.new("RGB", (40 + number, 40), color).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def crash_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs CRASH_HOOK in processes that are started from now on."""
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "sitecustomize.py").write_text(CRASH_HOOK)
    monkeypatch.syspath_prepend(tmp_path / "hooks")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


def rows(dataset: Path) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in parquet.read_parts(dataset / "records").to_pylist()}


def test_a_native_crash_drops_one_picture_and_gives_equal_datasets_with_one_and_two_workers(
    art: Path, tmp_path: Path, crash_hook: None
) -> None:
    extract.extract([Source("art", art)], tmp_path / "without", OPTIONS, part_size=7)
    shutil.copy(art / "0.jpg", art / "2-fatal.png")
    (art / "2-fatal.txt").write_text("cat, blue_hair")
    for workers in (1, 2):
        counts = extract.extract([Source("art", art)], tmp_path / f"{workers}", OPTIONS, part_size=7, workers=workers)
        assert (counts["in"], counts["dropped"]["unreadable"]) == (2 * len(COLORS) + 1, 1)
    with_crash, without = rows(tmp_path / "1"), rows(tmp_path / "without")
    lost = with_crash.pop("2-fatal.png")
    assert with_crash == without
    assert (lost["dropped"], lost["error"]) == ("unreadable", "CrashError: reading it ends the process by SIGSEGV")
    assert (lost["id"], lost["bytes"]) == (None, (art / "2-fatal.png").stat().st_size)
    assert lost["tags"] == ["cat", "blue_hair"]
    pairs = [parquet.read_parts(tmp_path / name / "pairs").sort_by("id") for name in ("1", "without")]
    assert pairs[0].equals(pairs[1])
    names = {path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*")}
    assert names == {path.relative_to(tmp_path / "2") for path in (tmp_path / "2").rglob("*")}
    ledgers = [ledger.read_ledger(tmp_path / name) for name in ("1", "2")]
    assert ledgers[0] == ledgers[1]  # they hold the SHA-256 of every part


def test_an_svg_that_overflows_the_stack_of_its_decoder_is_unreadable_with_an_error(tmp_path: Path) -> None:
    for name in ("pairs", "records", "art"):
        (tmp_path / name).mkdir()
    (tmp_path / "art" / "nested.svg").write_text(NESTED)
    reader = isolated_reader.IsolatedReader(tmp_path, OPTIONS, OptOut())
    row, pair = reader.read(next(scan_sources([Source("art", tmp_path / "art")])), None)
    reader.close()
    assert (row["dropped"], pair) == ("unreadable", None)
    assert row["error"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces a limit on address space")
def test_a_picture_above_the_memory_limit_is_the_only_one_dropped(art: Path, tmp_path: Path) -> None:
    Image.new("1", (19_000, 10_000)).save(art / "2-large.png")  # 570 MB of RGB
    script = tmp_path / "limited.py"
    script.write_text(LIMITED_SCRIPT)
    lines = ("--lines", "dilate", "--keep-monochrome")
    command = [sys.executable, script, 1_400_000_000, "extract", art, tmp_path / "made", *lines, "--json"]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*map(str, command), "--workers", "2"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dropped"] == {"unreadable": 1}
    error = rows(tmp_path / "made")["2-large.png"]["error"]
    assert error == "MemoryError: reading it takes more memory than a process has here"


def test_a_picture_that_fails_for_lack_of_memory_is_read_again_in_a_child_process(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract.extract([Source("art", art)], tmp_path / "here", OPTIONS)

    def out_of_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(part, "extract_file", out_of_memory)  # in this process, not in its children
    extract.extract([Source("art", art)], tmp_path / "apart", OPTIONS)
    assert ledger.read_ledger(tmp_path / "apart") == ledger.read_ledger(tmp_path / "here")


def test_a_child_process_that_cannot_start_is_an_error_and_no_unreadable_picture(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_reader, "prepare_reader", os._exit)  # raises in the child: bytes are no status
    for name in ("pairs", "records"):
        (tmp_path / name).mkdir()
    file = next(scan_sources([Source("art", art)]))
    reader = isolated_reader.IsolatedReader(tmp_path, OPTIONS, OptOut())
    with pytest.raises(NurieError, match=r"cannot be started \(exit code 1\): .*fewer --workers"):
        reader.read(file, None)
    reader.close()
