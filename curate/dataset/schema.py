"""The columns of a dataset's tables: names, types and meanings. `manifests/columns.md` is generated from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from curate.system.files import canonical_json, options_hash

SCHEMA_VERSION = 1
# how hashes and signatures are computed, stored in each file; those of another recipe cannot be compared with these
HASH_RECIPE = (
    "phash64/pillow luma/lanczos32; steady600 of luma256; trim96; slant2 of luma96; xdog256 of luma; "
    "outline128 of 256; lab8x8 of 64 of 96; view96; edges90"
)
STRING_LIST = pa.list_(pa.string())
Columns = tuple[tuple[str, pa.DataType, str], ...]
"""Name, type and meaning of each column."""

EXTRACTED_COLUMNS: Columns = (
    ("source", pa.string(), "name of the source folder"),
    ("path", pa.string(), "path below the source folder, with `/`, normalised to Unicode NFC"),
    ("path_raw", pa.binary(), "the bytes of the path on disk, if they differ from `path`; else null"),
    ("id", pa.string(), "first 32 hex digits of the SHA-256 of the file's bytes; null if the file could not be read"),
    ("bytes", pa.int64(), "size of the file"),
    ("width", pa.int32(), "px, after EXIF rotation; before it if the picture was too large to decode"),
    ("height", pa.int32(), "px, after EXIF rotation; before it if the picture was too large to decode"),
    ("format", pa.string(), "file format according to the bytes, not the name"),
    ("mode", pa.string(), "Pillow's name of the stored pixel format"),
    ("frames", pa.int32(), "number of frames in an animation; only the first one is used"),
    ("phash", pa.string(), "perceptual hash, 16 hex digits: equal to `str(imagehash.phash(picture))`"),
    (
        "search_hashes",
        STRING_LIST,
        "hashes that `dedupe` searches: of the picture without its white borders, then of its six orientations",
    ),
    ("line_hash", pa.string(), "hash of the line art; recolouring does not change it"),
    ("outline_hash", pa.string(), "hash of the silhouette; null if the silhouette fills the frame"),
    ("edge_hash", pa.string(), "hash of the borders between colours; another hue does not change it"),
    (
        "color_grid",
        pa.list_(pa.float32()),
        "mean CIELAB colour in each cell of an 8x8 grid over the trimmed picture: 192 numbers",
    ),
    ("emptiness", pa.float32(), "share of the picture in its most common gray; 1 = nothing is drawn"),
    ("line_ink", pa.float32(), "share of the line art that is ink, in the dataset's first line-art method"),
    ("line_faint", pa.float32(), "share of that ink that is faint"),
    ("line_gaps", pa.float32(), "share of that ink where a stroke ends"),
    ("tags", STRING_LIST, "the tags that every stage uses: the picture's own, then those of its duplicates"),
    ("own_tags", STRING_LIST, "tags from the picture's sidecars and tables"),
    ("rating", pa.string(), "from the sidecar"),
    ("score", pa.int32(), "from the sidecar"),
    ("license", pa.string(), "from the sidecar"),
    ("artist", pa.string(), "from the sidecar"),
    ("extra", pa.string(), "all other fields of the sidecar, as JSON"),
)
DECIDED_COLUMNS: Columns = (
    ("group", pa.string(), "id of the survivor of this picture's duplicates; its own id if it has none"),
    ("role", pa.string(), "`unique`, `survivor`, `duplicate` or `alternate` (a recolour)"),
    (
        "duplicate_of",
        pa.string(),
        "for duplicates, id of the survivor, here or in the `--against` dataset; equal to `id` if the files are equal",
    ),
    ("distance", pa.int16(), "for duplicates, the bits in which the search hashes differ from the survivor's"),
    ("family", pa.string(), "id of the first-added picture among all connected look-alikes"),
    ("split", pa.string(), "`train`, `validation` or `test`; the same for a whole family"),
    ("dropped", pa.string(), "reason code if the picture is left out; null = kept"),
    ("error", pa.string(), "what could not be read: class and message of the error"),
)
MANIFEST_COLUMNS = (*EXTRACTED_COLUMNS, *DECIDED_COLUMNS)
LINE_COLUMN = "line_METHOD"
PAIR_COLUMNS: Columns = (
    ("id", pa.string(), "the picture's id; files with equal bytes share one row"),
    ("color", pa.binary(), "PNG, RGB: the whole picture, shrunk by area averaging into a square on white"),
    (LINE_COLUMN, pa.binary(), "PNG, gray, 255 = paper: line art by METHOD, drawn at full size, then shrunk alike"),
    ("sketch", pa.binary(), "PNG, black and white: ink of the trimmed picture, which `dedupe` compares"),
    ("view", pa.binary(), "PNG, RGB, 96 px: the trimmed picture in a square, which `dedupe` compares"),
    ("content_box", pa.list_(pa.int32(), 4), "top, left, height and width of the picture inside its square, px"),
)
EDGE_COLUMNS: Columns = (
    ("a", pa.string(), "id of the picture that was added first"),
    ("b", pa.string(), "id of the other picture"),
    ("kind", pa.string(), "`duplicate` (same colours) or `alternate` (same lines in other colours)"),
    ("distance", pa.int16(), "bits in which the search hashes differ"),
    ("color_distance", pa.float32(), "largest CIELAB difference (CIE 1976) between cells of the two colour grids"),
    ("line_difference", pa.float32(), "ink that only one of the drawings has, as a share of the sparser drawing's ink"),
)
DECISION_COLUMNS: Columns = (
    ("sequence", pa.int64(), "position among all decisions, from 0"),
    ("kind", pa.string(), "`different`, `duplicate`, `alternate`, `keep`, `drop`, `retag` or `undo`"),
    ("a", pa.string(), "id of the picture; for `undo`, the sequence number of the decision to undo"),
    ("b", pa.string(), "id of the second picture, for kinds about two pictures"),
    ("tags", STRING_LIST, "the new tags, for `retag`"),
)
OPT_OUT_COLUMNS: Columns = (
    ("kind", pa.string(), "`id` or `artist`"),
    ("name", pa.string(), "the picture's id, or the artist as a tag: `artist:NAME`"),
)
TAG_TABLE_COLUMNS: Columns = (
    ("id", pa.string(), "id of a kept picture"),
    ("tag", pa.string(), "one of its tags"),
)


def _schema(columns: Columns) -> pa.Schema:
    return pa.schema([(name, kind) for name, kind, _ in columns])


MANIFEST_SCHEMA = _schema(MANIFEST_COLUMNS).with_metadata(
    {"nurie.schema": str(SCHEMA_VERSION), "nurie.hashes": HASH_RECIPE}
)
"""Schema of `manifest` and of `records`, in which the decided columns are null."""
EDGES_SCHEMA = _schema(EDGE_COLUMNS)
DECISIONS_SCHEMA = _schema(DECISION_COLUMNS)
OPT_OUT_SCHEMA = _schema(OPT_OUT_COLUMNS)
TAG_TABLE_SCHEMA = _schema(TAG_TABLE_COLUMNS)
OPTIONS_METADATA_KEY = b"nurie.options"
OPTIONS_HASH_METADATA_KEY = b"nurie.options_hash"
FILE_KEY = ("source", "path", "path_raw")
"""The columns that identify a source file."""
NON_NULL_LIST_COLUMNS = frozenset({"tags", "own_tags"})


def pairs_schema(lines: Sequence[str]) -> pa.Schema:
    """Schema of a pairs part, with one column for each line-art method."""
    names = {LINE_COLUMN: [f"line_{method}" for method in lines]}
    return pa.schema([(column, kind) for name, kind, _ in PAIR_COLUMNS for column in names.get(name, [name])])


def with_options(schema: pa.Schema, options: Mapping[str, object]) -> pa.Schema:
    """Add options, by stage, and their hash to a schema, which stores both in its files."""
    hashed = with_options_hash(schema, options_hash(options))
    return hashed.with_metadata({**hashed.metadata, OPTIONS_METADATA_KEY: canonical_json(options)})


def with_options_hash(schema: pa.Schema, options_hash: str) -> pa.Schema:
    """Add the hash of options that are stored elsewhere to a schema."""
    return schema.with_metadata({**(schema.metadata or {}), OPTIONS_HASH_METADATA_KEY: options_hash.encode()})


def declared_types(folder: str) -> dict[str, pa.DataType]:
    """Types of those columns in a folder's parts that every dataset has."""
    if folder == "pairs":
        return {name: kind for name, kind, _ in PAIR_COLUMNS if name != LINE_COLUMN}
    schema = {"records": MANIFEST_SCHEMA, "manifest": MANIFEST_SCHEMA, "edges": EDGES_SCHEMA}.get(folder, pa.schema([]))
    return dict(zip(schema.names, schema.types, strict=True))
