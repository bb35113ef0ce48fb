"""Make hostile files from valid ones: cut, with flipped bits, spliced, or generated from the pieces of their format.

Everything is drawn from a seed, so that the inputs of a batch depend only on its name.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.faults.hostile.valid_files import png_chunk

ValidFiles = Sequence[bytes]
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63)
"""Numbers at the limits of integer types."""


def cuts(valid: ValidFiles, start: int, count: int) -> list[bytes]:
    """`count` prefixes, from the `start`-th on, of all proper prefixes of the valid files."""
    prefixes = (data[:end] for data in valid for end in range(len(data)))
    return list(islice(prefixes, start, start + count))


def flips(valid: ValidFiles, rng: random.Random, count: int) -> list[bytes]:
    """Valid files with one to eight flipped bits each."""
    flipped = []
    for _ in range(count):
        data = bytearray(rng.choice(valid))
        for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        flipped.append(bytes(data))
    return flipped


def splices(valid: ValidFiles, rng: random.Random, count: int) -> list[bytes]:
    """Valid files with one to four pieces removed, repeated, or replaced by other pieces or edge values."""
    return [_spliced(valid, rng) for _ in range(count)]


def _spliced(valid: ValidFiles, rng: random.Random) -> bytes:
    data = rng.choice(valid)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 16, 64))
        piece = data[at : at + size]
        donor = rng.choice(valid)
        start = rng.randrange(len(donor))
        width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
        number = (rng.choice(EDGES) & ((1 << 8 * width) - 1)).to_bytes(width, order)  # type: ignore[arg-type]
        new = rng.choice((b"", piece * rng.randint(2, 40), donor[start : start + size], number, rng.randbytes(size)))
        data = data[:at] + new + data[at + (size if rng.random() < 0.8 else 0) :]
    return data


def generate(kind: str, valid: ValidFiles, name: str, count: int) -> list[bytes]:
    """Files that hypothesis builds from the pieces of a format, with correct checksums and lengths."""
    generated: list[bytes] = []

    @seed(name)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(SHAPES[kind](valid))
    def collect(data: bytes) -> None:
        generated.append(data)

    collect()
    return generated


numbers = st.sampled_from(EDGES) | st.integers(0, 300)
blobs = st.binary(max_size=24)
texts = st.text(max_size=12) | st.sampled_from(
    ["", "\x1b[2J", "../../x", "/etc/passwd", "a\nb", "nul\0", "\u202e", "NaN"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from([10**400, -(10**30), 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def _integer(width: int, order: str = ">") -> st.SearchStrategy[bytes]:
    form = {1: "B", 2: "H", 4: "I"}[width]
    return numbers.map(lambda value: struct.pack(order + form, value & ((1 << 8 * width) - 1)))


def _rearranged(
    valid: ValidFiles, parse: Callable[[bytes], list[bytes]], build: Callable[[list[bytes]], bytes], new: Any
) -> Any:
    """Valid files with some pieces inserted or replaced by others or by `new` ones."""
    pieces = [piece for data in valid for piece in parse(data)]
    whole = st.sampled_from([parse(data) for data in valid])

    @st.composite
    def rearranged(draw: st.DrawFn) -> bytes:
        parts = list(draw(whole))
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(parts)))
            parts[at : at + draw(st.integers(0, 1))] = [draw(new | st.sampled_from(pieces))]
        return build(parts)

    return rearranged()


def _png(valid: ValidFiles) -> Any:
    def parse(data: bytes) -> list[bytes]:
        pieces, at = [], 8
        while at + 8 <= len(data):
            size = 12 + int.from_bytes(data[at : at + 4], "big")
            pieces.append(data[at : at + size])
            at += size
        return pieces

    kinds = (
        "IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB tEXt zTXt iTXt bKGD hIST pHYs sPLT tIME eXIf acTL fcTL fdAT"
    )
    sides = st.sampled_from([0, 1, 12, 999, 70_000, 0x7FFFFFFF, 0xFFFFFFFF])
    header = st.tuples(sides, sides, *[st.sampled_from([0, 1, 2, 3, 4, 6, 8, 16])] * 5)
    packed = (blobs | st.integers(0, 3000).map(bytes)).map(zlib.compress)
    body = blobs | packed | packed.map(lambda data: b"x\0\0" + data) | st.lists(_integer(4), max_size=4).map(b"".join)
    new = st.builds(png_chunk, st.sampled_from(kinds.split()).map(str.encode), body)
    new |= header.map(lambda fields: png_chunk(b"IHDR", struct.pack(">IIBBBBB", *fields)))
    valid = [data for data in valid if data.startswith(b"\x89PNG")]
    return _rearranged(valid, parse, lambda parts: b"\x89PNG\r\n\x1a\n" + b"".join(parts), new)


def _jpeg(valid: ValidFiles) -> Any:
    def parse(data: bytes) -> list[bytes]:
        starts = [at for at in range(len(data) - 1) if data[at] == 0xFF and data[at + 1] not in {0, 0xFF}]
        return [data[begin:end] for begin, end in zip(starts, [*starts[1:], len(data)], strict=True)]

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    exif = st.lists(blobs, max_size=3).map(lambda parts: b"Exif\0\0II*\0\x08\0\0\0" + b"".join(parts))
    return _rearranged(valid, parse, b"".join, st.builds(segment, st.integers(0xC0, 0xFE), blobs | exif))


def _riff(valid: ValidFiles) -> Any:
    def parse(data: bytes) -> list[bytes]:
        pieces, at = [], 12
        while at + 8 <= len(data):
            size = 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            pieces.append(data[at : at + size + size % 2])
            at += size + size % 2
        return pieces

    def build(parts: list[bytes]) -> bytes:
        body = b"WEBP" + b"".join(parts)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    kinds = st.sampled_from([b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "])
    new = st.builds(lambda kind, body: kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2), kinds, blobs)
    return _rearranged(valid, parse, build, new)


def _gif(valid: ValidFiles) -> Any:
    word = _integer(2, "<")
    screen = st.tuples(word, word, st.binary(min_size=3, max_size=3)).map(b"".join)
    blocks = st.lists(blobs.map(lambda data: bytes([len(data)]) + data), max_size=3).map(
        lambda all_: b"".join(all_) + b"\0"
    )
    frame = st.tuples(word, word, word, word, _integer(1), st.integers(0, 13).map(lambda bits: bytes([bits])), blocks)
    blocks_and_extensions = frame.map(lambda parts: b"," + b"".join(parts))
    blocks_and_extensions |= st.tuples(st.sampled_from([b"!\xf9", b"!\xff", b"!\xfe", b"!\x01"]), blocks).map(b"".join)
    files = st.tuples(screen, st.lists(blocks_and_extensions | blobs, max_size=5)).map(
        lambda parts: b"GIF89a" + parts[0] + bytes(range(48)) + b"".join(parts[1]) + b";"
    )
    return files | _any_splice(valid)


def _bmp(valid: ValidFiles) -> Any:
    size = st.sampled_from([12, 40, 52, 56, 64, 108, 124])
    sides = st.sampled_from([0, 1, 5, 12, -9, 999, 70_000, 2**31 - 1, -(2**31)])
    rest = st.tuples(st.sampled_from([0, 1, 4, 8, 16, 24, 32]), st.sampled_from([0, 1, 2, 3, 6]), numbers)
    return st.builds(
        lambda size, width, height, rest, body: (
            b"BM"
            + struct.pack("<III", 14 + size + len(body), 0, 14 + size)
            + struct.pack("<IiiHHII", size, width, height, 1, rest[0], rest[1], rest[2] & 0xFFFFFFFF)
            + body
        ),
        size,
        sides,
        sides,
        rest,
        st.binary(max_size=400),
    ) | _any_splice(valid)


def _tiff(valid: ValidFiles) -> Any:
    tags = st.sampled_from(
        [
            254,
            256,
            257,
            258,
            259,
            262,
            266,
            270,
            273,
            274,
            277,
            278,
            279,
            282,
            284,
            306,
            317,
            320,
            322,
            323,
            324,
            325,
            330,
            332,
            338,
            339,
            347,
            512,
            513,
            514,
            530,
            531,
            532,
            700,
            34665,
            34675,
            34853,
        ]
    )
    kinds, counts = st.integers(0, 18), st.sampled_from([0, 1, 2, 3, 4, 8, 64, 70_000, 0xFFFFFFFF])
    values = st.sampled_from([0, 1, 2, 3, 5, 7, 8, 12, 16, 32, 64, 100, 32773, 32946, 50000, 0x7FFFFFFF, 0xFFFFFFFF])
    entry = st.tuples(tags, kinds, counts, values).map(lambda fields: struct.pack("<HHII", *fields))

    def build(entries: list[bytes], after: int, body: bytes) -> bytes:
        return (
            b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", after) + body
        )

    basic = [
        (256, 3, 1, 8),
        (257, 3, 1, 8),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (279, 4, 1, 64),
    ]
    basic_entries = [struct.pack("<HHII", *fields) for fields in basic]
    entries = st.lists(entry, min_size=1, max_size=6).map(
        lambda new: sorted([*basic_entries, *new], key=lambda entry_bytes: entry_bytes[:2])
    )
    return st.builds(build, entries, st.sampled_from([0, 8, 0xFFFFFFFF]), st.binary(max_size=90)) | _any_splice(valid)


def _avif(valid: ValidFiles) -> Any:
    def parse(data: bytes) -> list[bytes]:
        pieces, at = [], 0
        while at + 8 <= len(data):
            size = max(8, int.from_bytes(data[at : at + 4], "big"))
            pieces.append(data[at : at + size])
            at += size
        return pieces

    kinds = st.sampled_from([b"ftyp", b"meta", b"mdat", b"iloc", b"iinf", b"iprp", b"pitm", b"hdlr", b"moov", b"free"])
    new = st.builds(lambda kind, body: struct.pack(">I", 8 + len(body)) + kind + body, kinds, blobs)
    return _rearranged(valid, parse, b"".join, new) | _any_splice(valid)


def _svg(valid: ValidFiles) -> Any:
    names = [
        "g",
        "rect",
        "path",
        "use",
        "image",
        "text",
        "style",
        "filter",
        "mask",
        "clipPath",
        "pattern",
        "linearGradient",
        "symbol",
        "svg",
        "marker",
        "switch",
        "a",
    ]
    names += ["feGaussianBlur", "feTurbulence", "feImage", "feMorphology", "feTile", "feFlood", "feOffset", "script"]
    values = st.sampled_from(
        [
            "",
            "0",
            "-1",
            "1e9",
            "1e309",
            "NaN",
            "100%",
            "#a",
            "url(#a)",
            "url(#f)",
            "red",
            "inherit",
            "data:image/png;base64,AAAA",
            "M0 0L1e38-1e38z",
            "scale(1e300)",
            "0 0 0 0",
            "matrix(0 0 0 0 0 0)",
            "file:/etc/passwd",
            "http://127.0.0.1:9/x",
            "&lt;",
            "a",
            "f",
        ]
    )
    keys = st.sampled_from(
        [
            "id",
            "width",
            "height",
            "x",
            "y",
            "r",
            "d",
            "fill",
            "stroke",
            "stroke-width",
            "stroke-dasharray",
            "transform",
            "viewBox",
            "href",
            "filter",
            "mask",
            "clip-path",
            "opacity",
            "style",
            "class",
            "stdDeviation",
            "radius",
            "baseFrequency",
            "numOctaves",
            "offset",
            "marker-mid",
        ]
    )
    attributes = st.dictionaries(keys, values, max_size=4)

    def element(name: str, attributes_of_element: dict[str, str], inside: list[str]) -> str:
        text = " ".join(f'{key}="{value}"' for key, value in attributes_of_element.items())
        return f"<{name} {text}>{''.join(inside)}</{name}>"

    tree = st.recursive(
        st.builds(element, st.sampled_from(names), attributes, st.just([]))
        | st.sampled_from(["x", "<!-- -->", "<![CDATA[x]]>"]),
        lambda inner: st.builds(element, st.sampled_from(names), attributes, st.lists(inner, max_size=3)),
        max_leaves=8,
    )
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
    return tree.map(lambda inside: f"{head}{inside}</svg>".encode()) | _any_splice(valid)


def _json(valid: ValidFiles) -> Any:
    """Valid JSON with one to three changes (values replaced or removed, keys renamed); or any JSON."""
    parsed = st.sampled_from([json.loads(data) for data in valid if _is_json(data)])

    @st.composite
    def changed_json(draw: st.DrawFn) -> bytes:
        value = json.loads(json.dumps(draw(parsed)))
        for _ in range(draw(st.integers(1, 3))):
            value = _changed(draw, value)
        return json.dumps(value).encode()

    return changed_json() | json_values.map(lambda value: json.dumps(value).encode())


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, list | dict) or not value or draw(st.integers(0, 3)) == 0:
        return draw(json_values)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = draw(st.sampled_from(keys))
    how = draw(st.integers(0, 5))
    if how == 0:
        del value[key]
    elif how == 1 and isinstance(value, dict):
        value[draw(texts)] = value.pop(key)
    else:
        value[key] = _changed(draw, value[key])
    return value


def _lines(valid: ValidFiles) -> Any:
    lines = [line for data in valid for line in data.splitlines(keepends=True)]
    line = (
        st.sampled_from(lines)
        | texts.map(str.encode)
        | json_values.map(lambda value: json.dumps(value).encode() + b"\n")
    )
    ends = st.sampled_from([b"\n", b"\r\n", b"\r", b"", b"\xe2\x80\xa8", b"\0", b"\xff"])
    return st.lists(st.tuples(line, ends).map(b"".join), max_size=6).map(b"".join)


def _csv(valid: ValidFiles) -> Any:
    heads = st.sampled_from(["file_name", "text", "tags", "score", "id", "", "file_name", "\ufeff"])
    cell = st.one_of(texts, st.sampled_from(["a.png", "b/c.png", '"', '""', '"a\r\nb"', "x" * 200_000]))
    rows = st.lists(st.lists(cell, max_size=4).map(",".join), max_size=5)
    table = st.tuples(st.lists(heads, min_size=1, max_size=4).map(",".join), rows)
    return table.map(
        lambda head_and_rows: "\r\n".join([head_and_rows[0], *head_and_rows[1]]).encode("utf-8", "replace")
    ) | _lines(valid)


def _parquet(valid: ValidFiles) -> Any:
    """Rows of the valid tables with columns replaced, added or removed."""
    types = [
        pa.string(),
        pa.int64(),
        pa.float32(),
        pa.bool_(),
        pa.binary(),
        pa.list_(pa.string()),
        pa.null(),
        pa.date32(),
        pa.list_(pa.list_(pa.int8())),
        pa.struct([("a", pa.string())]),
        pa.dictionary(pa.int8(), pa.string()),
        pa.map_(pa.string(), pa.int8()),
        pa.large_string(),
        pa.decimal128(5, 2),
    ]
    tables = [pq.read_table(io.BytesIO(data)) for data in valid]

    @st.composite
    def table_file(draw: st.DrawFn) -> bytes:
        table = draw(st.sampled_from(tables))
        table = table.take(pa.array(draw(st.lists(st.integers(0, max(0, len(table) - 1)), max_size=3)), pa.int64()))
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.integers(0, table.num_columns - 1))
            kind = draw(st.sampled_from([*types, table.schema.field(place).type]))
            column = pa.array([_value(draw, kind) for _ in range(len(table))], kind)
            name = draw(st.sampled_from([table.column_names[place], table.column_names[-1], "file_name", "tags", "x"]))
            table = (
                draw(st.sampled_from([table.remove_column(place), table])) if draw(st.integers(0, 4)) == 0 else table
            )
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, column)
            else:
                table = table.append_column(name, column)
        file = io.BytesIO()
        options = {"compression": draw(st.sampled_from(["none", "zstd", "snappy", "gzip"]))}
        pq.write_table(table, file, **options, use_dictionary=draw(st.booleans()), store_schema=draw(st.booleans()))
        return file.getvalue()

    return table_file()


def _value(draw: st.DrawFn, kind: pa.DataType) -> Any:
    if draw(st.integers(0, 3)) == 0:
        return None
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    text |= st.sampled_from(["train", "../../x", "\x1b[2J", "a\nb", "0" * 32])
    strategies: dict[Any, Any] = {
        pa.string(): text,
        pa.large_string(): text,
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.int32(): st.integers(-(2**31), 2**31 - 1),
        pa.int16(): st.integers(-(2**15), 2**15 - 1),
        pa.float32(): st.floats(width=32),
        pa.bool_(): st.booleans(),
        pa.binary(): blobs,
        pa.list_(pa.string()): st.lists(st.none() | text, max_size=3),
        pa.list_(pa.float32()): st.lists(st.floats(width=32), max_size=3),
        pa.struct([("a", pa.string())]): st.fixed_dictionaries({"a": text}),
        pa.list_(pa.list_(pa.int8())): st.just([[1], None]),
        pa.dictionary(pa.int8(), pa.string()): text,
        pa.map_(pa.string(), pa.int8()): st.just([("a", 1)]),
    }
    return draw(strategies[kind]) if kind in strategies else None


def _example(valid: ValidFiles) -> Any:
    """Records with other features and correct framing, in a file as long as the valid one."""
    from curate.shards import tfrecord

    number = st.sampled_from([0, 1, -1, 15, 16, 17, 2**31, 2**63 - 1, -(2**63)])
    value = blobs | st.lists(number, max_size=5)
    names = st.sampled_from(["id", "family", "group", "color", "line_dilate", "content_box", "tags", "x"])
    record = st.dictionaries(names, value, max_size=7).map(tfrecord.serialize_example)
    framed = record.map(lambda data: (tfrecord.frame_record(data) * 3 + valid[0])[: len(valid[0])])
    # The listing has the place of each record. Protocol buffers merge repeated fields, and the last value counts.
    overwritten = record.map(lambda data: valid[0][:12] + data + valid[0][12 + len(data) :])
    return framed | overwritten | _any_splice(valid)


def _zip(valid: ValidFiles) -> Any:
    members = [
        (name, file.read(name))
        for data in valid
        for file in [zipfile.ZipFile(io.BytesIO(data))]
        for name in file.namelist()
    ]
    header = st.builds(
        lambda shape, kind, order: f"{{'descr': {kind!r}, 'fortran_order': {order}, 'shape': {shape}, }}",
        st.sampled_from(["()", "(3,)", "(-1,)", "(10**9, 10**9)", "(9999999999999,)", "(2,)*99", "x", "(" * 300]),
        st.sampled_from(["<f4", "|O", "<U9999999", "|V8", "<M8[s]", "i", "nonsense", ">c16"]),
        st.booleans(),
    )
    array = header.map(
        lambda text: b"\x93NUMPY\x01\0" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + bytes(64)
    )
    jsons = [data for name, data in members if name.endswith(".json")]
    content = st.sampled_from([data for _, data in members]) | array | blobs | (_json(jsons) if jsons else blobs)
    names = st.sampled_from(
        [*(name for name, _ in members), "../../x.npy", "/abs.npy", "clock/x.npy", "clock/step.npy", "a/../b.npy"]
    )

    @st.composite
    def archive_file(draw: st.DrawFn) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            kept = [member for member in members if draw(st.integers(0, 9))]
            for name, data in [*kept, *draw(st.lists(st.tuples(names, content), max_size=2))]:
                stored = draw(content) if draw(st.integers(0, 5)) == 0 else data
                compression = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
                archive.writestr(zipfile.ZipInfo(name), stored, compression)
        return file.getvalue()

    return archive_file()


def _any_splice(valid: ValidFiles) -> Any:
    return st.randoms(use_true_random=True).map(lambda rng: _spliced(valid, rng))


SHAPES: dict[str, Callable[[ValidFiles], Any]] = {
    "png": _png,
    "apng": _png,
    "jpeg": _jpeg,
    "webp": _riff,
    "gif": _gif,
    "bmp": _bmp,
    "tiff": _tiff,
    "avif": _avif,
    "svg": _svg,
    "json": _json,
    "lines": _lines,
    "csv": _csv,
    "parquet": _parquet,
    "example": _example,
    "zip": _zip,
}
