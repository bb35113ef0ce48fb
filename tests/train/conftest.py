"""Fixtures: 32 px pairs of a few OpenMoji families, and a small model trained on them once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.shards import shard
from curate.sources import sample_art
from curate.sources.scan import Source

CODES = ("1F44B", "1F44D", "1F499", "1F49A", "1F49B", "2764", "1F9E1", "1F49C", "270B", "1F4AA", "1F590", "1F448")
SMALL = (
    "width=8",
    "levels=3",
    "tag_width=16",
    "discriminator_width=8",
    "batch_size=8",
    "jit=false",
    "log_every=2",
    "snapshot_every=2",
)


@pytest.fixture(scope="session")
def pairs32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard folder of 32 px pairs in all three splits, made by curate."""
    folder: Path = tmp_path_factory.mktemp("pairs")
    art = folder / "art"
    drawings = [drawing for drawing in sample_art._drawings() if sample_art.without_skin_tones(drawing.code) in CODES]
    for path in (art, sample_art.line_art_folder(art)):
        path.mkdir()
    sample_art._draw_all((drawings, art, 64))
    extract.extract([Source("art", art)], folder / "dataset", extract.ExtractOptions(size=32))
    dedupe.dedupe(folder / "dataset", dedupe.DedupeOptions(shares=SplitShares(0.6, 0.25, 0.15, seed=SEED)))
    shard.shard(folder / "dataset", folder / "shards", shard.ShardOptions(shard_size=20, min_count=1))
    return folder / "shards"


SEED = 5  # splits: hearts and two hands for training; the other splits hold whole families of skin tones


@pytest.fixture(scope="session")
def eagerly() -> Any:
    """A context in which training steps are not compiled: a few eager steps take less time than compiling."""

    import tensorflow as tf

    from train.model.gan import Gan

    compiled = Gan.step

    def step(*args: Any) -> Any:
        tf.config.run_functions_eagerly(True)
        try:
            return compiled(*args)
        finally:
            tf.config.run_functions_eagerly(False)

    @contextmanager
    def context() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Gan, "step", step)
            yield

    return context


@pytest.fixture(scope="session")
def small() -> Any:
    """The default preset at the smallest size that still has all its parts."""
    from train.config import override
    from train.presets import preset_config

    return override(preset_config("tags"), SMALL)


@pytest.fixture(scope="session")
def trained(pairs32: Path, small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder trained until it knows its few pairs by heart, with the adversary at the end. Do not change it."""
    from dataclasses import replace

    from train.training.fit import fit
    from train.training.schedule import TrainingLength

    run: Path = tmp_path_factory.mktemp("trained") / "run"
    config = replace(small, learning_rate=4e-3, warm_up_steps=5, average_decay=0.9, adversary_from=0.9, log_every=50)
    config = replace(config, jitter=0, half_until=0)  # it is meant to memorise its pairs
    fit(pairs32, run, replace(config, snapshot_every=100), TrainingLength(steps=400), on_progress=lambda *_: None)
    return run
