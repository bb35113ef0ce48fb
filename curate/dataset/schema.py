"""The columns of records, manifest, pairs and edges: their names, types and meanings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from curate.system.files import canonical_json, options_hash

SCHEMA_VERSION = 1
# how the hashes and signatures are made; another recipe cannot be compared with this one
HASH_RECIPE = (
    "phash64/pillow luma/lanczos32; steady600 of luma256; trim96; slant2 of luma96; xdog256 of luma; "
    "outline128 of 256; lab8x8 of 64 of 96; view96; edges90"
)
STRING_LIST = pa.list_(pa.string())

# (name, type, meaning); manifests/columns.md is made from this table
EXTRACTED_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("source", pa.string(), "source folder's name"),
    ("path", pa.string(), "POSIX path below it, NFC"),
    ("path_raw", pa.binary(), "the path's own bytes, where they are not those of `path`"),
    ("id", pa.string(), "first 32 hex digits of the SHA-256 of the file's bytes; null if unreadable"),
    ("bytes", pa.int64(), "file size"),
    ("width", pa.int32(), "px, after EXIF rotation; as stored where it was too large to decode"),
    ("height", pa.int32(), "px, after EXIF rotation; as stored where it was too large to decode"),
    ("format", pa.string(), "file format found in the bytes, not in the name"),
    ("mode", pa.string(), "Pillow's pixel mode as stored"),
    ("frames", pa.int32(), "frames of an animation; the first one is used"),
    ("phash", pa.string(), "16 hex digits, equal to `str(imagehash.phash(picture))`"),
    (
        "search_hashes",
        STRING_LIST,
        "hashes dedupe searches: of the picture without its white borders, as it is and in six variants",
    ),
    ("line_hash", pa.string(), "hash of the line art, which a recolour leaves as it is"),
    ("outline_hash", pa.string(), "hash of the silhouette; null where it fills the frame"),
    ("edge_hash", pa.string(), "hash of where colours change, which another hue leaves as it is"),
    ("color_grid", pa.list_(pa.float32()), "mean CIELAB over an 8x8 grid of the trimmed picture: 192 numbers"),
    ("emptiness", pa.float32(), "1 = nothing drawn"),
    ("line_ink", pa.float32(), "share of ink in the line art of the first style"),
    ("line_faint", pa.float32(), "share of its ink that is faint"),
    ("line_gaps", pa.float32(), "share of its ink pixels where a stroke ends"),
    ("tags", STRING_LIST, "what every stage reads: own tags and those merged from duplicates"),
    ("own_tags", STRING_LIST, "the sidecar's tags"),
    ("rating", pa.string(), "as the sidecar says"),
    ("score", pa.int32(), "as the sidecar says"),
    ("license", pa.string(), "as the sidecar says"),
    ("artist", pa.string(), "as the sidecar says"),
    ("extra", pa.string(), "the rest of the sidecar, as JSON"),
)
DECIDED_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("group", pa.string(), "id of the survivor whose star this picture belongs to"),
    ("role", pa.string(), "unique, survivor, duplicate or alternate"),
    ("duplicate_of", pa.string(), "the survivor's id, which is its own where the survivor has the same bytes"),
    ("distance", pa.int16(), "bits between the search hashes of a duplicate and its survivor"),
    ("family", pa.string(), "first-added id of the connected look-alikes"),
    ("split", pa.string(), "train, validation or test: one for a whole family"),
    ("dropped", pa.string(), "reason code why it is left out; null = kept"),
    ("error", pa.string(), "what could not be read: class and message"),
)
MANIFEST_COLUMNS = (*EXTRACTED_COLUMNS, *DECIDED_COLUMNS)
MANIFEST_SCHEMA = pa.schema([(name, kind) for name, kind, _ in MANIFEST_COLUMNS]).with_metadata(
    {"nurie.schema": str(SCHEMA_VERSION), "nurie.hashes": HASH_RECIPE}
)
LINE_COLUMN = "line_METHOD"
PAIR_COLUMNS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("id", pa.string(), "the picture's id: one row for all byte copies"),
    ("color", pa.binary(), "PNG, RGB: the whole picture in a square, shrunk by area, on white"),
    (LINE_COLUMN, pa.binary(), "PNG, gray, 255 = paper: its line art by METHOD, drawn at full size and shrunk alike"),
    ("sketch", pa.binary(), "PNG, black and white: the ink of the trimmed picture, which dedupe compares"),
    ("view", pa.binary(), "PNG, RGB, 96 px: the trimmed picture in a square, which dedupe compares"),
    ("content_box", pa.list_(pa.int32(), 4), "top, left, height, width of the picture inside its square, px"),
)
EDGES_SCHEMA = pa.schema(
    [
        ("a", pa.string()),
        ("b", pa.string()),
        ("kind", pa.string()),
        ("distance", pa.int16()),
        ("color_distance", pa.float32()),
        ("line_difference", pa.float32()),
    ]
)
OPTIONS_METADATA_KEY = b"nurie.options"
FILE_KEY = ("source", "path", "path_raw")
NON_NULL_LIST_COLUMNS = frozenset({"tags", "own_tags"})


def pairs_schema(lines: Sequence[str]) -> pa.Schema:
    """Columns of a pairs part, with one for each line-art method."""
    drawn = {LINE_COLUMN: [f"line_{method}" for method in lines]}
    return pa.schema([(column, kind) for name, kind, _ in PAIR_COLUMNS for column in drawn.get(name, [name])])


def with_options(schema: pa.Schema, options: Mapping[str, object]) -> pa.Schema:
    """A schema whose files tell the options, by stage, that they were made with, and their hash."""
    hashed = with_options_hash(schema, options_hash(options))
    return hashed.with_metadata({**hashed.metadata, OPTIONS_METADATA_KEY: canonical_json(options)})


def with_options_hash(schema: pa.Schema, options_hash: str) -> pa.Schema:
    """A schema whose files tell the hash of options that are written elsewhere."""
    return schema.with_metadata({**(schema.metadata or {}), b"nurie.options_hash": options_hash.encode()})


def declared_types(folder: str) -> dict[str, pa.DataType]:
    """Types of the columns of a folder's parts, as far as they are the same in every dataset."""
    if folder == "pairs":
        return {name: kind for name, kind, _ in PAIR_COLUMNS if name != LINE_COLUMN}
    schema = {"records": MANIFEST_SCHEMA, "manifest": MANIFEST_SCHEMA, "edges": EDGES_SCHEMA}.get(folder, pa.schema([]))
    return dict(zip(schema.names, schema.types, strict=True))
