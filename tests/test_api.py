"""The Python functions take what the commands take, with the same defaults, and do the same."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import click
import pytest

import curate
import train
from curate.cli import main as curate_main
from train.cli import main as train_main

OTHER_NAMES = {"with_tag": "with_tag", "settings": "settings", "wanted": "tags"}
"""Parameters of commands that functions call otherwise than the option is spelled."""
NOT_IN_PYTHON = {"json", "quiet", "package"}
FUNCTIONS = {
    **{name: (curate, curate_main) for name in curate.__all__ if name in curate_main.commands},
    **dict.fromkeys(train.__all__, (train, train_main)),
}


def keyword(parameter: click.Parameter) -> str:
    """The function's name for a parameter of its command: the long option's, or the argument's."""
    flags = [flag.removeprefix("--") for flag in parameter.opts if flag.startswith("--")]
    return OTHER_NAMES.get(parameter.name or "", (flags or [parameter.name])[0].replace("-", "_"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_every_option_of_its_command(name: str) -> None:
    module, main = FUNCTIONS[name]
    options = {keyword(parameter) for parameter in main.commands[name].params} - NOT_IN_PYTHON
    missing = options - set(inspect.signature(getattr(module, name)).parameters)
    assert missing <= {"set"}, missing


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_the_defaults_of_its_command(name: str) -> None:
    module, main = FUNCTIONS[name]
    signature = inspect.signature(getattr(module, name)).parameters
    for parameter in main.commands[name].params:
        argument = signature.get(keyword(parameter))
        if isinstance(parameter, click.Option) and argument and not (parameter.required or callable(parameter.default)):
            assert plain(argument.default) == plain(parameter.to_info_dict()["default"]), parameter.name


def plain(value: Any) -> Any:
    """A default as text between commas where it is a sequence; nothing, no and none are alike."""
    return (",".join(map(str, value)) if isinstance(value, tuple | list) else value) or None


@pytest.mark.parametrize("module", [curate, train], ids=["curate", "train"])
def test_every_public_function_says_what_it_takes(module: ModuleType) -> None:
    for name in module.__all__:
        function: Callable[..., Any] = getattr(module, name)
        if inspect.isfunction(function) and len(inspect.signature(function).parameters) > 1:
            text = inspect.getdoc(function) or ""
            described = [each for each in inspect.signature(function).parameters if f"\n    {each}: " in text]
            assert name in {"decode", "phash"} or described == list(inspect.signature(function).parameters), name


@pytest.mark.parametrize("package", ["curate", "train"])
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'colour'"):
        importlib.import_module(package).colour  # noqa: B018


def test_fit_wants_a_length() -> None:
    with pytest.raises(curate.NurieError, match="either steps or minutes"):
        train.fit("shards", "run")
