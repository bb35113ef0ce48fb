"""The ladder: every rung measured on equal terms, one table, one picture, nothing trained twice."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from train.errors import ConfigError
from train.evaluation.ladder import RUNGS, TABLE_FIGURES, ladder
from train.presets import PRESETS

TINY: tuple[str, ...] = ("width=4", "levels=3", "tag_width=8", "discriminator_width=4", "batch_size=8", "jit=false")
TINY += ("log_every=2", "snapshot_every=2")
TWO = ("dcgan-l1", "tags-cpu")  # each a process that loads TensorFlow


@pytest.fixture(scope="module")
def climbed(pairs32: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out: Path = tmp_path_factory.mktemp("ladder") / "out"
    return out, ladder(pairs32, out, TWO, 39, TINY, progress_for=lambda _: lambda *_: None)


def test_every_preset_but_the_gpu_s_is_a_rung() -> None:
    assert set(RUNGS) == set(PRESETS) - {"tags-gpu"}
    assert RUNGS[-1] == "tags-cpu"


def test_every_rung_sees_as_many_pairs_as_the_budget_has_whole_batches(climbed: tuple[Path, dict[str, Any]]) -> None:
    rows = json.loads((climbed[0] / "ladder.json").read_text("utf-8"))["rungs"]
    assert [row["rung"] for row in rows] == list(TWO)
    assert {row["last"]["images_seen"] for row in rows} == {32}
    assert {row["images_seen"] for row in rows} == {32}


def test_the_table_shows_what_was_measured(climbed: tuple[Path, dict[str, Any]]) -> None:
    out, result = climbed
    rows = json.loads((out / "ladder.json").read_text("utf-8"))["rungs"]
    lines = result["table"].splitlines()
    assert (out / "ladder.md").read_text("utf-8") == result["table"]
    assert len({line.count("|") for line in lines}) == 1
    for row, line in zip(rows, lines[2:], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert (cells[0], cells[-1]) == (row["rung"], row["last"]["verdict"])
        assert [float(cell) for cell in cells[1 : 1 + len(TABLE_FIGURES)]] == pytest.approx(
            [row[name] for name in TABLE_FIGURES], rel=0.01
        )


def test_the_picture_has_a_column_a_rung_between_lines_and_truth(climbed: tuple[Path, dict[str, Any]]) -> None:
    picture = cv2.imread(str(climbed[0] / "ladder.png"))
    assert picture is not None
    assert picture.shape[1] // 36 == len(TWO) + 2  # 32 px a column and 4 between


def test_climbing_again_trains_nothing_and_gives_the_same(climbed: tuple[Path, dict[str, Any]], pairs32: Path) -> None:
    out, result = climbed
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/model.keras")}
    told: list[str] = []

    def tell(rung: str) -> Any:
        told.append(rung)
        return lambda *_: None

    assert ladder(pairs32, out, TWO, 39, TINY, progress_for=tell) == result
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/model.keras")} == before


def test_unknown_rungs_and_budgets_below_a_batch_are_refused(pairs32: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rung 'tags'"):
        ladder(pairs32, tmp_path, ["tags"], 100, TINY, progress_for=lambda _: lambda *_: None)
    with pytest.raises(ConfigError, match="less than a batch of 8"):
        ladder(pairs32, tmp_path, TWO, 7, TINY, progress_for=lambda _: lambda *_: None)
