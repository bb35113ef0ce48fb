"""Compare the CPU time of our input pipeline with a plain tf.data one, on PNG and raw shards, and with training steps.

Run, after `make demo`: python -m tests.bench.pipeline [demo/dataset] [--json]
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # its start-up messages would hide the figures

import click
import numpy as np
import tensorflow as tf

from curate.contract import ShardIndex, read_vocabulary
from curate.shards import shard
from train.data import batches as batching
from train.data.batches import BatchOptions, training_batches, white_outside
from train.data.pairs import Pairs
from train.model.devices import assign_cores_to_parts
from train.model.gan import StepKind
from train.presets import preset_config
from train.training.fit import build_gan, enable_determinism
from train.training.schedule import step_settings

BATCH = 8  # of tags-cpu
CORES, TARGET = 16, 5000  # a machine with a GPU, and the pairs per second to feed it
ROUNDS, STEPS = 15, 50


def naive(folder: Path, index: ShardIndex) -> Iterator[Any]:
    """The pipeline of tf.data's documentation: shuffle, parse and decode one by one, batch, prefetch."""
    width, line = len(read_vocabulary(folder)), f"line_{index.lines[0]}"
    features: dict[str, Any] = {name: tf.io.FixedLenFeature((), tf.string) for name in ("color", line)}
    features["content_box"] = tf.io.FixedLenFeature((4,), tf.int64)
    features["tags"] = tf.io.VarLenFeature(tf.int64)

    def pixels(data: Any, channels: int) -> Any:
        shape = (index.size, index.size, channels)
        raw = index.encoding == "raw"
        decoded = tf.reshape(tf.io.decode_raw(data, tf.uint8), shape) if raw else tf.io.decode_png(data, channels)
        return tf.cast(tf.ensure_shape(decoded, shape), tf.float32) / 127.5 - 1

    def parse(record: Any) -> tuple[Any, ...]:
        parsed = tf.io.parse_single_example(record, features)
        places = tf.range(index.size, dtype=tf.int64)
        top, left, height, width_ = tf.unstack(parsed["content_box"])
        rows, columns = (places >= top) & (places < top + height), (places >= left) & (places < left + width_)
        mask = tf.cast(rows[:, None, None] & columns[None, :, None], tf.float32)
        tags = tf.scatter_nd(parsed["tags"].values[:, None], tf.ones_like(parsed["tags"].values, tf.float32), [width])
        return pixels(parsed[line], 1), white_outside(pixels(parsed["color"], 3), mask), mask, tags

    files = [str(folder / name) for name in index.shard_names("train")]
    records = tf.data.TFRecordDataset(files).shuffle(1024, seed=0).repeat()
    return iter(records.map(parse).batch(BATCH, drop_remainder=True).prefetch(2))


def pipelines(folder: Path) -> dict[str, Iterator[Any]]:
    """The naive pipeline, and ours without variation, with the preset's variation, and with varied lines too."""
    pairs, varied = Pairs(folder, "train"), BatchOptions.from_config(preset_config("tags-cpu"))
    ours = {"plain": BatchOptions(0), "varied": varied, "lines_too": replace(varied, line_variation=0.5)}
    return {"naive": naive(folder, pairs.index)} | {
        name: iter(training_batches(pairs, BATCH, options)) for name, options in ours.items()
    }


def microseconds(batches: Mapping[str, Iterator[Any]]) -> list[dict[str, float]]:
    """CPU microseconds per pair, of all threads, in each of ROUNDS in which the pipelines take turns."""
    rounds: list[dict[str, float]] = []
    for _ in range(ROUNDS + 1):
        rounds.append({})
        for name, iterator in batches.items():
            started = time.process_time()
            for _ in range(STEPS):
                next(iterator)
            rounds[-1][name] = (time.process_time() - started) / STEPS / BATCH * 1e6
    return rounds[1:]  # the first builds graphs and fills the prefetch buffers


def report(rounds: list[dict[str, float]], medians: Mapping[str, float]) -> dict[str, Any]:
    """Median ratio to the naive pipeline in a round, and rates on many cores if no thread waits for another."""
    return {
        "pairs_per_cpu_second_against_naive": round(median(times["naive"] / times["plain"] for times in rounds), 2),
        "microseconds_a_pair": {name: round(took) for name, took in medians.items()},
        f"pairs_a_second_on_{CORES}_cores": {name: round(CORES * 1e6 / took) for name, took in medians.items()},
        f"cores_for_{TARGET}_pairs_a_second": {name: round(TARGET * took / 1e6, 1) for name, took in medians.items()},
    }


def step_microseconds(folder: Path) -> dict[str, float]:
    """CPU microseconds per pair of a compiled step of `tags-cpu`, by kind and in a whole training."""
    config, pairs = preset_config("tags-cpu"), Pairs(folder, "train")
    gan, batch = build_gan(config, folder), next(iter(training_batches(pairs, BATCH, BatchOptions(0))))
    by_kind: dict[str, float] = {}
    kinds: tuple[StepKind, ...] = ("half", "plain", "both")
    for kind in kinds:
        times = []
        for turn in range(6):
            started = time.process_time()
            figures = gan.step(batch, step_settings(config, turn, 0.9), 1.0, kind)
            float(figures["l1"])  # waits for the step
            times.append((time.process_time() - started) / BATCH * 1e6)
        by_kind[kind] = median(times[1:])  # the first compiles
    shares = {"half": config.half_until, "plain": config.adversary_from - config.half_until}
    shares["both"] = 1 - config.adversary_from
    return by_kind | {"mean_of_a_training": sum(share * by_kind[kind] for kind, share in shares.items())}


def scaling(folder: Path) -> float:
    """Speed of two threads over one, in wall time, on batches of 64 with the preset's variation."""
    pairs, options = Pairs(folder, "train"), BatchOptions.from_config(preset_config("tags-cpu"))
    records = [pairs.read_record(number) for number in range(min(64, len(pairs)))]
    draws = batching.RandomDraws(
        *map(np.asarray, batching._draw_random(tf.constant(0, tf.int64), len(records), [0], pairs, options))
    )
    best: dict[int, float] = {}
    for threads in (1, 2, 1, 2, 1, 2):
        with ThreadPoolExecutor(threads) as pool:
            started = time.perf_counter()
            for _ in range(5):
                batching._assemble_batch(records, draws, pairs, options, pool)
            best[threads] = min(best.get(threads, math.inf), time.perf_counter() - started)
    return round(best[1] / best[2], 2)


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, as_json: bool) -> None:
    """Shard DATASET as PNG and raw, and time reading both; then training steps.

    Pairs per second on many cores are computed from one core, as if threads never waited for one another. They do wait
    for the interpreter between calls of OpenCV: `two_threads_against_one` is measured on this machine.
    """
    enable_determinism()  # as in training
    assign_cores_to_parts(preset_config("tags-cpu").effective_parts)
    result: dict[str, Any] = {}
    with TemporaryDirectory() as scratch:
        for encoding in ("png", "raw"):
            folder = Path(scratch) / encoding
            shard.shard(dataset, folder, shard.ShardOptions(encoding=encoding))
            rounds = microseconds(pipelines(folder))
            medians = {name: median(times[name] for times in rounds) for name in rounds[0]}
            result[encoding] = report(rounds, medians)
            if encoding == "png":
                steps = step_microseconds(folder)
                result["step_microseconds_a_pair"] = {kind: round(took) for kind, took in steps.items()}
                result["input_share_of_a_step"] = {
                    kind: round(medians["varied"] / (medians["varied"] + took), 4) for kind, took in steps.items()
                }
                result["two_threads_against_one"] = scaling(folder)
    click.echo(json.dumps(result, indent=None if as_json else 1))


if __name__ == "__main__":
    main()
