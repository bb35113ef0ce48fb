"""What decides a training: one frozen dataclass, presets as a table of data, and `--set key=value`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from train.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """Every choice of a training. Two runs of equal configs and shards are equal tensor for tensor (CPU, --steps)."""

    preset: str = "tags-cpu"
    tags: bool = True
    """Whether the networks see tags at all."""
    adversary: str = "hinge"
    """Adversarial loss by name (see train.losses), or `none` for no discriminator."""
    width: int = 24
    """Channels of the generator's first block; doubled at each halving of the resolution."""
    levels: int = 4
    """Halvings from the pair's size to the bottleneck."""
    tag_width: int = 128
    """Numbers a set of tags is embedded in."""
    discriminator_width: int = 24
    batch_size: int = 16
    """Pairs a step."""
    learning_rate: float = 2e-3
    """Peak rate of the generator's Adam; warmed up over the first steps, then lowered along half a cosine to zero."""
    discriminator_rate: float = 1e-3
    warm_up_steps: int = 50
    beta_1: float = 0.5
    beta_2: float = 0.99
    l1_weight: float = 100.0
    adversarial_weight: float = 1.0
    adversary_from: float = 0.8
    """Share of the training after which the adversary joins: its steps cost nearly double."""
    tag_dropout: float = 0.1
    """Share of pairs shown without any tag, so that the generator can also be asked without."""
    single_tag_dropout: float = 0.2
    """Share of the other pairs' single tags left out: a missing tag is not a negative tag."""
    flip: bool = True
    """Mirror half of the pairs."""
    average_decay: float = 0.995
    """Of the exponential moving average of the generator's weights, which is what samples and users see."""
    jit: bool = True
    """Compile the step with XLA: slower to begin, faster afterwards."""
    seed: int = 0
    log_every: int = 20
    """Steps between lines of stats.jsonl."""
    snapshot_every: int = 200
    """Steps between snapshots, a multiple of `log_every`."""


@dataclass(frozen=True)
class Preset:
    """A named point in the space of configs, with where it comes from."""

    description: str
    source: str
    changes: Mapping[str, Any]


_TAGS = "FiLM: Perez et al. 2018; projection: Miyato and Koyama 2018; hinge: Lim and Ye 2017; EMA: Yazici et al. 2019"
PRESETS: dict[str, Preset] = {
    "unet-l1": Preset(
        "U-Net, absolute error alone, no tags: keeps the lines, hedges the colours",
        "Ronneberger et al. 2015 (arXiv:1505.04597); L1 as in Isola et al. 2017 (arXiv:1611.07004)",
        {"tags": False, "adversary": "none"},
    ),
    "tags-cpu": Preset("U-Net steered by tags, L1 then a hinge adversary, sized for two cores", _TAGS, {}),
    "tags-gpu": Preset(
        "the same, sized for a GPU",
        _TAGS,
        {"width": 64, "discriminator_width": 64, "batch_size": 64, "adversary_from": 0.2, "snapshot_every": 1000},
    ),
}


def preset(name: str, gpu: bool = False) -> Config:
    """Config of a preset; `tags` means `tags-gpu` where there is a GPU, else `tags-cpu`. Raises ConfigError."""
    if name == "tags":
        name = "tags-gpu" if gpu else "tags-cpu"
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}{_nearest(name, ['tags', *PRESETS])}: see `train presets`")
    return replace(Config(), preset=name, **PRESETS[name].changes)


def override(config: Config, settings: Iterable[str]) -> Config:
    """Apply `key=value` settings. Raises ConfigError for a key there is not or a value of another type."""
    types = {field.name: type(getattr(config, field.name)) for field in fields(Config) if field.name != "preset"}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in types:
            raise ConfigError(f"--set {setting!r}: no such key{_nearest(key, types)}; keys: {', '.join(types)}")
        config = replace(config, **{key: _value(key, text, types[key])})
    return check(config)


def check(config: Config) -> Config:
    """The config itself. Raises ConfigError if its values do not fit together."""
    shares = ("adversary_from", "tag_dropout", "single_tag_dropout", "average_decay", "beta_1", "beta_2")
    if bad := [name for name in shares if not 0 <= getattr(config, name) <= 1]:
        raise ConfigError(f"{bad[0]} is a share: give 0 to 1, not {getattr(config, bad[0])}")
    counts = ("width", "levels", "tag_width", "discriminator_width", "batch_size", "log_every", "snapshot_every")
    if bad := [name for name in counts if getattr(config, name) < 1]:
        raise ConfigError(f"{bad[0]} is a count: give at least 1, not {getattr(config, bad[0])}")
    if config.snapshot_every % config.log_every:
        raise ConfigError(f"snapshot_every={config.snapshot_every} must be a multiple of log_every={config.log_every}")
    return config


def from_json(values: Mapping[str, Any]) -> Config:
    """Config out of a run folder's config.json. Raises ConfigError if its keys are not those of this version."""
    if set(values) != set(asdict(Config())):
        odd = sorted(set(values) ^ set(asdict(Config())))
        raise ConfigError(
            f"the run's config.json has other keys than this version ({odd[0]}): train again with --fresh"
        )
    return check(Config(**values))


def _value(key: str, text: str, kind: type) -> Any:
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


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
