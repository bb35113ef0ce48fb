"""The folder in which commands are killed: what they start from, what unbroken runs make, and the case at hand."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from curate.system.files import read_json, write_json
from tests import ROOT
from tests.faults.killing.commands import BEFORE, COMMANDS, LOCAL, PICTURES, PYTHON, Command, Made, bytes_below
from tests.faults.killing.crew import Crew
from tests.faults.killing.deaths import Death, Run, fault_of
from tests.faults.killing.launch import changes

SURVEY = "survey.json"
AUTOGRAPH = "__autograph_generated_file"


class Bench:
    """A folder with the pictures, what commands start from, and what they make when nobody breaks them."""

    def __init__(self, folder: Path, pictures: int = PICTURES, *, fork: bool = False) -> None:
        """`fork`: commands of curate begin as copies of this process, unless they go to a cluster."""
        self.fork, self.folder = fork, folder.absolute()
        sources = sorted(path for package in ("curate", "train") for path in (ROOT / package).rglob("*.py"))
        self.code = sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
        """Of what is killed: what other code made is made again."""
        self.art = self.folder / "art"
        if not self.art.exists():
            made = self.folder / "making"
            self.whole(made, [*PYTHON, "curate", "sample", "openmoji", "art", "--size", "96", "--limit", str(pictures)])
            (made / "home" / "art").rename(self.art)

    def whole(self, place: Path, arguments: Sequence[str]) -> float:
        """Run a command to its end, in PLACE/home; its seconds."""
        (place / "home").mkdir(parents=True, exist_ok=True)
        run = Run(place / "home", arguments)
        run.wait_until_begun()
        began = time.monotonic()
        assert run.end() == 0, run.told
        return time.monotonic() - began

    def fresh(self, place: Path, after: str) -> Path:
        """PLACE with nothing but a `home`, in which is what a command has made, if one is named."""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.begin(place, after)
        return place

    def begin(self, place: Path, after: str) -> None:
        """Make PLACE/home what it was at the beginning."""
        shutil.rmtree(place / "home", ignore_errors=True)
        if after:
            shutil.copytree(self.unbroken(after) / "home", place / "home")
        else:
            (place / "home").mkdir()

    def unbroken(self, name: str) -> Path:
        """Where a command was run to its end, once."""
        command, place = {**COMMANDS, **BEFORE}[name], self.folder / "unbroken" / name
        if not (place / SURVEY).exists() or read_json(place / SURVEY)["code"] != self.code:
            arguments = command.arguments(self.art) + ([*LOCAL] if command.cluster else [])
            seconds = self.whole(self.fresh(place, command.after), arguments)
            write_json(place / SURVEY, {"seconds": seconds, "code": self.code})
        return place

    def survey(self, name: str) -> tuple[float, list[str]]:
        """How many seconds a command takes, and the changes of the disk that it makes."""
        place = self.unbroken(name)
        return read_json(place / SURVEY)["seconds"], changes(place / "run.journal")[1:]

    def case(self, name: str, deaths: Sequence[Death]) -> str:
        """Let a command die of each death, then live; what is wrong with all that, empty if nothing is.

        Where one lives through its death, or ends before, what it made is compared, and the next one begins anew.
        """
        command, expected = COMMANDS[name], COMMANDS[name].made(self.unbroken(name) / "home")
        place = self.fresh(self.folder / "case", command.after)
        fault = ""
        with ExitStack() as stack:
            crew = Crew(place / "hosts", stack) if command.cluster else None
            runs, again = [], False
            for number, death in enumerate([*deaths, None]):
                run, wrong = self._run(command, place, death, crew, f"run-{number}", again=again)
                runs.append(run)
                fault = fault or wrong
                again = death is not None and death.status != 0
                if death and not again:
                    fault = fault or difference(command.made(place / "home"), expected)
                    self.begin(place, command.after)
            for run in runs:
                fault = fault or run.orphans()
        return fault or difference(command.made(place / "home"), expected) or left(place / "tmp", deaths)

    def _run(
        self, command: Command, place: Path, death: Death | None, crew: Crew | None, name: str, *, again: bool
    ) -> tuple[Run, str]:
        journal = place / f"{name}.journal"
        plan = death.plan(journal, place / "home") if death else None
        address = crew.address(plan) if crew else ""
        arguments = command.arguments(self.art, again=again) + (["--scheduler", address] if crew else [])
        fork = self.fork and crew is None and command.line[0] == "curate"
        run = Run(place / "home", arguments, plan, name, fork)
        if death is None:
            return run, "" if run.end() == 0 else f"the run that was let live says {run.told!r}"
        death.strike(run, crew.processes() if crew else {})
        return run, fault_of(death, run)


def difference(made: Made, expected: Made) -> str:
    missing, more = sorted(expected.keys() - made.keys()), sorted(made.keys() - expected.keys())
    differing = sorted(name for name in made.keys() & expected.keys() if made[name] != expected[name])
    told = {"missing": missing, "left over": more, "differing": differing}
    return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in told.items() if names)


def left(temporary: Path, deaths: Sequence[Death]) -> str:
    """What lies in the folder for temporary files. AutoGraph's, which TensorFlow removes at exit, outlive a SIGKILL."""
    killed = any(not death.stops for death in deaths)
    names = [name for name in sorted(bytes_below(temporary)) if not (killed and name.startswith(AUTOGRAPH))]
    return f"left in $TMPDIR: {', '.join(names[:5])}" if names else ""
