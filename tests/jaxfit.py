"""Train a `tags` preset on a GPU through Keras' JAX backend, to see whether it learns there and in which precision.

The machine with the GPU needs no TensorFlow: only the first and last of three commands use it, the second uses JAX.

    python -m tests.jaxfit pack SHARDS train.npz
    python -m tests.jaxfit train train.npz weights.npz --minutes 4 [--set precision=bfloat16]
    python -m tests.jaxfit run SHARDS weights.npz RUN     # a run folder that `train evaluate` reads

Pairs are sampled and varied by the rules of train.data, with random numbers of JAX.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from train.config import Config, check_config, override
from train.data.sampling_order import pair_numbers_at_step
from train.presets import preset_config as named

STEPS_PER_CHECK = 100  # between looks at the clock, since a GPU works asynchronously
KINDS = ("half", "plain", "both")


@click.group()
def main() -> None:
    """Train a preset on a machine with JAX and without TensorFlow."""


@main.command()
@click.argument("shards", type=click.Path(path_type=Path, exists=True))
@click.argument("packed", type=click.Path(path_type=Path))
def pack(shards: Path, packed: Path) -> None:
    """Write the training pairs of SHARDS to one file of arrays, PACKED."""
    from train.data.batches import content_mask
    from train.data.pairs import Pairs
    from train.data.unpack import unpack_pair

    pairs = Pairs(shards, "train")
    index, count = pairs.index, len(pairs)
    lines = np.empty((len(index.lines), count, index.size, index.size, 1), np.uint8)
    colors = np.empty((count, index.size, index.size, 3), np.uint8)
    masks, tags = np.empty_like(lines[0]), np.zeros((count, len(pairs.vocabulary)), np.uint8)
    for number in range(count):
        record = pairs.read_record(number)
        pair = unpack_pair(record, 0, index)
        for style in range(len(index.lines)):
            lines[style, number] = unpack_pair(record, style, index).line
        masks[number] = content_mask(pair.content_box, index.size)
        colors[number] = np.where(masks[number] == 1, pair.color, 255)
        tags[number, pair.tag_indices] = 1
    np.savez(packed, lines=lines, colors=colors, masks=masks, tags=tags, sided=pairs.side_tag_mask)


@main.command()
@click.argument("packed", type=click.Path(path_type=Path, exists=True))
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--preset", default="tags-gpu", show_default=True)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="As for train fit.")
@click.option("--peers", type=click.Path(path_type=Path, exists=True), help="Folder in which JAX is installed.")
@click.option("--minutes", type=float, required=True, help="Minutes of training, after compiling.")
def train(
    packed: Path, weights: Path, preset: str, settings: tuple[str, ...], peers: Path | None, minutes: float
) -> None:
    """Train PRESET on the pairs of PACKED, and write the averaged weights to WEIGHTS."""
    sys.path.extend([str(peers)] if peers else [])
    os.environ["KERAS_BACKEND"] = "jax"
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # else Keras imports it if it is installed
    config = override(named(preset), settings)
    archive = np.load(packed, allow_pickle=False)
    state, report = train_for(config, {name: archive[name] for name in archive.files}, 60 * minutes)
    arrays: dict[str, Any] = {f"{n:03d}": np.asarray(weight, np.float16) for n, weight in enumerate(state["average"])}
    np.savez_compressed(weights, report=json.dumps({"config": asdict(config), **report}), **arrays)
    click.echo(json.dumps(report))


@main.command()
@click.argument("shards", type=click.Path(path_type=Path, exists=True))
@click.argument("weights", type=click.Path(path_type=Path, exists=True))
@click.argument("run", type=click.Path(path_type=Path))
def run(shards: Path, weights: Path, run: Path) -> None:
    """Make a run folder RUN of the model in WEIGHTS, which were rounded to 16 bits to be copied."""
    from train.model.trained_model import save_model
    from train.training.fit import build_gan
    from train.training.run_folder import prepare_run_folder

    archive = np.load(weights, allow_pickle=False)
    config = check_config(Config(**json.loads(str(archive["report"]))["config"]))
    gan = build_gan(config, shards)
    for number, weight in enumerate(gan.averaged_generator.trainable_variables):
        weight.assign(archive[f"{number:03d}"].astype(np.float32))
    prepare_run_folder(shards, run, config, fresh=True)
    save_model(run, gan.averaged_generator)


def train_for(config: Config, data: dict[str, Any], seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train for some seconds and return the state and a report.

    The schedule repeats train.training.schedule, which imports TensorFlow.
    """
    import jax

    from tests.bench.gpu import SIZE, Ours

    ours = Ours(config, data["tags"].shape[1])
    assert data["colors"].shape[1] == SIZE  # the networks of tests.bench.gpu are built for it
    data = jax.device_put(data)
    step = jax.jit(ours.step, static_argnames="kind", donate_argnames="state")
    make_batch = jax.jit(batch, static_argnames="config")
    state = jax.tree.map(jax.numpy.array, ours.begin())
    count = len(data["colors"])
    for kind in KINDS:
        step(
            jax.tree.map(jax.numpy.array, state),
            make_batch(data, np.zeros(config.batch_size, np.int64), 0, config),
            kind,
        )

    start, progress, steps, curve, figures = time.monotonic(), 0.0, 0, [], dict[str, Any]()
    while progress < 1:
        kind = KINDS[(progress >= config.half_until) + (progress >= config.adversary_from)]
        for _ in range(STEPS_PER_CHECK):
            numbers = pair_numbers_at_step(config.seed, steps, config.batch_size, count)
            rate = min(1.0, (steps + 1) / config.warm_up_steps) * (1 + math.cos(math.pi * progress)) / 2
            state, figures = step(ours.at_step(state, rate, steps), make_batch(data, numbers, steps, config), kind)
            steps += 1
        curve.append((steps * config.batch_size, float(figures["l1"])))
        progress = (time.monotonic() - start) / seconds
    sampled_curve = curve[:: max(1, len(curve) // 10)]
    return state, {"pairs_seen": steps * config.batch_size, "seconds": time.monotonic() - start, "l1": sampled_curve}


def batch(data: dict[str, Any], numbers: Any, step: Any, config: Config) -> Any:
    """The pairs `numbers` (b,) in random line styles, jittered, mirrored and with dropped tags, as train.data does."""
    import jax
    from jax import numpy as jnp

    from tests.bench.gpu import Pairs

    count, size = len(numbers), data["colors"].shape[1]
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), step), 5)
    styles = jax.random.randint(keys[0], (count,), 0, len(data["lines"]))
    tags = data["tags"][numbers].astype(jnp.float32)
    whole, each = (jax.random.uniform(key, (count, n)) for key, n in zip(keys[1:3], (1, tags.shape[1]), strict=True))
    kept = (whole >= config.tag_dropout) & (each >= config.single_tag_dropout)
    tags = tags * kept
    mirrored = (jax.random.uniform(keys[3], (count,)) < 0.5) & (tags @ data["sided"] == 0) & config.flip
    mask = data["masks"][numbers].astype(jnp.float32)
    pixels = jnp.concatenate([data["lines"][styles, numbers], data["colors"][numbers]], axis=-1)
    ink = jnp.concatenate([pixels.astype(jnp.float32) / 127.5 - 2, mask], axis=-1)
    draws = jax.random.uniform(keys[4], (count, 5), minval=-config.jitter, maxval=config.jitter)
    moved = jax.vmap(_warped)(ink, affine_maps(draws, size))
    moved = jnp.where(mirrored[:, None, None, None], moved[:, :, ::-1], moved)
    mask = (moved[..., 4:] > 0.5).astype(jnp.float32)
    return Pairs(1 + moved[..., :1] * mask, 1 + moved[..., 1:4] * mask, mask, tags)


def affine_maps(draws: Any, size: int) -> Any:
    """train.data.jitter.affine_maps in JAX: (b, 5) -> (b, 6)."""
    from jax import numpy as jnp

    turn, growth, stretch, right, down = draws.T
    turn = math.radians(10) * turn
    wide, high = jnp.exp(0.15 * growth + 0.1 * stretch), jnp.exp(0.15 * growth - 0.1 * stretch)
    a, b, c, d = wide * jnp.cos(turn), -high * jnp.sin(turn), wide * jnp.sin(turn), high * jnp.cos(turn)
    middle = (size - 1) / 2
    x, y = middle * (1 - a - b) + 0.08 * size * right, middle * (1 - c - d) + 0.08 * size * down
    return jnp.stack([a, b, x, c, d, y], axis=1)


def _warped(ink: Any, affine_map: Any) -> Any:
    """Ink (size, size, c) moved by a map (6,), interpolated bilinearly, with 0 beyond the edges."""
    import jax
    from jax import numpy as jnp

    down, across = jnp.mgrid[: ink.shape[0], : ink.shape[1]].astype(jnp.float32)
    a, b, x, c, d, y = affine_map
    sources = [c * across + d * down + y, a * across + b * down + x]
    return jax.vmap(lambda plane: jax.scipy.ndimage.map_coordinates(plane, sources, 1), -1, -1)(ink)


if __name__ == "__main__":
    main()
