"""The ladder: every rung sees as many pairs, one table, one picture, and nothing is trained twice."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from train.errors import ConfigError
from train.evaluation.ladder import RUNGS, TABLE_FIGURES, ladder
from train.presets import PRESETS

TINY: tuple[str, ...] = ("width=4", "levels=2", "tag_width=8", "discriminator_width=4", "batch_size=8", "jit=false")
TINY += ("log_every=2", "snapshot_every=2")
TWO = ("dcgan-l1", "tags-cpu")  # each takes a process that loads TensorFlow


@pytest.fixture(scope="module")
def ladder_run(pairs32: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out: Path = tmp_path_factory.mktemp("ladder") / "out"
    return out, ladder(pairs32, out, TWO, 39, TINY, progress_for=lambda _: lambda *_: None)


def test_every_preset_but_that_for_gpus_is_a_rung() -> None:
    assert set(RUNGS) == set(PRESETS) - {"tags-gpu"}
    assert RUNGS[-1] == "tags-cpu"


def test_every_rung_sees_the_whole_batches_of_the_budget(ladder_run: tuple[Path, dict[str, Any]]) -> None:
    rows = json.loads((ladder_run[0] / "ladder.json").read_text("utf-8"))["rungs"]
    assert [row["rung"] for row in rows] == list(TWO)
    assert {row["last"]["images_seen"] for row in rows} == {32}
    assert {row["images_seen"] for row in rows} == {32}


def test_the_table_shows_what_was_measured(ladder_run: tuple[Path, dict[str, Any]]) -> None:
    out, result = ladder_run
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


def test_the_picture_has_a_column_for_each_rung_between_lines_and_truth(
    ladder_run: tuple[Path, dict[str, Any]],
) -> None:
    picture = cv2.imread(str(ladder_run[0] / "ladder.png"))
    assert picture is not None
    assert picture.shape[1] // 36 == len(TWO) + 2  # 32 px for a column and 4 px between


def test_a_second_call_trains_nothing_and_gives_the_same_result(
    ladder_run: tuple[Path, dict[str, Any]], pairs32: Path
) -> None:
    out, result = ladder_run
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/model.keras")}
    trained_rungs: list[str] = []

    def progress_for(rung: str) -> Any:
        trained_rungs.append(rung)
        return lambda *_: None

    assert ladder(pairs32, out, TWO, 39, TINY, progress_for=progress_for) == result
    assert trained_rungs == []
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/model.keras")} == before


def test_unknown_rungs_and_budgets_below_a_batch_are_refused(pairs32: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no rung 'tags'"):
        ladder(pairs32, tmp_path, ["tags"], 100, TINY, progress_for=lambda _: lambda *_: None)
    with pytest.raises(ConfigError, match="less than a batch of 8"):
        ladder(pairs32, tmp_path, TWO, 7, TINY, progress_for=lambda _: lambda *_: None)
