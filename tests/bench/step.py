"""Seconds of a training step, of each kind that `train fit` takes, and of the same step in PyTorch.

With --peers, a folder of packages that tests/twin.py says how to fill, PyTorch takes turns with us in one process:
eager and compiled, channels first and last, each from our weights. Before that the steps' figures are compared. The
batches are made beforehand, so nothing is timed but the step.

Run: python -m tests.bench.step [SHARDS] [--preset tags-cpu] [--set KEY=VALUE]... [--peers FOLDER] [--rounds N] [--json]
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from train.config import override
from train.data.batches import Batch, BatchOptions, training_batches
from train.data.pairs import Pairs
from train.model.devices import assign_cores_to_parts
from train.model.gan import Gan, StepSettings
from train.presets import preset_config as named
from train.training import fit as training
from train.training.schedule import step_settings

KINDS = ("half", "plain", "both")
BATCHES = 4
PAUSE = 0.1  # s: a contender's threads look out for more work for a while, and would take a core from the next
RATE = 0.01  # of the peak rates: weights stay about where they are
CLOSE = {"pixels": 1e-3, "figures": 1e-4}  # largest difference; PyTorch's group norm is coarser channels-last
Step = Callable[[Batch, StepSettings, str], dict[str, float]]
Seconds = dict[str, float]


def ours(gan: Gan) -> Step:
    def step(batch: Batch, now: StepSettings, kind: str) -> dict[str, float]:
        return {name: float(value) for name, value in gan.step(batch, now, RATE, kind).items()}

    return step


def stir(gan: Gan) -> None:
    """Small random numbers for weights that begin at zero, FiLM's among them, or it would not be compared."""
    random = np.random.default_rng(0)
    for weight in (*gan.generator.trainable_variables, *gan.discriminator.trainable_variables):
        if not np.any(weight):
            weight.assign(random.normal(0, 0.1, weight.shape))


def twins(gan: Gan, peers: Path, *, compiled: bool) -> dict[str, Any]:
    """A twin by what is done to make it fast: nothing, the memory order, the compiler, both."""
    sys.path.append(str(peers))
    sys.modules["triton"] = None  # type: ignore[assignment]  # of GPUs, and cannot be loaded beside TensorFlow
    import torch

    from tests.twin import Twin

    orders = {"": torch.contiguous_format, " channels-last": torch.channels_last}
    compilers = {"eager": None} | ({"compile": partial(torch.compile, dynamic=False)} if compiled else {})
    return {
        how + order: Twin(gan, memory, compiler)
        for how, compiler in compilers.items()
        for order, memory in orders.items()
    }


def theirs(twin: Any) -> Step:
    from tests.twin import batch_of

    seen: dict[int, Any] = {}

    def step(batch: Batch, now: StepSettings, kind: str) -> dict[str, float]:
        mine = seen.get(id(batch)) or seen.setdefault(id(batch), batch_of(batch, twin.memory, twin.device))
        return {name: float(value) for name, value in twin.step(mine, now, RATE, kind).items()}

    return step


def difference(gan: Gan, twin: Any, batch: Batch) -> float:
    """Largest difference of any pixel of the generators' outputs."""
    return float(np.abs(np.asarray(gan.generator([batch.lines, batch.tags])) - twin.colored(batch)).max())


def timed(step: Step, batch: Batch, now: StepSettings, kind: str) -> tuple[Seconds, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    figures = step(batch, now, kind)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}, figures


def race(
    steps: dict[str, Step], batches: list[Batch], now: StepSettings, kind: str, rounds: int
) -> dict[str, dict[str, float]]:
    """Least and median seconds of each contender's steps; they take turns, two steps at a time, and a pause between."""
    took: dict[str, list[Seconds]] = {name: [] for name in steps}
    for turn in range(rounds):
        for name, step in steps.items():
            time.sleep(PAUSE)
            took[name] += [timed(step, batches[(turn + n) % BATCHES], now, kind)[0] for n in range(2)]
    return {
        name: {
            f"{clock}_{what}": of([one[clock] for one in found])
            for clock in ("wall", "cpu")
            for what, of in (("min", min), ("median", statistics.median))
        }
        for name, found in took.items()
    }


def compare(
    gan: Gan, batches: list[Batch], now: StepSettings, peers: Path | None, rounds: int, *, compiled: bool
) -> dict[str, Any]:
    """First calls, differences and seconds, by kind and contender."""
    stir(gan)
    others = twins(gan, peers, compiled=compiled) if peers else {}
    steps = {"ours": ours(gan)} | {name: theirs(twin) for name, twin in others.items()}
    result: dict[str, Any] = {"difference": dict.fromkeys(CLOSE, 0.0), "first_call": {}, "seconds": {}, "ratio": {}}
    apart = result["difference"]
    apart["pixels"] = max([difference(gan, twin, batches[0]) for twin in others.values()], default=0.0)
    for kind in KINDS:
        firsts = {name: timed(step, batches[0], now, kind) for name, step in steps.items()}
        result["first_call"][kind] = {name: took["wall"] for name, (took, _) in firsts.items()}
        mine = firsts["ours"][1]
        for name in others:
            found = [abs(mine[figure] - value) for figure, value in firsts[name][1].items()]
            apart["figures"] = max(apart["figures"], *found)
        click.echo(f"{kind}: compiled", err=True)
    if any(apart[what] > most for what, most in CLOSE.items()):
        raise SystemExit(f"the twin does not do the same: differences of {apart}")
    for kind in KINDS:
        result["seconds"][kind] = race(steps, batches, now, kind, rounds)
        for clock in ("wall_median", "wall_min", "cpu_median") if others else ():
            took = {name: found[clock] for name, found in result["seconds"][kind].items()}
            result["ratio"][f"{kind} {clock} over PyTorch's best"] = took.pop("ours") / min(took.values())
    return result


def report(result: dict[str, Any]) -> None:
    for kind, contenders in result["seconds"].items():
        click.echo(f"{kind:22} {'first call':>10} {'min':>7} {'median':>7} {'CPU':>7}  seconds")
        for name, took in contenders.items():
            first = result["first_call"][kind][name]
            row = f"{took['wall_min']:7.3f} {took['wall_median']:7.3f} {took['cpu_median']:7.3f}"
            click.echo(f"  {name:20} {first:10.1f} {row}")
    for name, ratio in result["ratio"].items():
        click.echo(f"{name}: {ratio:.2f}")
    if result["ratio"]:
        click.echo(
            "largest difference: " + ", ".join(f"{what} {most:.1g}" for what, most in result["difference"].items())
        )


@click.command()
@click.argument("shards", type=click.Path(path_type=Path, exists=True), default="demo/shards")
@click.option("--preset", default="tags-cpu", show_default=True)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="As of train fit.")
@click.option("--peers", type=click.Path(path_type=Path, exists=True), help="Compare with PyTorch, installed here.")
@click.option(
    "--compile/--no-compile", "compiled", default=True, help="Leave out PyTorch's compiler, which takes minutes."
)
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    shards: Path, preset: str, settings: tuple[str, ...], peers: Path | None, compiled: bool, rounds: int, as_json: bool
) -> None:
    """Time the steps of PRESET on pairs of SHARDS."""
    training.enable_determinism()
    config = override(named(preset), settings)
    assign_cores_to_parts(config.effective_parts)
    gan = training.build_gan(config, shards)
    batches = list(
        itertools.islice(
            training_batches(Pairs(shards, "train"), config.batch_size, BatchOptions.from_config(config)), BATCHES
        )
    )
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty  # what was compiled in another run would be found again
        result = compare(gan, batches, step_settings(config, 10, 0.5), peers, rounds, compiled=compiled)
    if as_json:
        click.echo(json.dumps(result))
    else:
        report(result)


if __name__ == "__main__":
    main()
