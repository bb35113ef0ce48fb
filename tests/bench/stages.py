"""Measure the time, memory and disk that each stage takes for a picture.

tests/bench/costs.py makes the constants of `curate plan` from the figures. CPU seconds of the main process, which no
worker can share, are separate from those of its workers. The memory of the main process is the most that Python and
Arrow had allocated; that of a worker is the most that was resident. The pictures are the demo's, except that the time
to read a picture is measured with pages of two sizes, made by tests/bench/extract.py.

Run: python -m tests.bench.stages [ART] [DATASET] [--pages 8] [--rounds 3] [--json]
Takes minutes; Linux only.
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path
from statistics import median
from typing import Any

import click
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.dataset import ledger, parquet
from curate.dataset.schema import SCHEMA_VERSION
from curate.deduplication import dedupe, lookalike_search, thumbnails
from curate.deduplication.lookalike_search import CANDIDATES_PER_TASK
from curate.deduplication.pictures import Pictures
from curate.extraction import extract
from curate.extraction.part import PartTask, StagedPart, extract_part
from curate.hash_search.hamming import RowPairs
from curate.images.decode import decode
from curate.shards import shard
from curate.sources.scan import Source, scan_sources
from curate.terminal import QUIET
from curate.workers import executor
from tests.bench.extract import pictures as pages
from tests.bench.search import alone
from tests.bench.strangers import pictures_of, proposals

SIDES = ((900, 1100), (1900, 2100))  # px of a page's longer side
STYLES = (("contour",), ("contour", "dilate", "xdog"))
WORKERS = 2
FILES = 2048  # pictures and sidecars whose extract is timed
COMMITS = 64
TICK = 0.1  # s between two readings of the workers' memory

Cost = dict[str, float]


def spent(call: Callable[[], object]) -> Cost:
    """CPU seconds of this process and of its workers, without their start-up; peak resident MB of a worker."""
    marks = [_seconds()]
    list(executor.run(nothing, range(WORKERS), WORKERS))
    marks.append(_seconds())
    with ThreadPoolExecutor(1) as pool:
        ended = threading.Event()
        worker_mb = pool.submit(_watch_workers, ended)
        try:
            call()
        finally:
            ended.set()
    marks.append(_seconds())
    node, workers = (max(0.0, last - 2 * middle + first) for first, middle, last in zip(*marks, strict=True))
    return {"node": node, "workers": workers, "worker_mb": worker_mb.result()}


def _seconds() -> tuple[float, float]:
    """CPU seconds so far of this process, and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own, children = (usage.ru_utime + usage.ru_stime for usage in usages)
    return own, children


def _watch_workers(ended: threading.Event) -> float:
    """The most MB that a child had resident. It is read while the child runs; afterwards it includes its parent's."""
    peak = 0.0
    while not ended.wait(TICK):
        for child in active_children():
            with suppress(OSError):
                peak = max(peak, resident(str(child.pid)))
    return peak


def resident(process: str = "self") -> float:
    """The most MB that a process had resident."""
    words = Path("/proc", process, "status").read_text().partition("VmHWM:")[2].split()
    return int(words[0]) / 1024 if words else 0.0  # a zombie has none


def nothing(number: int) -> int:
    return number


def allocated(call: Callable[[], object]) -> float:
    """The most bytes that Python and Arrow allocate in a call, in a process that does nothing else."""
    call()  # loads and compiles what takes the same memory for any number of pictures
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return float(peak + pa.default_memory_pool().max_memory())


def reading(folder: Path, lines: tuple[str, ...], rounds: int) -> dict[str, Any]:
    """CPU seconds that a worker of extract takes for a page, and the most MB that the process had resident."""
    cv2.setNumThreads(1)
    files = tuple(scan_sources([Source("pages", folder)]))
    seconds = []
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        ledger.write_ledger(out, {"version": SCHEMA_VERSION, "options": {}, "sources": [], "parts": {}})
        for name in ("records", "pairs"):
            (out / name).mkdir()
        task = PartTask(0, files, out, extract.ExtractOptions(lines, keep_monochrome=True), (None,) * len(files))
        for _ in range(rounds + 1):
            started = time.process_time()
            extract_part(task)
            seconds.append(time.process_time() - started)
    return {
        "lines": len(lines),
        "megapixels": float(
            np.mean([np.prod(decode(file.real_path.read_bytes()).rgb.shape[:2]) for file in files]) / 1e6
        ),
        "bytes": sum(file.real_path.stat().st_size for file in files) / len(files),
        "cpu_seconds": median(seconds[1:]) / len(files),
        "peak_mb": resident(),
    }


def readings(work: Path, number: int, rounds: int) -> list[dict[str, Any]]:
    """`reading` for every page size and number of line styles, each in a process of its own."""
    figures = []
    for sides in SIDES:
        folder = work / f"pages-{sides[0]}"
        folder.mkdir()
        pages(folder, number, sides)
        figures += [alone(reading, folder, lines, rounds) for lines in STYLES]
    return figures


def extracting(art: Path, dataset: Path, work: Path) -> Cost:
    """Costs of extract's main process: CPU seconds and bytes per picture, and wall seconds to commit a part."""
    few, out = work / "art", work / "extracted"
    few.mkdir()
    for path in sorted(art.iterdir())[:FILES]:
        (few / path.name).symlink_to(path.resolve())
    options = extract.ExtractOptions(keep_monochrome=True)
    cost = spent(lambda: extract.extract([Source("art", few)], out, options, workers=WORKERS))
    rows = parquet.count_rows(out / "records")
    copy = shutil.copytree(dataset, work / "again")
    return {
        "node_cpu_seconds": cost["node"] / rows,
        "commit_seconds": committing(out),
        "memory": alone(_memory_with_nothing_new, art, copy) / parquet.count_rows(dataset / "records"),
    }


def _memory_with_nothing_new(art: Path, dataset: Path) -> float:
    """Bytes that extract allocates if it finds nothing new."""
    QUIET.set(True)
    state = ledger.read_ledger(dataset)
    options = extract.ExtractOptions(**state["options"] | {"lines": tuple(state["options"]["lines"])})
    return allocated(lambda: extract.extract([Source(state["sources"][0], art)], dataset, options))


def committing(dataset: Path) -> float:
    """Wall seconds to commit a staged part: parts are committed one after another."""
    first = len(parquet.part_paths(dataset / "records"))
    ids = tuple(parquet.read_table(parquet.part_path(dataset / "pairs", 0), ["id"])["id"].to_pylist())
    staged = [StagedPart(first + number, f".staged-{number}", ids, len(ids), 0, 0) for number in range(COMMITS)]
    for part in staged:
        for folder in ("records", "pairs"):
            shutil.copy(parquet.part_path(dataset / folder, 0), dataset / folder / part.staged_name)
    started = time.monotonic()
    for part in staged:
        extract._commit(dataset, part, set(), dataset)
    return (time.monotonic() - started) / COMMITS


def deduping(dataset: Path, work: Path, rows: int, pictures: Pictures, pairs: RowPairs) -> Cost:
    """Costs of dedupe: to gather and decide per picture, to describe and verify per proposed pair; and memory."""
    copy = shutil.copytree(dataset, work / "deduped")
    shutil.rmtree(copy / "edges", ignore_errors=True)
    first = alone(_deduped, copy)
    second = alone(_deduped, copy)  # reads every edge from disk
    blocks = [block for block in np.array_split(pairs, 5) if len(block)]  # as if five searches had proposed them
    return {
        "node_cpu_seconds": second["node"] / rows,
        "proposal_cpu_seconds": proposing(copy, pictures, pairs),
        "look_cpu_seconds": first["workers"] / len(pairs),
        "part_cpu_seconds": looked_up(parquet.part_paths(dataset / "pairs")),
        "worker_mb": first["worker_mb"],
        "memory": alone(_memory_of_edges, copy) / rows,
        "proposal_memory": alone(_memory_of_proposals, blocks) / len(pairs),
    }


def proposing(dataset: Path, pictures: Pictures, pairs: RowPairs) -> float:
    """CPU seconds to describe a pair for the workers, after it has passed the sieve."""
    proposed = np.concatenate([pairs, np.zeros((len(pairs), 1), np.int64)], axis=1)
    with lookalike_search.start_search([dataset], pictures, dedupe.DedupeOptions().max_distance, 1) as run:
        seconds = []
        for _ in range(2):  # the first loads modules
            started = time.process_time()
            blocks = np.split(proposed, range(CANDIDATES_PER_TASK, len(proposed), CANDIDATES_PER_TASK))
            list(run.compare_tasks(blocks))
            seconds.append(time.process_time() - started)
    return seconds[-1] / len(pairs)


def _deduped(dataset: Path) -> Cost:
    QUIET.set(True)
    return spent(lambda: dedupe.dedupe(dataset, dedupe.DedupeOptions(), workers=WORKERS))


def looked_up(parts: list[Path]) -> float:
    """CPU seconds to read the columns that dedupe compares from a part that is not in memory."""
    started = time.process_time()
    for path in parts:
        for name in ("sketch", "view"):
            thumbnails._read_column(path, name)
    return (time.process_time() - started) / len(parts)


def _memory_of_edges(dataset: Path) -> float:
    QUIET.set(True)
    return allocated(lambda: dedupe.dedupe(dataset, dedupe.DedupeOptions()))


def _memory_of_proposals(blocks: list[RowPairs]) -> float:
    return allocated(lambda: np.unique(np.concatenate(blocks), axis=0))


def sharding(dataset: Path, work: Path) -> Cost:
    """CPU seconds and bytes on disk for a kept pair, and MB of a worker."""
    cost = alone(_sharded, dataset, work / "shards")
    kept = ledger.read_ledger(dataset)["counts"]["kept"]
    size = sum(path.stat().st_size for path in (work / "shards").iterdir()) / kept
    return {
        "node_cpu_seconds": cost["node"] / kept,
        "cpu_seconds": cost["workers"] / kept,
        "worker_mb": cost["worker_mb"],
        "bytes": size,
    }


def _sharded(dataset: Path, out: Path) -> Cost:
    QUIET.set(True)
    return spent(lambda: shard.shard(dataset, out, shard.ShardOptions(), workers=WORKERS))


def stored(dataset: Path, rows: int) -> Cost:
    """Bytes on disk for a picture in a dataset, by purpose; `line` for one style."""
    pairs: dict[str, float] = {}
    for path in parquet.part_paths(dataset / "pairs"):
        for name, size in _columns(path):
            pairs[name] = pairs.get(name, 0) + size / rows
    lines = [size for name, size in pairs.items() if name.startswith("line_")]

    def folder(name: str) -> float:
        return sum(path.stat().st_size for path in (dataset / name).iterdir()) / rows

    return {
        "records": folder("records"),
        "manifest": folder("manifest") + (dataset / ledger.TAG_TABLE).stat().st_size / rows,
        "edges": folder("edges"),
        "color": pairs["color"],
        "line": sum(lines) / len(lines),
        "compared": sum(pairs.values()) - pairs["color"] - sum(lines),
    }


def _columns(path: Path) -> Iterator[tuple[str, int]]:
    footer = pq.read_metadata(path)
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            yield chunk.path_in_schema.split(".")[0], chunk.total_compressed_size


def report(art: Path, dataset: Path, work: Path, number: int, rounds: int) -> dict[str, Any]:
    """The figures of every stage, and the bytes of the dataset."""
    QUIET.set(True)
    pictures = pictures_of(dataset)
    pairs = proposals(pictures)
    rows = parquet.count_rows(dataset / "records")
    figures: dict[str, Any] = {
        "pictures": rows,
        "reading": readings(work, number, rounds),
        "extract": extracting(art, dataset, work),
        "dedupe": deduping(dataset, work, rows, pictures, pairs),
        "shard": sharding(dataset, work),
        "stored": stored(dataset, rows),
    }
    sizes, lines = figures["stored"], len(ledger.read_ledger(dataset)["options"]["lines"])
    pixels = sizes["color"] + lines * sizes["line"]
    return figures | {"stored": sizes | {"packed": max(0.0, figures["shard"]["bytes"] - pixels)}}


@click.command()
@click.argument("art", type=click.Path(path_type=Path, exists=True), default="demo/art")
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), default="demo/dataset")
@click.option("--pages", "number", type=click.IntRange(1), default=8, show_default=True, help="Pages of each size.")
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Rounds after a first one to warm up."
)
@click.option("--json", "as_json", is_flag=True)
def main(art: Path, dataset: Path, number: int, rounds: int, as_json: bool) -> None:
    """Measure the stages on ART and the DATASET made from it, which is not changed."""
    with tempfile.TemporaryDirectory() as folder:
        result = report(art, dataset, Path(folder), number, rounds)
    if as_json:
        click.echo(json.dumps(result))
        return
    for name, figures in result.items():
        click.echo(f"{name}: {figures if isinstance(figures, int) else json.dumps(figures)}")


if __name__ == "__main__":
    main()
