"""Shells complete commands, options and the names that options take, without importing TensorFlow."""

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


def completions(program: str, typed: str) -> list[str]:
    """What a shell offers for the last word of a line."""
    main = importlib.import_module(f"{program}.cli").main
    *words, last = typed.split(" ")
    items = BashComplete(main, {}, program, f"_{program.upper()}_COMPLETE").get_completions(words, last)
    return [item.value for item in items]


@pytest.mark.parametrize(
    ("line", "expected"),
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
def test_names_are_completed(line: str, expected: list[str]) -> None:
    program, _, typed = line.partition(" ")
    assert completions(program, typed) == expected


@pytest.mark.parametrize("program", ["curate", "train"])
def test_the_program_prints_its_completion_script_and_completes_without_tensorflow(program: str) -> None:
    command, variable = [sys.executable, "-m", program], f"_{program.upper()}_COMPLETE"
    script = subprocess.run(
        command, env={**ENV, variable: "zsh_source"}, capture_output=True, text=True, check=True
    ).stdout
    assert f"compdef _{program}_completion {program}" in script
    without_tensorflow = (
        f"import sys; sys.modules['tensorflow'] = None; from {program}.cli import main; main(prog_name='{program}')"
    )
    completion = subprocess.run(
        [sys.executable, "-c", without_tensorflow],
        env={**ENV, variable: "bash_complete", "COMP_WORDS": f"{program} ver", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completion.stdout.split() == (["plain,verify"] if program == "curate" else []), completion.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script_of_the_guide(tmp_path: Path) -> None:
    """A real bash evaluates the line of the guide, then calls the completion function as the Tab key does."""
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
    result = subprocess.run(
        ["bash", "-c", script], env={**ENV, "PATH": path}, capture_output=True, text=True, check=False
    )
    reply, registration = result.stdout.splitlines()
    assert reply == "xdog"
    assert "-F _curate_completion curate" in registration
