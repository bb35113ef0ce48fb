"""What the documentation shows of shards in other programs' hands reads every pair as it is stored."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests import ROOT
from train.data.pairs import open_index
from train.exports.export import export
from train.model.trained import load_trained

PAGE = ROOT / ".github" / "docs" / "programs.md"
BLOCKS = re.findall(r"<!-- test shards -->\n+```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def stored(pairs32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Line art and colours of the training pairs, in order; the shards lie in `shards` below the working folder."""
    (tmp_path / "shards").symlink_to(pairs32)
    monkeypatch.chdir(tmp_path)
    return _pixels(pairs32)


def _pixels(shards: Path) -> list[tuple[bytes, bytes]]:
    import tensorflow as tf

    found = []
    for name in open_index(shards).shard_names("train"):
        for record in tf.data.TFRecordDataset(str(shards / name)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            line, color = (feature[one].bytes_list.value[0] for one in ("line_contour", "color"))
            bgr = np.asarray(cv2.imdecode(np.frombuffer(color, np.uint8), cv2.IMREAD_COLOR))
            gray = np.asarray(cv2.imdecode(np.frombuffer(line, np.uint8), cv2.IMREAD_GRAYSCALE))
            found.append((gray.tobytes(), np.ascontiguousarray(bgr[..., ::-1]).tobytes()))
    return found


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_plain_tf_data_reads_every_pair(stored: list[tuple[bytes, bytes]]) -> None:
    names = run(BLOCKS[0])
    batches = [(lines.numpy(), colors.numpy()) for lines, colors in names["pairs"]]
    found = [
        (line.tobytes(), color.tobytes())
        for lines, colors in batches
        for line, color in zip(lines, colors, strict=True)
    ]
    assert found == stored


def test_a_keras_dataset_picks_every_pair_by_its_place(stored: list[tuple[bytes, bytes]]) -> None:
    pairs = run(BLOCKS[1])["Pairs"]("shards", batch=5)
    batches = [pairs[number] for number in range(len(pairs))]
    found = [
        (line.tobytes(), np.ascontiguousarray(color[..., ::-1]).tobytes())
        for lines, colors in batches
        for line, color in zip(lines, colors, strict=True)
    ]
    assert found == stored


def test_onnx_runtime_colours_as_the_guide_has_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(trained, tmp_path / "out", "onnx")
    [block] = re.findall(
        r"<!-- test export -->\n+```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    names = run(block)
    model = load_trained(trained)
    assert names["vocabulary"] == list(model.vocabulary)
    wanted = np.asarray(model.model([names["lines"], names["tags"]], training=False))[0]
    np.testing.assert_allclose(names["picture"], np.rint(127.5 * (wanted + 1)), atol=1)
