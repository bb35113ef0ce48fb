"""Write the page about a training: curves, a film strip of the same drawings, alarms and figures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from curate.system.files import atomic_write, check_not_special_file
from train.coloring import grids
from train.config import CONFIG_FILE, read_run_config
from train.errors import RunError
from train.run_page import curves
from train.run_page.curves import Curve, Plot
from train.training import stats

PAGE_FILE = "show.html"
MAX_FRAMES = 8
WEBP_QUALITY = 90
NON_FIGURE_KEYS = {"step", "images_seen", "elapsed", "alarms"}
CURVE_GROUPS = {
    "Validation pictures": ("validation_",),
    "Generator losses": ("l1", "mse", "log", "generator", "named"),
    "Discriminator": ("discriminator", "accuracy", "real_logits", "fake_logits", "penalty"),
}
"""Heading of a group of curves, and how the names of its figures begin."""
OTHER_CURVES_HEADING = "Other figures"
ALARM_MEANINGS = {
    "nan": "a number became infinite or invalid; the training went back to its last snapshot",
    "discriminator_strong": "the discriminator wins almost always, so the generator learns little from it",
    "discriminator_weak": "the discriminator cannot tell generated pictures from real ones",
    "collapse": "all pictures get nearly the same hues",
    "sepia": "colours are pale or brownish",
}


@dataclass
class AlarmSpan:
    """A stretch of the training with an alarm raised, in pairs seen."""

    name: str
    start: int
    stop: int
    """Pairs seen at its last row."""
    ongoing: bool = True


@dataclass
class TrainingHistory:
    """What stats.jsonl says, in a size that does not grow with its length."""

    curves: dict[str, Curve] = field(default_factory=dict)
    alarms: list[AlarmSpan] = field(default_factory=list)
    images_seen_at_step: dict[int, int] = field(default_factory=dict)
    """Pairs seen at the steps that have a sample."""
    step: int = 0
    images_seen: int = 0
    elapsed: float = 0.0
    """Seconds."""

    def add(self, row: Mapping[str, Any], sample_steps: set[int]) -> None:
        """Append a row of stats.jsonl."""
        self.step, self.images_seen, self.elapsed = row["step"], row["images_seen"], row["elapsed"]
        if self.step in sample_steps:
            self.images_seen_at_step[self.step] = self.images_seen
        for name, value in row.items():
            if name not in NON_FIGURE_KEYS:
                self.curves.setdefault(name, Curve()).add(self.images_seen, value)
        self._add_alarms(row.get("alarms", ()))

    def _add_alarms(self, raised: Iterable[str]) -> None:
        """Extend the spans of alarms that are still raised, begin new ones, and end the others."""
        ongoing = {span.name: span for span in self.alarms if span.ongoing}
        for name in raised:
            if name in ongoing:
                ongoing.pop(name).stop = self.images_seen
            else:
                self.alarms.append(AlarmSpan(name, self.images_seen, self.images_seen))
        for span in ongoing.values():
            span.ongoing = False


@dataclass(frozen=True)
class Frame:
    """A sample in the film strip."""

    images_seen: int
    pictures: dict[str, str]
    """Title of each of its columns, and the column as a data URL."""


@dataclass(frozen=True)
class NamedPlot:
    """A curve on the page."""

    name: str
    curve: Curve
    plot: Plot


def show(run: Path, out: Path | None = None) -> dict[str, Any]:
    """Write the page about a run folder to `out` (default: RUN/show.html); return the last figures and alarms.

    The training may still be running. Raises RunError if RUN holds no training, or one without figures yet.
    """
    config = _read_config(run)
    samples = {int(path.stem): path for path in sorted((run / "samples").glob("*.png")) if path.stem.isdigit()}
    history = TrainingHistory()
    for row in stats.read_stats(run / stats.STATS_FILE):
        history.add(row, set(samples))
    if not history.curves:
        raise RunError(f"{run / stats.STATS_FILE} has no figures yet: try again after the first log_every steps")
    page = out or run / PAGE_FILE
    with atomic_write(page) as file:
        file.write(render_page(run.absolute().name, config, history, list(_frames(samples, history))).encode())
    return {
        "page": str(page),
        "step": history.step,
        "images_seen": history.images_seen,
        "alarms": [span.name for span in history.alarms if span.ongoing],
        "figures": {name: curve.last for name, curve in sorted(history.curves.items())},
    }


def _read_config(run: Path) -> dict[str, Any]:
    if not (run / CONFIG_FILE).is_file() or not (run / stats.STATS_FILE).is_file():
        raise RunError(f"{run} is not a run folder: give one that `train fit SHARDS RUN` made")
    return read_run_config(run)


def _frames(samples: Mapping[int, Path], history: TrainingHistory) -> Iterator[Frame]:
    """Up to MAX_FRAMES samples, spread evenly over those drawn. `samples`: path by step."""
    steps = [step for step in sorted(samples) if step in history.images_seen_at_step]
    places = np.linspace(0, len(steps) - 1, min(MAX_FRAMES, len(steps))).round().astype(int)
    for step in (steps[place] for place in places.tolist()):
        check_not_special_file(samples[step])
        sheet = cv2.imread(str(samples[step]), cv2.IMREAD_COLOR)
        if sheet is None:
            raise RunError(f"{samples[step]} cannot be read: delete it; the next snapshot draws another")
        columns = grids.split_columns(np.asarray(sheet, np.uint8), len(grids.SAMPLE_COLUMNS))
        pictures = {title: _webp_url(column) for title, column in zip(grids.SAMPLE_COLUMNS, columns, strict=True)}
        yield Frame(history.images_seen_at_step[step], pictures)


def _webp_url(bgr: grids.RgbUint8) -> str:
    done, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    if not done:
        raise MemoryError("OpenCV could not encode a WebP")
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def render_page(name: str, config: Mapping[str, Any], history: TrainingHistory, frames: list[Frame]) -> str:
    """The page as one HTML file that runs no script and loads nothing; all text from data is escaped."""
    folder = files("train.run_page")
    style = (folder / "show.css").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "show.html.jinja").read_text("utf-8"))
    return template.render(
        name=name,
        run=config,
        history=history,
        frames=frames,
        groups=_group_plots(history),
        meanings=ALARM_MEANINGS,
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        plot_size=(curves.PLOT_WIDTH, curves.PLOT_HEIGHT),
    )


def _group_plots(history: TrainingHistory) -> dict[str, list[NamedPlot]]:
    """Plots by heading, in the order of CURVE_GROUPS; within a group by name."""
    groups: dict[str, list[NamedPlot]] = {heading: [] for heading in (*CURVE_GROUPS, OTHER_CURVES_HEADING)}
    for name, curve in sorted(history.curves.items()):
        heading = next(
            (group for group, begins in CURVE_GROUPS.items() if name.startswith(begins)), OTHER_CURVES_HEADING
        )
        groups[heading].append(NamedPlot(name, curve, Plot(curve, history.images_seen)))
    return {heading: plots for heading, plots in groups.items() if plots}
