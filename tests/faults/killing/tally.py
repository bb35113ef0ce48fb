"""What was tried, and what became of it, in a file to go on with; and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curate.system.files import read_json, write_json

VAIN = 4


class Tally:
    """A JSON file: each command's cases, with the deaths of each and what was wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands: dict[str, Any] = read_json(path) if path.exists() else {}

    def cases(self, name: str) -> list[dict[str, Any]]:
        """Of a command, in order."""
        return list(self.commands.get(name, {}).get("cases", []))

    def add(self, name: str, seconds: float, changes: Sequence[str], deaths: list[dict[str, Any]], fault: str) -> None:
        """One case more, on the disk at once."""
        known = self.commands.setdefault(name, {"cases": []})
        known |= {"seconds": round(seconds, 1), "changes": len(changes), "kinds": sorted(set(changes))}
        known["cases"].append({"deaths": deaths, "fault": fault})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.commands)

    def deaths(self, name: str) -> Iterator[dict[str, Any]]:
        """Those of a command that came."""
        return (death for case in self.cases(name) for death in case["deaths"] if death["died"])

    def kills(self, name: str = "") -> int:
        """SIGKILLs that were died of."""
        names = [name] if name else list(self.commands)
        return sum(death["signal"] == "SIGKILL" for one in names for death in self.deaths(one))

    def killed_at(self, name: str) -> set[str]:
        """Kinds of changes of a command that saw a SIGKILL."""
        return {death["what"] for death in self.deaths(name) if death["signal"] == "SIGKILL"}

    def unseen(self, name: str, changes: Sequence[str]) -> list[str]:
        """Kinds of changes, in order, that saw no SIGKILL yet; but for those that were aimed at some times in vain."""
        aimed = Counter(death.get("kind") for case in self.cases(name) for death in case["deaths"])
        seen = self.killed_at(name)
        return [what for what in dict.fromkeys(changes) if what not in seen and aimed[what] < VAIN]

    def open(self, name: str) -> bool:
        """Whether kinds of a command's changes may be yet to see a SIGKILL."""
        return name not in self.commands or bool(self.unseen(name, self.commands[name]["kinds"]))

    def next(self, names: Sequence[str]) -> str:
        """Of the commands with kinds that saw no SIGKILL yet, if there are any, the one with the fewest cases."""
        return min(names, key=lambda name: (not self.open(name), len(self.cases(name))))

    def faults(self) -> list[str]:
        """What was wrong, if anything."""
        return [f"{name}: {case['fault']}" for name in self.commands for case in self.cases(name) if case["fault"]]


HEADS = "command|cases|kills|at a change|kinds of change|at a time|of a process alone|stops|seconds to stop|faults"


def table(tally: Tally) -> str:
    """Markdown: a line a command, and their sum."""
    rows = [_row(tally, name) for name in tally.commands]
    sums = [sum(row[place] for row in rows) for place in (1, 2, 3, 5, 6, 7, 9)]
    cases, kills, changes, times, alone, stops, faults = map(str, sums)
    rows.append(["in all", cases, kills, changes, "", times, alone, stops, "", faults])
    lines = [HEADS.split("|"), ["---"] * len(HEADS.split("|")), *rows]
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
    known = f"{kinds} of {len(all_kinds)}"
    stops, faults = len(deaths) - len(kills), sum(bool(case["fault"]) for case in cases)
    times = len(kills) - len(changes)
    return [name, len(cases), len(kills), len(changes), known, times, alone, stops, longest, faults]
