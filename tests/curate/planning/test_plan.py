"""A plan adds up, and grows with the work."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from curate.cli import main
from curate.planning.cost_model import Workload, proposed_pairs
from curate.planning.plan import CostPlan, estimate_cost, format_estimate, measured_costs, read_measurements
from curate.system.errors import NurieError
from tests import ROOT
from tests.bench.costs import CONSTANTS, fit_line, make_costs

COSTS = measured_costs()
WORKLOADS = st.builds(
    Workload,
    pictures=st.floats(1, 1e10),
    megapixels=st.floats(0.01, 100),
    workers=st.integers(1, 10_000),
    lines=st.integers(1, 7),
    strangers=st.none() | st.floats(0, 1),
)


def figures(plan: CostPlan) -> list[float]:
    """All figures of a plan; none may shrink as the workload grows."""
    values = [*plan.totals.values()]
    for stage in plan.stages:
        values += [*stage.disk_gb.values(), stage.worker_gb, stage.node_gb, stage.exchange_gb]
        values += [hours for term in stage.terms for hours in (term.cpu_hours, term.wall_hours)]
    return values


@given(WORKLOADS)
def test_more_pictures_pixels_or_styles_never_cost_less(size: Workload) -> None:
    smaller = figures(estimate_cost(size, COSTS))
    for more in (
        replace(size, pictures=2 * size.pictures),
        replace(size, megapixels=2 * size.megapixels),
        replace(size, lines=size.lines + 1),
    ):
        assert all(b >= a * (1 - 1e-9) for a, b in zip(smaller, figures(estimate_cost(more, COSTS)), strict=True))


@given(WORKLOADS)
def test_twice_the_workers_halve_shared_work_and_nothing_else(size: Workload) -> None:
    few, many = estimate_cost(size, COSTS), estimate_cost(replace(size, workers=2 * size.workers), COSTS)
    for one, other in zip(few.stages, many.stages, strict=True):
        assert (one.disk_gb, one.node_gb, one.worker_gb) == (other.disk_gb, other.node_gb, other.worker_gb)
        for a, b in zip(one.terms, other.terms, strict=True):
            assert a.cpu_hours == b.cpu_hours
            assert b.wall_hours == pytest.approx(a.wall_hours / 2 if a.divides else a.wall_hours)


@given(WORKLOADS)
def test_stages_add_up_to_totals_and_the_dominant_term_takes_most(size: Workload) -> None:
    plan = estimate_cost(size, COSTS)
    terms = [term for stage in plan.stages for term in stage.terms]
    for name in ("cpu_hours", "wall_hours"):
        assert plan.totals[name] == pytest.approx(sum(getattr(term, name) for term in terms))
    assert plan.totals["exchange_gb"] == pytest.approx(sum(stage.exchange_gb for stage in plan.stages))
    assert plan.totals["node_gb"] == max(stage.node_gb for stage in plan.stages)
    every = sum(sum(stage.disk_gb.values()) for stage in plan.stages)
    assert plan.totals["disk_gb"] <= every * (1 + 1e-9)
    assert max(term.wall_hours for term in terms) == plan.dominant_term.wall_hours


def test_strangers_grow_by_the_square_and_look_alikes_in_proportion() -> None:
    one = Workload(1e6, 2, 1)
    alike, all_pairs = (proposed_pairs(replace(one, strangers=share), COSTS) for share in (0, 1))
    assert alike == pytest.approx(1e6 * COSTS["alike"])
    assert all_pairs - alike == pytest.approx(1e12 / 2)
    assert proposed_pairs(replace(one, pictures=2e6, strangers=0), COSTS) == pytest.approx(2 * alike)


def test_every_constant_has_a_unit_and_an_existing_benchmark() -> None:
    measurements = read_measurements()
    assert set(measurements["machine"]) == {"cpu", "cores", "python"}
    assert {name: one["unit"] for name, one in measurements["constants"].items()} == {
        name: one.unit for name, one in CONSTANTS.items()
    }, "run python -m tests.bench.costs"
    for one in measurements["constants"].values():
        assert one["unit"]
        assert one["value"] >= 0
        assert (ROOT / one["benchmark"]).is_file()


def test_every_constant_changes_an_estimate() -> None:
    """Tried below and above the size for which the search was measured."""
    few, many = Workload(1e5, 2, 4, 3), Workload(1e9, 2, 4, 3)
    for name, value in COSTS.items():
        more = COSTS | {name: 2 * value}
        assert any(figures(estimate_cost(size, more)) != figures(estimate_cost(size, COSTS)) for size in (few, many)), (
            name
        )


def test_costs_are_interpolated_between_two_measured_sizes() -> None:
    reading = [{"lines": 1, "megapixels": size, "cpu_seconds": 0.01 + 0.02 * size} for size in (1.0, 4.0)]
    assert fit_line({"reading": reading}, "cpu_seconds", 1) == pytest.approx((0.01, 0.02))


def test_a_benchmark_without_the_figure_is_an_error() -> None:
    with pytest.raises(KeyError):
        make_costs({one.benchmark: {} for one in CONSTANTS.values()})


@given(st.floats(1e-6, 1e15))
def test_a_rounded_figure_is_within_five_percent_and_short(value: float) -> None:
    assert float(format_estimate(value).replace(",", "")) == pytest.approx(value, rel=0.051)
    assert len(format_estimate(value)) <= 10


@pytest.mark.parametrize("pictures", [0, float("inf"), float("nan")])
def test_an_impossible_number_of_pictures_is_refused(pictures: float) -> None:
    with pytest.raises(NurieError, match="give other numbers"):
        Workload(pictures, 2, 1)


def test_the_command_accepts_exponents_and_prints_the_plan(run: Callable[..., Any]) -> None:
    report = run("plan", "--pictures", "100e6", "--megapixels", "2", "--workers", "64", "--lines", "1")
    plan = estimate_cost(Workload(1e8, 2, 64, 1), COSTS)
    assert report["pictures"] == 100_000_000
    assert report["totals"] == pytest.approx(plan.totals)
    assert [stage["name"] for stage in report["stages"]] == ["extract", "dedupe", "shard"]
    assert report["without_strangers"]["cpu_hours"] < report["totals"]["cpu_hours"]


def test_the_table_fits_a_terminal_and_names_the_dominant_term() -> None:
    done = CliRunner().invoke(main, ["plan", "--pictures", "1e9", "--workers", "64"])
    assert done.exit_code == 0
    table, _, rest = done.stdout.partition("most of the time: ")
    assert all(len(row) <= 80 for row in table.splitlines())
    assert [row.split()[0] for row in table.splitlines()[1:]] == ["extract", "dedupe", "shard", "total"]
    assert rest.startswith(estimate_cost(Workload(1e9, 2, 64, 3), COSTS).dominant_term.stage)
