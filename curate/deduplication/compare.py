"""Verify pairs of pictures with near hashes: duplicates, recolours (here `alternate`) or strangers.

The pairs come in blocks that are files, so that any worker that sees the dataset can take one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import cv2
import pyarrow as pa

from curate.dataset import parquet
from curate.deduplication.thumbnails import PairLocation, Thumbnails
from curate.images.array_types import Rgb
from curate.signatures import alignment, similarity
from curate.signatures.color_grid import color_grid
from curate.signatures.orientations import ORIENTATIONS
from curate.signatures.strokes import line_difference
from curate.signatures.trimming import trim_white_borders

COMPARISON_VERSION = 6  # edges of another version were proposed or verified in another way, and are computed again

Int64 = Annotated[int, pa.int64()]
Int32 = Annotated[int, pa.int32()]
Float32 = Annotated[float, pa.float32()]
Bool = Annotated[bool, pa.bool_()]


class Candidate(NamedTuple):
    """Two pictures with near hashes, by index a < b, and what their records say about them."""

    a: Int64
    b: Int64
    orientation: Int32
    """0 as stored. Else one picture lies as in ORIENTATIONS, counted from 1: b if positive, a if negative."""
    bits: Int32
    """Between the hashes of the trimmed pictures."""
    part_a: Int32
    row_a: Int32
    part_b: Int32
    row_b: Int32
    color: Float32
    """Largest difference between their colour signatures, as stored."""
    near: Bool
    """Whether their hashes are near enough for a duplicate."""
    conflict: Bool
    """Whether tags give one noun two colours."""
    doubtful: Bool
    """Whether tags differ and no lossy encoding explains a difference of pixels: then hardly any is tolerated."""
    comparable: Bool
    """Whether both are stored without loss and have one size."""

    @property
    def place_a(self) -> PairLocation:
        """Where the pair of picture a is stored."""
        return self.part_a, self.row_a

    @property
    def place_b(self) -> PairLocation:
        """Where the pair of picture b is stored."""
        return self.part_b, self.row_b


CANDIDATE_SCHEMA = pa.schema(
    [(name, hint.__metadata__[0]) for name, hint in get_type_hints(Candidate, include_extras=True).items()]
)


class Edge(NamedTuple):
    """Two pictures that look alike, by index a < b."""

    a: int
    b: int
    kind: str
    """`duplicate` (same colours) or `alternate` (same lines)."""
    distance: int
    """Bits between the hashes of the trimmed pictures."""
    color_distance: float
    line_difference: float


class VerifiedPair(NamedTuple):
    """A candidate that is no pair of strangers."""

    candidate: Candidate
    edge: Edge


@dataclass(frozen=True)
class CompareTask:
    """A block of candidates to verify."""

    candidates_path: Path
    """In a folder that belongs to one run."""
    pair_parts: tuple[Path, ...]


def compare_block(task: CompareTask) -> list[VerifiedPair]:
    """The verified pairs among a block of candidates."""
    cv2.setNumThreads(1)  # for pictures this small, threads cost more than they save
    thumbnails = _thumbnails(task.candidates_path.parent, task.pair_parts)
    edges = ((candidate, _edge(candidate, thumbnails)) for candidate in _read_candidates(task.candidates_path))
    return [VerifiedPair(candidate, edge) for candidate, edge in edges if edge is not None]


def write_candidates(path: Path, columns: dict[str, Any]) -> None:
    """Write a block of candidates, given a column for each field of Candidate."""
    parquet.write_table(path, pa.table(columns, schema=CANDIDATE_SCHEMA))


def _read_candidates(path: Path) -> Iterator[Candidate]:
    for row in parquet.read_table(path).to_pylist():
        yield Candidate(**row)


@lru_cache(maxsize=1)
def _thumbnails(_run_folder: Path, parts: tuple[Path, ...]) -> Thumbnails:
    """Kept between blocks, as neighbouring blocks need the same parts; in another run, parts may hold other pixels."""
    return Thumbnails(parts)


def _edge(candidate: Candidate, thumbnails: Thumbnails) -> Edge | None:
    compare = _compare_reoriented if candidate.orientation else _compare_as_stored
    return compare(candidate, thumbnails)


def _compare_as_stored(candidate: Candidate, thumbnails: Thumbnails) -> Edge | None:
    lines = _line_difference(candidate, thumbnails)
    kind = _kind_as_stored(candidate, lines, thumbnails)
    return Edge(candidate.a, candidate.b, kind, candidate.bits, candidate.color, lines) if kind else None


def _kind_as_stored(candidate: Candidate, lines: float, thumbnails: Thumbnails) -> str | None:
    """`duplicate`, `alternate`, or None for strangers.

    Only pixels decide whether two pictures look alike; tags decide only the kind. Tags may be added later, and if they
    decided more, a family could fall apart as the dataset grows.
    """
    alternate = "alternate" if lines <= similarity.MAX_RECOLOUR_LINE_DIFFERENCE else None
    differs = candidate.conflict or (candidate.doubtful and candidate.color > similarity.STRICT_SIGNATURE_DISTANCE)
    if not candidate.near or candidate.color > similarity.MAX_COPY_SIGNATURE_DISTANCE or (differs and alternate):
        return alternate  # without aligning, which costs milliseconds
    difference = alignment.aligned_difference(thumbnails.view(candidate.place_a), thumbnails.view(candidate.place_b))
    if not similarity.has_copy_colors(difference) or not similarity.has_copy_strokes(lines, difference):
        return alternate
    differs = (
        differs
        or (candidate.doubtful and difference.cell_distance > similarity.STRICT_CELL_DISTANCE)
        or _is_edited(candidate, thumbnails)
    )
    return "alternate" if differs else "duplicate"


def _compare_reoriented(candidate: Candidate, thumbnails: Thumbnails) -> Edge | None:
    """The edge of a copy that is slanted, mirrored or turned; None for strangers."""
    view_a, view_b = _views_in_one_orientation(candidate, thumbnails)
    grids = [color_grid(trim_white_borders(view))[None] for view in (view_a, view_b)]
    color = float(similarity.color_distance(*grids)[0])
    if color > similarity.MAX_COPY_SIGNATURE_DISTANCE:
        return None
    difference = alignment.aligned_difference(alignment.thumbnail(view_a), alignment.thumbnail(view_b))
    lines = _line_difference(candidate, thumbnails)
    if not similarity.has_copy_colors(difference) or not similarity.has_copy_strokes(lines, difference):
        return None
    # Slanting blurs. A playing card of another suit would pass for a copy, but most of its pixels equal the other's.
    differs = candidate.conflict or candidate.doubtful or _is_edited(candidate, thumbnails)
    kind = "alternate" if differs else "duplicate"
    return Edge(candidate.a, candidate.b, kind, candidate.bits, color, lines)


def _views_in_one_orientation(candidate: Candidate, thumbnails: Thumbnails) -> tuple[Rgb, Rgb]:
    reorient = ORIENTATIONS[abs(candidate.orientation) - 1]
    view_a, view_b = thumbnails.view(candidate.place_a), thumbnails.view(candidate.place_b)
    if candidate.orientation < 0:
        return trim_white_borders(reorient(view_a)), view_b
    return view_a, trim_white_borders(reorient(view_b))


def _line_difference(candidate: Candidate, thumbnails: Thumbnails) -> float:
    """Difference of the strokes, which depend on dark and light; if it is large, of the edges of any colour."""
    strokes = line_difference(thumbnails.sketch(candidate.place_a), thumbnails.sketch(candidate.place_b))
    if strokes <= similarity.MAX_RECOLOUR_LINE_DIFFERENCE:
        return strokes
    edges = line_difference(thumbnails.edge_mask(candidate.place_a), thumbnails.edge_mask(candidate.place_b))
    return min(strokes, edges)


def _is_edited(candidate: Candidate, thumbnails: Thumbnails) -> bool:
    return candidate.comparable and similarity.is_edited(
        thumbnails.color(candidate.place_a), thumbnails.color(candidate.place_b)
    )
