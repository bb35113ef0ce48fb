"""Small disks for tests: a tmpfs that root mounts, and that can be filled, emptied and made read-only."""

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

PAGE = 4096  # bytes: tmpfs allocates whole pages


@dataclass(frozen=True)
class Disk:
    """A mounted file system. A file or folder `ballast` takes its free space."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def leave(self, free: int) -> None:
        """Fill the disk until `free` bytes are free."""
        self.relieve()
        space = os.statvfs(self.folder)
        self._ballast.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - free) // PAGE * PAGE))

    def leave_inodes(self, free: int) -> None:
        """Fill the disk until `free` more files can be made."""
        self.relieve()
        self._ballast.mkdir()
        for number in range(os.statvfs(self.folder).f_favail - free):
            (self._ballast / str(number)).touch()

    def relieve(self) -> None:
        """Remove the ballast."""
        if self._ballast.is_dir():
            for path in self._ballast.iterdir():
                path.unlink()
            self._ballast.rmdir()
        self._ballast.unlink(missing_ok=True)

    def read_only(self, *, on: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.folder)], check=True)


@contextmanager
def mounted(folder: Path, size: int, inodes: int = 500) -> Iterator[Disk]:
    """Mount a new disk of `size` bytes at `folder`; skips the test if that is not allowed."""
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


def error_line(main: click.Command, *arguments: object) -> str:
    """Run a command that must fail with one line on standard error; returns that line without `Error: `."""
    result = CliRunner().invoke(main, [*map(str, arguments), "--quiet"])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.stderr.splitlines() if line]
    assert line.startswith("Error: "), line
    return line.removeprefix("Error: ")
