"""One command a stage: parse, call, print. `stages` make data, `desk` tells of it and mends it."""

from __future__ import annotations

import click

from curate import __version__
from curate.cli.make import copy, dedupe, extract, sample, select, shard
from curate.cli.manage import browse, decide, plan, remove, report, tags, verify, why
from curate.cli.run import run
from curate.terminal import OrderedGroup


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="nurie", prog_name="curate")
def main() -> None:
    """Drawings in, shards out: colour art and tags become line-art/colour pairs for training.

    \b
    curate extract ART DATASET     decode, draw lines, hash, shrink to pairs
    curate dedupe DATASET          duplicates, recolours, splits
    curate shard DATASET SHARDS    what `train fit SHARDS RUN` reads
    """  # noqa: D301  # click wants the backspace itself


for command in (
    *(sample, extract, dedupe, decide, browse, tags, select, shard),
    *(run, report, why, remove, verify, copy, plan),
):
    main.add_command(command)
