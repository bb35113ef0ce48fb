"""RUN -> one page to look at: curves, a film strip of the fixed pictures, alarms, figures. Needs no TensorFlow."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
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
from train.pages import curves
from train.pages.curves import Curve
from train.training import stats

PAGE_FILE = "show.html"
MAX_FRAMES = 8  # of a film strip
WEBP_QUALITY = 90  # of its WebP
NON_FIGURE_KEYS = {"step", "images_seen", "elapsed", "alarms"}
CURVE_GROUPS = {
    "Fixed pictures": ("validation_",),
    "Losses of the generator": ("l1", "mse", "log", "generator", "named"),
    "The game": ("discriminator", "accuracy", "real_logits", "fake_logits", "penalty"),
}
"""Heading of a group of curves, by how their names begin."""
OTHER_CURVES_HEADING = "Pace"


@dataclass
class TrainingHistory:
    """What stats.jsonl tells, whatever its length."""

    curves: dict[str, Curve] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    """Spans in which one was raised: name, first and last row's images_seen, whether it still is."""
    images_seen_at_step: dict[int, int] = field(default_factory=dict)
    """Pairs seen at the steps that samples were drawn at."""
    step: int = 0
    images_seen: int = 0
    elapsed: float = 0.0

    def add(self, row: Mapping[str, Any], drawn: set[int]) -> None:
        """One more row. `drawn`: the steps of samples."""
        self.step, self.images_seen, self.elapsed = row["step"], row["images_seen"], row["elapsed"]
        if self.step in drawn:
            self.images_seen_at_step[self.step] = self.images_seen
        for name, value in row.items():
            if name not in NON_FIGURE_KEYS:
                self.curves.setdefault(name, Curve()).add(self.images_seen, value)
        lasting = {span["name"]: span for span in self.alarms if span["lasts"]}
        for name in row.get("alarms", ()):
            if name in lasting:
                lasting.pop(name)["stop"] = self.images_seen
            else:
                self.alarms.append({"name": name, "start": self.images_seen, "stop": self.images_seen, "lasts": True})
        for span in lasting.values():
            span["lasts"] = False


def show(run: Path, out: Path | None = None) -> dict[str, Any]:
    """Write the page of a run folder to `out`, RUN/show.html unless given; returns its last figures and alarms.

    Works while the training goes on. Raises RunError if RUN holds no training, or nothing to show yet.
    """
    config = _config(run)
    samples = {int(path.stem): path for path in sorted((run / "samples").glob("*.png")) if path.stem.isdigit()}
    story = TrainingHistory()
    for row in stats.read_stats(run / stats.STATS_FILE):
        story.add(row, set(samples))
    if not story.curves:
        raise RunError(f"{run / stats.STATS_FILE} has no figures yet: look again after the first log_every steps")
    page = out or run / PAGE_FILE
    with atomic_write(page) as file:
        file.write(render_page(run.absolute().name, config, story, list(_frames(samples, story))).encode())
    figures = {name: curve.last for name, curve in sorted(story.curves.items())}
    raised = [span["name"] for span in story.alarms if span["lasts"]]
    told = {"step": story.step, "images_seen": story.images_seen, "alarms": raised}
    return {"page": str(page), **told, "figures": figures}


def _config(run: Path) -> dict[str, Any]:
    if not (run / CONFIG_FILE).is_file() or not (run / stats.STATS_FILE).is_file():
        raise RunError(f"{run} is no run folder: give one that `train fit SHARDS RUN` made")
    return read_run_config(run)


def _frames(samples: Mapping[int, Path], story: TrainingHistory) -> Iterator[dict[str, Any]]:
    """The film strip's: pairs seen, and the columns of a sample as WebP in data addresses, by title."""
    steps = [step for step in sorted(samples) if step in story.images_seen_at_step]
    places = np.linspace(0, len(steps) - 1, min(MAX_FRAMES, len(steps))).round().astype(int)
    for step in (steps[place] for place in places.tolist()):
        check_not_special_file(samples[step])
        sheet = cv2.imread(str(samples[step]), cv2.IMREAD_COLOR)
        if sheet is None:
            raise RunError(f"{samples[step]} cannot be read: delete it, the next snapshot draws another")
        columns = grids.split_columns(np.asarray(sheet, np.uint8), len(grids.SAMPLE_COLUMNS))
        yield {
            "seen": story.images_seen_at_step[step],
            **{title: _webp(one) for title, one in zip(grids.SAMPLE_COLUMNS, columns, strict=True)},
        }


def _webp(bgr: grids.RgbUint8) -> str:
    done, encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    if not done:
        raise MemoryError("OpenCV could not encode a WebP")
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def render_page(name: str, config: Mapping[str, Any], story: TrainingHistory, frames: list[dict[str, Any]]) -> str:
    """The page: one file, no script, nothing fetched; everything that comes from data is escaped."""
    folder = files("train.pages")
    style = (folder / "show.css").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "show.html.jinja").read_text("utf-8"))
    return template.render(
        name=name,
        run=config,
        story=story,
        frames=frames,
        groups=_groups(story),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        plot=(curves.PLOT_WIDTH, curves.PLOT_HEIGHT),
    )


def _groups(story: TrainingHistory) -> dict[str, list[dict[str, Any]]]:
    """Plots by heading, in the order of GROUPS, those of one group by name."""
    groups: dict[str, list[dict[str, Any]]] = {heading: [] for heading in (*CURVE_GROUPS, OTHER_CURVES_HEADING)}
    for name, curve in sorted(story.curves.items()):
        heading = next((one for one, begins in CURVE_GROUPS.items() if name.startswith(begins)), OTHER_CURVES_HEADING)
        groups[heading].append({"name": name, "curve": curve, "plot": curves.Plot(curve, story.images_seen)})
    return {heading: plots for heading, plots in groups.items() if plots}
