"""The process that reads hostile inputs, one after another, and may be ended by any of them.

What it is at stands in a file that it shares with its parent, so that its end is told by the input that caused it.
Jobs come in as lines of JSON, and replies go out so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import random
import struct
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.faults.hostile import mutations
from tests.faults.hostile.readers import READERS, Place, fate

HEAD = struct.Struct("<QQ")  # number of the input, from 1; its length
ROOM = 32 << 20  # bytes of an input that are shared
SAID = ("open", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod")
NEVER = ("socket.connect", "socket.getaddrinfo", "os.system", "os.exec", "os.posix_spawn")
KEPT = 3  # inputs of one fault that are kept
Row = dict[str, Any]


class Shared:
    """What the child is at, seen by its parent."""

    def __init__(self, path: Path) -> None:
        path.touch()
        os.truncate(path, HEAD.size + ROOM)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), HEAD.size + ROOM)

    def begin(self, number: int, data: bytes) -> None:
        self._memory[HEAD.size : HEAD.size + min(len(data), ROOM)] = data[:ROOM]
        self._memory[: HEAD.size] = HEAD.pack(number, len(data))

    def number(self) -> int:
        found: int = HEAD.unpack(self._memory[: HEAD.size])[0]
        return found

    def data(self) -> bytes:
        return self._memory[HEAD.size : HEAD.size + HEAD.unpack(self._memory[: HEAD.size])[1]]


class Guard:
    """Notes what is written outside of one folder, and what no reader ever does. A hook, so it can't be taken away."""

    def __init__(self, inside: list[Path]) -> None:
        self._inside = [f"{os.path.realpath(path)}/" for path in inside]
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in NEVER and not self._is_ours(event, arguments):
            self.seen.append(event)
        elif event in SAID and self._writes(event, arguments):
            self.seen += [f"{event} {path}" for path in _paths(event, arguments) if not self._is_inside(path)]

    def _is_inside(self, path: str) -> bool:
        real = Path(os.path.realpath(Path(path).parent)) / Path(path).name  # the last part is what is written over
        return str(real) == "/dev/null" or any(f"{real}/".startswith(one) for one in self._inside)

    @staticmethod
    def _is_ours(event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether Python starts Python, as it does from 3.13 on for the process that draws SVGs."""
        return event == "os.posix_spawn" and os.fsdecode(arguments[0]) == sys.executable

    @staticmethod
    def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
        if event != "open":
            return True
        mode, flags = arguments[1], arguments[2]
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) if isinstance(flags, int) else 0
        return bool(writes) or (isinstance(mode, str) and any(letter in mode for letter in "wax+"))


def _paths(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """The paths that an event is of, those below an open folder too."""
    count = 2 if event in {"os.rename", "os.link"} else 1
    folders = arguments[count:] if event in {"os.rename", "os.link", "os.remove", "os.rmdir"} else ()
    found = []
    for place, path in enumerate(arguments[:count]):
        if isinstance(path, str | bytes | os.PathLike):
            folder = folders[place] if place < len(folders) and isinstance(folders[place], int) else -1
            found.append(f"/proc/self/fd/{folder}/{os.fsdecode(path)}" if folder >= 0 else os.fsdecode(path))
    return found


def inputs(job: Row, place: Place) -> list[bytes]:
    """The inputs of a batch; equal for equal jobs."""
    reader, kind = READERS[job["reader"]], job["kind"]
    name, count, sound = f"{job['reader']}/{kind}/{job['batch']}", job["count"], reader.sound(place)
    if kind == "cut":
        return mutations.cuts(sound, job["batch"] * count, count)
    if kind == "flip":
        return mutations.flips(sound, random.Random(name), count)
    if kind == "splice":
        return mutations.splices(sound, random.Random(name), count)
    return mutations.shaped(reader.kind, sound, name, count)


def tried(name: str, data: bytes, place: Place, guard: Guard) -> tuple[str, str | None]:
    """Fate of one input, and what is wrong with it."""
    guard.seen.clear()
    try:
        found = fate(READERS[name], data, place)
    except BaseException as error:  # whatever it is, it is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        return "fault", _told(error)
    return (found, f"outside: {guard.seen[0]}") if guard.seen else (found, None)


def _told(error: BaseException) -> str:
    frames = [
        one
        for one in traceback.extract_tb(error.__traceback__)
        if "/curate/" in one.filename or "/train/" in one.filename
    ]
    at = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "elsewhere"
    return f"{type(error).__name__} in {at}"


def peak() -> int:
    """Most memory this process has held since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def forget_peak() -> None:
    """Begin to measure the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def work(job: Row, place: Place, shared: Shared, guard: Guard, keep: Path) -> Row:
    """One batch, from the input that the job says, as it may be gone on with: fates, faults and what they were of."""
    fates: Counter[str] = Counter()
    faults: list[Row] = []
    told: Iterable[bytes] = [Path(one).read_bytes() for one in job["files"]] if "files" in job else inputs(job, place)
    forget_peak()
    for number, data in enumerate(told, 1):
        if number <= job.get("done", 0):
            continue
        shared.begin(number, data)
        found, wrong = tried(job["reader"], data, place, guard)
        fates[found] += 1
        if wrong is not None:
            faults.append({"reader": job["reader"], "what": wrong, "input": kept(keep, job["reader"], data)})
    return {"fates": dict(fates), "faults": faults, "peak": peak()}


def kept(folder: Path, reader: str, data: bytes) -> str:
    """Name of the file that holds an input which made a fault."""
    name = f"{reader}/{hashlib.sha256(data).hexdigest()[:16]}.bin"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return name


@contextlib.contextmanager
def _apart() -> Iterator[Callable[[Row], None]]:
    """A way to reply that nothing a library prints gets into."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(row: Row) -> None:
        replies.write(json.dumps(row) + "\n")
        replies.flush()

    yield reply


def main() -> None:
    """Do jobs until the parent closes the pipe. Arguments: corpus, scratch, shared file, folder for inputs."""
    corpus, scratch, shared_at, keep = map(Path, sys.argv[1:5])
    place, shared = Place(corpus, scratch), Shared(shared_at)
    warnings.simplefilter("ignore")
    os.environ["TMPDIR"] = str(scratch)
    guard = Guard([scratch, keep, corpus, Path("/proc/self")])
    with _apart() as reply:
        for line in sys.stdin:
            job = json.loads(line)
            reply(work(job, place, shared, guard, keep))


if __name__ == "__main__":
    main()
