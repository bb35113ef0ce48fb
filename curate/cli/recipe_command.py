"""`curate run`: follow a recipe, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from curate import terminal
from curate.cli.printing import print_table
from curate.cli.shared_options import (
    check_workers_not_given,
    cli_command,
    dry_run_option,
    scheduler_option,
    unwrap_command,
    workers_option,
)
from curate.cli.stage_commands import dedupe, extract, sample, select, shard
from curate.cli.store_arguments import RemoteArgs
from curate.contract import SPLITS, read_index
from curate.planning.recipe import Recipe, read_recipe, recipe_options
from curate.system.errors import NurieError, RecipeError, SourceError
from curate.terminal import complete_names

STAGE_COMMANDS = {"sample": sample, "extract": extract, "dedupe": dedupe, "select": select, "shard": shard}
COUNT_KEYS = ("in", "kept", "dropped")


@dataclass
class StageStatus:
    """What a run did with a stage."""

    stage: str
    due: str | None
    """Why it has work to do; None if it is up to date."""
    done: bool = False
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """`done`, `up to date` or `due`."""
        return "done" if self.done else "up to date" if self.due is None else "due"


@dataclass(frozen=True)
class RecipeRun:
    """One run of a recipe."""

    recipe: Recipe
    fresh: bool
    remote_args: RemoteArgs = field(default_factory=RemoteArgs)

    def call_stage(self, name: str, run_options: Mapping[str, object]) -> dict[str, Any]:
        """Run a stage's command and return its result."""
        with self.recipe.make_context(name, run_options) as context:
            options = {key: value for key, value in context.params.items() if key not in {"as_json", "quiet"}}
            return unwrap_command(STAGE_COMMANDS[name])(**self.remote_args(options))

    def due_reason(self, name: str) -> str | None:
        """Why a stage has work to do; None if it is up to date."""
        result = self.call_stage(name, {"dry-run": True, "fresh": self.fresh})
        if result.get("faults"):
            raise NurieError(result["faults"][0])
        due: str | None = result["due"]
        return due


def print_run(result: dict[str, Any]) -> None:
    """Print a row for each stage, then the counts, and whether they are as the recipe expects."""
    table: list[list[object]] = [["", "", *COUNT_KEYS, "seconds"]]
    for stage in result["stages"]:
        state = f"due: {stage['due']}" if stage["state"] == "due" else stage["state"]
        dropped = sum(stage["dropped"].values()) if "dropped" in stage else None
        table.append([stage["stage"], state, stage.get("in"), stage.get("kept"), dropped, stage.get("seconds")])
    print_table(table)
    if "splits" in result:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in result["dropped"].items())
        counts = f"{result['in']:,} in = {result['kept']:,} kept + {sum(result['dropped'].values()):,} dropped"
        click.echo(f"{result['dataset']}: {counts}{f' ({reasons})' if reasons else ''}")
        pairs = ", ".join(f"{split} {count:,}" for split, count in result["splits"].items())
        click.echo(f"{result['shards']}: {pairs}; next, `train fit {result['shards']} RUN`")
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
    help="Overrule an option of the recipe; repeatable.",
    shell_complete=complete_names(_complete_settings),
)
@click.option("--fresh", is_flag=True, help="Start the dataset over instead of continuing.")
@dry_run_option
@workers_option
@scheduler_option
@cli_command(print_run)
def run(
    recipe: Path, settings: tuple[str, ...], fresh: bool, dry_run: bool, workers: int, scheduler: str | None
) -> dict[str, Any]:
    """Run the stages of a recipe that are not up to date. If it is killed, run it again: it continues.

    A stage is up to date if its options and inputs have the same hashes as when its output was made. If counts differ
    from what the recipe expects, everything is made all the same, with a warning.
    """
    if scheduler is not None:
        check_workers_not_given()
    recipe_run = RecipeRun(read_recipe(recipe, STAGE_COMMANDS, settings), fresh)
    run_options = {"fresh": fresh, "scheduler": scheduler} if scheduler else {"fresh": fresh, "workers": workers}
    stages = _check_stages(recipe_run)
    if not dry_run:
        for number, status in enumerate(stages):
            if any(earlier.done for earlier in stages[:number]):
                status.due = recipe_run.due_reason(status.stage)
            if status.due is not None:
                _run_stage(recipe_run, status, run_options)
    return _summarize(recipe_run, stages, dry_run=dry_run)


def _check_stages(recipe_run: RecipeRun) -> list[StageStatus]:
    """Whether each stage has work to do. This checks the options of all stages before any stage runs.

    Raises RecipeError, naming file and line, for an option that a stage refuses.
    """
    stages: list[StageStatus] = []
    for name in recipe_run.recipe.stages:
        first_due = next((status.stage for status in stages if status.due is not None), None)
        try:
            due = recipe_run.due_reason(name)
        except NurieError as error:
            if isinstance(error, RecipeError):
                raise
            if first_due is None or not isinstance(error, SourceError):  # an earlier stage may make the source
                raise RecipeError(f"{recipe_run.recipe.locate_error(name, error)}: {error}") from None
            due = None
        stages.append(StageStatus(name, f"after {first_due}" if first_due else due))
    return stages


def _run_stage(recipe_run: RecipeRun, status: StageStatus, run_options: Mapping[str, object]) -> None:
    terminal.print_status(f"{status.stage}: {status.due}")
    started = time.monotonic()
    result = recipe_run.call_stage(status.stage, run_options)
    recipe_run.remote_args.send_back()
    status.done, status.result = True, {**result, "seconds": round(time.monotonic() - started, 3)}


def _summarize(recipe_run: RecipeRun, statuses: list[StageStatus], *, dry_run: bool) -> dict[str, Any]:
    stages = [{"stage": one.stage, "state": one.state, "due": one.due, **one.result} for one in statuses]
    result: dict[str, Any] = {"recipe": str(recipe_run.recipe.path), "stages": stages, "differences": []}
    return result if dry_run else {**result, **_outcome(recipe_run)}


def _outcome(recipe_run: RecipeRun) -> dict[str, Any]:
    """Counts of the dataset and the shards, and how they differ from what the recipe expects."""
    from curate.dataset import ledger  # noqa: PLC0415  # loads Arrow
    from curate.system import lock  # noqa: PLC0415

    recipe, given = recipe_run.recipe, recipe_run.recipe.make_context("shard", {}).params
    folders = recipe_run.remote_args(given)
    for name in ("dataset", "shards"):
        lock.remove_stale(folders[name])  # a stage that is up to date does not lock its folder
    counts = ledger.read_ledger(folders["dataset"])["counts"]
    pairs = read_index(folders["shards"]).pairs
    splits = {split: pairs[split] for split in SPLITS}
    outcome = {"dataset": str(given["dataset"]), "shards": str(given["shards"]), **counts, "splits": splits}
    if not recipe.expect:
        return {**outcome, "expected": "none in the recipe"}
    if changed := recipe.overruled_options():
        return {**outcome, "expected": f"not compared, as --set changed {', '.join(changed)}"}
    differences = recipe.count_differences({**counts, **splits})
    return {**outcome, "expected": "others" if differences else "these", "differences": differences}
