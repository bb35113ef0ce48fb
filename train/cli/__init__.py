"""The command line `train`: it parses options, calls a stage and prints its result.

In: arguments of a shell. Out: results on standard output, progress and errors on standard error.
`training_commands` train models, `model_commands` use trained ones, `terminal` prints. A command imports what it needs
when it runs, so that help and completion start without TensorFlow. Builds on every other room and `curate.terminal`.
"""

import click

from curate.terminal import OrderedGroup
from train.cli import model_commands, training_commands


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nurie", prog_name="train")
def main() -> None:
    """Train a network that colours line art as its tags ask, and use it.

    \b
    train fit SHARDS RUN                             train, or continue a training
    train evaluate RUN SHARDS                        measure how well it colours
    train colorize RUN LINE.png OUT --tags "..."     colour your own line art
    train export RUN OUT --format onnx               give the model to other programs
    """  # noqa: D301  # click reads a real backspace: what follows is not wrapped


for command in (*training_commands.COMMANDS, *model_commands.COMMANDS):
    main.add_command(command)
