"""The second look: pictures whose hashes are near -> a copy, a recolour, or strangers.

Candidates come in blocks that lie in files, so that any process that sees the dataset can look at one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import pyarrow as pa

from curate.dataset import parquet
from curate.deduplication.thumbnails import PairLocation, Thumbnails
from curate.signatures import alignment, likeness, phash
from curate.signatures.orientations import ORIENTATIONS
from curate.signatures.strokes import line_difference

COMPARISON_VERSION = 6  # of another number, edges were proposed or verified in another way and are looked at again

CANDIDATE_SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in ("a", "b")),
        *((name, pa.int32()) for name in ("variant", "bits", "part_a", "row_a", "part_b", "row_b")),
        ("color", pa.float32()),
        *((name, pa.bool_()) for name in ("near", "conflict", "doubtful", "comparable")),
    ]
)


class Candidate(NamedTuple):
    """Two pictures that a search proposes, by index a < b, and what their records say of them."""

    a: int
    b: int
    variant: int
    """0 as they lie; else one lies as b in curate.signatures.variants, counted from 1, negative where that is a."""
    bits: int
    """Between the hashes of the trimmed pictures."""
    place_a: PairLocation
    place_b: PairLocation
    color: float
    """Largest difference of their colour signatures, as they lie."""
    near: bool
    """Whether near enough for a duplicate."""
    conflict: bool
    """Whether tags give one noun two colours."""
    doubtful: bool
    """Whether tags differ, and no lossy encoding explains a difference of pixels: then hardly any is overlooked."""
    comparable: bool
    """Whether both are stored without loss and of one size."""


class Edge(NamedTuple):
    """Two pictures that look alike, by index a < b; `kind` is duplicate (same colours) or alternate (same lines)."""

    a: int
    b: int
    kind: str
    distance: int
    """Bits between the hashes of the trimmed pictures."""
    color_distance: float
    line_difference: float


class VerifiedPair(NamedTuple):
    """What became of a candidate that is no stranger."""

    candidate: Candidate
    edge: Edge


@dataclass(frozen=True)
class CompareTask:
    """A block of candidates to look at, and where the pictures lie."""

    candidates_path: Path
    """In a folder of its run's own."""
    pair_parts: tuple[Path, ...]


def compare_block(task: CompareTask) -> list[VerifiedPair]:
    """Look at every candidate of a block."""
    cv2.setNumThreads(1)  # on pictures this small threads cost more than they do
    thumbnails = _thumbnails(task.candidates_path.parent, task.pair_parts)
    looks = ((candidate, _edge(candidate, thumbnails)) for candidate in _read(task.candidates_path))
    return [VerifiedPair(candidate, edge) for candidate, edge in looks if edge is not None]


def write_candidates(path: Path, columns: dict[str, Any]) -> None:
    """Write a block of candidates, by the names of BLOCK."""
    parquet.write_table(path, pa.table(columns, schema=CANDIDATE_SCHEMA))


def _read(path: Path) -> Iterator[Candidate]:
    for row in parquet.read_table(path).to_pylist():
        one, other = ((row.pop(f"part_{side}"), row.pop(f"row_{side}")) for side in "ab")
        yield Candidate(place_a=one, place_b=other, **row)


@lru_cache(maxsize=1)
def _thumbnails(_run: Path, parts: tuple[Path, ...]) -> Thumbnails:
    """Kept from block to block, as neighbours are of the same parts; in another run parts may hold other pixels."""
    return Thumbnails(parts)


def _edge(found: Candidate, thumbnails: Thumbnails) -> Edge | None:
    return _compare_transformed(found, thumbnails) if found.variant else _compare_untransformed(found, thumbnails)


def _compare_untransformed(found: Candidate, thumbnails: Thumbnails) -> Edge | None:
    lines = _lines(found, thumbnails)
    kind = _kind(found, lines, thumbnails)
    return Edge(found.a, found.b, kind, found.bits, found.color, lines) if kind else None


def _kind(found: Candidate, lines: float, thumbnails: Thumbnails) -> str | None:
    """`duplicate`, `alternate`, or None for strangers.

    Whether two pictures are look-alikes hangs on their pixels alone: tags, which may be added to later, decide only
    of which kind. Else a family could part as the dataset grows.
    """
    alternate = "alternate" if lines <= likeness.MAX_RECOLOUR_LINE_DIFFERENCE else None
    apart = found.conflict or (found.doubtful and found.color > likeness.STRICT_SIGNATURE_DISTANCE)
    if not found.near or found.color > likeness.MAX_COPY_SIGNATURE_DISTANCE or (apart and alternate):
        return alternate  # aligning costs milliseconds
    unlike = alignment.aligned_difference(thumbnails.view(found.place_a), thumbnails.view(found.place_b))
    if not likeness.has_copy_colors(unlike) or not likeness.has_copy_strokes(lines, unlike):
        return alternate
    apart = (
        apart
        or (found.doubtful and unlike.cell_distance > likeness.STRICT_CELL_DISTANCE)
        or _is_edited(found, thumbnails)
    )
    return "alternate" if apart else "duplicate"


def _compare_transformed(found: Candidate, thumbnails: Thumbnails) -> Edge | None:
    """A copy that was turned or mirrored; None for a stranger."""
    lay = ORIENTATIONS[abs(found.variant) - 1]
    one, other = thumbnails.view(found.place_a), thumbnails.view(found.place_b)
    one, other = (
        (phash.trim_white_borders(lay(one)), other)
        if found.variant < 0
        else (one, phash.trim_white_borders(lay(other)))
    )
    grids = [phash.color_grid(phash.trim_white_borders(rgb))[None] for rgb in (one, other)]
    color = float(likeness.color_distance(*grids)[0])
    if color > likeness.MAX_COPY_SIGNATURE_DISTANCE:
        return None
    unlike, lines = (
        alignment.aligned_difference(alignment.thumbnail(one), alignment.thumbnail(other)),
        _lines(found, thumbnails),
    )
    if not likeness.has_copy_colors(unlike) or not likeness.has_copy_strokes(lines, unlike):
        return None
    # slanting blurs: a playing card of another suit would pass for a copy, had it not most pixels in their places
    apart = found.conflict or found.doubtful or _is_edited(found, thumbnails)
    return Edge(found.a, found.b, "alternate" if apart else "duplicate", found.bits, color, lines)


def _lines(found: Candidate, thumbnails: Thumbnails) -> float:
    """Difference of the strokes, which hang on dark and light; if large, of the edges, which hang on any colour."""
    drawn = line_difference(thumbnails.sketch(found.place_a), thumbnails.sketch(found.place_b))
    if drawn <= likeness.MAX_RECOLOUR_LINE_DIFFERENCE:
        return drawn
    return min(drawn, line_difference(thumbnails.edge_mask(found.place_a), thumbnails.edge_mask(found.place_b)))


def _is_edited(found: Candidate, thumbnails: Thumbnails) -> bool:
    return found.comparable and likeness.is_edited(thumbnails.color(found.place_a), thumbnails.color(found.place_b))
