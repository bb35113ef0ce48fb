"""Run the cases of the kill test: prepare a folder, let a command die in it, and compare what it made."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from curate.system.files import read_json, write_json
from tests import ROOT
from tests.faults.killing.cluster import KillableCluster
from tests.faults.killing.commands import (
    BEFORE,
    COMMANDS,
    PICTURES,
    PYTHON,
    TWO_WORKERS,
    Command,
    Contents,
    bytes_below,
)
from tests.faults.killing.deaths import Death, Run, fault_of
from tests.faults.killing.launch import read_changes

SURVEY = "survey.json"
AUTOGRAPH = "__autograph_generated_file"


class CaseRunner:
    """A folder with pictures (`art`), uninterrupted runs of the commands (`unbroken`) and the current case (`case`)."""

    def __init__(self, folder: Path, pictures: int = PICTURES, *, fork: bool = False) -> None:
        """With `fork`, commands of curate start as forks of this process, except on a cluster."""
        self.fork, self.folder = fork, folder.absolute()
        sources = sorted(path for package in ("curate", "train") for path in (ROOT / package).rglob("*.py"))
        self.code = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
        """Digest of the source code. Uninterrupted runs of other code are made again."""
        self.art = self.folder / "art"
        if not self.art.exists():
            place = self.folder / "making"
            self.run_to_end(
                place, [*PYTHON, "curate", "sample", "openmoji", "art", "--size", "96", "--limit", str(pictures)]
            )
            (place / "home" / "art").rename(self.art)

    def run_to_end(self, place: Path, arguments: Sequence[str]) -> float:
        """Run a command in PLACE/home to its end; returns its seconds. Raises AssertionError if it fails."""
        (place / "home").mkdir(parents=True, exist_ok=True)
        run = Run(place / "home", arguments)
        run.wait_until_begun()
        began = time.monotonic()
        assert run.end() == 0, run.output
        return time.monotonic() - began

    def prepare(self, place: Path, after: str) -> Path:
        """Empty PLACE and make PLACE/home with the files that the command `after` made, if given."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.reset_home(place, after)
        return place

    def reset_home(self, place: Path, after: str) -> None:
        """Make PLACE/home again as it was at the beginning."""
        shutil.rmtree(place / "home", ignore_errors=True)
        if after:
            shutil.copytree(self.unbroken(after) / "home", place / "home")
        else:
            (place / "home").mkdir()

    def unbroken(self, name: str) -> Path:
        """Folder of the uninterrupted run of a command, which is made if this code has none."""
        command, place = {**COMMANDS, **BEFORE}[name], self.folder / "unbroken" / name
        if not (place / SURVEY).exists() or read_json(place / SURVEY)["code"] != self.code:
            arguments = command.arguments(self.art) + ([*TWO_WORKERS] if command.cluster else [])
            seconds = self.run_to_end(self.prepare(place, command.after), arguments)
            write_json(place / SURVEY, {"seconds": seconds, "code": self.code})
        return place

    def survey(self, name: str) -> tuple[float, list[str]]:
        """Seconds and changes of the disk of an uninterrupted run."""
        place = self.unbroken(name)
        return read_json(place / SURVEY)["seconds"], read_changes(place / "run.journal")[1:]

    def run_case(self, name: str, deaths: Sequence[Death]) -> str:
        """Let a command die each death, then run to its end; returns the first fault, empty if there is none.

        If a run survives its death or ends before it, its files are compared and the next run starts over.
        """
        command, expected = COMMANDS[name], COMMANDS[name].contents(self.unbroken(name) / "home")
        folder = self.prepare(self.folder / "case", command.after)
        fault = ""
        with ExitStack() as stack:
            cluster = KillableCluster(folder / "hosts", stack) if command.cluster else None
            runs, is_again = [], False
            for number, death in enumerate([*deaths, None]):
                run, run_fault = self._run(command, folder, death, cluster, f"run-{number}", is_again=is_again)
                runs.append(run)
                fault = fault or run_fault
                is_again = death is not None and death.status != 0
                if death and not is_again:
                    fault = fault or difference(command.contents(folder / "home"), expected)
                    self.reset_home(folder, command.after)
            for run in runs:
                fault = fault or run.orphans()
        return fault or difference(command.contents(folder / "home"), expected) or leftovers(folder / "tmp", deaths)

    def _run(
        self,
        command: Command,
        folder: Path,
        death: Death | None,
        cluster: KillableCluster | None,
        name: str,
        *,
        is_again: bool,
    ) -> tuple[Run, str]:
        journal = folder / f"{name}.journal"
        plan = death.plan(journal, folder / "home") if death else None
        address = cluster.address(plan) if cluster else ""
        arguments = command.arguments(self.art, again=is_again) + (["--scheduler", address] if cluster else [])
        fork = self.fork and cluster is None and command.line[0] == "curate"
        run = Run(folder / "home", arguments, plan, name, fork)
        if death is None:
            return run, "" if run.end() == 0 else f"the last run prints {run.output!r}"
        death.strike(run, cluster.processes() if cluster else {})
        return run, fault_of(death, run)


def difference(contents: Contents, expected: Contents) -> str:
    """Names of missing, left over and differing files, five of each; empty if there are none."""
    missing, extra = sorted(expected.keys() - contents.keys()), sorted(contents.keys() - expected.keys())
    differing = sorted(name for name in contents.keys() & expected.keys() if contents[name] != expected[name])
    names_by_kind = {"missing": missing, "left over": extra, "differing": differing}
    return "; ".join(f"{kind}: {', '.join(names[:5])}" for kind, names in names_by_kind.items() if names)


def leftovers(temporary: Path, deaths: Sequence[Death]) -> str:
    """Fault of files in the folder for temporary files; empty if there are none.

    A SIGKILL may leave AutoGraph's files, which TensorFlow removes at exit.
    """
    killed = any(not death.stops for death in deaths)
    names = [name for name in sorted(bytes_below(temporary)) if not (killed and name.startswith(AUTOGRAPH))]
    return f"left in $TMPDIR: {', '.join(names[:5])}" if names else ""
