"""`curate plan`: estimate the time, memory and disk of a dataset of any size, from constants measured on one machine.

Large sizes are extrapolated, not measured. Costs in proportion to the pictures are safe to extrapolate. One is not: the
pairs of different pictures ("strangers") that dedupe has to compare. They grow with the square of the pictures, and how
many there are depends on the kind of art.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.resources import files
from math import floor, log10
from typing import Any

from curate.planning import cost_model
from curate.planning.cost_model import Costs, CostTerm, StageCost, Workload


@dataclass(frozen=True)
class CostPlan:
    """What every stage takes for a workload."""

    workload: Workload
    stages: tuple[StageCost, ...]

    @cached_property
    def dominant_term(self) -> CostTerm:
        """The kind of work that takes the most wall hours."""
        return max((term for stage in self.stages for term in stage.terms), key=lambda term: term.wall_hours)

    @cached_property
    def totals(self) -> dict[str, float]:
        """Sums over the stages; for memory and for scratch space the largest stage, as stages run one after another."""
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
    """costs.json: the machine, and every constant with its value, unit and the benchmark that measured it."""
    measurements: dict[str, Any] = json.loads(files("curate.planning").joinpath("costs.json").read_text("utf-8"))
    return measurements


def measured_costs() -> dict[str, float]:
    """The measured constants by name."""
    return {name: constant["value"] for name, constant in read_measurements()["constants"].items()}


def estimate_cost(workload: Workload, costs: Costs) -> CostPlan:
    """What extract, dedupe and shard take for a workload of which no picture is dropped."""
    stages = (cost_model.extract_cost, cost_model.dedupe_cost, cost_model.shard_cost)
    return CostPlan(workload, tuple(stage(workload, costs) for stage in stages))


def plan_report(workload: Workload) -> dict[str, Any]:
    """The result of `curate plan`: estimates for a workload, and what they would be without strangers."""
    costs = measured_costs()
    plan = estimate_cost(workload, costs)
    stages = [asdict(stage) | {"cpu_hours": stage.cpu_hours, "wall_hours": stage.wall_hours} for stage in plan.stages]
    return {
        **asdict(workload),
        "stages": stages,
        "totals": plan.totals,
        "raw_shards_gb": cost_model.raw_shards_gb(workload, costs),
        "without_strangers": estimate_cost(replace(workload, strangers=0), costs).totals,
        "dominates": asdict(plan.dominant_term),
        "machine": read_measurements()["machine"],
    }


def format_estimate(value: float) -> str:
    """Round to two digits: an estimate has no more.

    >>> format_estimate(0.01234), format_estimate(8.15), format_estimate(123456), format_estimate(1234567)
    ('0.012', '8.2', '120,000', '1.2e6')
    """
    rounded = float(f"{value:.2g}")
    if rounded >= 1e6:
        return f"{rounded:.1e}".replace("e+0", "e").replace("e+", "e")
    digits = 0 if rounded == 0 or abs(rounded) >= 10 else 1 - floor(log10(abs(rounded)))
    return f"{rounded:,.{digits}f}"
