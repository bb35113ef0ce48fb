"""The page about a training shows what the run's files say, whatever they hold."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tests.browser import HOSTILE, PHONE, Visit, barriers, overflow
from train.cli import main
from train.coloring import grids
from train.errors import RunError
from train.run_page.curves import COMPACTED_POINTS, Curve, Plot
from train.run_page.show import show

finite = st.floats(-1e6, 1e6)


@given(st.lists(finite, min_size=1, max_size=30).map(lambda values: values * 40))
def test_a_curve_stays_short_and_keeps_mean_extremes_and_ends(values: list[float]) -> None:
    curve = Curve()
    for seen, value in enumerate(values):
        curve.add(seen, value)
    points = curve.points()
    assert len(points) <= 2 * COMPACTED_POINTS
    weights = [curve.values_per_point] * (len(points) - bool(curve.pending)) + [len(curve.pending)] * bool(
        curve.pending
    )
    assert np.average([value for _, value in points], weights=weights) == pytest.approx(np.mean(values), abs=1e-6)
    assert (curve.first, curve.lowest, curve.highest, curve.last) == (values[0], min(values), max(values), values[-1])
    assert [seen for seen, _ in points] == sorted(seen for seen, _ in points)


@given(st.lists(finite, min_size=1, max_size=20))
def test_points_and_ticks_lie_within_the_plot(values: list[float]) -> None:
    curve = Curve()
    for seen, value in enumerate(values):
        curve.add(seen, value)
    plot = Plot(curve, len(values))
    heights = [plot.y(value) for value in values] + [height for height, _ in plot.ticks()]
    assert all(-0.1 <= height <= 140.1 for height in heights)


@pytest.mark.parametrize(("rows", "columns", "size"), [(1, 1, 1), (6, 5, 16), (3, 2, 33)])
def test_a_grid_is_cut_back_into_its_columns(rows: int, columns: int, size: int) -> None:
    pictures = np.random.default_rng(0).uniform(-1, 1, (columns, rows, size, size, 3)).astype(np.float32)
    cut = grids.split_columns(grids.draw_grid(list(pictures), [""] * columns), columns)
    assert np.array_equal(np.stack(cut), grids.to_uint8(pictures).reshape(columns, rows * size, size, 3))
    with pytest.raises(ValueError, match="not the size of a grid of 5 columns"):
        grids.split_columns(np.zeros((50, 51, 3), np.uint8), 5)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder as a training writes it: 30 rows, an alarm in the middle and one at the end, three samples."""
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    described: dict[str, Any] = {
        "config": {"preset": "dcgan", "width": 8},
        "size": 16,
        "colors": {},
        "pairs": {"train": 9},
    }
    (run / "config.json").write_text(json.dumps({**described, "licenses": {"": 9}}))
    with (run / "stats.jsonl").open("w") as file:
        for step in range(2, 62, 2):
            row = {"step": step, "images_seen": 8 * step, "elapsed": step / 7, "l1": 1 / step, "rate": 1.0}
            alarms = ["sepia"] * (20 <= step <= 30) + ["collapse"] * (step >= 50)
            file.write(json.dumps({**row, "alarms": alarms}) + "\n")
        file.write('{"step": 62, "images_se')  # as a killed training leaves it
    for step in (2, 30, 60):
        columns = [np.full((2, 16, 16, 3), step / 30 - 1, np.float32)] * len(grids.SAMPLE_COLUMNS)
        grids.save_png(run / "samples" / f"{step:09d}.png", grids.draw_grid(columns, grids.SAMPLE_COLUMNS))
    return run


def test_show_returns_figures_and_alarms_of_the_last_complete_row(run: Path) -> None:
    assert show(run) == {
        "page": str(run / "show.html"),
        "step": 60,
        "images_seen": 480,
        "alarms": ["collapse"],
        "figures": {"l1": 1 / 60, "rate": 1.0},
    }


def test_the_page_lists_alarms_with_the_pairs_seen_at_start_and_end(run: Path) -> None:
    show(run)
    text = "".join((run / "show.html").read_text("utf-8").split("\n"))
    assert '<th scope="row">sepia</th><td class="number">160</td><td class="number">240</td>' in text
    assert '<th scope="row">collapse</th><td class="number">400</td><td class="number">ongoing</td>' in text


def test_equal_runs_make_equal_pages_and_a_real_run_makes_one(run: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "other" / "run")
    show(run)
    show(tmp_path / "other" / "run")
    assert (run / "show.html").read_bytes() == (tmp_path / "other" / "run" / "show.html").read_bytes()
    last = json.loads((trained / "stats.jsonl").read_text().splitlines()[-1])
    result = show(trained, tmp_path / "page.html")
    assert result["figures"]["l1"] == last["l1"]
    assert "data:image/webp" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "is not a run folder: give one that `train fit"),
        ("stats.jsonl", None, "is not a run folder: give one that `train fit"),
        ("stats.jsonl", "", "has no figures yet"),
        ("samples/000000060.png", "no picture", "000000060.png cannot be read: delete it"),
    ],
)
def test_a_run_that_cannot_be_shown_is_reported_in_one_line(
    run: Path, name: str, content: str | None, message: str
) -> None:
    (run / name).unlink() if content is None else (run / name).write_text(content)
    with pytest.raises(RunError, match=message):
        show(run)
    result = CliRunner().invoke(main, ["show", str(run)])
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


@pytest.mark.browser
def test_hostile_names_in_a_run_stay_text_and_the_page_is_accessible(run: Path, visit: Visit) -> None:
    described = json.loads((run / "config.json").read_text())
    described["licenses"] = dict.fromkeys(HOSTILE, 1)
    described["config"] |= dict.fromkeys(HOSTILE, HOSTILE[0])
    described["config"]["preset"] = HOSTILE[2]
    (run / "config.json").write_text(json.dumps(described))
    whole = (run / "stats.jsonl").read_text().rpartition("\n")[0]
    with (run / "stats.jsonl").open("w") as file:
        row = {"step": 64, "images_seen": 512, "elapsed": 9.0, "alarms": list(HOSTILE), **dict.fromkeys(HOSTILE, 0.5)}
        file.write(f"{whole}\n{json.dumps(row)}\n")
    show(run)
    for dark in (False, True):
        page = visit(run / "show.html", dark=dark, size=PHONE)
        assert page.locator("circle").count() == page.locator("svg").count(), (
            "a figure with a single value is visible too"
        )
        page.locator("summary").click()
        assert page.locator("header strong").inner_text() == HOSTILE[2]
        assert overflow(page) == 0
        assert not barriers(page)
        page.locator(".strip img").evaluate_all(
            "images => Promise.all(images.map(image => { image.loading = 'eager'; return image.decode(); }))"
        )
