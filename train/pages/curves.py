"""A figure over pairs seen -> a curve of bounded length -> SVG."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log10

COMPACTED_POINTS = 256  # a curve has fewer than twice as many
PLOT_WIDTH, PLOT_HEIGHT = 320, 140  # of the plot, in SVG's units
TARGET_TICKS = 3

Point = tuple[float, float]


class Curve:
    """Means over stretches that grow with the training, so that a week's half a million rows are a few hundred."""

    def __init__(self) -> None:
        self.values_per_point = 1
        """Values that one point is the mean of."""
        self.complete: list[Point] = []
        self.pending: list[Point] = []
        self.least = self.most = self.last = self.first = float("nan")

    def add(self, seen: float, value: float) -> None:
        """One more value, after those before it."""
        self.first = value if not self.complete and not self.pending else self.first
        self.last = value
        self.least, self.most = (pick(value, known) for pick, known in ((min, self.least), (max, self.most)))
        self.pending.append((seen, value))
        if len(self.pending) == self.values_per_point:
            self.complete.append(_mean(self.pending))
            self.pending = []
        if len(self.complete) == 2 * COMPACTED_POINTS:
            self.complete = [_mean(self.complete[place : place + 2]) for place in range(0, len(self.complete), 2)]
            self.values_per_point *= 2

    def points(self) -> list[Point]:
        """(pairs seen, value), the last one the mean of what is left."""
        return self.complete + ([_mean(self.pending)] if self.pending else [])


def _mean(points: list[Point]) -> Point:
    seen, values = zip(*points, strict=True)
    return sum(seen) / len(seen), sum(values) / len(values)


class Plot:
    """Where a curve's points and ticks lie, in SVG's units: x from 0 to `end` pairs, y by the values."""

    def __init__(self, curve: Curve, end: float) -> None:
        self.curve = curve
        self.end = max(end, 1)
        values = [value for _, value in curve.points()]
        low, high = min(values), max(values)
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self.low, self.high = low - margin, high + margin

    def line(self) -> str:
        """The points of a polyline."""
        return " ".join(f"{self.x(seen):.1f},{self.y(value):.1f}" for seen, value in self.curve.points())

    def x(self, seen: float) -> float:
        """Where so many pairs lie."""
        return PLOT_WIDTH * seen / self.end

    def y(self, value: float) -> float:
        """Where a value lies; SVG counts downwards."""
        return PLOT_HEIGHT * (self.high - value) / (self.high - self.low)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Heights and texts of round values between the ends."""
        step = _round_step((self.high - self.low) / TARGET_TICKS)
        first = floor(self.low / step) + 1
        digits = max(0, -floor(log10(step)))
        for number in range(first, floor(self.high / step) + 1):
            yield self.y(number * step), f"{number * step:,.{digits}f}"


def _round_step(least: float) -> float:
    """The least of 1, 2 or 5 times a power of ten that is no less."""
    power: float = 10.0 ** floor(log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least)
