"""Recipes: the options of every stage in one TOML file, named as on the command line, whose commands are the schema.

    [extract]
    sources = ["~/art"]
    dataset = "dataset"

A recipe says what is made, `curate run` how: workers, a scheduler, a start from nothing. The dataset is named once, in
`[extract]`, and what `[select]` writes is what `[shard]` takes. Paths are those of a command line: from where one is.
`[expect]` has the counts that a source which is always the same comes to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from curate.contract import SPLITS
from curate.planning import toml_lines
from curate.planning.toml_lines import locate
from curate.system.errors import RecipeError

STAGES = ("sample", "extract", "dedupe", "select", "shard")
OPTIONAL_STAGES = ("sample", "select")
EXPECT = "expect"
EXPECTED_COUNTS = ("in", "kept", "dropped", *SPLITS)
RUN_OPTIONS = ("workers", "scheduler", "fresh", "dry-run", "json", "quiet")
"""Options of a run, not of a recipe."""
Commands = Mapping[str, click.Command]
OptionWords = dict[str, tuple[str, ...]]
"""Words by option; a flag's are `true` or `false`."""


@dataclass(frozen=True)
class Recipe:
    """A recipe whose tables and keys are all known."""

    path: Path
    text: str = field(repr=False)
    commands: Commands = field(repr=False)
    stages: Mapping[str, OptionWords]
    """By stage, in the order of the road."""
    expect: Mapping[str, Any]
    overruled: frozenset[tuple[str, str | None]]
    """Stage and option of what `--set` overruled."""

    def location(self, stage: str, key: str | None = None) -> str:
        """Where a thing is written: file, line, table, key."""
        return (
            f"--set {stage}.{key}"
            if (stage, key) in self.overruled
            else toml_lines.locate(self.path, self.text, stage, key)
        )

    def locate_error(self, stage: str, message: str) -> str:
        """Where the option is written that an error of a stage speaks of; where the stage is, if that is not told."""
        options = self.stages[stage]
        parts = {key: [part for word in words for part in re.split(r"[,=]\s*", word)] for key, words in options.items()}
        named = [key for key in options if f"--{key} " in message]
        named += [key for key in options if any(_mentions(message, part) for part in parts[key])]
        return self.location(stage, named[0] if named else None)

    def overruled_options(self) -> list[str]:
        """What `--set` overruled beside places: other counts are to be expected then."""
        named = [(stage, key) for stage, key in self.overruled if key is not None]
        return sorted(f"{s}.{key}" for s, key in named if not _is_path(recipe_options(self.commands[s])[key]))

    def make_context(self, stage: str, how: Mapping[str, object]) -> click.Context:
        """The call of a stage's command, by the recipe and, where the command has such options, by `how` to run it.

        Raises RecipeError, naming file, line and key, for a word that the command refuses.
        """
        command, own = self.commands[stage], {_key(one) for one in self.commands[stage].params}
        words = [f"--{name}={value}" for name, value in how.items() if name in own and type(value) in {str, int}]
        words += [f"--{name}" for name, value in how.items() if name in own and value is True]
        arguments = []
        for key, parameter in recipe_options(command).items():
            told = [_expand_home(word) if _is_path(parameter) else word for word in self.stages[stage].get(key, ())]
            if isinstance(parameter, click.Argument):
                arguments += told
            elif _is_flag(parameter):
                words += [f"--{key}" for word in told if word == "true"]
            else:
                words += [f"--{key}={word}" for word in told]
        try:
            # without --help, which the command would keep in the form of a program of its own
            return command.make_context(stage, [*words, "--", *arguments], help_option_names=[])
        except click.UsageError as error:
            name = _key(error.param) if isinstance(error, click.BadParameter) and error.param else None
            raise RecipeError(f"{self.location(stage, name)}: {error.message.rstrip('.')}") from None

    def count_differences(self, counts: Mapping[str, Any]) -> list[str]:
        """A line for each count that is not as expected."""
        expected = {(key, ""): value for key, value in self.expect.items() if key != "dropped"}
        expected |= {("dropped", reason): value for reason, value in self.expect.get("dropped", {}).items()}
        lines = []
        for (key, reason), value in expected.items():
            found = counts["dropped"].get(reason, 0) if reason else counts[key]
            if found != value:
                what = f"dropped as {reason}" if reason else key
                lines.append(f"{self.location(EXPECT, key)}: {value:,} {what} expected, and {found:,} found")
        return lines


def read_recipe(path: Path, commands: Commands, settings: Sequence[str] = ()) -> Recipe:
    """A recipe, overruled by settings as in `extract.size=64`.

    Raises RecipeError, naming file, line and key, unless every stage, option and kind of value is one that there is.
    """
    text, tables = toml_lines.parse(path)
    _check_tables(path, text, tables)
    stages: dict[str, OptionWords] = {}
    for stage in (one for one in STAGES if one in tables):
        stages[stage] = {
            key: _option_words(locate(path, text, stage, key), commands[stage], key, value)
            for key, value in tables[stage].items()
        }
    overruled = _overrule(stages, commands, settings)
    for key, value in tables.get(EXPECT, {}).items():
        _check_count(locate(path, text, EXPECT, key), key, value)
    if missing := [stage for stage in STAGES if stage not in tables and stage not in OPTIONAL_STAGES]:
        raise RecipeError(f"{path} lacks [{missing[0]}]: write the table, empty if all is as by default")
    recipe = Recipe(path, text, commands, stages, tables.get(EXPECT, {}), frozenset(overruled))
    for stage, words in stages.items():
        for key in (_key(one) for one in commands[stage].params if isinstance(one, click.Argument)):
            if stage != "extract" and key == "dataset":
                words[key] = stages["extract"][key]
            elif not words.get(key):
                raise RecipeError(f"{recipe.location(stage)} lacks {key}: see `curate {stage} --help`")
    if "select" in stages:
        stages["shard"].setdefault("manifest", stages["select"]["out"])
    return recipe


def _check_tables(path: Path, text: str, tables: Mapping[str, Any]) -> None:
    known = [*STAGES, EXPECT]
    for name, table in tables.items():
        if name in {"train", "fit"}:
            raise RecipeError(f"{locate(path, text, name)}: a recipe ends with shards: run `train fit SHARDS RUN` then")
        if name not in known:
            raise RecipeError(f"{locate(path, text, name)}: no such stage; {_suggestion(name, known)}")
        if not isinstance(table, dict):
            raise RecipeError(f"{locate(path, text, name)}: is a table: write [{name}], and its options below")


def _option_words(where: str, command: click.Command, key: str, value: object) -> tuple[str, ...]:
    """A value of an option as words. Raises RecipeError if there is no such option, or it takes no such value."""
    parameter = _find_parameter(where, command, key)
    many = parameter.multiple or parameter.nargs == -1
    if many != isinstance(value, list):
        raise RecipeError(
            f"{where}: {value!r} is {'no' if many else 'a'} list: write {'[...]' if many else 'one value'}"
        )
    kinds, name = _accepted_types(parameter)
    values = value if isinstance(value, list) else [value]
    for one in values:
        if type(one) not in kinds:
            raise RecipeError(f"{where}: {one!r} is not {name}")
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in values)


def _find_parameter(where: str, command: click.Command, key: str) -> click.Parameter:
    parameters = recipe_options(command)
    if key in RUN_OPTIONS:
        raise RecipeError(f"{where}: says how to run, not what to make: leave it out, and see `curate run --help`")
    if key == "dataset" and command.name != "extract":
        raise RecipeError(f"{where}: leave it out: the dataset is that of [extract]")
    if key not in parameters:
        raise RecipeError(f"{where}: no such option; {_suggestion(key, [*parameters])}")
    return parameters[key]


def _accepted_types(parameter: click.Parameter) -> tuple[set[type], str]:
    if _is_flag(parameter):
        return {bool}, "true or false"
    if isinstance(parameter.type, click.types.IntParamType):
        return {int}, "a whole number"
    if isinstance(parameter.type, click.types.FloatParamType):
        return {int, float}, "a number"
    return {str}, "text in quotes"


def _check_count(where: str, key: str, value: object) -> None:
    if key not in EXPECTED_COUNTS:
        raise RecipeError(f"{where}: no such count; {_suggestion(key, EXPECTED_COUNTS)}")
    if key == "dropped":
        if not isinstance(value, dict) or any(type(one) is not int for one in value.values()):
            raise RecipeError(f"{where}: write whole numbers by reason, as in {{ duplicate = 3 }}")
    elif type(value) is not int:
        raise RecipeError(f"{where}: {value!r} is not a whole number")


def _overrule(
    stages: dict[str, OptionWords], commands: Commands, settings: Sequence[str]
) -> set[tuple[str, str | None]]:
    """Put settings into stages; a list's option may be set several times."""
    told: set[tuple[str, str | None]] = set()
    for setting in settings:
        name, equals, word = setting.partition("=")
        stage, _, key = name.partition(".")
        if not equals or stage not in stages:
            raise RecipeError(f"--set {setting}: write STAGE.OPTION=VALUE, STAGE one of {', '.join(stages)}")
        parameter = _find_parameter(f"--set {setting}", commands[stage], key)
        if _is_flag(parameter) and word not in {"true", "false"}:
            raise RecipeError(f"--set {setting}: {word!r} is not true or false")
        before = stages[stage][key] if (stage, key) in told and (parameter.multiple or parameter.nargs == -1) else ()
        stages[stage][key] = (*before, word)
        told.add((stage, key))
    return told


def _suggestion(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def recipe_options(command: click.Command) -> dict[str, click.Parameter]:
    """What a recipe may say of a stage."""
    return {key: one for one in command.params if (key := _key(one)) not in RUN_OPTIONS}


def _key(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len).removeprefix("--")


def _mentions(message: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", message) is not None


def _is_flag(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and parameter.is_flag


def _is_path(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.Path) or parameter.name == "sources"


def _expand_home(word: str) -> str:
    """A path, or NAME=PATH, with `~` as a shell takes it."""
    name, equals, path = word.rpartition("=")
    return f"{name}{equals}{os.path.expanduser(path)}"  # noqa: PTH111  # Path would change what an address is
