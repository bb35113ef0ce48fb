"""The tally of a kill test: a JSON file that the next run continues, and its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curate.system.files import read_json, write_json

MAX_VAIN_ATTEMPTS = 4


class Tally:
    """The cases of each command, with their deaths and faults, in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands: dict[str, Any] = read_json(path) if path.exists() else {}

    def cases(self, name: str) -> list[dict[str, Any]]:
        """The cases of a command, in order."""
        return list(self.commands.get(name, {}).get("cases", []))

    def add(self, name: str, seconds: float, changes: Sequence[str], deaths: list[dict[str, Any]], fault: str) -> None:
        """Add a case and save the file."""
        entry = self.commands.setdefault(name, {"cases": []})
        entry |= {"seconds": round(seconds, 1), "changes": len(changes), "kinds": sorted(set(changes))}
        entry["cases"].append({"deaths": deaths, "fault": fault})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.commands)

    def deaths(self, name: str) -> Iterator[dict[str, Any]]:
        """The deaths of a command that came to pass."""
        return (death for case in self.cases(name) for death in case["deaths"] if death["died"])

    def kills(self, name: str = "") -> int:
        """Number of deaths by SIGKILL, of one command or all."""
        names = [name] if name else list(self.commands)
        return sum(death["signal"] == "SIGKILL" for command in names for death in self.deaths(command))

    def killed_at(self, name: str) -> set[str]:
        """The kinds of change at which a SIGKILL hit a command."""
        return {death["what"] for death in self.deaths(name) if death["signal"] == "SIGKILL"}

    def unseen(self, name: str, changes: Sequence[str]) -> list[str]:
        """Kinds of change without a SIGKILL so far, in order, except those that were aimed at often in vain."""
        aimed = Counter(death.get("kind") for case in self.cases(name) for death in case["deaths"])
        seen = self.killed_at(name)
        return [kind for kind in dict.fromkeys(changes) if kind not in seen and aimed[kind] < MAX_VAIN_ATTEMPTS]

    def is_open(self, name: str) -> bool:
        """Whether a command may have kinds of change without a SIGKILL."""
        return name not in self.commands or bool(self.unseen(name, self.commands[name]["kinds"]))

    def next_command(self, names: Sequence[str]) -> str:
        """The command with the fewest cases, of the open ones if there are any."""
        return min(names, key=lambda name: (not self.is_open(name), len(self.cases(name))))

    def faults(self) -> list[str]:
        """All faults, each after its command's name."""
        return [f"{name}: {case['fault']}" for name in self.commands for case in self.cases(name) if case["fault"]]


TABLE_HEADER = (
    "command|cases|kills|at a change|kinds of change|at a time|of a process alone|stops|seconds to stop|faults"
)


def format_table(tally: Tally) -> str:
    """Markdown table with a row per command and their sum."""
    rows = [_row(tally, name) for name in tally.commands]
    sums = [sum(row[column] for row in rows) for column in (1, 2, 3, 5, 6, 7, 9)]
    cases, kills, changes, times, alone, stops, faults = map(str, sums)
    rows.append(["in all", cases, kills, changes, "", times, alone, stops, "", faults])
    lines = [TABLE_HEADER.split("|"), ["---"] * len(TABLE_HEADER.split("|")), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _row(tally: Tally, name: str) -> list[Any]:
    cases, deaths = tally.cases(name), list(tally.deaths(name))
    kills = [death for death in deaths if death["signal"] == "SIGKILL"]
    changes = [death for death in kills if death["way"] == "change"]
    all_kinds = tally.commands[name]["kinds"]
    kinds = len(tally.killed_at(name).intersection(all_kinds))
    alone = sum(death["whom"] != "group" for death in kills)
    stopping = [death["stopping"] for death in deaths if death["stopping"] is not None]
    longest = f"{max(stopping):.1f}" if stopping else ""
    kinds_seen = f"{kinds} of {len(all_kinds)}"
    stops, faults = len(deaths) - len(kills), sum(bool(case["fault"]) for case in cases)
    times = len(kills) - len(changes)
    return [name, len(cases), len(kills), len(changes), kinds_seen, times, alone, stops, longest, faults]
