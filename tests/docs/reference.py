"""The generated reference in the docs, one function each for rooms, columns and commands; called by cog."""

from __future__ import annotations

import ast
import tomllib
from importlib import import_module
from pathlib import Path

from click.testing import CliRunner

from curate.dataset import schema
from tests import ROOT
from tests.docs.tables import markdown_table


def rooms(package: str) -> str:
    """The rooms of `curate` or `train` with the first line of their docstrings, lowest layer first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract.get("containers") == [package]]
    names = [name.strip() for layer in reversed(layers) for name in layer.split("|")]
    return markdown_table(["room", "what it does"], [_room_row(ROOT / package / name) for name in names])


def _room_row(room: Path) -> tuple[str, str]:
    path, name = (
        (room / "__init__.py", f"{room.name}/") if room.is_dir() else (room.with_suffix(".py"), f"{room.name}.py")
    )
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert docstring, f"{path} has no docstring"
    return f"`{name}`", docstring.splitlines()[0]


def columns(kind: str) -> str:
    """The columns of one kind of table in a dataset folder, from their definitions."""
    tables = {
        "manifest": schema.MANIFEST_COLUMNS,
        "pairs": schema.PAIR_COLUMNS,
        "tags": schema.TAG_TABLE_COLUMNS,
        "edges": schema.EDGE_COLUMNS,
        "decisions": schema.DECISION_COLUMNS,
        "removed": schema.OPT_OUT_COLUMNS,
    }
    rows = [[f"`{name}`", f"`{str(type_).replace('item: ', '')}`", meaning] for name, type_, meaning in tables[kind]]
    return markdown_table(["column", "type", "meaning"], rows)


def commands() -> str:
    """`--help` of both programs and all their commands."""

    def help_of(program: str, *names: str) -> str:
        main = import_module(f"{program}.cli").main
        shown = CliRunner().invoke(main, [*names, "--help"], prog_name=program, terminal_width=80, max_content_width=80)
        return f"```text\n{shown.output}```\n"

    return "\n".join(
        section
        for program in ("curate", "train")
        for section in (
            f"## {program}\n\n{help_of(program)}",
            *(
                f"### {program} {name}\n\n{help_of(program, name)}"
                for name in import_module(f"{program}.cli").main.list_commands(None)
            ),
        )
    )
