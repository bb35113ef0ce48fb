"""A `tags` preset trained on a GPU through Keras' JAX backend: whether its recipe learns there, and in which precision.

TensorFlow need not be where the GPU is, so there are three commands: the first and last want it, the second JAX.

    python -m tests.jaxfit pack SHARDS train.npz
    python -m tests.jaxfit train train.npz weights.npz --minutes 4 [--set precision=bfloat16]
    python -m tests.jaxfit run SHARDS weights.npz RUN     # a run that `train evaluate` reads

Pairs are drawn, dropped, mirrored and moved by the rules of train.data, with JAX's own random numbers.
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
from train.data.order import pair_numbers_at_step
from train.presets import preset_config as named

AHEAD = 100  # steps between looks at the clock: a GPU works behind Python's back
KINDS = ("half", "plain", "both")


@click.group()
def main() -> None:
    """Train a preset where there is JAX and no TensorFlow."""


@main.command()
@click.argument("shards", type=click.Path(path_type=Path, exists=True))
@click.argument("packed", type=click.Path(path_type=Path))
def pack(shards: Path, packed: Path) -> None:
    """The training pairs of SHARDS in one file of arrays."""
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
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="As of train fit.")
@click.option("--peers", type=click.Path(path_type=Path, exists=True), help="JAX is installed here.")
@click.option("--minutes", type=float, required=True, help="Of training; compiling comes before.")
def train(
    packed: Path, weights: Path, preset: str, settings: tuple[str, ...], peers: Path | None, minutes: float
) -> None:
    """Train PRESET on the pairs of PACKED; its average's weights go to WEIGHTS."""
    sys.path.extend([str(peers)] if peers else [])
    os.environ["KERAS_BACKEND"] = "jax"
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # Keras would load it where it is
    config = override(named(preset), settings)
    found = np.load(packed, allow_pickle=False)
    state, told = trained(config, {name: found[name] for name in found.files}, 60 * minutes)
    arrays: dict[str, Any] = {f"{place:03d}": np.asarray(one, np.float16) for place, one in enumerate(state["average"])}
    np.savez_compressed(weights, told=json.dumps({"config": asdict(config), **told}), **arrays)
    click.echo(json.dumps(told))


@main.command()
@click.argument("shards", type=click.Path(path_type=Path, exists=True))
@click.argument("weights", type=click.Path(path_type=Path, exists=True))
@click.argument("run", type=click.Path(path_type=Path))
def run(shards: Path, weights: Path, run: Path) -> None:
    """A run folder RUN of the model in WEIGHTS, rounded to 16 bits for the road."""
    from train.model.trained import save_model
    from train.training.fit import build_gan
    from train.training.run_folder import prepare_run_folder

    found = np.load(weights, allow_pickle=False)
    config = check_config(Config(**json.loads(str(found["told"]))["config"]))
    gan = build_gan(config, shards)
    for place, weight in enumerate(gan.averaged_generator.trainable_variables):
        weight.assign(found[f"{place:03d}"].astype(np.float32))
    prepare_run_folder(shards, run, config, fresh=True)
    save_model(run, gan.averaged_generator)


def trained(config: Config, data: dict[str, Any], seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train for so many seconds by the schedule of train.training.schedule, which wants TensorFlow."""
    import jax

    from tests.bench.gpu import SIZE, Ours

    ours = Ours(config, data["tags"].shape[1])
    assert data["colors"].shape[1] == SIZE  # the benchmark's size is the presets'
    data = jax.device_put(data)
    step = jax.jit(ours.step, static_argnames="kind", donate_argnames="state")
    drawn = jax.jit(batch, static_argnames="config")
    state = jax.tree.map(jax.numpy.array, ours.begin())
    count = len(data["colors"])
    for kind in KINDS:
        step(jax.tree.map(jax.numpy.array, state), drawn(data, np.zeros(config.batch_size, np.int64), 0, config), kind)

    began, done, steps, curve, figures = time.monotonic(), 0.0, 0, [], dict[str, Any]()
    while done < 1:
        kind = KINDS[(done >= config.half_until) + (done >= config.adversary_from)]
        for _ in range(AHEAD):
            numbers = pair_numbers_at_step(config.seed, steps, config.batch_size, count)
            share = min(1.0, (steps + 1) / config.warm_up_steps) * (1 + math.cos(math.pi * done)) / 2
            state, figures = step(ours.paced(state, share, steps), drawn(data, numbers, steps, config), kind)
            steps += 1
        curve.append((steps * config.batch_size, float(figures["l1"])))
        done = (time.monotonic() - began) / seconds
    spread = curve[:: max(1, len(curve) // 10)]
    return state, {"pairs_seen": steps * config.batch_size, "seconds": time.monotonic() - began, "l1": spread}


def batch(data: dict[str, Any], numbers: Any, step: Any, config: Config) -> Any:
    """The pairs `numbers` (b,) in random styles, mirrored, moved and with tags left out, as train.data does."""
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
    moved = jax.vmap(_moved)(ink, maps(draws, size))
    moved = jnp.where(mirrored[:, None, None, None], moved[:, :, ::-1], moved)
    mask = (moved[..., 4:] > 0.5).astype(jnp.float32)
    return Pairs(1 + moved[..., :1] * mask, 1 + moved[..., 1:4] * mask, mask, tags)


def maps(draws: Any, size: int) -> Any:
    """As train.data.jitter.maps: (b, 5) -> (b, 6)."""
    from jax import numpy as jnp

    turn, growth, stretch, right, down = draws.T
    turn = math.radians(10) * turn
    wide, high = jnp.exp(0.15 * growth + 0.1 * stretch), jnp.exp(0.15 * growth - 0.1 * stretch)
    a, b, c, d = wide * jnp.cos(turn), -high * jnp.sin(turn), wide * jnp.sin(turn), high * jnp.cos(turn)
    middle = (size - 1) / 2
    x, y = middle * (1 - a - b) + 0.08 * size * right, middle * (1 - c - d) + 0.08 * size * down
    return jnp.stack([a, b, x, c, d, y], axis=1)


def _moved(ink: Any, by: Any) -> Any:
    """(size, size, c), each pixel from where the map (6,) says, bilinear; 0 from beyond."""
    import jax
    from jax import numpy as jnp

    down, across = jnp.mgrid[: ink.shape[0], : ink.shape[1]].astype(jnp.float32)
    places = [by[3] * across + by[4] * down + by[5], by[0] * across + by[1] * down + by[2]]
    return jax.vmap(lambda one: jax.scipy.ndimage.map_coordinates(one, places, 1), -1, -1)(ink)


if __name__ == "__main__":
    main()
