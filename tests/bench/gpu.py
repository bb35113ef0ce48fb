"""Measure pairs per second of the default GPU preset in Keras' JAX backend, and of the same steps in PyTorch.

Both compute the generator in bfloat16 and the rest in float32, on the GPU if there is one, from the same weights and in
one process; PyTorch channels-last, eager and compiled. Pairs are random, since a step's time does not depend on
their pixels. Both are compared with the roofline of tests.roof, measured on the same device.
Neither JAX nor PyTorch is in the lock file: without --peers, a folder with both, nothing is timed. For a GPU:
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
STEPS = 10  # between readings of the clock, since a GPU works asynchronously
Step = Callable[[str], dict[str, Any]]


class Pairs(NamedTuple):
    """A batch like train.data.batches.Batch, which cannot be imported without TensorFlow."""

    lines: Any
    colors: Any
    mask: Any
    tags: Any


def random_pairs(config: Config) -> Pairs:
    random, count = np.random.default_rng(0), config.batch_size
    lines, colors = (random.uniform(-1, 1, (count, SIZE, SIZE, n)).astype(np.float32) for n in (1, 3))
    tags = (random.random((count, VOCABULARY)) < 0.02).astype(np.float32)
    return Pairs(lines, colors, np.ones_like(lines), tags)


class Ours:
    """Networks and steps of a `tags` preset in keras.ops, compiled by JAX."""

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
        self.names = [[variable.name for variable in optimizer.variables] for optimizer in self.optimizers]

    def begin(self) -> dict[str, Any]:
        """Everything that a step changes."""
        weights = [[variable.value for variable in model.trainable_variables] for model in self.models]
        fixed = [[variable.value for variable in model.non_trainable_variables] for model in self.models]
        moments = [[variable.value for variable in optimizer.variables] for optimizer in self.optimizers]
        return {
            "weights": weights, "fixed": fixed, "moments": moments, "average": list(weights[0]), "decay": DECAY
        }  # fmt: skip

    def at_step(self, state: dict[str, Any], rate: float, step: int) -> dict[str, Any]:
        """The state with learning rates at a share `rate` of their peak, and the average's decay at a step."""
        rates = [rate * peak for peak in (self.config.learning_rate, self.config.discriminator_rate)]
        moments = [
            [
                np.float32(value) if name == "learning_rate" else moment
                for name, moment in zip(names, group, strict=True)
            ]
            for value, names, group in zip(rates, self.names, state["moments"], strict=True)
        ]
        decay = np.float32(min(self.config.average_decay, (1 + step) / (10 + step)))
        return state | {"moments": moments, "decay": decay}

    def call(self, place: int, weights: Any, fixed: Any, inputs: Any, *, training: bool) -> tuple[Any, Any, Any]:
        """Outputs of the generator (`place` 0) or discriminator (1) with these weights, and its weights afterwards."""
        import keras

        model = self.models[place]
        network = model if place else self.sized[inputs[0].shape[1]]
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        with keras.StatelessScope(list(zip(variables, [*weights, *fixed], strict=True))) as scope:
            outputs = network(inputs, training=training)
        values = [scope.get_current_value(variable) for variable in variables]
        values = [old.value if new is None else new for old, new in zip(variables, values, strict=True)]
        return outputs, values[: len(weights)], values[len(weights) :]

    def step(self, state: dict[str, Any], pairs: Pairs, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """One training step: (state, pairs) -> (state, figures)."""
        import jax

        from train.model.losses import ADVERSARIAL_LOSSES

        adversarial_loss, figures = ADVERSARIAL_LOSSES[self.config.adversary], dict[str, Any]()
        if kind == "half":
            pairs = Pairs(halved(pairs.lines), halved(pairs.colors), halved(pairs.mask), pairs.tags)
        if kind == "both":
            state, figures = self.update_discriminator(state, pairs, adversarial_loss)

        def loss(weights: Any) -> tuple[Any, dict[str, Any]]:
            fakes, error = self.error(weights, state, pairs)
            if kind != "both":
                return self.config.loss_weight * error, {"l1": error}
            adversarial = adversarial_loss.generator(None, self.logits(state["weights"][1], state, pairs, fakes))
            whole = self.config.loss_weight * error + self.config.adversarial_weight * adversarial
            return whole, {"l1": error, "generator": adversarial}

        (_, generator_figures), gradients = jax.value_and_grad(loss, has_aux=True)(state["weights"][0])
        state = self.apply_gradients(state, 0, gradients)
        averages = zip(state["average"], state["weights"][0], strict=True)
        decay = state["decay"]
        return state | {
            "average": [decay * average + (1 - decay) * weight for average, weight in averages]
        }, generator_figures | figures

    def error(self, weights: Any, state: dict[str, Any], pairs: Pairs) -> tuple[Any, Any]:
        from train.model.losses import l1, masked_mean

        fakes, _, _ = self.call(0, weights, state["fixed"][0], [pairs.lines, pairs.tags], training=True)
        fakes = fakes * pairs.mask + (1 - pairs.mask)
        return fakes, masked_mean(l1(fakes, pairs.colors), pairs.mask)

    def logits(self, weights: Any, state: dict[str, Any], pairs: Pairs, colors: Any) -> Any:
        inputs = [pairs.lines, colors, pairs.tags]
        return self.call(1, weights, state["fixed"][1], inputs, training=False)[0]

    def update_discriminator(
        self, state: dict[str, Any], pairs: Pairs, adversarial_loss: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The discriminator's update. Each of its two calls normalises its kernels again, and uses their gradient."""
        import jax

        fakes, _ = self.error(state["weights"][0], state, pairs)  # XLA merges this with the generator's own pass
        inputs = [pairs.lines, pairs.colors, pairs.tags]
        _, first, fixed = self.call(1, state["weights"][1], state["fixed"][1], inputs, training=True)
        _, second, fixed = self.call(1, first, fixed, inputs, training=True)

        def loss(real_weights: Any, fake_weights: Any) -> Any:
            real_logits = self.logits(real_weights, state, pairs, pairs.colors)
            fake_logits = self.logits(fake_weights, state, pairs, fakes)
            return adversarial_loss.discriminator(real_logits, fake_logits)

        value, slopes = jax.value_and_grad(loss, (0, 1))(first, second)
        state = state | {"weights": [state["weights"][0], second], "fixed": [state["fixed"][0], fixed]}
        gradients = [real + fake for real, fake in zip(*slopes, strict=True)]
        return self.apply_gradients(state, 1, gradients), {"discriminator": value}

    def apply_gradients(self, state: dict[str, Any], place: int, gradients: Any) -> dict[str, Any]:
        weights, moments = self.optimizers[place].stateless_apply(
            state["moments"][place], gradients, state["weights"][place]
        )
        updated = {"weights": weights, "moments": moments}
        return state | {
            name: [new if model == place else state[name][model] for model in range(2)] for name, new in updated.items()
        }


def step_work(ours: Ours, pairs: Pairs, kind: str) -> list[roof.Work]:
    """Convolutions and products in a step. XLA runs the generator once for both updates, so it counts once."""
    import jax

    state = ours.begin()
    work = list(roof.works(jax.make_jaxpr(partial(ours.step, kind=kind))(state, pairs).jaxpr))
    if kind != "both":
        return work
    repeated = jax.make_jaxpr(lambda state, pairs: ours.error(state["weights"][0], state, pairs))(state, pairs)
    return list((Counter(work) - Counter(roof.works(repeated.jaxpr))).elements())


def compare_with_roofline(ours: Ours, pairs: Pairs, rates: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The device's limits, the least seconds that each step can take, and the share of that speed that each reaches."""
    work = {kind: step_work(ours, pairs, kind) for kind in KINDS}
    limits = roof.ceilings({item.dtype for items in work.values() for item in items})
    floors = {kind: roof.least(items, limits) for kind, items in work.items()}
    share = {
        kind: {name: rate * floors[kind] / ours.config.batch_size for name, rate in rates[kind].items()}
        for kind in KINDS
    }
    flops = {kind: sum(item.flops for item in items) for kind, items in work.items()}
    return {"ceilings": limits, "flops": flops, "least_seconds": floors, "share": share}


def halved(pixels: Any) -> Any:
    count, size, _, channels = pixels.shape
    return pixels.reshape(count, size // 2, 2, size // 2, 2, channels).mean(axis=(2, 4))


def by_jax(ours: Ours, pairs: Pairs) -> Step:
    import jax

    step = jax.jit(ours.step, static_argnames="kind", donate_argnames="state")
    state = jax.tree.map(jax.numpy.array, ours.begin())
    device_pairs = jax.device_put(pairs)

    def next_step(kind: str) -> dict[str, Any]:
        nonlocal state
        state, figures = step(state, device_pairs, kind=kind)
        return dict(figures)

    return next_step


def by_torch(ours: Ours, pairs: Pairs) -> dict[str, Step]:
    import torch

    from tests.twin import Twin, batch_of

    device = "cuda" if torch.cuda.is_available() else "cpu"
    gan: Any = SimpleNamespace(config=ours.config, generator=ours.generator, discriminator=ours.discriminator)
    settings: Any = SimpleNamespace(loss_weight=ours.config.loss_weight, average_decay=DECAY)
    compilers = {"PyTorch": None, "PyTorch compiled": partial(torch.compile, dynamic=False)}
    twins = {name: Twin(gan, torch.channels_last, compiler, device) for name, compiler in compilers.items()}
    batch = batch_of(pairs, torch.channels_last, device)
    return {name: partial(twin.step, batch, settings, RATE) for name, twin in twins.items()}


def seconds(step: Step, kind: str, count: int) -> tuple[float, dict[str, float]]:
    """Mean seconds of a step, and the last one's figures; reading them waits for the device."""
    figures, start = dict[str, Any](), time.perf_counter()
    for _ in range(count):
        figures = step(kind)
    values = {name: float(value) for name, value in figures.items()}
    return (time.perf_counter() - start) / count, values


def compare(ours: Ours, rounds: int) -> dict[str, Any]:
    """Seconds of first calls and pairs per second, by kind and contender; and how far first figures differ."""
    pairs = random_pairs(ours.config)
    steps = {"ours": by_jax(ours, pairs)} | by_torch(ours, pairs)
    result: dict[str, Any] = {"first_call": {}, "pairs_per_second": {}, "ratio": {}, "difference": 0.0}
    for kind in KINDS:
        firsts = {name: seconds(step, kind, 1) for name, step in steps.items()}
        result["first_call"][kind] = {name: took for name, (took, _) in firsts.items()}
        ours_figures = firsts["ours"][1]
        errors = [abs(values[name] - ours_figures[name]) for _, values in firsts.values() for name in ours_figures]
        result["difference"] = max(result["difference"], *errors)
    for kind in KINDS:
        turns = [{name: seconds(step, kind, STEPS)[0] for name, step in steps.items()} for _ in range(rounds)]
        rates = {name: ours.config.batch_size / statistics.median(turn[name] for turn in turns) for name in steps}
        result["pairs_per_second"][kind] = rates
        result["ratio"][f"{kind} over PyTorch's best"] = rates["ours"] / max(
            rates[name] for name in rates if name != "ours"
        )
    result["roof"] = compare_with_roofline(ours, pairs, result["pairs_per_second"])
    return result | {"device": describe_device()}


def describe_device() -> dict[str, str]:
    import jax
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return {"device": name, "jax": jax.__version__, "torch": torch.__version__}


@click.command()
@click.option("--preset", default="tags-gpu", show_default=True)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="As for train fit.")
@click.option(
    "--peers", type=click.Path(path_type=Path, exists=True), help="Folder in which JAX and PyTorch are installed."
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(preset: str, settings: tuple[str, ...], peers: Path | None, rounds: int, as_json: bool) -> None:
    """Time the steps of PRESET in JAX and in PyTorch."""
    result: dict[str, Any] = {}
    if peers:
        sys.path.append(str(peers))
        os.environ["KERAS_BACKEND"] = "jax"
        sys.modules["tensorflow"] = None  # type: ignore[assignment]  # else Keras imports it, and it fails beside Triton
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves memory for PyTorch
        result = compare(Ours(override(named(preset), ("precision=bfloat16", *settings))), rounds)
    click.echo(json.dumps(result) if as_json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
