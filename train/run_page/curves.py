"""Curves of figures over pairs seen: bounded in length however long the training, and laid out for SVG."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log10

COMPACTED_POINTS = 256
"""A curve is compacted to this many points whenever it has twice as many."""
PLOT_WIDTH, PLOT_HEIGHT = 320, 140  # SVG units
TARGET_TICKS = 3

Point = tuple[float, float]
"""(pairs seen, value)"""


class Curve:
    """A figure's curve: each point is the mean of equally many values, more of them the longer the training.

    The half a million rows of a week become a few hundred points.
    """

    def __init__(self) -> None:
        self.values_per_point = 1
        self.complete: list[Point] = []
        """Points of `values_per_point` values each."""
        self.pending: list[Point] = []
        """Values of the next point."""
        self.lowest = self.highest = self.last = self.first = float("nan")

    def add(self, seen: float, value: float) -> None:
        """Append a value at a number of pairs seen; values come in order."""
        self.first = value if not self.complete and not self.pending else self.first
        self.last = value
        self.lowest, self.highest = min(value, self.lowest), max(value, self.highest)
        self.pending.append((seen, value))
        if len(self.pending) == self.values_per_point:
            self.complete.append(_mean(self.pending))
            self.pending = []
        if len(self.complete) == 2 * COMPACTED_POINTS:
            self.complete = [_mean(self.complete[place : place + 2]) for place in range(0, len(self.complete), 2)]
            self.values_per_point *= 2

    def points(self) -> list[Point]:
        """The curve's points; the last is the mean of the values left over."""
        return self.complete + ([_mean(self.pending)] if self.pending else [])


def _mean(points: list[Point]) -> Point:
    seen, values = zip(*points, strict=True)
    return sum(seen) / len(seen), sum(values) / len(values)


class Plot:
    """A curve laid out in SVG units: x from 0 to `end` pairs seen, y over the range of its points."""

    def __init__(self, curve: Curve, end: float) -> None:
        self.curve = curve
        self.end = max(end, 1)
        values = [value for _, value in curve.points()]
        low, high = min(values), max(values)
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self.low, self.high = low - margin, high + margin

    def line(self) -> str:
        """The `points` attribute of a polyline."""
        return " ".join(f"{self.x(seen):.1f},{self.y(value):.1f}" for seen, value in self.curve.points())

    def x(self, seen: float) -> float:
        """Horizontal position of a number of pairs seen."""
        return PLOT_WIDTH * seen / self.end

    def y(self, value: float) -> float:
        """Vertical position of a value; SVG counts downwards."""
        return PLOT_HEIGHT * (self.high - value) / (self.high - self.low)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """(y, text) of round values within the plot."""
        step = _round_step((self.high - self.low) / TARGET_TICKS)
        first = floor(self.low / step) + 1
        digits = max(0, -floor(log10(step)))
        for number in range(first, floor(self.high / step) + 1):
            yield self.y(number * step), f"{number * step:,.{digits}f}"


def _round_step(minimum: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least `minimum`."""
    power: float = 10.0 ** floor(log10(minimum))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= minimum)
