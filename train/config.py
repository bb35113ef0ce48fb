"""What decides a training: one frozen dataclass, changed by `--set key=value` and stored in RUN/config.json."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, cast

from curate.system.files import check_seal, read_json
from train.errors import ConfigError

CONFIG_FILE = "config.json"  # in the run folder


@dataclass(frozen=True)
class Config:
    """Every choice of a training. On a CPU, runs of `--steps` with equal configs and shards end in equal tensors.

    A batch can be divided in three ways, which change a training by no more than rounding:

    * *Workers* are processes, one on each machine that TF_CONFIG names. Each decodes its own share of the batch.
    * *Devices* are the GPUs of a worker. Each runs the networks on its share.
    * *Parts* divide a batch on a single device, so that CPU cores work side by side (see `parts`).

    Only the parts are a setting: workers and devices may change whenever a training resumes.
    """

    preset: str = "tags-cpu"
    """The preset that this config began as."""
    tags: bool = True
    """Whether the networks see tags."""
    target: str = "colors"
    """What the generator draws from line art: its `colors`, or the `lines` again."""
    width: int = 24
    """Channels of the generator's first block; they double each time the resolution halves, up to 8 times this."""
    levels: int = 4
    """How often the resolution halves between the pair's size and the bottleneck."""
    sampling: str = "strided"
    """How the resolution changes: `strided` convolutions and resizing, or max `pooled` and transposed convolutions."""
    skip: str = "concat"
    """How encoder features join the decoder: `concat`, `add`, or `none`, which makes an autoencoder."""
    norm: str = "group"
    """Normalisation in the generator: `group`, `batch` or `none`."""
    tag_width: int = 128
    """Length of the vector that embeds a picture's tags."""
    adversary: str = "hinge"
    """Adversarial loss (see train.model.losses), or `none` for a training without discriminator."""
    head: str = "patch"
    """What the discriminator judges: each `patch` of 8 px, or the whole picture through a `dense` layer."""
    discriminator_norm: str = "spectral"
    """Normalisation in the discriminator: `spectral`, `batch`, `layer` or `none`."""
    discriminator_width: int = 24
    """Channels of the discriminator's first block; they double twice."""
    auxiliary_weight: float = 0.0
    """Weight of the discriminator's second task, to name the colour tags of a picture; 0 leaves it out."""
    penalty: str = "none"
    """Penalty on the discriminator's gradient: `none`, `unit` (between reals and fakes, WGAN-GP) or `real` (R1)."""
    penalty_weight: float = 10.0
    """Weight of that penalty."""
    clip: float = 0.0
    """Largest absolute weight of the discriminator (WGAN); 0 does not clip."""
    critic_steps: int = 1
    """Updates of the discriminator for each one of the generator, each on a batch of its own."""
    move: float = 0.0
    """Largest shift of what the discriminator sees, and side of the square cut out of it, as a share of the side."""
    batch_size: int = 8
    """Pairs in a step, over all devices and workers."""
    parts: int = 1
    """Parts of a batch that run through the networks side by side, each on CPU cores of its own.

    On a CPU that is faster than one operation after another on all cores. It is 1 where a picture's result depends on
    the rest of the batch (`batch` norms), where the step is compiled by XLA, and on several devices.
    """
    accumulate: int = 1
    """Steps whose gradients are averaged into one update: a batch that many times larger in the same memory."""
    precision: str = "float32"
    """What the generator computes in: `float32`, or `bfloat16`, faster on GPUs since Ampere and slower elsewhere.

    Weights, losses, the moving average and the whole discriminator stay float32: a penalty is a gradient through all
    of the discriminator, and Keras' spectral norm writes weights back in the precision it computes in.
    """
    optimizer: str = "adam"
    """Optimizer of both networks: `adam` or `rmsprop`."""
    learning_rate: float = 2e-3
    """Peak learning rate of the generator, after a linear warm-up; from there half a cosine falls to zero."""
    discriminator_rate: float = 1e-3
    """Peak learning rate of the discriminator, on the same schedule."""
    warm_up_steps: int = 50
    """Steps in which the learning rates rise to their peak."""
    beta_1: float = 0.5
    """Adam's decay of the mean gradient."""
    beta_2: float = 0.99
    """Adam's decay of the mean squared gradient."""
    loss: str = "l1"
    """Pixel loss: `l1`, `mse`, or `log`, binary cross-entropy."""
    loss_weight: float = 100.0
    """Weight of the pixel loss beside the adversarial loss, in one optimizer; 0 leaves colours to the adversary."""
    loss_weight_end: float = 100.0
    """What `loss_weight` becomes at the end, in a straight line from the step at which the adversary joins."""
    half_until: float = 0.0
    """Share of the training, from its start, at half the pairs' size and by pixel loss alone: a quarter of the cost."""
    adversarial_weight: float = 1.0
    """Weight of the adversarial loss of the generator."""
    adversary_from: float = 0.8
    """Share of the training after which the adversary joins; its steps cost nearly double."""
    tag_dropout: float = 0.1
    """Share of pairs shown without any tag, so that the generator also works without tags."""
    single_tag_dropout: float = 0.05
    """Share of single tags dropped from the other pairs: a missing tag does not mean its absence in the picture."""
    flip: bool = True
    """Mirror half of the pairs, except those with a tag that names a side (`facing_left`)."""
    jitter: float = 1.0
    """Strength of random moves: at 1 up to 10 degrees, a sixth larger or smaller, and 8 % of the side."""
    lines: str = ""
    """Stored line styles to train on, separated by commas; empty means all. A style left out can serve as a test."""
    line_variation: float = 0.0
    """Share of pictures whose lines are made thicker or thinner, fainter, noisy and gapped (train.data.augment)."""
    balance: float = 0.0
    """How much more often pairs with rare tags are seen: 0 = all equally, 1 = rare tags about as often as common."""
    average_decay: float = 0.995
    """Decay of the moving average of the generator's weights, per update; samples and saved models use the average."""
    jit: bool = False
    """Compile the step with XLA, for GPUs. Never applied with `pooled` sampling or on several devices.

    A CPU's convolutions are faster without XLA, and the first step of each kind starts sooner.
    """
    seed: int = 0
    """Seed of the initial weights and of every random choice."""
    log_every: int = 20
    """Steps between lines of stats.jsonl."""
    snapshot_every: int = 400
    """Steps between snapshots: a multiple of `log_every` and of `accumulate`."""
    keep_every: int = 4000
    """Steps between snapshots that are kept for good, doubled whenever they would exceed 16; 0 keeps none."""
    best_by: str = "ciede2000"
    """Figure of the fixed validation pairs by which the best snapshot is chosen, the lowest: `ciede2000` or `l1`."""

    @property
    def effective_parts(self) -> int:
        """Number of parts in which a batch runs on a single device; see `parts`."""
        whole = self.jit or "batch" in {self.norm, self.discriminator_norm}
        return 1 if whole else min(self.parts, self.batch_size)

    @property
    def line_styles(self) -> tuple[str, ...]:
        """The styles that `lines` names; empty means all."""
        return tuple(name for word in self.lines.split(",") if (name := word.strip()))


DEFAULTS_FOR_OLDER_RUNS: dict[str, Any] = {"parts": 1}
"""What a setting was, in effect, in runs whose config.json is older than the setting."""
ALLOWED_VALUES: dict[str, tuple[str, ...]] = {
    "target": ("colors", "lines"),
    "sampling": ("strided", "pooled"),
    "skip": ("concat", "add", "none"),
    "norm": ("group", "batch", "none"),
    "adversary": ("none", "minimax", "nonsaturating", "kl", "wasserstein", "hinge", "relativistic"),
    "head": ("patch", "dense"),
    "discriminator_norm": ("spectral", "batch", "layer", "none"),
    "penalty": ("none", "unit", "real"),
    "optimizer": ("adam", "rmsprop"),
    "loss": ("l1", "mse", "log"),
    "best_by": ("ciede2000", "l1"),
    "precision": ("float32", "bfloat16"),
}
SHARES = (
    "move", "tag_dropout", "single_tag_dropout", "jitter", "line_variation", "balance", "half_until", "adversary_from",
    "average_decay", "beta_1", "beta_2",
)  # fmt: skip
"""Settings from 0 to 1."""
COUNTS = (
    "width", "levels", "tag_width", "discriminator_width", "batch_size", "parts", "accumulate", "critic_steps",
    "log_every", "snapshot_every",
)  # fmt: skip
"""Settings of at least 1."""


def override(config: Config, settings: Iterable[str]) -> Config:
    """The config with `key=value` settings applied. Raises ConfigError for an unknown key or an unfit value."""
    types = {field.name: type(getattr(config, field.name)) for field in fields(Config) if field.name != "preset"}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in types:
            raise ConfigError(f"--set {setting!r}: no such key{did_you_mean(key, types)}; keys: {', '.join(types)}")
        config = replace(config, **{key: _parse_value(key, text, types[key])})
    return check_config(config)


def check_config(config: Config) -> Config:
    """The config itself. Raises ConfigError if a value is out of range or values do not fit together."""
    if invalid := [key for key in SHARES if not 0 <= getattr(config, key) <= 1]:
        raise ConfigError(f"{invalid[0]} is a share: give 0 to 1, not {getattr(config, invalid[0])}")
    for key, names in ALLOWED_VALUES.items():
        if getattr(config, key) not in names:
            raise ConfigError(f"{key} is one of {', '.join(names)}, not {getattr(config, key)!r}")
    if invalid := [key for key in COUNTS if getattr(config, key) < 1]:
        raise ConfigError(f"{invalid[0]} is a count: give at least 1, not {getattr(config, invalid[0])}")
    if config.adversary != "none" and config.adversary_from < config.half_until:
        remedy = f"--set adversary_from={config.half_until} or later, or half_until={config.adversary_from:g} or less"
        raise ConfigError(f"the adversary needs pairs of full size but joins before half_until is over: {remedy}")
    if config.keep_every < 0:
        raise ConfigError(f"keep_every is a count of steps, or 0 for none, not {config.keep_every}")
    for key in ("log_every", "accumulate"):
        if config.snapshot_every % getattr(config, key):
            divisor = f"{key}={getattr(config, key)}"
            raise ConfigError(f"snapshot_every={config.snapshot_every} must be a multiple of {divisor}")
    return config


def read_run_config(run: Path) -> dict[str, Any]:
    """RUN/config.json: the training's config, and facts of its shards such as size, colours and vocabulary digest.

    Raises DamagedError if its seal does not match, ConfigError if it is not the config of a run.
    """
    run_config = read_json(run / CONFIG_FILE)
    check_seal(run / CONFIG_FILE, run_config)
    types: dict[str, type | tuple[type, ...]]
    types = {"config": dict, "size": int, "colors": dict, "vocabulary": (str, NoneType)}
    if not isinstance(run_config, dict) or not all(
        isinstance(run_config.get(key), kind) for key, kind in types.items()
    ):
        raise ConfigError(f"{run / CONFIG_FILE} is not the config of a run: give a run folder, or train again")
    return run_config


def config_from_json(values: Mapping[str, Any]) -> Config:
    """The Config of a run's config.json. Raises ConfigError if a key or value does not fit this version."""
    values = DEFAULTS_FOR_OLDER_RUNS | dict(values)
    defaults = asdict(Config())
    if unmatched := sorted(set(values) ^ set(defaults)):
        raise ConfigError(
            f"the run's config.json and this version differ in {unmatched[0]!r}: train again with --fresh"
        )
    if unfit := [key for key, value in values.items() if not _is_of_type(value, type(defaults[key]))]:
        raise ConfigError(
            f"{unfit[0]} in the run's config.json cannot be {values[unfit[0]]!r}: train again with --fresh"
        )
    return check_config(Config(**values))


def _is_of_type(value: object, kind: type) -> bool:
    """Whether a JSON value fits a setting's type; a float may be written as a whole number."""
    if kind is float:
        return type(value) in {int, float} and math.isfinite(cast("float", value))
    return type(value) is kind


def _parse_value(key: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in {"true", "false"}:
            raise ConfigError(f"--set {key}={text}: write true or false")
        return text.lower() == "true"
    try:
        value = kind(text)
    except ValueError:
        number = {int: "a whole number", float: "a number"}[kind]
        raise ConfigError(f"--set {key}={text}: write {number}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--set {key}={text}: write a finite number")
    return value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The words ", did you mean 'NAME'?" with the known name most like this one; empty if none is like it."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
