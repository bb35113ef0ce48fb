"""What a child process of `curate.system.child_process` runs: it answers messages until its parent is gone.

A message is its length as four bytes, then itself. Imports next to nothing, so that a child starts at once.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TypeAlias

Answer: TypeAlias = Callable[[bytes], bytes]
"""Answers one message."""
Prepare: TypeAlias = Callable[[bytes], Answer]
"""Prepares the child for the messages to come, given the set-up bytes. Importable by name."""

_LENGTH = struct.Struct("<I")


def serve(prepare: Prepare) -> None:
    """Prepare, report that with an empty message, then answer each message until the parent is gone."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # Ctrl-C stays blocked: the parent sees to it
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a native library prints must not reach the parent as an answer
    with suppress(EOFError, BrokenPipeError):
        answer = prepare(receive(requests))
        send(answers, b"")
        while True:
            send(answers, answer(receive(requests)))


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message."""
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """Read one message. Raises EOFError if the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        message = stream.read(length)
        if len(message) == length:
            return message
    raise EOFError
