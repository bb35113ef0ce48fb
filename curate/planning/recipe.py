"""Recipes: the options of every stage in one TOML file, named as on the command line, and checked by its commands.

    [extract]
    sources = ["~/art"]
    dataset = "dataset"

A recipe says what to make; the options of `curate run` say how: workers, a scheduler, a fresh start. The dataset is
named once, in `[extract]`, and `[shard]` uses the manifest that `[select]` writes. Paths are relative to the current
folder, as on a command line. `[expect]` holds the counts to expect from a source that never changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from curate.contract import SPLITS
from curate.planning import toml_lines
from curate.planning.toml_lines import locate
from curate.system.errors import NurieError, RecipeError

STAGES = ("sample", "extract", "dedupe", "select", "shard")
OPTIONAL_STAGES = ("sample", "select")
EXPECT = "expect"
EXPECTED_COUNTS = ("in", "kept", "dropped", *SPLITS)
RUN_OPTIONS = ("workers", "scheduler", "fresh", "dry-run", "json", "quiet")
"""Options that belong to a run, not to a recipe."""
Commands = Mapping[str, click.Command]
OptionWords = dict[str, tuple[str, ...]]
"""Command-line words by option name; a flag's word is `true` or `false`."""


@dataclass(frozen=True)
class Recipe:
    """A recipe in which every table, option and type of value is valid."""

    path: Path
    text: str = field(repr=False)
    commands: Commands = field(repr=False)
    stages: Mapping[str, OptionWords]
    """Options by stage, in the order in which the stages run."""
    expect: Mapping[str, Any]
    overruled: frozenset[tuple[str, str | None]]
    """(stage, option) of everything that `--set` overruled."""

    def location(self, stage: str, key: str | None = None) -> str:
        """Where a table or option is written: file, line, table and key, or the `--set` that overruled it."""
        if (stage, key) in self.overruled:
            return f"--set {stage}.{key}"
        return toml_lines.locate(self.path, self.text, stage, key)

    def locate_error(self, stage: str, error: NurieError) -> str:
        """Where the option that an error of a stage is about is written; the stage's table if it is not written."""
        return self.location(stage, error.option if error.option in self.stages[stage] else None)

    def overruled_options(self) -> list[str]:
        """What `--set` overruled, without paths. If there is anything, the expected counts no longer apply."""
        named = [(stage, key) for stage, key in self.overruled if key is not None]
        return sorted(f"{s}.{key}" for s, key in named if not _is_path(recipe_options(self.commands[s])[key]))

    def make_context(self, stage: str, run_options: Mapping[str, object]) -> click.Context:
        """The click context of a stage's command with the recipe's options, and those of `run_options` that it has.

        Raises RecipeError, naming file, line and key, for a value that the command refuses.
        """
        command, names = self.commands[stage], {_option_name(param) for param in self.commands[stage].params}
        words = [
            f"--{name}={value}" for name, value in run_options.items() if name in names and type(value) in {str, int}
        ]
        words += [f"--{name}" for name, value in run_options.items() if name in names and value is True]
        arguments: list[str] = []
        for key, parameter in recipe_options(command).items():
            values = self.stages[stage].get(key, ())
            if _is_path(parameter):
                values = tuple(map(_expand_home, values))
            if isinstance(parameter, click.Argument):
                arguments += values
            elif _is_flag(parameter):
                words += [f"--{key}" for value in values if value == "true"]
            else:
                words += [f"--{key}={value}" for value in values]
        try:
            # click would keep a --help option in the command, in the form of this call
            return command.make_context(stage, [*words, "--", *arguments], help_option_names=[])
        except click.UsageError as error:
            name = _option_name(error.param) if isinstance(error, click.BadParameter) and error.param else None
            raise RecipeError(f"{self.location(stage, name)}: {error.message.rstrip('.')}") from None

    def count_differences(self, counts: Mapping[str, Any]) -> list[str]:
        """A line for each count that is not as expected."""
        expected = {(key, ""): value for key, value in self.expect.items() if key != "dropped"}
        expected |= {("dropped", reason): value for reason, value in self.expect.get("dropped", {}).items()}
        lines = []
        for (key, reason), value in expected.items():
            count = counts["dropped"].get(reason, 0) if reason else counts[key]
            if count != value:
                name = f"dropped as {reason}" if reason else key
                lines.append(f"{self.location(EXPECT, key)}: expected {value:,} {name}, found {count:,}")
        return lines


def read_recipe(path: Path, commands: Commands, settings: Sequence[str] = ()) -> Recipe:
    """Read a recipe, and overrule it by settings of the form `extract.size=64`.

    Raises RecipeError, naming file, line and key, for an unknown stage or option, or a value of the wrong type.
    """
    text, tables = toml_lines.parse(path)
    _check_tables(path, text, tables)
    stages: dict[str, OptionWords] = {}
    for stage in (stage for stage in STAGES if stage in tables):
        stages[stage] = {
            key: _option_words(toml_lines.file_and_line(path, text, stage, key), commands[stage], key, value)
            for key, value in tables[stage].items()
        }
    overruled = _overrule(stages, commands, settings)
    for key, value in tables.get(EXPECT, {}).items():
        _check_count(toml_lines.file_and_line(path, text, EXPECT, key), key, value)
    if missing := [stage for stage in STAGES if stage not in tables and stage not in OPTIONAL_STAGES]:
        raise RecipeError(f"{path} has no [{missing[0]}]: write the table, empty if the defaults are right")
    recipe = Recipe(path, text, commands, stages, tables.get(EXPECT, {}), frozenset(overruled))
    _fill_in_paths(recipe)
    return recipe


def _fill_in_paths(recipe: Recipe) -> None:
    """Give every stage the dataset of [extract], and [shard] the manifest of [select]. Raises RecipeError for gaps."""
    stages = recipe.stages
    for stage, words in stages.items():
        for key in (_option_name(one) for one in recipe.commands[stage].params if isinstance(one, click.Argument)):
            if stage != "extract" and key == "dataset":
                words[key] = stages["extract"][key]
            elif not words.get(key):
                raise RecipeError(f"{recipe.location(stage)} needs {key}: see `curate {stage} --help`")
    if "select" in stages:
        stages["shard"].setdefault("manifest", stages["select"]["out"])


def _check_tables(path: Path, text: str, tables: Mapping[str, Any]) -> None:
    known = [*STAGES, EXPECT]
    for name, table in tables.items():
        if name in {"train", "fit"}:
            raise RecipeError(
                f"{locate(path, text, name)}: a recipe ends with shards: train with `train fit SHARDS RUN`"
            )
        if name not in known:
            line = toml_lines.file_and_line(path, text, name)
            raise RecipeError(f'{line}: there is no stage "{name}"; {_suggestion(name, known)}')
        if not isinstance(table, dict):
            raise RecipeError(f"{locate(path, text, name)} must be a table: write [{name}], and its options below")


def _option_words(place: str, command: click.Command, key: str, value: object) -> tuple[str, ...]:
    """The value of an option as command-line words. Raises RecipeError for an unknown option or a wrong type."""
    parameter = _find_parameter(place, command, key)
    where = f"{place}: [{command.name}] {key}"
    takes_list = parameter.multiple or parameter.nargs == -1
    if takes_list and not isinstance(value, list):
        raise RecipeError(f"{where}: {value!r} is not a list: write [...]")
    if isinstance(value, list) and not takes_list:
        raise RecipeError(f"{where}: {value!r} is a list: write one value")
    types, type_name = _accepted_types(parameter)
    values = value if isinstance(value, list) else [value]
    for item in values:
        if type(item) not in types:
            raise RecipeError(f"{where}: {item!r} is not {type_name}")
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def _find_parameter(place: str, command: click.Command, key: str) -> click.Parameter:
    parameters, where = recipe_options(command), f"{place}: [{command.name}]"
    if key in RUN_OPTIONS:
        raise RecipeError(f"{where} {key}: this says how to run, not what to make: give --{key} to `curate run`")
    if key == "dataset" and command.name != "extract":
        raise RecipeError(f"{where} {key}: leave it out: the dataset is that of [extract]")
    if key not in parameters:
        raise RecipeError(f'{where} has no option "{key}"; {_suggestion(key, [*parameters])}')
    return parameters[key]


def _accepted_types(parameter: click.Parameter) -> tuple[set[type], str]:
    """Python types of a TOML value that an option accepts, and their name for an error message."""
    if _is_flag(parameter):
        return {bool}, "true or false"
    if isinstance(parameter.type, click.types.IntParamType):
        return {int}, "a whole number"
    if isinstance(parameter.type, click.types.FloatParamType):
        return {int, float}, "a number"
    return {str}, "text in quotes"


def _check_count(place: str, key: str, value: object) -> None:
    if key not in EXPECTED_COUNTS:
        raise RecipeError(f'{place}: [{EXPECT}] has no count "{key}"; {_suggestion(key, EXPECTED_COUNTS)}')
    if key == "dropped":
        if not isinstance(value, dict) or any(type(count) is not int for count in value.values()):
            raise RecipeError(f"{place}: [{EXPECT}] {key}: write whole numbers by reason, as in {{ duplicate = 3 }}")
    elif type(value) is not int:
        raise RecipeError(f"{place}: [{EXPECT}] {key}: {value!r} is not a whole number")


def _overrule(
    stages: dict[str, OptionWords], commands: Commands, settings: Sequence[str]
) -> set[tuple[str, str | None]]:
    """Put settings into `stages`; return (stage, option) of each. Options that take a list may be set repeatedly."""
    overruled: set[tuple[str, str | None]] = set()
    for setting in settings:
        name, equals, word = setting.partition("=")
        stage, _, key = name.partition(".")
        if not equals or stage not in stages:
            raise RecipeError(f"--set {setting}: write STAGE.OPTION=VALUE, with STAGE one of {', '.join(stages)}")
        parameter = _find_parameter(f"--set {setting}", commands[stage], key)
        if _is_flag(parameter) and word not in {"true", "false"}:
            raise RecipeError(f"--set {setting}: {word!r} is not true or false")
        repeated = (stage, key) in overruled and (parameter.multiple or parameter.nargs == -1)
        stages[stage][key] = (*(stages[stage][key] if repeated else ()), word)
        overruled.add((stage, key))
    return overruled


def _suggestion(name: str, known: Sequence[str]) -> str:
    similar = get_close_matches(name, known, n=1, cutoff=0.5)
    return f'did you mean "{similar[0]}"?' if similar else f"choose one of {', '.join(known)}"


def recipe_options(command: click.Command) -> dict[str, click.Parameter]:
    """The options and arguments of a stage that a recipe may set, by name."""
    return {name: param for param in command.params if (name := _option_name(param)) not in RUN_OPTIONS}


def _option_name(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len).removeprefix("--")


def _is_flag(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.is_flag


def _is_path(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.Path) or parameter.name == "sources"


def _expand_home(word: str) -> str:
    """Expand `~` in PATH or NAME=PATH, as a shell does."""
    name, equals, path = word.rpartition("=")
    return f"{name}{equals}{os.path.expanduser(path)}"  # noqa: PTH111  # Path would change what an address is
