"""Options that commands of `curate` share: --workers, --scheduler, --dry-run, tag rules; and addresses of stores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from curate import terminal
from curate.cli.store_arguments import RemoteArgs
from curate.system.errors import NurieError, explain_system_errors
from curate.system.hashing import usable_cores
from curate.terminal import CommandFunction, command_name

dry_run_option = click.option("--dry-run", is_flag=True, help="Say whether there is work to do; write nothing.")
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=usable_cores, show_default="cores", help="Local worker processes."
)
scheduler_option = click.option(
    "--scheduler", metavar="tcp://HOST:PORT", help="Use the workers of this Dask cluster instead."
)


def cli_command(show: Callable[[dict[str, Any]], None]) -> Callable[[CommandFunction], Callable[..., None]]:
    """Return the decorator of every command; see curate.terminal.cli_command. Arguments may be addresses of stores."""
    return terminal.cli_command(show, _call_with_stores)


def _call_with_stores(command: CommandFunction, options: dict[str, Any]) -> dict[str, Any]:
    """Call a command with local folders in place of store addresses, then send to the stores what it made there."""
    remote_args = RemoteArgs()
    try:
        with explain_system_errors(command_name()):
            result = command(**remote_args(options))
            remote_args.send_back()
    except NurieError as error:
        raise NurieError(remote_args.translate_error(error)) from None
    return result


def unwrap_command(command: click.Command) -> CommandFunction:
    """The function that `cli_command` wraps: it returns the result, and must be called in the command's context."""
    wrapped: CommandFunction = command.callback.__wrapped__  # type: ignore[union-attr]
    return wrapped


def check_workers_not_given() -> None:
    """Raise click.UsageError if --workers was given beside --scheduler."""
    if click.get_current_context().get_parameter_source("workers") is not ParameterSource.DEFAULT:
        raise click.UsageError("--scheduler uses the cluster's workers: leave --workers out")


def with_scheduler(command: CommandFunction) -> CommandFunction:
    """Add --scheduler. If it is given, the command gets a cluster as `workers`, and absolute paths.

    Place it below `cli_command`.
    """

    @scheduler_option
    @functools.wraps(command)
    def run(*, scheduler: str | None, workers: int, **options: Any) -> dict[str, Any]:
        if scheduler is None:
            return command(workers=workers, **options)
        check_workers_not_given()
        from curate.workers.dask_cluster import connect_cluster  # noqa: PLC0415  # an extra

        paths = {name: value.absolute() for name, value in options.items() if isinstance(value, Path)}
        with connect_cluster(scheduler) as cluster:
            return command(workers=cluster, **options | paths)

    return run


def with_tag_rules(command: CommandFunction) -> CommandFunction:
    """Add --aliases and --implications, which the command gets as `rules`. Place it below `cli_command`."""

    @click.option("--aliases", type=click.Path(path_type=Path, dir_okay=False), help="File with lines `alias,tag`.")
    @click.option(
        "--implications", type=click.Path(path_type=Path, dir_okay=False), help="File with lines `tag,implied tag`."
    )
    @functools.wraps(command)
    def run(*, aliases: Path | None, implications: Path | None, **options: Any) -> dict[str, Any]:
        from curate.tags import aliases as alias_files  # noqa: PLC0415  # only some commands need it

        return command(rules=alias_files.read_rules(aliases, implications), **options)

    return run
