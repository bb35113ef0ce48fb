"""What a data set of any size would take: constants that were measured on one machine, put into the stages' laws.

Nothing here was tried at such a size. What grows in proportion is safe to tell; the one term that is not is the number
of strangers whom dedupe's searches find, which grows with the square of the pictures and hangs on their kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.resources import files
from math import floor, log10
from typing import Any

from curate.extraction.part import FILES_PER_PART
from curate.planning import cost_model
from curate.planning.cost_model import MAX_PICTURES, QUADRATIC_SEARCH_HASHES, Costs, CostTerm, StageCost, Workload

MAX_NODE_GB = 64  # GB that the one process of a stage may hold
MAX_FOLDER_FILES = 1_000_000  # files in a folder, from which listing it hurts


@dataclass(frozen=True)
class ScalingLimit:
    """Where the design would have to change: from so many pictures, or workers, on."""

    start: float
    of: str
    what: str
    change: str


@dataclass(frozen=True)
class CostPlan:
    """Every stage's needs, and where they bend."""

    workload: Workload
    stages: tuple[StageCost, ...]
    limits: tuple[ScalingLimit, ...]

    @cached_property
    def dominant_term(self) -> CostTerm:
        """The term of the most wall hours."""
        return max((term for stage in self.stages for term in stage.terms), key=lambda term: term.wall_hours)

    @cached_property
    def totals(self) -> dict[str, float]:
        """Sums over stages; of memory, and of the scratch on disk, the largest, as one stage runs at a time."""
        scratch = max(stage.disk_gb.get("scratch", 0) for stage in self.stages)
        lasting = sum(gb for stage in self.stages for name, gb in stage.disk_gb.items() if name != "scratch")
        return {
            "cpu_hours": sum(stage.cpu_hours for stage in self.stages),
            "wall_hours": sum(stage.wall_hours for stage in self.stages),
            "disk_gb": lasting + scratch,
            "worker_gb": max(stage.worker_gb for stage in self.stages),
            "node_gb": max(stage.node_gb for stage in self.stages),
            "exchange_gb": sum(stage.exchange_gb for stage in self.stages),
        }


def read_measurements() -> dict[str, Any]:
    """costs.json: the machine, and every constant with its unit and the benchmark that measured it."""
    found: dict[str, Any] = json.loads(files("curate.planning").joinpath("costs.json").read_text("utf-8"))
    return found


def measured_costs() -> dict[str, float]:
    """The measured constants by name."""
    return {name: told["value"] for name, told in read_measurements()["constants"].items()}


def estimate_cost(size: Workload, costs: Costs) -> CostPlan:
    """What extract, dedupe and shard would take of a size; as if no picture was dropped."""
    return CostPlan(
        size,
        (cost_model.extract_cost(size, costs), cost_model.dedupe_cost(size, costs), cost_model.shard_cost(size, costs)),
        _limits(size, costs),
    )


def plan_report(size: Workload) -> dict[str, Any]:
    """A plan by the measured constants, as `curate plan` tells it; and what it would be without strangers."""
    costs = measured_costs()
    made = estimate_cost(size, costs)
    stages = [asdict(one) | {"cpu_hours": one.cpu_hours, "wall_hours": one.wall_hours} for one in made.stages]
    return {
        **asdict(size),
        "stages": stages,
        "totals": made.totals,
        "raw_shards_gb": cost_model.raw_shards_gb(size, costs),
        "without_strangers": estimate_cost(replace(size, strangers=0), costs).totals,
        "dominates": asdict(made.dominant_term),
        "limits": [asdict(limit) for limit in made.limits],
        "machine": read_measurements()["machine"],
    }


def _limits(size: Workload, costs: Costs) -> tuple[ScalingLimit, ...]:
    """In the order in which they are met; those of workers last."""

    def stage(make: Callable[[Workload, Costs], StageCost]) -> Callable[[float], StageCost]:
        return lambda n: make(replace(size, pictures=n), costs)

    def pairs(n: float) -> float:
        return cost_model.proposed_pairs(replace(size, pictures=n), costs)

    extract, dedupe, shard = map(stage, (cost_model.extract_cost, cost_model.dedupe_cost, cost_model.shard_cost))
    held = f"one process holds {MAX_NODE_GB} GB"
    bends: tuple[tuple[Callable[[float], bool], str, str], ...] = (
        (
            lambda n: dedupe(n).cpu_hours > extract(n).cpu_hours,
            "dedupe takes more CPU time than extract",
            "propose fewer strangers: a smaller radius, or a second sieve, of finer signatures",
        ),
        (
            lambda n: cost_model.part_reads(n, pairs(n)) > pairs(n) / 2,
            "dedupe: most pairs have a part read for them alone",
            "small pictures apart from the pairs, in the order of look-alikes",
        ),
        (
            lambda n: dedupe(n).node_gb > MAX_NODE_GB,
            f"dedupe: {held}",
            "proposed pairs on disk, columns in place of objects; then families by partition",
        ),
        (lambda n: extract(n).node_gb > MAX_NODE_GB, f"extract: {held}", "what was read remembered on disk, sorted"),
        (lambda n: shard(n).node_gb > MAX_NODE_GB, f"shard: {held}", "a pass a split"),
        (
            lambda n: n > QUADRATIC_SEARCH_HASHES,
            "search: buckets of more than four hashes, so it grows by the square",
            "wider tables, of which each host holds a part",
        ),
        (
            lambda n: n / FILES_PER_PART > MAX_FOLDER_FILES,
            "a folder holds a million parts",
            "larger parts, or folders of folders",
        ),
    )
    met = [ScalingLimit(_least_pictures_where(bent), "pictures", what, change) for bent, what, change in bends]
    told = sorted((limit for limit in met if limit.start < MAX_PICTURES), key=lambda limit: limit.start)
    one = costs["list_seconds"] + (costs["commit_seconds"] + costs["task_seconds"] / 2) / FILES_PER_PART
    busy = cost_model.picture_seconds(size, costs) / one
    return (
        *told,
        ScalingLimit(busy, "workers", "one process commits what they read, and they wait", "a process a source"),
    )


def _least_pictures_where(bent: Callable[[float], bool]) -> float:
    """Least number of pictures for which it holds, by bisection; BEYOND if there is none."""
    low, high = 1.0, MAX_PICTURES
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if bent(middle) else (middle, high)
    return high


def format_estimate(value: float) -> str:
    """Two digits, which is all that an estimate has.

    >>> format_estimate(0.01234), format_estimate(8.15), format_estimate(123456), format_estimate(1234567)
    ('0.012', '8.2', '120,000', '1.2e6')
    """
    near = float(f"{value:.2g}")
    if near >= 1e6:
        return f"{near:.1e}".replace("e+0", "e").replace("e+", "e")
    digits = 0 if near == 0 or abs(near) >= 10 else 1 - floor(log10(abs(near)))
    return f"{near:,.{digits}f}"
