"""Pairs a second of the default GPU preset through Keras' JAX backend, and of the same steps in PyTorch.

Both compute the generator in bfloat16 and all else in float32, on the GPU if there is one, from the same weights, in
one process; PyTorch channels-last, eager and compiled. Pairs are drawn at random: no step's time depends on what they
show. Both are held against the roofline of tests.roof, measured on the same device.
Neither JAX nor PyTorch is in the lock: without --peers, a folder with both, there is nothing to time. For a GPU:
pip install --target PEERS torch==2.13.0 'jax[cuda13]'

Run: python -m tests.bench.gpu --peers FOLDER [--preset tags-gpu] [--set KEY=VALUE]... [--rounds N] [--json]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import click
import numpy as np

from tests import roof
from train.config import Config, override
from train.presets import preset_config as named

SIZE, VOCABULARY = 128, 500
KINDS = ("half", "plain", "both")
RATE, DECAY = 0.01, 0.995
STEPS = 10  # in a row, before the clock is read: a GPU works behind Python's back
Step = Callable[[str], dict[str, Any]]


class Pairs(NamedTuple):
    """A batch, as train.data.batches.Batch, which cannot be had without TensorFlow."""

    lines: Any
    colors: Any
    mask: Any
    tags: Any


def drawn(config: Config) -> Pairs:
    random, count = np.random.default_rng(0), config.batch_size
    lines, colors = (random.uniform(-1, 1, (count, SIZE, SIZE, n)).astype(np.float32) for n in (1, 3))
    tags = (random.random((count, VOCABULARY)) < 0.02).astype(np.float32)
    return Pairs(lines, colors, np.ones_like(lines), tags)


class Ours:
    """Networks and steps of a `tags` preset in keras.ops, whatever the backend, compiled by JAX."""

    def __init__(self, config: Config, vocabulary: int = VOCABULARY) -> None:
        import keras

        from train.model import networks

        keras.utils.set_random_seed(config.seed)
        self.config = config
        self.generator = networks.generator(config, SIZE, vocabulary)
        self.discriminator = networks.discriminator(config, SIZE, vocabulary, 0)
        self.models = self.generator, self.discriminator
        self.sized = {SIZE: self.generator, SIZE // 2: networks.at_half_size(self.generator)}
        rates = config.learning_rate, config.discriminator_rate
        self.optimizers = [keras.optimizers.Adam(RATE * rate, config.beta_1, config.beta_2) for rate in rates]
        for optimizer, model in zip(self.optimizers, self.models, strict=True):
            optimizer.build(model.trainable_variables)
        self.names = [[one.name for one in optimizer.variables] for optimizer in self.optimizers]

    def begin(self) -> dict[str, Any]:
        """All that a step changes."""
        weights = [[one.value for one in model.trainable_variables] for model in self.models]
        fixed = [[one.value for one in model.non_trainable_variables] for model in self.models]
        moments = [[one.value for one in optimizer.variables] for optimizer in self.optimizers]
        return {
            "weights": weights, "fixed": fixed, "moments": moments, "average": list(weights[0]), "decay": DECAY
        }  # fmt: skip

    def paced(self, state: dict[str, Any], share: float, step: int) -> dict[str, Any]:
        """The optimizers at a share of their peak rates, and the average's memory as train.training.schedule has it."""
        rates = [share * peak for peak in (self.config.learning_rate, self.config.discriminator_rate)]
        moments = [
            [np.float32(rate) if name == "learning_rate" else one for name, one in zip(names, held, strict=True)]
            for rate, names, held in zip(rates, self.names, state["moments"], strict=True)
        ]
        decay = np.float32(min(self.config.average_decay, (1 + step) / (10 + step)))
        return state | {"moments": moments, "decay": decay}

    def called(self, place: int, weights: Any, fixed: Any, inputs: Any, *, training: bool) -> tuple[Any, Any, Any]:
        """Outputs of a network by these weights, and the weights that the call leaves."""
        import keras

        model = self.models[place]
        called = model if place else self.sized[inputs[0].shape[1]]
        held = [*model.trainable_variables, *model.non_trainable_variables]
        with keras.StatelessScope(list(zip(held, [*weights, *fixed], strict=True))) as scope:
            outputs = called(inputs, training=training)
        left = [scope.get_current_value(one) for one in held]
        left = [one.value if new is None else new for one, new in zip(held, left, strict=True)]
        return outputs, left[: len(weights)], left[len(weights) :]

    def step(self, state: dict[str, Any], pairs: Pairs, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """One training step: (state, pairs) -> (state, figures)."""
        import jax

        from train.model.losses import ADVERSARIAL_LOSSES

        game, figures = ADVERSARIAL_LOSSES[self.config.adversary], dict[str, Any]()
        if kind == "half":
            pairs = Pairs(halved(pairs.lines), halved(pairs.colors), halved(pairs.mask), pairs.tags)
        if kind == "both":
            state, figures = self.judge(state, pairs, game)

        def loss(weights: Any) -> tuple[Any, dict[str, Any]]:
            fakes, error = self.error(weights, state, pairs)
            if kind != "both":
                return self.config.loss_weight * error, {"l1": error}
            adversarial = game.generator(None, self.logits(state["weights"][1], state, pairs, fakes))
            whole = self.config.loss_weight * error + self.config.adversarial_weight * adversarial
            return whole, {"l1": error, "generator": adversarial}

        (_, mine), gradients = jax.value_and_grad(loss, has_aux=True)(state["weights"][0])
        state = self.moved(state, 0, gradients)
        slow = zip(state["average"], state["weights"][0], strict=True)
        decay = state["decay"]
        return state | {"average": [decay * one + (1 - decay) * other for one, other in slow]}, mine | figures

    def error(self, weights: Any, state: dict[str, Any], pairs: Pairs) -> tuple[Any, Any]:
        from train.model.losses import l1, masked_mean

        fakes, _, _ = self.called(0, weights, state["fixed"][0], [pairs.lines, pairs.tags], training=True)
        fakes = fakes * pairs.mask + (1 - pairs.mask)
        return fakes, masked_mean(l1(fakes, pairs.colors), pairs.mask)

    def logits(self, weights: Any, state: dict[str, Any], pairs: Pairs, colors: Any) -> Any:
        inputs = [pairs.lines, colors, pairs.tags]
        return self.called(1, weights, state["fixed"][1], inputs, training=False)[0]

    def judge(self, state: dict[str, Any], pairs: Pairs, game: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The discriminator's update. Each of its two calls leaves kernels divided anew, and is sloped by those."""
        import jax

        fakes, _ = self.error(state["weights"][0], state, pairs)  # XLA sees that it is the generator's own pass
        inputs = [pairs.lines, pairs.colors, pairs.tags]
        _, first, fixed = self.called(1, state["weights"][1], state["fixed"][1], inputs, training=True)
        _, second, fixed = self.called(1, first, fixed, inputs, training=True)

        def loss(one: Any, other: Any) -> Any:
            reals, judged = (self.logits(*given) for given in (
                (one, state, pairs, pairs.colors), (other, state, pairs, fakes)
            ))  # fmt: skip
            return game.discriminator(reals, judged)

        value, (one, other) = jax.value_and_grad(loss, (0, 1))(first, second)
        state = state | {"weights": [state["weights"][0], second], "fixed": [state["fixed"][0], fixed]}
        gradients = [a + b for a, b in zip(one, other, strict=True)]
        return self.moved(state, 1, gradients), {"discriminator": value}

    def moved(self, state: dict[str, Any], place: int, gradients: Any) -> dict[str, Any]:
        weights, moments = self.optimizers[place].stateless_apply(
            state["moments"][place], gradients, state["weights"][place]
        )
        both = {"weights": weights, "moments": moments}
        return state | {
            name: [new if one == place else state[name][one] for one in range(2)] for name, new in both.items()
        }


def asked(ours: Ours, pairs: Pairs, kind: str) -> list[roof.Work]:
    """The work of a step's convolutions and products. XLA computes once what both updates ask of the generator."""
    import jax

    state = ours.begin()
    found = list(roof.works(jax.make_jaxpr(partial(ours.step, kind=kind))(state, pairs).jaxpr))
    if kind != "both":
        return found
    again = jax.make_jaxpr(lambda state, pairs: ours.error(state["weights"][0], state, pairs))(state, pairs)
    return list((Counter(found) - Counter(roof.works(again.jaxpr))).elements())


def under_the_roof(ours: Ours, pairs: Pairs, rates: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What the device can do, the least seconds of each step, and the share of that speed which each reaches."""
    work = {kind: asked(ours, pairs, kind) for kind in KINDS}
    reach = roof.ceilings({one.dtype for found in work.values() for one in found})
    floors = {kind: roof.least(found, reach) for kind, found in work.items()}
    share = {
        kind: {name: rate * floors[kind] / ours.config.batch_size for name, rate in rates[kind].items()}
        for kind in KINDS
    }
    flops = {kind: sum(one.flops for one in found) for kind, found in work.items()}
    return {"ceilings": reach, "flops": flops, "least_seconds": floors, "share": share}


def halved(pixels: Any) -> Any:
    count, size, _, channels = pixels.shape
    return pixels.reshape(count, size // 2, 2, size // 2, 2, channels).mean(axis=(2, 4))


def by_jax(ours: Ours, pairs: Pairs) -> Step:
    import jax

    step = jax.jit(ours.step, static_argnames="kind", donate_argnames="state")
    held = [jax.tree.map(jax.numpy.array, ours.begin())]
    given = jax.device_put(pairs)

    def one(kind: str) -> dict[str, Any]:
        held[0], figures = step(held[0], given, kind=kind)
        return dict(figures)

    return one


def by_torch(ours: Ours, pairs: Pairs) -> dict[str, Step]:
    import torch

    from tests.twin import Twin, batch_of

    device = "cuda" if torch.cuda.is_available() else "cpu"
    gan: Any = SimpleNamespace(config=ours.config, generator=ours.generator, discriminator=ours.discriminator)
    now: Any = SimpleNamespace(loss_weight=ours.config.loss_weight, decay=DECAY)
    compilers = {"PyTorch": None, "PyTorch compiled": partial(torch.compile, dynamic=False)}
    twins = {name: Twin(gan, torch.channels_last, compiler, device) for name, compiler in compilers.items()}
    given = batch_of(pairs, torch.channels_last, device)
    return {name: partial(twin.step, given, now, RATE) for name, twin in twins.items()}


def seconds(step: Step, kind: str, count: int) -> tuple[float, dict[str, float]]:
    """Of a step, on average; reading the last one's figures waits for the device."""
    figures, began = dict[str, Any](), time.perf_counter()
    for _ in range(count):
        figures = step(kind)
    told = {name: float(value) for name, value in figures.items()}
    return (time.perf_counter() - began) / count, told


def compare(ours: Ours, rounds: int) -> dict[str, Any]:
    """First calls and pairs a second, by kind and contender; and how far the first steps' figures are apart."""
    pairs = drawn(ours.config)
    steps = {"ours": by_jax(ours, pairs)} | by_torch(ours, pairs)
    result: dict[str, Any] = {"first_call": {}, "pairs_per_second": {}, "ratio": {}, "difference": 0.0}
    for kind in KINDS:
        firsts = {name: seconds(step, kind, 1) for name, step in steps.items()}
        result["first_call"][kind] = {name: took for name, (took, _) in firsts.items()}
        told = firsts["ours"][1]
        apart = [abs(theirs[name] - told[name]) for _, theirs in firsts.values() for name in told]
        result["difference"] = max(result["difference"], *apart)
    for kind in KINDS:
        turns = [{name: seconds(step, kind, STEPS)[0] for name, step in steps.items()} for _ in range(rounds)]
        rates = {name: ours.config.batch_size / statistics.median(turn[name] for turn in turns) for name in steps}
        result["pairs_per_second"][kind] = rates
        result["ratio"][f"{kind} over PyTorch's best"] = rates["ours"] / max(
            rates[name] for name in rates if name != "ours"
        )
    result["roof"] = under_the_roof(ours, pairs, result["pairs_per_second"])
    return result | {"device": described()}


def described() -> dict[str, str]:
    import jax
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"device": name, "jax": jax.__version__, "torch": torch.__version__}


@click.command()
@click.option("--preset", default="tags-gpu", show_default=True)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="As of train fit.")
@click.option("--peers", type=click.Path(path_type=Path, exists=True), help="JAX and PyTorch are installed here.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(preset: str, settings: tuple[str, ...], peers: Path | None, rounds: int, as_json: bool) -> None:
    """Time the steps of PRESET in JAX and in PyTorch."""
    result: dict[str, Any] = {}
    if peers:
        sys.path.append(str(peers))
        os.environ["KERAS_BACKEND"] = "jax"
        sys.modules["tensorflow"] = None  # type: ignore[assignment]  # Keras would load it, and it fails beside Triton
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # or PyTorch would find the memory taken
        result = compare(Ours(override(named(preset), ("precision=bfloat16", *settings))), rounds)
    click.echo(json.dumps(result) if as_json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
