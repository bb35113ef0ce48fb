"""Shards in, model and pictures out: a network that colours line art as its tags ask.

The rooms, along the road:

    data         shards to batches, a pure function of (seed, step)
    model        generator, discriminator, losses, one update, saved weights
    training     `fit`: schedule, loop, run folder, snapshots, alarms
    coloring     line drawings and tags to colours, at any size
    evaluation   how good a run is, and how far tags steer it
    exports      the model for other programs, with its card
    pages        a page about a training
    serving      a page to draw on

`config` and `presets` decide a training. `api` holds the commands as functions: `import train; train.fit("shards",
"run", minutes=10)`. Of `curate` it knows the shard folder (`curate.contract`) and the rooms `system` and `web`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["colorize", "evaluate", "export", "fit", "show"]

if TYPE_CHECKING:
    from train.api import colorize, evaluate, export, fit, show


def __getattr__(name: str) -> Any:
    """Load the functions when one is first asked for, so that `import train` takes no time."""
    if name not in __all__:
        raise AttributeError(f"module 'train' has no attribute {name!r}")
    from train import api  # noqa: PLC0415

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
