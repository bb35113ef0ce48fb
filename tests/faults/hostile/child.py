"""The child process that reads hostile inputs one by one, any of which may end it.

It writes the current input to a file shared with its parent, so that the parent knows which input ended it. Jobs come
in and replies go out as lines of JSON.
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

HEADER = struct.Struct("<QQ")  # number of the input, from 1; its length in bytes
MAX_SHARED_BYTES = 32 << 20  # longer inputs are truncated in the shared file
WRITES = ("open", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod")
FORBIDDEN_EVENTS = ("socket.connect", "socket.getaddrinfo", "os.system", "os.exec", "os.posix_spawn")
Row = dict[str, Any]


class Shared:
    """The input that the child is reading, in a file that it shares with its parent."""

    def __init__(self, path: Path) -> None:
        path.touch()
        os.truncate(path, HEADER.size + MAX_SHARED_BYTES)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), HEADER.size + MAX_SHARED_BYTES)

    def begin(self, number: int, data: bytes) -> None:
        self._memory[HEADER.size : HEADER.size + min(len(data), MAX_SHARED_BYTES)] = data[:MAX_SHARED_BYTES]
        self._memory[: HEADER.size] = HEADER.pack(number, len(data))

    def number(self) -> int:
        number: int = HEADER.unpack(self._memory[: HEADER.size])[0]
        return number

    def data(self) -> bytes:
        return self._memory[HEADER.size : HEADER.size + HEADER.unpack(self._memory[: HEADER.size])[1]]


class Guard:
    """Audit hook that collects writes outside some folders and events that no reader may cause. Cannot be removed."""

    def __init__(self, inside: list[Path]) -> None:
        self._inside = [f"{os.path.realpath(path)}/" for path in inside]
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN_EVENTS and not self._is_ours(event, arguments):
            self.seen.append(event)
        elif event in WRITES and self._writes(event, arguments):
            self.seen += [f"{event} {path}" for path in _paths(event, arguments) if not self._is_inside(path)]

    def _is_inside(self, path: str) -> bool:
        real = Path(os.path.realpath(Path(path).parent)) / Path(path).name  # a link in the last part is replaced
        return str(real) == "/dev/null" or any(f"{real}/".startswith(folder) for folder in self._inside)

    @staticmethod
    def _is_ours(event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether Python starts Python, as from 3.13 on for the process that draws SVGs."""
        return event == "os.posix_spawn" and os.fsdecode(arguments[0]) == sys.executable

    @staticmethod
    def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
        if event != "open":
            return True
        mode, flags = arguments[1], arguments[2]
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) if isinstance(flags, int) else 0
        return bool(writes) or (isinstance(mode, str) and any(letter in mode for letter in "wax+"))


def _paths(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """The paths of an audit event, with those below an open folder."""
    count = 2 if event in {"os.rename", "os.link"} else 1
    folders = arguments[count:] if event in {"os.rename", "os.link", "os.remove", "os.rmdir"} else ()
    paths = []
    for index, path in enumerate(arguments[:count]):
        if isinstance(path, str | bytes | os.PathLike):
            folder = folders[index] if index < len(folders) and isinstance(folders[index], int) else -1
            paths.append(f"/proc/self/fd/{folder}/{os.fsdecode(path)}" if folder >= 0 else os.fsdecode(path))
    return paths


def inputs(job: Row, place: Place) -> list[bytes]:
    """The inputs of a batch, which depend on the job alone."""
    reader, kind = READERS[job["reader"]], job["kind"]
    name, count, valid = f"{job['reader']}/{kind}/{job['batch']}", job["count"], reader.valid_inputs(place)
    if kind == "cut":
        return mutations.cuts(valid, job["batch"] * count, count)
    if kind == "flip":
        return mutations.flips(valid, random.Random(name), count)
    if kind == "splice":
        return mutations.splices(valid, random.Random(name), count)
    return mutations.generate(reader.kind, valid, name, count)


def try_input(name: str, data: bytes, place: Place, guard: Guard) -> tuple[str, str | None]:
    """(fate, fault or None) of one input."""
    guard.seen.clear()
    try:
        outcome = fate(READERS[name], data, place)
    except BaseException as error:  # any error is a finding
        if isinstance(error, KeyboardInterrupt):
            raise
        return "fault", _name_error(error)
    return (outcome, f"outside: {guard.seen[0]}") if guard.seen else (outcome, None)


def _name_error(error: BaseException) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/curate/" in frame.filename or "/train/" in frame.filename
    ]
    position = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "elsewhere"
    return f"{type(error).__name__} in {position}"


def peak() -> int:
    """Peak resident memory of this process since `forget_peak`, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def forget_peak() -> None:
    """Reset the peak to the current memory."""
    Path("/proc/self/clear_refs").write_text("5")


def do_job(job: Row, place: Place, shared: Shared, guard: Guard, keep: Path) -> Row:
    """Read the inputs of a job after the first `done`; returns their `fates`, `faults` and the `peak` memory."""
    fates: Counter[str] = Counter()
    faults: list[Row] = []
    contents: Iterable[bytes] = (
        [Path(path).read_bytes() for path in job["files"]] if "files" in job else inputs(job, place)
    )
    forget_peak()
    for number, data in enumerate(contents, 1):
        if number <= job.get("done", 0):
            continue
        shared.begin(number, data)
        outcome, fault = try_input(job["reader"], data, place, guard)
        fates[outcome] += 1
        if fault is not None:
            faults.append({"reader": job["reader"], "what": fault, "input": keep_input(keep, job["reader"], data)})
    return {"fates": dict(fates), "faults": faults, "peak": peak()}


def keep_input(folder: Path, reader: str, data: bytes) -> str:
    """Store an input that made a fault; returns its file name."""
    name = f"{reader}/{hashlib.sha256(data).hexdigest()[:16]}.bin"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return name


@contextlib.contextmanager
def separate_replies() -> Iterator[Callable[[Row], None]]:
    """A function that writes replies; what libraries print to standard output goes to standard error instead."""
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
    with separate_replies() as reply:
        for line in sys.stdin:
            job = json.loads(line)
            reply(do_job(job, place, shared, guard, keep))


if __name__ == "__main__":
    main()
