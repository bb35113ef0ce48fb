"""The command line `curate`: parse arguments, call a stage, print its result.

`stage_commands` make data, `dataset_commands` look at it and change it, `recipe_command` follows a recipe.
`shared_options` holds what they share, `printing` prints results, `store_arguments` accepts addresses of object
stores. Stages are imported when they run, so that `curate --help` is quick.
Builds on every room of `curate`.
"""

from __future__ import annotations

import click

from curate import __version__
from curate.cli.dataset_commands import browse, decide, plan, remove, report, tags, verify, why
from curate.cli.recipe_command import run
from curate.cli.stage_commands import copy, dedupe, extract, sample, select, shard
from curate.terminal import OrderedGroup


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="nurie", prog_name="curate")
def main() -> None:
    """Turn tagged colour art into line-art/colour pairs for training.

    \b
    curate extract ART DATASET     read pictures and tags, draw line art
    curate dedupe DATASET          find duplicates and recolours, split
    curate shard DATASET SHARDS    pack pairs for `train fit SHARDS RUN`
    """  # noqa: D301  # click wants the backspace itself


for command in (
    *(sample, extract, dedupe, decide, browse, tags, select, shard),
    *(run, report, why, remove, verify, copy, plan),
):
    main.add_command(command)
