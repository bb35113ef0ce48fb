import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from curate.dataset import parquet
from curate.extraction import extract
from curate.images.decode import decode
from curate.images.lineart import LINE_METHODS
from curate.images.square import letterbox
from curate.sources.scan import Source
from tests.curate.extraction.test_extract import OPTIONS, by_path


def test_a_record_describes_its_file(art: Path, dataset: Path) -> None:
    row, data = by_path(dataset / "records")["1F44B-1F3FD.png"], (art / "1F44B-1F3FD.png").read_bytes()
    assert row["id"] == hashlib.sha256(data).hexdigest()[:32]
    assert (row["bytes"], row["width"], row["height"], row["format"]) == (len(data), 256, 256, "png")
    assert "medium_skin_tone" in row["tags"]
    assert (row["license"], row["artist"]) == ("CC BY-SA 4.0", "OpenMoji")
    assert json.loads(row["extra"])["id"] == "1F44B-1F3FD"


def test_a_pair_is_the_picture_and_its_lines_in_squares(art: Path, dataset: Path) -> None:
    key = by_path(dataset / "records")["1F44D.png"]["id"]
    [pair] = parquet.read_parts(dataset / "pairs").filter(pc.field("id") == key).to_pylist()
    rgb = decode((art / "1F44D.png").read_bytes()).rgb
    np.testing.assert_array_equal(decode(pair["color"]).rgb, letterbox(rgb, 128))
    for method in OPTIONS.lines:
        np.testing.assert_array_equal(
            decode(pair[f"line_{method}"]).rgb[..., 0], letterbox(LINE_METHODS[method](rgb), 128)
        )
    assert pair["content_box"] == [0, 0, 128, 128]


def test_two_names_with_one_nfc_form_are_two_records_even_on_a_second_run(art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    shutil.copy(art / "1F600.png", source / "e\u0301.png")
    for expected in (1, 2, 2):
        counts = extract.extract([Source("s", source)], tmp_path / "d", OPTIONS)
        assert counts["in"] == expected
        shutil.copy(art / "1F408.png", source / "\u00e9.png")
    assert len(set(pd.read_parquet(tmp_path / "d" / "records")["id"])) == 2


def test_an_error_about_a_name_that_is_not_utf_8_can_be_stored(art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    name = os.fsdecode(b"\xff.png")
    shutil.copy(art / "1F600.png", source / name)
    (source / f"{name}.json").write_bytes(b"{")
    extract.extract([Source("s", source)], tmp_path / "d", OPTIONS)
    [row] = by_path(tmp_path / "d" / "manifest").values()
    assert row["path_raw"] == b"\xff.png"
    assert "is not JSON" in row["error"]


def test_lines_are_drawn_at_full_size_and_shrunk_afterwards(art: Path, tmp_path: Path) -> None:
    extract.extract(
        [Source("art", art)], tmp_path / "d", extract.ExtractOptions(lines=tuple(LINE_METHODS), size=32), limit=1
    )
    [pair] = parquet.read_parts(tmp_path / "d" / "pairs").to_pylist()
    [path] = by_path(tmp_path / "d" / "records")
    rgb = decode((art / path).read_bytes()).rgb
    for method, draw in LINE_METHODS.items():
        stored = decode(pair[f"line_{method}"]).rgb[..., 0]
        np.testing.assert_array_equal(stored, letterbox(draw(rgb), 32))
        assert not np.array_equal(stored, draw(letterbox(rgb, 32)))


def test_a_broken_sidecar_costs_its_tags_only(art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name, text in {"good": '{"tags": "smile", "score": 3}', "bad": "{broken"}.items():
        shutil.copy(art / "1F600.png", source / f"{name}.png")
        (source / f"{name}.png.json").write_text(text)
    extract.extract([Source("s", source)], tmp_path / "d", OPTIONS)
    rows = by_path(tmp_path / "d" / "manifest")
    assert rows["bad.png"]["dropped"] is None
    assert rows["bad.png"]["error"].startswith("SidecarError: bad.png.json")
    assert (rows["good.png"]["tags"], rows["good.png"]["score"]) == (["smile"], 3)
