"""Compare `curate shard` with the script that a user would write with TensorFlow, and measure its memory.

The script reads the same columns with pandas, shuffles in memory, and writes tf.train.Example with TFRecordWriter. Both
must write equal records. `curate shard` sorts through the disk, and also writes listings, checksums and the index. The
two are timed in turn, in CPU seconds of one process. Packing alone (rows to framed records on the disk) is timed too.

Memory is the peak resident size of a child process. Its datasets repeat the given one's pairs under other ids, shrunk
to 16 px to save disk: memory grows by row, and the pixels of one shard add a constant.

Run: python -m tests.bench.shard [DATASET] [--rounds N] [--pairs N] [--json]. Memory is measured on Linux only.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from curate.contract import SPLITS, read_index
from curate.dataset import ledger, parquet
from curate.images.png import encode_png
from curate.images.resample import resize_by_area
from curate.shards import formats, shard, tfrecord
from curate.system.files import atomic_write

Row = dict[str, Any]
OPTIONS = shard.ShardOptions()
TIMED_PAIRS = 32_000  # with a few thousand, startup and finish would take as long
MEMORY_PAIR_SIDE = 16  # px
ROWS_PER_COPY = 5000  # rows of a part, at most
FORECAST_PAIRS = 10_000_000


def plain(dataset: Path, out: Path) -> None:
    """Shard as a user's script would: pandas joins everything in memory, TensorFlow writes one record at a time."""
    import tensorflow as tf

    manifest_columns = ["id", "split", "family", "group", "tags", "dropped"]
    rows = pd.read_parquet(dataset / "manifest", columns=manifest_columns).query("dropped.isnull()", engine="python")
    counts = rows.loc[rows["split"] == SPLITS[0], "tags"].explode().value_counts()
    frequent = sorted(counts.index[counts >= OPTIONS.min_count], key=lambda tag: (-counts[tag], tag))
    vocabulary = {tag: number for number, tag in enumerate(frequent)}
    rows = rows.merge(pd.read_parquet(dataset / "pairs", columns=_columns(dataset)), on="id")
    out.mkdir()
    for split, members in rows.sample(frac=1, random_state=0).groupby("split"):
        total = -(-len(members) // OPTIONS.shard_size)
        for number, chunk in enumerate(np.array_split(np.arange(len(members)), total)):
            with tf.io.TFRecordWriter(
                str(out / formats.format_shard_name("tfrecord", str(split), number, total))
            ) as writer:
                for row in members.iloc[chunk].drop(columns=["split", "dropped"]).to_dict("records"):
                    row["tags"] = sorted(vocabulary[tag] for tag in row["tags"] if tag in vocabulary)
                    writer.write(example(row))


def example(row: Mapping[Any, Any]) -> bytes:
    """A record made with TensorFlow's own classes."""
    import tensorflow as tf

    features = {}
    for name, value in row.items():
        if isinstance(value, bytes | str):
            data = value.encode() if isinstance(value, str) else value
            features[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
        else:
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
    data = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return bytes(data)


def _columns(dataset: Path) -> list[str]:
    lines = ledger.read_ledger(dataset)["options"]["lines"]
    return ["id", "color", *(f"line_{method}" for method in lines), "content_box"]


def pack_plain(rows: list[Row], path: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(example(row))


def pack_ours(rows: list[Row], path: Path) -> None:
    texts = ("id", "family", "group", "tags", "content_box")
    pairs = (
        formats.PairRecord(
            **{name: row[name] for name in texts},
            pictures={name: value for name, value in row.items() if name not in texts},
        )
        for row in rows
    )
    with atomic_write(path) as file:
        for record in formats.serialize_examples(pairs, "png"):
            file.write(tfrecord.frame_record(record))


def check_equal(first: Path, second: Path) -> None:
    """Assert that two folders hold the same records, in any order."""
    first_records, second_records = ({record["id"]: record for record in _records(path)} for path in (first, second))
    assert first_records == second_records, "the two do not write the same records"


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    import tensorflow as tf

    for path in sorted(folder.glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset(str(path)):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            yield {name: feature.SerializeToString() for name, feature in features.items()}


def grown(dataset: Path, out: Path, pairs: int, side: int | None) -> Path:
    """A dataset of about `pairs` kept pairs: those of `dataset` under other ids, shrunk to `side` px if given."""
    rows = parquet.read_parts(dataset / "manifest")
    rows = rows.filter(pc.is_null(rows["dropped"])).slice(0, min(pairs, ROWS_PER_COPY))
    stored = parquet.read_parts(dataset / "pairs", _columns(dataset))
    stored = stored.take(pc.index_in(rows["id"], stored["id"].combine_chunks()))
    if side:
        for name in [name for name in stored.column_names if name == "color" or name.startswith("line_")]:
            small = pa.array([shrunk(png, side) for png in stored[name].to_pylist()], pa.binary())
            stored = stored.set_column(stored.column_names.index(name), name, small)
    for name in ("manifest", "pairs"):
        (out / name).mkdir(parents=True)
    ledger.write_ledger(out, ledger.read_ledger(dataset) | {"parts": {}})  # the parts are new
    for copy in range(-(-pairs // len(rows))):
        parquet.write_table(parquet.part_path(out / "manifest", copy), _renamed(rows, copy, ("id", "family", "group")))
        parquet.write_table(parquet.part_path(out / "pairs", copy), _renamed(stored, copy, ("id",)))
    return out


def shrunk(stored: bytes, side: int) -> bytes:
    """A stored square, gray or RGB, in a smaller size, encoded as extract does."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    small = resize_by_area(pixels, side, side)
    return encode_png(small if small.ndim == 2 else small[..., ::-1])  # OpenCV reads BGR


def _renamed(table: pa.Table, copy: int, names: tuple[str, ...]) -> pa.Table:
    for name in names:
        ids = [sha256(f"{copy}:{key}".encode()).hexdigest()[:32] for key in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(ids, pa.string()))
    return table


def timed(call: Callable[[], object]) -> float:
    """CPU seconds of this process, all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def speed(dataset: Path, work: Path, rounds: int) -> dict[str, Any]:
    """How many times more CPU seconds the script takes, in all and for packing: medians of alternating rounds."""
    spent: dict[str, list[float]] = {name: [] for name in ("plain", "ours", "pack_plain", "pack_ours")}
    table = parquet.read_parts(dataset / "pairs", _columns(dataset)).slice(0, TIMED_PAIRS)
    rows = [{**row, "family": row["id"], "group": row["id"], "tags": [0, 3, 70, 400]} for row in table.to_pylist()]
    calls: dict[str, Callable[[], object]] = {
        "plain": lambda: plain(dataset, work / "plain"),
        "ours": lambda: shard.shard(dataset, work / "ours", OPTIONS),
        "pack_plain": lambda: pack_plain(rows, work / "pack_plain"),
        "pack_ours": lambda: pack_ours(rows, work / "pack_ours"),
    }
    for number in range(rounds + 1):
        for name in calls if number % 2 else reversed(calls):
            shutil.rmtree(work / name, ignore_errors=True)
            spent[name].append(timed(calls[name]))
        if number == 0:  # a warm-up, with TensorFlow's import
            check_equal(work / "plain", work / "ours")
            spent = {name: [] for name in spent}
    seconds = {name: statistics.median(times) for name, times in spent.items()}
    pairs = sum(read_index(work / "ours").pairs.values())
    return {
        "pairs": pairs,
        "ratio": round(seconds["plain"] / seconds["ours"], 3),
        "packing_ratio": round(seconds["pack_plain"] / seconds["pack_ours"], 3),
        "pairs_per_cpu_second": round(pairs / seconds["ours"]),
        "plain_pairs_per_cpu_second": round(pairs / seconds["plain"]),
    }


def peak(dataset: Path, out: Path) -> int:
    """Peak resident bytes of this process after sharding; run it in a fresh one."""
    shard.shard(dataset, out, OPTIONS)
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def memory(dataset: Path, work: Path, pairs: int) -> dict[str, Any]:
    """Peaks at n, 4 n and 16 n pairs, and a linear forecast for ten million from the last two."""
    peaks: dict[int, int] = {}
    for count in (pairs, 4 * pairs, 16 * pairs):
        folder = grown(dataset, work / "grown", count, MEMORY_PAIR_SIDE)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            peaks[parquet.count_rows(folder / "manifest")] = process.submit(peak, folder, work / "shards").result()
        for path in (folder, work / "shards"):
            shutil.rmtree(path)
    _, (fewer_pairs, lower_peak), (most_pairs, highest_peak) = peaks.items()
    slope = (highest_peak - lower_peak) / (most_pairs - fewer_pairs)
    return {
        "peak_megabytes": {str(count): round(size / 1e6) for count, size in peaks.items()},
        "bytes_per_pair": round(slope),
        "gigabytes_at_10_million": round((highest_peak + slope * (FORECAST_PAIRS - most_pairs)) / 1e9, 2),
    }


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--pairs", type=click.IntRange(1), default=30_000, show_default=True, help="n for the memory.")
@click.option("--json", "as_json", is_flag=True)
def main(dataset: Path, rounds: int, pairs: int, as_json: bool) -> None:
    """Print how many times faster `curate shard` is than the script, and its peak memory at n, 4 n and 16 n pairs."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        result = memory(dataset, work, pairs)  # first, while this process is small
        kept = ledger.read_ledger(dataset)["counts"]["kept"]
        timed_dataset = dataset if kept >= TIMED_PAIRS else grown(dataset, work / "enough", TIMED_PAIRS, None)
        result = speed(timed_dataset, work, rounds) | result
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"{result['pairs']} pairs: {result['pairs_per_cpu_second']} per CPU second")
    click.echo(
        f"times faster than the script: {result['ratio']:.2f} in all, {result['packing_ratio']:.2f} for packing alone"
    )
    peaks = ", ".join(f"{size} MB at {int(count):,}" for count, size in result["peak_megabytes"].items())
    click.echo(f"peak memory: {peaks} pairs; {result['bytes_per_pair']} bytes for each further pair")
    click.echo(f"ten million pairs: {result['gigabytes_at_10_million']} GB")


if __name__ == "__main__":
    main()
