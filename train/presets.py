"""The presets: named configs, as data. `train presets` prints them with their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from train.config import Config, did_you_mean
from train.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A named config: what sets it apart, the papers it follows, and its changes to the default Config."""

    description: str
    source: str
    changes: Mapping[str, Any]


_PLAIN = {"tags": False, "adversary": "none", "loss_weight": 1.0, "loss_weight_end": 1.0}
_DCGAN = {
    "tags": False, "norm": "batch", "discriminator_norm": "batch", "head": "dense", "beta_2": 0.999,
    "learning_rate": 2e-4, "discriminator_rate": 2e-4, "adversary_from": 0.0, "warm_up_steps": 1,
    "loss_weight": 0.0, "loss_weight_end": 0.0,
}  # fmt: skip
_CRITIC = {
    **_DCGAN, "adversary": "wasserstein", "critic_steps": 5, "loss_weight": 100.0, "loss_weight_end": 100.0,
}  # fmt: skip
_TAGGED = {"half_until": 0.6, "adversary_from": 0.88}  # most pairs a minute: tag adherence grows with pairs seen
_RADFORD = "discriminator and rates: Radford et al., DCGAN (2015), arXiv:1511.06434"
_TAGS = "FiLM: Perez et al. 2018; projection: Miyato and Koyama 2018; hinge: Lim and Ye 2017; EMA: Yazici et al. 2019"
PRESETS: dict[str, Preset] = {
    "autoencoder": Preset(
        "max pooling down, transposed convolutions up, cross-entropy: lines do not survive the bottleneck",
        "Hinton and Salakhutdinov, Science 313 (2006); convolutional as in Masci et al., ICANN 2011",
        {**_PLAIN, "sampling": "pooled", "skip": "none", "norm": "none", "loss": "log", "learning_rate": 1e-3},
    ),
    "unet-mse": Preset(
        "U-Net, squared error: keeps the lines; where several colours are possible, gives their mean, sepia",
        "Ronneberger et al. (2015), arXiv:1505.04597; why the mean: Isola et al. (2017), arXiv:1611.07004, section 3",
        {**_PLAIN, "loss": "mse"},
    ),
    "unet-l1": Preset(
        "U-Net, absolute error only, no tags: keeps the lines; colours stay cautious",
        "Ronneberger et al. 2015 (arXiv:1505.04597); L1 as in Isola et al. 2017 (arXiv:1611.07004)",
        _PLAIN,
    ),
    "dcgan-minimax": Preset(
        "U-Net against a DCGAN discriminator; the generator lowers log(1 - D), which is nearly flat where D is certain",
        f"Goodfellow et al. (2014), arXiv:1406.2661, eq. 1; {_RADFORD}",
        {**_DCGAN, "adversary": "minimax"},
    ),
    "dcgan-nonsaturating": Preset(
        "as dcgan-minimax, but the generator lowers -log D",
        f"Goodfellow et al. (2014), section 3; {_RADFORD}",
        {**_DCGAN, "adversary": "nonsaturating"},
    ),
    "dcgan-kl": Preset(
        "as dcgan-minimax, but the generator lowers -log(D / (1 - D)), minus the logit, which has no bound",
        f"Sønderby et al. (2016), arXiv:1610.04490; {_RADFORD}",
        {**_DCGAN, "adversary": "kl"},
    ),
    "dcgan-l1": Preset(
        "dcgan-nonsaturating and absolute error in one optimizer: truer colours",
        f"Isola et al. (2017), arXiv:1611.07004, eq. 4; {_RADFORD}",
        {**_DCGAN, "adversary": "nonsaturating", "loss_weight": 100.0, "loss_weight_end": 100.0},
    ),
    "wgan": Preset(
        "critic with clipped weights, five critic steps for each generator step, and L1: steady and slow",
        "Arjovsky et al. (2017), arXiv:1701.07875, algorithm 1",
        {**_CRITIC, "optimizer": "rmsprop", "learning_rate": 5e-5, "discriminator_rate": 5e-5, "clip": 0.01},
    ),
    "wgan-gp": Preset(
        "critic whose gradient norm, over height, width and channels together, is held at 1; layer norm; and L1",
        "Gulrajani et al. (2017), arXiv:1704.00028, algorithm 1",
        {
            **_CRITIC, "discriminator_norm": "layer", "penalty": "unit", "beta_1": 0.0, "beta_2": 0.9,
            "learning_rate": 1e-4, "discriminator_rate": 1e-4,
        },
    ),
    "tags-cpu": Preset(
        "U-Net conditioned on tags: L1 at half size, L1 at full size, then a hinge adversary; sized for two cores",
        _TAGS,
        {**_TAGGED, "parts": 2},
    ),
    "tags-gpu": Preset(
        "as tags-cpu, but sized for a GPU and computed in bfloat16",
        _TAGS,
        {
            **_TAGGED, "width": 64, "discriminator_width": 64, "batch_size": 64, "snapshot_every": 1000, "jit": True,
            "precision": "bfloat16",
        },
    ),
}  # fmt: skip


def preset_config(name: str, gpu: bool = False) -> Config:
    """The config of a preset. `tags` means `tags-gpu` if there is a `gpu`, else `tags-cpu`.

    Raises ConfigError for an unknown name.
    """
    if name == "tags":
        name = "tags-gpu" if gpu else "tags-cpu"
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}{did_you_mean(name, ['tags', *PRESETS])}: see `train presets`")
    return replace(Config(), preset=name, **PRESETS[name].changes)
