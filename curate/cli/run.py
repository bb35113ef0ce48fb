"""The command that follows a recipe, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from curate import terminal
from curate.cli.command import cli_command, dry_run_option, print_table, unwrap_command, workers_option
from curate.cli.make import dedupe, extract, sample, select, shard
from curate.cli.remote_args import RemoteArgs
from curate.contract import SPLITS, read_index
from curate.planning.recipe import Recipe, read_recipe, recipe_options
from curate.system.errors import NurieError, RecipeError, SourceError
from curate.terminal import complete_names

STAGE_COMMANDS = {"sample": sample, "extract": extract, "dedupe": dedupe, "select": select, "shard": shard}
COUNT_KEYS = ("in", "kept", "dropped")


@dataclass
class StageStatus:
    """What became of a stage."""

    stage: str
    due: str | None
    """Why it has something to do; None where it has nothing."""
    done: bool = False
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """In a word or two."""
        return "done" if self.done else "up to date" if self.due is None else "due"


@dataclass(frozen=True)
class RecipeRun:
    """A recipe that is followed."""

    recipe: Recipe
    fresh: bool
    remote_args: RemoteArgs = field(default_factory=RemoteArgs)

    def call_stage(self, name: str, how: Mapping[str, object]) -> dict[str, Any]:
        """What a stage's command returns."""
        with self.recipe.make_context(name, how) as context:
            words = {key: value for key, value in context.params.items() if key not in {"as_json", "quiet"}}
            return unwrap_command(STAGE_COMMANDS[name])(**self.remote_args(words))

    def due_reason(self, name: str) -> str | None:
        """Why a stage has something to do."""
        result = self.call_stage(name, {"dry-run": True, "fresh": self.fresh})
        if result.get("faults"):
            raise NurieError(result["faults"][0])
        due: str | None = result["due"]
        return due


def print_run(result: dict[str, Any]) -> None:
    """Print a row a stage, then what came out, and whether it is what the recipe expects."""
    table: list[list[object]] = [["", "", *COUNT_KEYS, "seconds"]]
    for one in result["stages"]:
        why = f"due: {one['due']}" if one["state"] == "due" else one["state"]
        dropped = sum(one["dropped"].values()) if "dropped" in one else None
        table.append([one["stage"], why, one.get("in"), one.get("kept"), dropped, one.get("seconds")])
    print_table(table)
    if "splits" in result:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in result["dropped"].items())
        counts = f"{result['in']:,} in = {result['kept']:,} kept + {sum(result['dropped'].values()):,} dropped"
        click.echo(f"{result['dataset']}: {counts}{f' ({reasons})' if reasons else ''}")
        pairs = ", ".join(f"{split} {count:,}" for split, count in result["splits"].items())
        click.echo(f"{result['shards']}: {pairs}; go on with `train fit {result['shards']} RUN`")
        click.echo(f"expected counts: {result['expected']}")
    for difference in result["differences"]:
        click.echo(f"Warning: {difference}", err=True)


def _complete_settings() -> Iterable[str]:
    return (
        f"{name}.{key}="
        for name, command in STAGE_COMMANDS.items()
        for key in recipe_options(command)
        if key != "dataset" or name == "extract"
    )


@click.command()
@click.argument("recipe", metavar="RECIPE.toml", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--set",
    "settings",
    metavar="STAGE.OPTION=VALUE",
    multiple=True,
    help="Overrule the recipe; repeatable.",
    shell_complete=complete_names(_complete_settings),
)
@click.option("--fresh", is_flag=True, help="Start the dataset over instead of going on.")
@dry_run_option
@workers_option
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Work on this Dask cluster instead.")
@cli_command(print_run)
def run(
    recipe: Path, settings: tuple[str, ...], fresh: bool, dry_run: bool, workers: int, scheduler: str | None
) -> dict[str, Any]:
    """Run every stage of a recipe that is not up to date; killed and run again, it goes on.

    A stage is up to date if hashes say that it would make what is there, from what is there. Counts other than the
    recipe expects are a warning: all is made.
    """
    given = click.get_current_context().get_parameter_source("workers") is not ParameterSource.DEFAULT
    if scheduler is not None and given:
        raise click.UsageError("--scheduler brings workers of its own: leave --workers out")
    road = RecipeRun(read_recipe(recipe, STAGE_COMMANDS, settings), fresh)
    how = {"fresh": fresh, "scheduler": scheduler} if scheduler else {"fresh": fresh, "workers": workers}
    told = _check_stages(road)
    if not dry_run:
        for number, one in enumerate(told):
            after = any(before.done for before in told[:number])
            one.due = road.due_reason(one.stage) if after else one.due
            if one.due is not None:
                _run(road, one, how)
    return _summed_up(road, told, dry_run=dry_run)


def _check_stages(road: RecipeRun) -> list[StageStatus]:
    """What each stage has to do. All options are looked at before anything is done.

    Raises RecipeError, naming file and line, for an option that a stage refuses.
    """
    told: list[StageStatus] = []
    for name in road.recipe.stages:
        before = next((one.stage for one in told if one.due is not None), None)
        try:
            due = road.due_reason(name)
        except NurieError as error:
            if isinstance(error, RecipeError):
                raise
            if before is None or not isinstance(error, SourceError):  # else the source is made by then
                raise RecipeError(f"{road.recipe.locate_error(name, error)}: {error}") from None
            due = None
        told.append(StageStatus(name, f"after {before}" if before else due))
    return told


def _run(road: RecipeRun, told: StageStatus, how: Mapping[str, object]) -> None:
    terminal.print_status(f"{told.stage}: {told.due}")
    started = time.monotonic()
    result = road.call_stage(told.stage, how)
    road.remote_args.send_back()
    told.done, told.result = True, {**result, "seconds": round(time.monotonic() - started, 3)}


def _summed_up(road: RecipeRun, told: list[StageStatus], *, dry_run: bool) -> dict[str, Any]:
    stages = [{"stage": one.stage, "state": one.state, "due": one.due, **one.result} for one in told]
    result: dict[str, Any] = {"recipe": str(road.recipe.path), "stages": stages, "differences": []}
    return result if dry_run else {**result, **_outcome(road)}


def _outcome(road: RecipeRun) -> dict[str, Any]:
    """Counts of dataset and shards, and how they differ from what the recipe expects."""
    from curate.dataset import ledger  # noqa: PLC0415  # costs Arrow
    from curate.system import lock  # noqa: PLC0415

    recipe, named = road.recipe, road.recipe.make_context("shard", {}).params
    places = road.remote_args(named)
    for name in ("dataset", "shards"):
        lock.remove_stale(places[name])  # a stage that is up to date does not take the hold
    counts = ledger.read_ledger(places["dataset"])["counts"]
    pairs = read_index(places["shards"]).pairs
    splits = {split: pairs[split] for split in SPLITS}
    found = {"dataset": str(named["dataset"]), "shards": str(named["shards"]), **counts, "splits": splits}
    if not recipe.expect:
        return {**found, "expected": "none in the recipe"}
    if changed := recipe.overruled_options():
        return {**found, "expected": f"not compared, as --set changed {', '.join(changed)}"}
    differences = recipe.count_differences({**counts, **splits})
    return {**found, "expected": "others" if differences else "these", "differences": differences}
