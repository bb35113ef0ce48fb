"""A shell completes commands, options and the names that options take, without TensorFlow."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from tests import ROOT

ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def completed(program: str, typed: str) -> list[str]:
    """What a shell offers at the end of a line."""
    main = importlib.import_module(f"{program}.cli").main
    *words, last = typed.split(" ")
    offered = BashComplete(main, {}, program, f"_{program.upper()}_COMPLETE").get_completions(words, last)
    return [item.value for item in offered]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("curate ru", ["run"]),
        ("curate extract --keep", ["--keep-monochrome"]),
        ("curate extract --lines co", ["contour"]),
        ("curate extract --lines xdog,di", ["xdog,dilate"]),
        ("curate dedupe d --survivor by", ["bytes"]),
        ("curate shard d s --format web", ["webdataset"]),
        ("curate run x.toml --set extract.min", ["extract.min-side="]),
        ("curate run x.toml --set dedupe.dat", []),
        ("train fit s r --preset unet", ["unet-mse", "unet-l1"]),
        ("train fit s r --set half", ["half_until="]),
        ("train ladder s o --rungs unet-l1,wgan-", ["unet-l1,wgan-gp"]),
    ],
)
def test_names_are_completed(line: str, offered: list[str]) -> None:
    program, _, typed = line.partition(" ")
    assert completed(program, typed) == offered


@pytest.mark.parametrize("program", ["curate", "train"])
def test_the_shell_is_told_how_by_the_program_itself(program: str) -> None:
    command, variable = [sys.executable, "-m", program], f"_{program.upper()}_COMPLETE"
    script = subprocess.run(
        command, env={**ENV, variable: "zsh_source"}, capture_output=True, text=True, check=True
    ).stdout
    assert f"compdef _{program}_completion {program}" in script
    heavy = f"import sys; sys.modules['tensorflow'] = None; from {program}.cli import main; main(prog_name='{program}')"
    told = subprocess.run(
        [sys.executable, "-c", heavy],
        env={**ENV, variable: "bash_complete", "COMP_WORDS": f"{program} ver", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.split() == (["plain,verify"] if program == "curate" else []), told.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_what_it_was_told(tmp_path: Path) -> None:
    """In a real bash: the source that the guide names, then its function, as a tab calls it."""
    program = tmp_path / "curate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m curate "$@"\n')
    program.chmod(0o755)
    script = """
    eval "$(_CURATE_COMPLETE=bash_source curate)"
    COMP_WORDS=(curate extract --lines xd) COMP_CWORD=3
    _curate_completion curate
    echo "${COMPREPLY[@]}"
    complete -p curate
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**ENV, "PATH": path}, capture_output=True, text=True, check=False
    )
    reply, how = done.stdout.splitlines()
    assert reply == "xdog"
    assert "-F _curate_completion curate" in how
