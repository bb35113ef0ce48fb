"""Decompression bombs: small files that claim or unpack to something huge. By name: (reader, function -> bytes)."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.faults.hostile import valid_files
from tests.faults.hostile.valid_files import png_chunk

SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10">{}</svg>'
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(width: int, height: int, packed: bytes = b"", before: bytes = b"") -> bytes:
    """A gray PNG that claims `width` x `height` px, with the chunks `before` its pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return SIGNATURE + header + before + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def _compressed_zeros(count: int) -> bytes:
    """`count` zero bytes, compressed by zlib."""
    compressor = zlib.compressobj(9)
    block = bytes(1 << 20)
    packed = b"".join(compressor.compress(block) for _ in range(count >> 20))
    return packed + compressor.compress(bytes(count & (1 << 20) - 1)) + compressor.flush()


def gif(frames: int) -> bytes:
    """A GIF of `frames` frames of one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + (b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0") * frames + b";"


def tiff(pages: int) -> bytes:
    """A TIFF of `pages` pages of one pixel; each page's directory points to the next."""
    values = [(256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (279, 4, 1)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in values)
    size = 2 + len(entries) + 4
    ends = (8 + size * (page + 1) if page + 1 < pages else 0 for page in range(pages))
    return b"II*\0\x08\0\0\0" + b"".join(
        struct.pack("<H", len(values)) + entries + struct.pack("<I", end) for end in ends
    )


def jpeg(side: int, scans: int) -> bytes:
    """A progressive JPEG of a white square, with its last scan repeated `scans` times."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "white").save(file, "JPEG", progressive=True)
    data = file.getvalue()
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + b"\xff\xd9"


def nested_uses(levels: int) -> str:
    """SVG groups, each with ten uses of the group before."""
    groups = (f'<g id="a{n}">' + f'<use xlink:href="#a{n - 1}"/>' * 10 + "</g>" for n in range(1, levels + 1))
    return f'<defs><rect id="a0" width="1" height="1"/>{"".join(groups)}</defs><use xlink:href="#a{levels}"/>'


def _parquet(table: pa.Table, **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def _nested_lists(levels: int) -> bytes:
    column = pa.array([1])
    for _ in range(levels):
        column = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), column)
    return _parquet(pa.table({"id": pa.array([7]), "tags": column}))


def _npz(shape: str, kind: str, form: int, data: bytes, name: str = "average/000.npy") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", form) as archive:
        archive.writestr(name, b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data)
    return file.getvalue()


def _filter(inside: str) -> str:
    return f'<filter id="f">{inside}</filter><rect filter="url(#f)" width="9" height="9"/>'


PICTURES: dict[str, Callable[[], bytes]] = {
    "png of 4e18 pixels": lambda: png(0x7FFFFFFF, 0x7FFFFFFF),
    "png of 4 billion px width": lambda: png(0xFFFFFFFF, 1),
    "png of 2 billion frames": lambda: png(
        1, 1, zlib.compress(b"\0\0"), png_chunk(b"acTL", struct.pack(">II", 0x80000000, 0))
    ),
    "png that claims 196 million pixels": lambda: png(14_000, 14_000, zlib.compress(b"\0")),
    "png whose one pixel unpacks to 64 MB": lambda: png(1, 1, _compressed_zeros(64 << 20)),
    "png whose profile unpacks to 64 MB": lambda: png(
        1, 1, zlib.compress(b"\0\0"), png_chunk(b"iCCP", b"x\0\0" + _compressed_zeros(64 << 20))
    ),
    "png whose text unpacks to 64 MB": lambda: png(
        1, 1, zlib.compress(b"\0\0"), png_chunk(b"zTXt", b"x\0\0" + _compressed_zeros(64 << 20))
    ),
    "png of 200,000 empty chunks": lambda: png(1, 1, zlib.compress(b"\0\0"), png_chunk(b"tEXt", b"") * 200_000),
    "gif of 1,000,000 frames": lambda: gif(1_000_000),
    "gif of 16 MB of nothing": lambda: gif(1)[:-1] + bytes(16 << 20),
    "gif of 65,535 x 65,535 px": lambda: b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + gif(1)[19:],
    "tiff of 100,000 pages": lambda: tiff(100_000),
    "tiff whose page leads to itself": lambda: tiff(1)[:-4] + struct.pack("<I", 8),
    "tiff of 4 billion pixels width": lambda: tiff(1).replace(
        struct.pack("<HHII", 256, 3, 1, 1), struct.pack("<HHII", 256, 4, 1, 0xFFFFFFFF)
    ),
    "tiff of 4 billion values": lambda: tiff(1).replace(
        struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 0xFFFFFFFF, 8)
    ),
    "bmp of 2 billion rows": lambda: (
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 60, 0, 54, 40, 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0)
    ),
    "jpeg of 2,000 scans": lambda: jpeg(4000, 2000),
    "webp of 16,383 x 16,383 px": lambda: (
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8L" + struct.pack("<I", 10) + b"\x2f\xff\xff\xff\x0f" + bytes(5)
    ),
    "avif that claims 4 billion px": lambda: valid_files.pictures()["avif"][0].replace(
        struct.pack(">II", 12, 9), struct.pack(">II", 0xFFFFFFFF, 9)
    ),
}
SVG_BODIES: dict[str, Callable[[], str]] = {
    "entities, ten to the ninth": lambda: "&lol9;",
    "entity of a file": lambda: "&x;",
    "picture of a file": lambda: '<image xlink:href="file:/etc/passwd" width="9" height="9"/>',
    "picture of the net": lambda: '<image href="http://127.0.0.1:9/x.png" width="9" height="9"/>',
    "style of the net": lambda: "<style>@import url(http://127.0.0.1:9/x.css);</style>",
    "uses, ten to the eighth": lambda: nested_uses(8),
    "use of itself": lambda: '<g id="a"><use xlink:href="#a"/></g>',
    "100,000 nested groups": lambda: "<g>" * 100_000 + "</g>" * 100_000,
    "400 nested layers": lambda: '<g opacity=".9">' * 400 + '<rect width="9" height="9"/>' + "</g>" * 400,
    "nested patterns": lambda: (
        "".join(
            f'<pattern id="p{n}" width="1" height="1" patternUnits="userSpaceOnUse">'
            f'<rect width="1" height="1" fill="url(#p{n + 1})"/></pattern>'
            for n in range(2000)
        )
        + '<rect fill="url(#p0)" width="9" height="9"/>'
    ),
    "stroke of 1e38": lambda: '<path d="M0 0L1e30 1e30" stroke="red" stroke-width="1e38"/>',
    "dashes of 1e-9": lambda: '<path d="M0 0L1e9 1e9" stroke="red" stroke-dasharray="1e-9"/>',
    "blur of 1e6": lambda: _filter('<feGaussianBlur stdDeviation="1e6"/>'),
    "dilate of 1,000": lambda: _filter('<feMorphology operator="dilate" radius="1e3"/>'),
    "turbulence of 1,000,000 octaves": lambda: _filter('<feTurbulence baseFrequency=".5" numOctaves="1000000"/>'),
    "20,000 large rectangles": lambda: '<rect width="9" height="9" opacity=".5"/>' * 20_000,
    "a million letters": lambda: f"<text>{'a' * 1_000_000}</text>",
}
SLOW_DRAWINGS = frozenset(
    {
        "blur of 1e6",
        "uses, ten to the eighth",
        "dilate of 1,000",
        "turbulence of 1,000,000 octaves",
        "20,000 large rectangles",
    }
)
"""Drawings that use up the time limit of a drawing; left out of the short version."""
SLOW_TEXTS = frozenset({"sidecar of a million tags", "parquet whose dictionary unfolds", "drawing of 2,000 scans"})
"""Texts that are left out of the short version."""
ENTITIES = '<!DOCTYPE svg [<!ENTITY lol0 "lol"><!ENTITY x SYSTEM "file:/etc/passwd">{}]>'.format(
    "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1};" * 10}">' for n in range(1, 10))
)
TEXTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "json of 100,000 nested lists": ("sidecar-json", lambda: b"[" * 100_000 + b"]" * 100_000),
    "json of nested objects": ("sidecar-json", lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "json of a number of 4 million digits": ("sidecar-json", lambda: b'{"score": ' + b"9" * 4_000_000 + b"}"),
    "json of 1e999999999": ("sidecar-json", lambda: b'{"score": 1e999999999, "x": -1e999999999}'),
    "sidecar of a million tags": ("sidecar-txt", lambda: b"a b," * 1_000_000),
    "line of 32 MB in a table": (
        "table-posts.jsonl",
        lambda: b'{"id": 7, "tags": "' + b"x" * (32 << 20) + b'"}\n{"id": 7, "tags": "y"}\n',
    ),
    "nested lists in a table": (
        "table-posts.json",
        lambda: b'[{"id": 7, "tags": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
    ),
    "value of 32 MB in kohya's table": (
        "table-meta_cap.json",
        lambda: b'{"a": {"tags": "' + b"x" * (32 << 20) + b'"}}',
    ),
    "csv of a field of 32 MB": (
        "table-metadata.csv",
        lambda: b'file_name,text\r\na.png,"' + b"x" * (32 << 20) + b'"\r\n',
    ),
    "csv of a quote that never ends": (
        "table-metadata.csv",
        lambda: b'file_name,text\r\na.png,"' + b"x,\r\n" * 200_000,
    ),
    "csv of a million columns": (
        "table-metadata.csv",
        lambda: b"file_name" + b",x" * 1_000_000 + b"\r\na.png" + b",y" * 1_000_000,
    ),
    "parquet of 300 nested lists": ("table-posts.parquet", lambda: _nested_lists(300)),
    "parquet of 20 million equal texts": (
        "table-posts.parquet",
        lambda: _parquet(pa.table({"id": pa.array([7]), "tags": [["x" * 20_000_000]]}), compression="zstd"),
    ),
    "parquet whose dictionary unfolds": (
        "table-posts.parquet",
        lambda: _parquet(
            pa.table(
                {
                    "id": pa.nulls(20_000, pa.int64()),
                    "tags": pa.DictionaryArray.from_arrays(
                        pa.array([0] * 20_000, pa.int8()), pa.array(["x" * 10_000])
                    ).cast(pa.string()),
                }
            )
        ),
    ),
    "parquet whose footer claims 2 GB": (
        "table-posts.parquet",
        lambda: b"PAR1" + bytes(99) + struct.pack("<I", 2**31 - 1) + b"PAR1",
    ),
    "snapshot of 8 TB": (
        "snapshot",
        lambda: _npz("(10**12,)".replace("10**12", str(10**12)), "<f8", zipfile.ZIP_STORED, bytes(64)),
    ),
    "snapshot that unpacks to 64 MB": (
        "snapshot",
        lambda: _npz(f"({16 << 20},)", "<f4", zipfile.ZIP_DEFLATED, bytes(64 << 20)),
    ),
    "snapshot of objects": ("snapshot", lambda: _npz("(1,)", "|O", zipfile.ZIP_STORED, b"cos\nsystem\n(S'false'\ntR.")),
    "snapshot of a file elsewhere": (
        "snapshot",
        lambda: _npz("(1,)", "<f4", zipfile.ZIP_STORED, bytes(4), "../../../x.npy"),
    ),
    "drawing of 4e18 pixels": ("drawing", lambda: png(0x7FFFFFFF, 0x7FFFFFFF)),
    "drawing of 1 billion pixels": ("drawing", lambda: png(32_000, 32_000, _compressed_zeros(1 << 20))),
    "drawing of 2,000 scans": ("drawing", lambda: jpeg(4000, 2000)),
}


def models(run: Path) -> dict[str, Callable[[], bytes]]:
    """Bombs made from the valid model of `run`."""

    def changed(change: Callable[[dict[str, bytes]], None], form: int = zipfile.ZIP_STORED) -> bytes:
        with zipfile.ZipFile(run / "model.keras") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", form) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return file.getvalue()

    def units(members: dict[str, bytes]) -> None:
        text = members["config.json"].decode()
        members["config.json"] = text.replace('"units": 2', '"units": 200000').encode()
        assert members["config.json"] != text.encode()

    def lambda_(members: dict[str, bytes]) -> None:
        code = {"class_name": "__lambda__", "config": {"value": "4wAAAAA="}}
        layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "x", "function": code}}
        members["config.json"] = json.dumps(layer).encode()

    def deep(members: dict[str, bytes]) -> None:
        members["config.json"] = b'{"config":' * 50_000 + b"1" + b"}" * 50_000

    def elsewhere(members: dict[str, bytes]) -> None:
        members["assets/../../../../escaped.txt"] = b"x"

    def zeros(members: dict[str, bytes]) -> None:
        members["model.weights.h5"] += bytes(64 << 20)

    return {
        "layers of 160 GB": lambda: changed(units),
        "layer that is code": lambda: changed(lambda_),
        "nested layers": lambda: changed(deep),
        "name that leads elsewhere": lambda: changed(elsewhere),
        "weights that unpack to 64 MB": lambda: changed(zeros, zipfile.ZIP_DEFLATED),
    }


def _svg(inside: Callable[[], str]) -> bytes:
    return (ENTITIES * ("&" in inside()) + SVG.format(inside())).encode()


def all_bombs(corpus: Path, *, long: bool) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """All bombs. Those of the long version only take seconds each, or need TensorFlow."""
    bombs = {name: ("bomb", make) for name, make in PICTURES.items()}
    for name, inside in SVG_BODIES.items():
        if long or name not in SLOW_DRAWINGS:
            bombs[f"svg: {name}"] = ("bomb", partial(_svg, inside))
    bombs |= {name: bomb for name, bomb in TEXTS.items() if long or name not in SLOW_TEXTS}
    if long:
        run = valid_files.run_folder(corpus / "run", valid_files.dataset_and_shards(corpus / "data")) / "run"
        bombs |= {f"model: {name}": ("model", make) for name, make in models(run).items()}
    return bombs
