"""The state of a training on disk: tensors and a few numbers, nothing that runs code when it is loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.contract import atomic_write
from train.errors import RunError

KEPT = 3


@dataclass(frozen=True)
class Clock:
    """How far a training is."""

    step: int = 0
    images_seen: int = 0
    elapsed: float = 0.0
    """Seconds of training, over all its sittings."""


def save(run: Path, clock: Clock, state: Mapping[str, Any]) -> Path:
    """Write RUN/snapshots/STEP.npz atomically, and remove all but the last three."""
    folder = run / "snapshots"
    folder.mkdir(exist_ok=True)
    path = folder / f"{clock.step:09d}.npz"
    arrays = {name: np.asarray(variable) for name, variable in state.items()}
    arrays |= {f"clock/{name}": np.asarray(value) for name, value in asdict(clock).items()}
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    for old in found(run)[:-KEPT]:
        old.unlink()
    return path


def found(run: Path) -> list[Path]:
    """Snapshots of a run, oldest first."""
    return sorted((run / "snapshots").glob("*.npz"))


def load(path: Path, state: Mapping[str, Any]) -> Clock:
    """Assign the variables of `state` from a snapshot. Raises RunError unless it holds just these, shapes and all."""
    try:
        with path.open("rb") as bytes_, np.load(bytes_, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} cannot be read ({error}): delete it to go on from the one before") from None
    clock = {name.removeprefix("clock/"): arrays.pop(name).item() for name in list(arrays) if name.startswith("clock/")}
    wanted = {name: tuple(variable.shape) for name, variable in state.items()}
    held = {name: array.shape for name, array in arrays.items()}
    if wanted != held:
        odd = min(name for name, _ in wanted.items() ^ held.items())
        raise RunError(f"{path} does not fit this model (at {odd}): use the same config and shards, or --fresh")
    for name, variable in state.items():
        variable.assign(arrays[name])
    return Clock(**clock)
