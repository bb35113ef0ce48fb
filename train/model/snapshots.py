"""Snapshots: the state of a training as an uncompressed .npz of tensors and a few numbers. Loading one runs no code."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.system.files import atomic_write, check_not_special_file
from train.errors import NotFiniteError, RunError

LATEST_SNAPSHOTS_KEPT = 3
"""Latest snapshots that are kept: the training survives one or two that the disk has damaged."""
MAX_HISTORY_SNAPSHOTS = 16
"""Largest number of older snapshots, spread over the whole training."""


@dataclass(frozen=True)
class TrainingClock:
    """How far a training has come."""

    step: int = 0
    """Steps done."""
    images_seen: int = 0
    """Pairs shown, each as often as it was."""
    elapsed: float = 0.0
    """Seconds of training, over all calls of `fit`."""
    nan: tuple[int, ...] = ()
    """Steps at which a figure was not finite, so that the training went back to a snapshot and halved its rates."""


def save(run: Path, clock: TrainingClock, state: Mapping[str, Any], keep_steps: Collection[int] = ()) -> Path:
    """Write RUN/snapshots/STEP.npz atomically and delete all but the latest three and those of `keep_steps`.

    Raises NotFiniteError, and writes nothing, if a number of the state is NaN or infinite.
    """
    arrays = check_finite(clock.step, state)
    arrays |= {f"clock/{name}": np.asarray(value) for name, value in asdict(clock).items() if name != "nan"}
    arrays["clock/nan"] = np.array(clock.nan, np.int64)
    path = snapshot_path(run, clock.step)
    path.parent.mkdir(exist_ok=True)
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    delete_old_snapshots(run, keep_steps)
    return path


def check_finite(step: int, state: Mapping[str, Any]) -> dict[str, Any]:
    """The variables as arrays, by name. Raises NotFiniteError if a number is NaN or infinite."""
    arrays = {name: np.asarray(variable) for name, variable in state.items()}
    if not_finite := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise NotFiniteError(step, not_finite[0])
    return arrays


def snapshot_path(run: Path, step: int) -> Path:
    """RUN/snapshots/STEP.npz, whether it exists or not."""
    return run / "snapshots" / f"{step:09d}.npz"


def list_snapshots(run: Path) -> list[Path]:
    """Paths of a run's snapshots, oldest first."""
    return sorted(path for path in (run / "snapshots").glob("*.npz") if path.stem.isdecimal())


def delete_old_snapshots(run: Path, keep_steps: Collection[int] = ()) -> None:
    """Delete all snapshots but the latest three and those of `keep_steps`."""
    for path in list_snapshots(run)[:-LATEST_SNAPSHOTS_KEPT]:
        if int(path.stem) not in keep_steps:
            path.unlink()


def history_steps(step: int, keep_every: int, snapshot_every: int) -> set[int]:
    """Steps up to `step` whose snapshots are kept as the training's history; none if `keep_every` is 0.

    For each multiple of `keep_every`, the first snapshot on or after it. `keep_every` doubles until there are at most
    MAX_HISTORY_SNAPSHOTS, so that the disk space of a training has a bound whatever its length. A step in the result
    was in every earlier result, so a snapshot that was deleted is never needed again.
    """
    if not keep_every:
        return set()
    while step // keep_every > MAX_HISTORY_SNAPSHOTS:
        keep_every *= 2
    firsts = (-(-multiple // snapshot_every) * snapshot_every for multiple in range(keep_every, step + 1, keep_every))
    return {first for first in firsts if first <= step}


def read_snapshot(path: Path, wanted: Collection[str] = ()) -> tuple[TrainingClock, dict[str, Any]]:
    """A snapshot's clock and arrays by name: those `wanted`, or all if it is empty. Raises RunError if unreadable."""
    try:
        _check_uncompressed(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = [name for name in archive.files if not wanted or name in wanted or name.startswith("clock/")]
            arrays = {name: archive[name] for name in names}
        clock_names = [name for name in arrays if name.startswith("clock/")]
        clock = {name.removeprefix("clock/"): arrays.pop(name).tolist() for name in clock_names}
        return TrainingClock(**clock | {"nan": tuple(clock.get("nan", ()))}), arrays
    except Exception as error:  # noqa: BLE001  # NumPy and zipfile raise many types for damaged bytes
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise RunError(f"{path} cannot be read ({reason}): delete it to resume from the snapshot before") from None


def _check_uncompressed(path: Path) -> None:
    """Raise ValueError for compressed arrays, which `save` never writes: they could expand to any size."""
    check_not_special_file(path)
    with zipfile.ZipFile(path) as archive:
        if compressed := [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]:
            raise ValueError(f"{compressed[0]} is compressed")


def restore(path: Path, state: Mapping[str, Any]) -> TrainingClock:
    """Assign the variables of `state` from a snapshot and return its clock.

    Raises RunError unless the snapshot holds exactly these names and shapes.
    """
    clock, arrays = read_snapshot(path)
    expected = {name: tuple(variable.shape) for name, variable in state.items()}
    stored = {name: array.shape for name, array in arrays.items()}
    if expected != stored:
        first = min(name for name, _ in expected.items() ^ stored.items())
        raise RunError(f"{path} does not fit this model (at {first}): use the same config and shards, or --fresh")
    for name, variable in state.items():
        variable.assign(arrays[name])
    return clock
