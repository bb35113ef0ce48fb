"""The functions of `curate` do what its commands do, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import curate

ROAD = """
import curate

if __name__ == "__main__":
    curate.extract("art", "dataset", lines=["dilate"], size=32, keep_monochrome=True, workers=1)
    curate.dedupe("dataset", split=(0.6, 0.2, 0.2), workers=1)
    curate.select("dataset", "chosen.parquet", where="width>=16")
    curate.shard("dataset", "shards", manifest="chosen.parquet", min_count=1, workers=1)
    faults = [*curate.verify("dataset")["faults"], *curate.verify("shards")["faults"]]
    print(faults, len(curate.tag_counts("dataset", top=1)["tags"]), curate.report("dataset", "report.html")["kept"])
"""
COMMANDS = (
    "extract art dataset --lines dilate --size 32 --keep-monochrome --workers 1",
    "dedupe dataset --split 0.6,0.2,0.2 --workers 1",
    "select dataset chosen.parquet --where width>=16",
    "shard dataset shards --manifest chosen.parquet --min-count 1 --workers 1",
)


def test_functions_and_commands_write_the_same_bytes(
    art: Path, tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    folders = [tmp_path / name for name in ("functions", "commands")]
    for folder in folders:
        folder.mkdir()
        (folder / "art").symlink_to(art)
    (folders[0] / "road.py").write_text(ROAD)
    ran = subprocess.run([sys.executable, "road.py"], cwd=folders[0], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("[] ")
    for line in COMMANDS:
        subprocess.run([sys.executable, "-m", "curate", *line.split(), "--quiet"], cwd=folders[1], check=True)
    files = [tree(folder) for folder in folders]
    for name in ("road.py", "report.html"):
        files[0].pop(name)
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []


def test_an_answer_is_json(art: Path, tmp_path: Path) -> None:
    counts = curate.extract([f"hands={art}"], tmp_path / "dataset", size=16, dry_run=True)
    assert counts == json.loads(json.dumps(counts))
