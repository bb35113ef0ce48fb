"""The state of a training on disk: tensors and a few numbers, nothing that runs code when it is loaded."""

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
"""Last snapshots: a fault of the disk in one or two is survived."""
MAX_HISTORY_SNAPSHOTS = 16
"""At most so many more, spread over the whole training."""


@dataclass(frozen=True)
class TrainingClock:
    """How far a training is."""

    step: int = 0
    images_seen: int = 0
    elapsed: float = 0.0
    """Seconds of training, over all its sittings."""
    nan: tuple[int, ...] = ()
    """Steps at which a figure was no number, and the training was taken back to a snapshot, at half the rates."""


def save(run: Path, clock: TrainingClock, state: Mapping[str, Any], keep_steps: Collection[int] = ()) -> Path:
    """Write RUN/snapshots/STEP.npz atomically, and remove all but the last three and those of the steps `also`.

    Raises NotFiniteError, and writes nothing, if a number of the state is none.
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
    """The variables as arrays. Raises NotFiniteError if a number of them is NaN or infinite."""
    arrays = {name: np.asarray(variable) for name, variable in state.items()}
    if odd := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise NotFiniteError(step, odd[0])
    return arrays


def snapshot_path(run: Path, step: int) -> Path:
    """Where the snapshot of a step lies, if it is kept."""
    return run / "snapshots" / f"{step:09d}.npz"


def list_snapshots(run: Path) -> list[Path]:
    """Snapshots of a run, oldest first."""
    return sorted(path for path in (run / "snapshots").glob("*.npz") if path.stem.isdecimal())


def delete_old_snapshots(run: Path, keep_steps: Collection[int] = ()) -> None:
    """Remove all snapshots but the last three and those of the steps `also`."""
    for old in list_snapshots(run)[:-LATEST_SNAPSHOTS_KEPT]:
        if int(old.stem) not in keep_steps:
            old.unlink()


def history_steps(step: int, keep_every: int, snapshot_every: int) -> set[int]:
    """Steps up to `step` whose snapshots are kept for the training's history; none if `keep_every` is 0.

    One in `keep_every` steps, the first on or after each of its multiples. Where they would be more than INTERVALS,
    it is doubled until they are not, so the disk that a training takes has a bound, whatever its length. What is kept
    at a step was kept at every step before, so a snapshot that is removed is never wanted again.
    """
    if not keep_every:
        return set()
    while step // keep_every > MAX_HISTORY_SNAPSHOTS:
        keep_every *= 2
    firsts = (-(-multiple // snapshot_every) * snapshot_every for multiple in range(keep_every, step + 1, keep_every))
    return {first for first in firsts if first <= step}


def read_snapshot(path: Path, wanted: Collection[str] = ()) -> tuple[TrainingClock, dict[str, Any]]:
    """A snapshot's clock and its arrays by name, or only those `wanted`. Raises RunError if it cannot be read."""
    try:
        _check_uncompressed(path)
        with path.open("rb") as bytes_, np.load(bytes_, allow_pickle=False) as file:
            chosen = [name for name in file.files if not wanted or name in wanted or name.startswith("clock/")]
            arrays = {name: file[name] for name in chosen}
        names = [name for name in arrays if name.startswith("clock/")]
        clock = {name.removeprefix("clock/"): arrays.pop(name).tolist() for name in names}
        return TrainingClock(**clock | {"nan": tuple(clock.get("nan", ()))}), arrays
    except Exception as error:  # noqa: BLE001  # of damaged bytes NumPy and zipfile raise what they will
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise RunError(f"{path} cannot be read ({said}): delete it to go on from the one before") from None


def _check_uncompressed(path: Path) -> None:
    """Raise ValueError for packed arrays, which `save` never writes: they may unpack to any size."""
    check_not_special_file(path)
    with zipfile.ZipFile(path) as archive:
        if packed := [one.filename for one in archive.infolist() if one.compress_type != zipfile.ZIP_STORED]:
            raise ValueError(f"{packed[0]} is packed")


def restore(path: Path, state: Mapping[str, Any]) -> TrainingClock:
    """Assign the variables of `state` from a snapshot. Raises RunError unless it holds just these, shapes and all."""
    clock, arrays = read_snapshot(path)
    wanted = {name: tuple(variable.shape) for name, variable in state.items()}
    held = {name: array.shape for name, array in arrays.items()}
    if wanted != held:
        odd = min(name for name, _ in wanted.items() ^ held.items())
        raise RunError(f"{path} does not fit this model (at {odd}): use the same config and shards, or --fresh")
    for name, variable in state.items():
        variable.assign(arrays[name])
    return clock
