"""The commands as functions, for notebooks and programs: `import curate; curate.extract("art", "dataset")`.

Every function takes the options of its command as keyword arguments and returns the object that the command prints
with `--json`. Folders are `str` or `Path`; a dataset or shard folder may be an address such as `s3://bucket/dataset`,
which is worked on in a local copy and sent back afterwards. A user's mistake raises `curate.NurieError`, whose message
is one line.

`workers` is a number of local processes, by default one a core. A script that starts processes has to guard its own
calls with `if __name__ == "__main__":`, as for every use of `multiprocessing`; a notebook needs no guard.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from curate.deduplication.options import DedupeOptions
from curate.extraction.options import ExtractOptions
from curate.shards.options import ShardOptions
from curate.sources import DEFAULT_SAMPLE_SIDE_PX
from curate.system.errors import NurieError
from curate.system.hashing import usable_cores

if TYPE_CHECKING:
    from curate.tags.aliases import TagRules
    from curate.workers.executor import Workers

Folder = str | PathLike[str]
"""A folder here; for datasets and shards also an address in a store."""
Counts = dict[str, Any]
"""What a command prints with `--json`: `in` = `kept` + the sum of `dropped` by reason, and what else it counted."""
STORED_FOLDERS = ("dataset", "shards", "folder", "against")
"""Names of the arguments that may be addresses."""

P = ParamSpec("P")


def _with_stores(function: Callable[P, Counts]) -> Callable[P, Counts]:
    """Replace addresses in STORED_FOLDERS by local working copies, and send those back when the call has ended well."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Counts:
        call = signature.bind(*args, **kwargs)
        addresses = {name: str(call.arguments.get(name)) for name in STORED_FOLDERS}
        addresses = {name: address for name, address in addresses.items() if "://" in address}
        if not addresses:
            return function(*args, **kwargs)
        from curate.stores.working_copy import WorkingCopies  # noqa: PLC0415  # costs Arrow

        copies = WorkingCopies()
        try:
            call.arguments.update({name: copies.folder_for(address) for name, address in addresses.items()})
            counts = function(*call.args, **call.kwargs)
            if not call.arguments.get("dry_run"):
                copies.send_back()
        except NurieError as error:
            error.args = (copies.explain_error(error),)
            raise
        return counts

    return run


@contextmanager
def _at_work(workers: int | None, scheduler: str | None) -> Iterator[Workers]:
    """Local processes, or the workers of a Dask cluster. Raises NurieError if both are given."""
    if scheduler is None:
        yield usable_cores() if workers is None else workers
        return
    if workers is not None:
        raise NurieError("a scheduler brings workers of its own: leave `workers` out")
    from curate.workers.dask_cluster import connect_cluster  # noqa: PLC0415  # an extra

    with connect_cluster(scheduler) as cluster:
        yield cluster


def _rules(aliases: Folder | None, implications: Folder | None) -> TagRules:
    from curate.tags.aliases import read_rules  # noqa: PLC0415  # few calls pay for it

    return read_rules(_path(aliases), _path(implications))


def _path(path: Folder | None) -> Path | None:
    return None if path is None else Path(path)


def sample(
    art: Folder,
    *,
    size: int = DEFAULT_SAMPLE_SIDE_PX,
    limit: int | None = None,
    dry_run: bool = False,
    workers: int | None = None,
) -> Counts:
    """Draw real art with tags from the installed extra `demo` into the folder `art`.

    Args:
        art: the folder to write; the artists' own line art goes to `art` + `.lines`.
        size: side of the drawings, px.
        limit: draw only the first so many.
        dry_run: say whether anything is due, and why; write nothing.
        workers: local processes.

    Raises:
        MissingExtraError: if the extra is not installed.
    """
    from curate.planning import staleness  # noqa: PLC0415
    from curate.sources.sample_art import draw_openmoji  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.reason_to_sample(Path(art), size, limit)}
    return draw_openmoji(Path(art), size, usable_cores() if workers is None else workers, limit)


@_with_stores
def extract(
    sources: Folder | Sequence[Folder],
    dataset: Folder,
    *,
    lines: str | Sequence[str] = ExtractOptions.lines,
    size: int = ExtractOptions.size,
    max_pixels: int = ExtractOptions.max_pixels,
    min_side: int = ExtractOptions.min_side,
    max_aspect: float = ExtractOptions.max_aspect,
    keep_monochrome: bool = ExtractOptions.keep_monochrome,
    folder_tags: bool = ExtractOptions.folder_tags,
    limit: int | None = None,
    fresh: bool = False,
    dry_run: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Counts:
    """Read every file below the sources once: record, fate, line art, pair. Continues where it stopped.

    Args:
        sources: one folder or several; `"NAME=FOLDER"` names a source.
        dataset: the dataset folder to begin or to continue.
        lines: line-art methods to store, the first is the default; as a list, or as text between commas.
        size: side of the pairs, px.
        max_pixels: larger pictures are dropped before they are decoded.
        min_side: pictures with a shorter side are dropped, px.
        max_aspect: pictures longer than this many times their width are dropped; 0 keeps them.
        keep_monochrome: keep line art, manga pages and shades of gray.
        folder_tags: take the names of folders as tags too.
        limit: read only the first so many files.
        fresh: start over.
        dry_run: count what there is to read and whether it fits the disk; write nothing.
        workers: local processes.
        scheduler: address of a Dask scheduler, `tcp://HOST:PORT`, in place of `workers`.

    Raises:
        SourceError: if a source is no folder.
        DatasetError: if the dataset was begun with other options, or the folder holds something else.
    """
    from curate.extraction import extract as stage  # noqa: PLC0415
    from curate.planning import staleness  # noqa: PLC0415
    from curate.sources.scan import parse_sources  # noqa: PLC0415

    methods = stage.parse_line_methods(lines if isinstance(lines, str) else ",".join(lines))
    # `or 0`: as the command stores it, an integer in JSON
    options = ExtractOptions(methods, size, max_pixels, min_side, max_aspect or 0, keep_monochrome, folder_tags)
    one = isinstance(sources, str | PathLike)
    roots = parse_sources([str(sources)] if one else [str(source) for source in sources])  # type: ignore[union-attr]
    target = Path(dataset)
    if dry_run:
        forecast = stage.forecast_extract(roots, target, options, limit=limit, fresh=fresh)
        return {**forecast.to_json_dict(), "due": staleness.reason_to_extract(forecast, target, fresh=fresh)}
    with _at_work(workers, scheduler) as crew:
        return stage.extract(roots, target.absolute(), options, workers=crew, limit=limit, fresh=fresh)


@_with_stores
def dedupe(
    dataset: Folder,
    *,
    max_distance: int = DedupeOptions.max_distance,
    mirror: bool = DedupeOptions.mirror,
    survivor: str = DedupeOptions.survivor,
    drop_alternates: bool = DedupeOptions.drop_alternates,
    against: Folder | None = None,
    split: str | tuple[float, float, float] = (0.9, 0.05, 0.05),
    seed: int = 0,
    dry_run: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Counts:
    """Find duplicates and recolours; give every picture a role, a family, a split and a fate.

    Args:
        dataset: a dataset folder; pictures compared before are not compared again.
        max_distance: bits within which the hashes of two duplicates lie, 0 to 16.
        mirror: also find mirrored copies and copies turned by a quarter.
        survivor: which duplicate is kept: the one with most `pixels`, `bytes`, `tags` or `score`, or the `first`.
        drop_alternates: keep one picture of a set of recolours.
        against: leave out what this other dataset already has.
        split: shares of train, validation and test, which add up to 1.
        seed: decides which family goes to which split.
        dry_run: say whether anything is due, and why; write nothing.
        workers: local processes.
        scheduler: address of a Dask scheduler, in place of `workers`.

    Raises:
        DatasetError: if the folder is no dataset, or its hashes were made in another way.
        DamagedError: if a part of it is damaged.
    """
    from curate.deduplication import dedupe as stage  # noqa: PLC0415
    from curate.deduplication.family_split import parse_split_shares  # noqa: PLC0415
    from curate.planning import staleness  # noqa: PLC0415

    shares = parse_split_shares(split if isinstance(split, str) else ",".join(map(str, split)), seed)
    options = DedupeOptions(max_distance, drop_alternates, mirror, shares, survivor)
    target, other = Path(dataset), _path(against)
    if dry_run:
        return {"due": staleness.reason_to_dedupe(target, options, other)}
    with _at_work(workers, scheduler) as crew:
        return stage.dedupe(target.absolute(), options, against=other and other.absolute(), workers=crew)


@_with_stores
def select(
    dataset: Folder,
    out: Folder,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    where: str | None = None,
    dry_run: bool = False,
) -> Counts:
    """Write a smaller manifest, for `shard(..., manifest=...)`. pandas on `DATASET/manifest` does as well.

    Args:
        dataset: a deduplicated dataset.
        out: the Parquet file to write.
        include: keep pictures that have all of these tags.
        exclude: leave out pictures that have any of these tags.
        where: an expression over the manifest's columns, `"width >= 512 and score > 3"`.
        dry_run: say whether anything is due, and why; write nothing.

    Raises:
        NurieError: if the expression is not one over the columns.
    """
    from curate.planning import staleness  # noqa: PLC0415
    from curate.query import selection  # noqa: PLC0415

    if dry_run:
        return {"due": staleness.reason_to_select(Path(dataset), Path(out), include, exclude, where)}
    return selection.select(Path(dataset), Path(out), include, exclude, where)


@_with_stores
def shard(
    dataset: Folder,
    shards: Folder,
    *,
    manifest: Folder | None = None,
    shard_size: int = ShardOptions.shard_size,
    format: str = ShardOptions.format,  # noqa: A002  # the option's name
    encoding: str = ShardOptions.encoding,
    min_count: int = ShardOptions.min_count,
    seed: int = ShardOptions.seed,
    aliases: Folder | None = None,
    implications: Folder | None = None,
    dry_run: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Counts:
    """Write the kept pairs as shuffled shards with a vocabulary and an index: what `train.fit` reads.

    Args:
        dataset: a deduplicated dataset.
        shards: the shard folder to write.
        manifest: a smaller manifest, from `select` or pandas; without it, all kept pictures.
        shard_size: most pairs in one shard.
        format: `tfrecord`, which `train` reads, `webdataset` or `imagefolder`.
        encoding: `png`, or `raw` pixels (TFRecords only).
        min_count: tags of fewer training pairs are left out of the vocabulary.
        seed: of the shuffle.
        aliases: file of `alias,tag` lines.
        implications: file of `implying,implied` lines.
        dry_run: say whether anything is due, and why; write nothing.
        workers: local processes.
        scheduler: address of a Dask scheduler, in place of `workers`.

    Raises:
        NurieError: if options exclude one another.
        DatasetError: if the dataset is not deduplicated.
    """
    from curate.planning import staleness  # noqa: PLC0415
    from curate.shards import shard as stage  # noqa: PLC0415

    options = ShardOptions(shard_size, encoding, min_count, seed, format)
    source, target, chosen, rules = Path(dataset), Path(shards), _path(manifest), _rules(aliases, implications)
    if dry_run:
        return {"due": staleness.reason_to_shard(source, target, options, chosen, rules)}
    with _at_work(workers, scheduler) as crew:
        return stage.shard(source.absolute(), target.absolute(), options, manifest=chosen, rules=rules, workers=crew)


@_with_stores
def verify(folder: Folder) -> Counts:
    """Check every byte and count of a dataset or shard folder.

    Returns:
        `folder`, and `faults`: one line for each thing that is wrong, empty if all is well.

    Raises:
        NurieError: if the folder is neither, or a command is writing it.
    """
    from curate.audit import verify as stage  # noqa: PLC0415

    return {"folder": str(folder), "faults": stage.verify(Path(folder))}


@_with_stores
def report(dataset: Folder, page: Folder) -> Counts:
    """Write one HTML page about a dataset: fates, tags, sizes, copies and recolours side by side, line art, licences.

    Args:
        dataset: a dataset folder.
        page: the HTML file to write; it needs no network and no script.

    Raises:
        DatasetError: if the dataset is not finished.
    """
    from curate.audit import report as stage  # noqa: PLC0415

    return stage.report(Path(dataset), Path(page))


@_with_stores
def tag_counts(
    dataset: Folder,
    *,
    top: int = 50,
    with_tag: str | None = None,
    check: bool = False,
    aliases: Folder | None = None,
    implications: Folder | None = None,
) -> Counts:
    """Count the tags of the kept pictures; `curate tags` on the command line.

    Args:
        dataset: a dataset folder.
        top: list so many of the most frequent tags.
        with_tag: count only pictures that have this tag.
        check: also list pictures whose tags contradict one another or name a colour that the picture lacks.
        aliases: file of `alias,tag` lines.
        implications: file of `implying,implied` lines.
    """
    from curate.audit.tag_counts import count_tags  # noqa: PLC0415

    return count_tags(Path(dataset), top, _rules(aliases, implications), with_tag, check=check)


@_with_stores
def why(dataset: Folder, key: str, *, manifest: Folder | None = None, shards: Folder | None = None) -> Counts:
    """Explain one picture's fate, stage by stage.

    Args:
        dataset: a dataset folder.
        key: the picture's path below its source, or its id.
        manifest: say whether this smaller manifest has it.
        shards: say where it lies in these shards.

    Returns:
        `records`: one explanation for each record that has the path or id.

    Raises:
        NurieError: if no record has that path or id.
    """
    from curate.audit import explain_picture  # noqa: PLC0415

    return {"records": explain_picture.why(Path(dataset), key, manifest=_path(manifest), shards=_path(shards))}


@_with_stores
def decide(dataset: Folder, kind: str, pictures: Sequence[str], *, tags: str | None = None) -> Counts:
    """Overrule dedupe, from its next run on.

    Args:
        dataset: a dataset folder.
        kind: `different`, `duplicate` or `alternate` for two pictures; `keep`, `drop` or `retag` for one; `undo` for
            the number of an earlier decision.
        pictures: paths or ids.
        tags: the picture's tags, between commas, for `retag`.

    Raises:
        NurieError: if a picture is unknown, or the kind takes another number of them.
    """
    from curate.dataset import decisions  # noqa: PLC0415

    return {"decisions": [decisions.decide(Path(dataset), kind, tuple(pictures), tags)]}


@_with_stores
def remove(dataset: Folder, keys: Sequence[str]) -> Counts:
    """Take pictures out for good: pixels, tags and all but an id or an artist's name, which keeps them out.

    Args:
        dataset: a dataset folder.
        keys: ids, paths, or `artist:NAME`.
    """
    from curate.dataset import remove_pictures as stage  # noqa: PLC0415

    return stage.remove(Path(dataset), tuple(keys))


def copy(source: Folder, target: Folder, *, replace: bool = False) -> Counts:
    """Copy a whole dataset or shard folder to a store, from a store, or to another folder; every file is checked.

    Args:
        source: a folder or an address such as `s3://bucket/shards`.
        target: the same.
        replace: bring another or an older copy in `target` up to `source`.

    Raises:
        NurieError: if `source` is neither a dataset nor shards, `target` holds something else, or a store fails.
        DamagedError: if a file is not what the listing says.
    """
    from curate.storage import parse_address  # noqa: PLC0415
    from curate.stores.transfer import copy_folder  # noqa: PLC0415

    return copy_folder(parse_address(str(source)), parse_address(str(target)), replace=replace)


def plan(
    pictures: float, *, megapixels: float = 2, workers: int = 1, lines: int = 3, strangers: float | None = None
) -> Counts:
    """Estimate hours, disk and memory for a data set, from what was measured on one machine.

    Args:
        pictures: how many.
        megapixels: of each.
        workers: cores, on any number of machines.
        lines: line-art methods to store.
        strangers: share of the pairs of unlike pictures that dedupe has to compare; by default that of icons.
    """
    from curate.planning.cost_model import Workload  # noqa: PLC0415
    from curate.planning.plan import plan_report  # noqa: PLC0415

    return plan_report(Workload(pictures, megapixels, workers, lines, strangers))
