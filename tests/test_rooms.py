"""What a room says about itself is true of its folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from curate.cli import main as curate_main
from tests import ROOT
from train.cli import main as train_main

COMMANDS = {*curate_main.commands, *train_main.commands}
ROOMS = sorted(path for package in ("curate", "train") for path in (ROOT / package).glob("*/__init__.py"))
MAX_MODULES = 12


@pytest.mark.parametrize("init", ROOMS, ids=lambda path: f"{path.parent.parent.name}-{path.parent.name}")
def test_a_room_names_only_modules_rooms_and_commands_that_exist(init: Path) -> None:
    package = init.parent.parent
    names = {path.stem for folder in (init.parent, package) for path in folder.iterdir()}
    docstring = ast.get_docstring(ast.parse(init.read_text("utf-8"))) or ""
    assert docstring
    assert set(re.findall(r"`([a-z_]+)`", docstring)) <= {*names, *COMMANDS, "curate", "train"}


@pytest.mark.parametrize("init", ROOMS, ids=lambda path: f"{path.parent.parent.name}-{path.parent.name}")
def test_a_room_has_at_most_twelve_modules(init: Path) -> None:
    assert len([path for path in init.parent.glob("*.py") if path != init]) <= MAX_MODULES
