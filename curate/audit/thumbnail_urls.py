"""Read stored pictures as small WebP files in `data:` URLs, which a page can hold."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from curate.dataset import parquet
from curate.deduplication import thumbnails
from curate.system.errors import DamagedError

THUMBNAIL_SIDE_PX = 128  # at most
WEBP_QUALITY = 90  # half the bytes of PNG, and strokes stay clean


def read_thumbnail_urls(dataset: Path, columns: Mapping[str, Collection[str]]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield ((id, column), `data:` URL) for the wanted columns of each id."""
    parts, ids = parquet.part_paths(dataset / "pairs"), sorted(columns)
    ids_by_part: dict[int, dict[int, str]] = defaultdict(dict)
    for key, (part, row) in zip(ids, thumbnails.locate_pairs(parts, ids).tolist(), strict=True):
        ids_by_part[part][row] = key
    for part, id_by_row in ids_by_part.items():
        for column in sorted({column for key in id_by_row.values() for column in columns[key]}):
            rows = [row for row, key in id_by_row.items() if column in columns[key]]
            stored = parquet.read_table(parts[part], [column])[column].take(rows).to_pylist()
            for row, png in zip(rows, stored, strict=True):
                yield (id_by_row[row], column), _thumbnail_url(id_by_row[row], png)


def _thumbnail_url(key: str, png: bytes) -> str:
    """A stored square as WebP of at most THUMBNAIL_SIDE_PX, in a `data:` URL."""
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DamagedError(f"the pair of {key} holds no picture: run `curate verify` on the dataset")
    if len(decoded) > THUMBNAIL_SIDE_PX:
        decoded = cv2.resize(decoded, (THUMBNAIL_SIDE_PX, THUMBNAIL_SIDE_PX), interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode(".webp", decoded, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    if not done:
        raise MemoryError("OpenCV could not encode a WebP")
    return f"data:image/webp;base64,{base64.b64encode(encoded.tobytes()).decode()}"
