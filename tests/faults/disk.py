"""A disk of any size: a tmpfs that a test mounts, where it may."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

PAGE = 4096  # bytes that a tmpfs gives at once


@dataclass(frozen=True)
class Disk:
    """A mounted file system, and how much of it is left."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def leave(self, free: int) -> None:
        """Fill it until so many bytes are free."""
        self.relieve()
        found = os.statvfs(self.folder)
        self._ballast.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - free) // PAGE * PAGE))

    def leave_inodes(self, free: int) -> None:
        """Fill it until so many files can be made."""
        self.relieve()
        self._ballast.mkdir()
        for number in range(os.statvfs(self.folder).f_favail - free):
            (self._ballast / str(number)).touch()

    def relieve(self) -> None:
        """Make room."""
        if self._ballast.is_dir():
            for path in self._ballast.iterdir():
                path.unlink()
            self._ballast.rmdir()
        self._ballast.unlink(missing_ok=True)

    def read_only(self, *, on: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.folder)], check=True)


@contextmanager
def mounted(folder: Path, size: int, inodes: int = 500) -> Iterator[Disk]:
    """A new disk of `size` bytes at a folder; skips the test where none may be mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder.mkdir()
    options = f"size={size},nr_inodes={inodes}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def told_by(main: click.Command, *arguments: object) -> str:
    """What a command that fails as it should tells: a line, and how to go on."""
    result = CliRunner().invoke(main, [*map(str, arguments), "--quiet"])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (told,) = [line for line in result.stderr.splitlines() if line]
    assert told.startswith("Error: "), told
    return told.removeprefix("Error: ")
