"""Run commands under a seccomp filter that kills any process that opens an internet socket.

The filter also holds for child processes and native code (TensorFlow, workers), and no process can remove it. Needs
Linux on x86-64 or AArch64, but not root.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst; include/uapi/linux/{filter,seccomp,audit,prctl}.h.
"""

from __future__ import annotations

import ctypes
import importlib
import platform
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""By machine name: the audit number of the architecture, and the number of the system call `socket`."""
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER, ARCHITECTURE, FAMILY = 0, 4, 16  # offsets in struct seccomp_data; FAMILY: low half of the first argument


def is_supported() -> bool:
    """Whether this machine is one of MACHINES."""
    return sys.platform == "linux" and platform.machine() in MACHINES


def kill_on_internet_socket() -> None:
    """Make `socket(AF_INET, ...)` and `socket(AF_INET6, ...)` kill this process. Raises OSError if Linux refuses."""
    architecture, call = MACHINES[platform.machine()]
    program = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, call),
        (LOAD, 0, 0, FAMILY),
        (EQUAL, 2, 0, int(socket.AF_INET)),
        (EQUAL, 1, 0, int(socket.AF_INET6)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, KILL),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *instruction) for instruction in program))
    # struct sock_fprog: a count, padding, a pointer
    header = ctypes.create_string_buffer(struct.pack("@HxxxxxxQ", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (SECCOMP, FILTER, ctypes.c_void_p(ctypes.addressof(header)), 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "the seccomp filter cannot be set")


def main() -> None:
    """Run the commands on the command line, separated by `--then`; `connect` opens a socket.

    urllib3 is imported before the filter is set: its import (by TensorFlow) binds a socket to ::1 to test for IPv6.
    """
    with suppress(ImportError):
        importlib.import_module("urllib3")
    kill_on_internet_socket()
    from curate.cli import main as curate
    from train.cli import main as train

    words = [*sys.argv[1:], "--then"]
    while words:
        end = words.index("--then")
        program, *rest = words[:end]
        programs: dict[str, Callable[..., Any]] = {"curate": curate, "train": train, "connect": _connect}
        programs[program](rest, standalone_mode=False)
        words = words[end + 1 :]


def _connect(_: list[str], **__: object) -> None:
    socket.socket()


if __name__ == "__main__":
    main()
