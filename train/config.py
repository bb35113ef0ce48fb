"""What decides a training: one frozen dataclass, and `--set key=value`."""

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
    """Every choice of a training. Two runs of equal configs and shards are equal tensor for tensor (CPU, --steps)."""

    preset: str = "tags-cpu"
    tags: bool = True
    """Whether the networks see tags at all."""
    target: str = "colors"
    """What is to be drawn from line art: its `colors`, or the `lines` again."""
    width: int = 24
    """Channels of the generator's first block; doubled at each halving of the resolution."""
    levels: int = 4
    """Halvings from the pair's size to the bottleneck."""
    sampling: str = "strided"
    """How the resolution changes: `strided` convolutions down and resizing up, or `pooled` down and transposed up."""
    skip: str = "concat"
    """How the decoder meets the encoder: `concat`, `add`, or `none`, an autoencoder."""
    norm: str = "group"
    """Of the generator: `group`, `batch` or `none`."""
    tag_width: int = 128
    """Numbers a set of tags is embedded in."""
    adversary: str = "hinge"
    """Adversarial loss by name (see train.model.losses), or `none` for no discriminator."""
    head: str = "patch"
    """What the discriminator judges: each `patch`, or the whole picture through a `dense` layer."""
    discriminator_norm: str = "spectral"
    """`spectral`, `batch`, `layer` or `none`."""
    discriminator_width: int = 24
    auxiliary_weight: float = 0.0
    """Of the discriminator's second task, to name the colour tags; 0 leaves it out."""
    penalty: str = "none"
    """On the discriminator's gradient: `none`, `unit` (at points between reals and fakes, WGAN-GP) or `real` (R1)."""
    penalty_weight: float = 10.0
    clip: float = 0.0
    """Bound of every weight of a critic (WGAN); 0 leaves them free."""
    critic_steps: int = 1
    """Steps of the discriminator for one of the generator, each on a batch of its own."""
    move: float = 0.0
    """Share of the side what the discriminator sees is moved by at most, and the side of what is cut out of it."""
    batch_size: int = 8
    """Pairs a step, over all devices."""
    parts: int = 1
    """Parts of a batch that go through the networks side by side, a part a core: on a CPU one operation after another
    in a core takes less than each in all cores. It is 1 where a picture hangs on others (`batch` norms), where the step
    is compiled, and on several devices.
    """
    accumulate: int = 1
    """Steps whose gradients are averaged before weights move: a batch that many times as large, in the same memory."""
    precision: str = "float32"
    """What the generator computes in: `float32`, or `bfloat16`, faster on GPUs since Ampere and slower elsewhere.

    Weights, losses, the average and the whole discriminator stay float32: a penalty is a slope through all of it, and
    Keras' spectral norm writes weights back in the precision that it computes in.
    """
    optimizer: str = "adam"
    """`adam` or `rmsprop`, one for each network."""
    learning_rate: float = 2e-3
    """Peak rate of the generator's optimizer; warmed up at first, then lowered along half a cosine to zero."""
    discriminator_rate: float = 1e-3
    warm_up_steps: int = 50
    beta_1: float = 0.5
    beta_2: float = 0.99
    loss: str = "l1"
    """Of pixels: `l1`, `mse`, or `log`, binary cross-entropy."""
    loss_weight: float = 100.0
    """Of the loss of pixels beside the adversary's, in one optimizer; 0 leaves colours to the adversary."""
    loss_weight_end: float = 100.0
    """What `loss_weight` is annealed to, in a straight line from the step at which the adversary joins."""
    half_until: float = 0.0
    """Share of the training, from its start, on pairs of half their size, by pixels alone: a step costs a quarter."""
    adversarial_weight: float = 1.0
    adversary_from: float = 0.8
    """Share of the training after which the adversary joins: its steps cost nearly double."""
    tag_dropout: float = 0.1
    """Share of pairs shown without any tag, so that the generator can also be asked without."""
    single_tag_dropout: float = 0.05
    """Share of the other pairs' single tags left out: a missing tag is not a negative tag."""
    flip: bool = True
    """Mirror half of the pairs, but for those with a tag that names a side (`facing_left`)."""
    jitter: float = 1.0
    """How far pairs are turned, stretched and moved, as a share of 10 degrees, a sixth, and 8 % of the side."""
    lines: str = ""
    """Stored line styles to train on, between commas; empty means all. One left out can then be tested on."""
    line_variation: float = 0.0
    """Share of pictures whose line art is made thicker or thinner, fainter, noisy and gapped: see `data.augment`."""
    balance: float = 0.0
    """How much oftener pairs with rare tags are seen: 0 = each alike, 1 = rare tags about as often as common ones."""
    average_decay: float = 0.995
    """Of the exponential moving average of the generator's weights, which is what samples and users see."""
    jit: bool = False
    """Compile the step with XLA, for a GPU: a CPU's convolutions are faster without, and the first step of each kind is
    there sooner. On several devices, or `pooled`, it never is."""
    seed: int = 0
    log_every: int = 20
    """Steps between lines of stats.jsonl."""
    snapshot_every: int = 400
    """Steps between snapshots, a multiple of `log_every` and of `accumulate`."""
    keep_every: int = 4000
    """Steps between snapshots that are kept for ever, doubled whenever they would be more than 16; 0 keeps none."""
    best_by: str = "ciede2000"
    """What the best snapshot has least of, on fixed validation pairs: `ciede2000` or `l1`."""

    @property
    def effective_parts(self) -> int:
        """In how many parts a batch passes on one device."""
        whole = self.jit or "batch" in {self.norm, self.discriminator_norm}
        return 1 if whole else min(self.parts, self.batch_size)

    @property
    def line_styles(self) -> tuple[str, ...]:
        """`lines`, one by one."""
        return tuple(name for one in self.lines.split(",") if (name := one.strip()))


DEFAULTS_FOR_OLDER_RUNS: dict[str, Any] = {"parts": 1}
"""What runs had that were begun before there was the key."""
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


def override(config: Config, settings: Iterable[str]) -> Config:
    """Apply `key=value` settings. Raises ConfigError for a key there is not or a value of another type."""
    types = {field.name: type(getattr(config, field.name)) for field in fields(Config) if field.name != "preset"}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in types:
            raise ConfigError(f"--set {setting!r}: no such key{did_you_mean(key, types)}; keys: {', '.join(types)}")
        config = replace(config, **{key: _parse_value(key, text, types[key])})
    return check_config(config)


def check_config(config: Config) -> Config:
    """The config itself. Raises ConfigError if its values do not fit together."""
    inputs = ("move", "tag_dropout", "single_tag_dropout", "jitter", "line_variation", "balance")
    shares = (*inputs, "half_until", "adversary_from", "average_decay", "beta_1", "beta_2")
    if bad := [name for name in shares if not 0 <= getattr(config, name) <= 1]:
        raise ConfigError(f"{bad[0]} is a share: give 0 to 1, not {getattr(config, bad[0])}")
    for key, names in ALLOWED_VALUES.items():
        if getattr(config, key) not in names:
            raise ConfigError(f"{key} is one of {', '.join(names)}, not {getattr(config, key)!r}")
    counts = (
        "width",
        "levels",
        "tag_width",
        "discriminator_width",
        "batch_size",
        "parts",
        "accumulate",
        "critic_steps",
        "log_every",
        "snapshot_every",
    )
    if bad := [name for name in counts if getattr(config, name) < 1]:
        raise ConfigError(f"{bad[0]} is a count: give at least 1, not {getattr(config, bad[0])}")
    if config.adversary != "none" and config.adversary_from < config.half_until:
        remedy = f"--set adversary_from={config.half_until} or later, or half_until={config.adversary_from:g} or less"
        raise ConfigError(f"the adversary sees whole pairs only, and joins before half_until is over: {remedy}")
    if config.keep_every < 0:
        raise ConfigError(f"keep_every is a count of steps, or 0 for none, not {config.keep_every}")
    for key in ("log_every", "accumulate"):
        if config.snapshot_every % getattr(config, key):
            least = f"a multiple of {key}={getattr(config, key)}"
            raise ConfigError(f"snapshot_every={config.snapshot_every} must be {least}")
    return config


def read_run_config(run: Path) -> dict[str, Any]:
    """RUN/config.json. Raises DamagedError or ConfigError if it is not as it was written."""
    told = read_json(run / CONFIG_FILE)
    check_seal(run / CONFIG_FILE, told)
    kinds: dict[str, type | tuple[type, ...]]
    kinds = {"config": dict, "size": int, "colors": dict, "vocabulary": (str, NoneType)}
    if not isinstance(told, dict) or not all(isinstance(told.get(name), kind) for name, kind in kinds.items()):
        raise ConfigError(f"{run / CONFIG_FILE} is not of a run: give another folder, or train again")
    return told


def config_from_json(values: Mapping[str, Any]) -> Config:
    """Config out of a run folder's config.json. Raises ConfigError if its keys are not those of this version."""
    values = DEFAULTS_FOR_OLDER_RUNS | dict(values)
    if set(values) != set(asdict(Config())):
        odd = sorted(set(values) ^ set(asdict(Config())))
        raise ConfigError(
            f"the run's config.json has other keys than this version ({odd[0]}): train again with --fresh"
        )
    usual = asdict(Config())
    if odd := [name for name, value in values.items() if not _is_of(value, type(usual[name]))]:
        raise ConfigError(f"{odd[0]} in the run's config.json is {values[odd[0]]!r}, which is none: train again")
    return check_config(Config(**values))


def _is_of(value: object, kind: type) -> bool:
    """Whether JSON holds a setting of a kind; a share of 1 may be written as a whole number."""
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
        raise ConfigError(f"--set {key}={text}: needs a {kind.__name__}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--set {key}={text}: needs a finite number")
    return value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the one most like it, if any is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
