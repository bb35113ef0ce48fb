"""The code in .github/docs/programs.md reads shards in other programs, and runs an exported model."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests import ROOT
from train.data.pairs import open_index
from train.exports.export import export
from train.model.trained_model import load_trained

PAGE = ROOT / ".github" / "docs" / "programs.md"
BLOCKS = re.findall(r"<!-- test shards -->\n+```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def stored(pairs32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Pixels (lines, colours) of the training pairs, in order; the working folder holds the shards as `shards`."""
    (tmp_path / "shards").symlink_to(pairs32)
    monkeypatch.chdir(tmp_path)
    return read_pixels(pairs32)


def read_pixels(shards: Path) -> list[tuple[bytes, bytes]]:
    import tensorflow as tf

    pixels = []
    for name in open_index(shards).shard_names("train"):
        for record in tf.data.TFRecordDataset(str(shards / name)):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            line, color = (feature[name].bytes_list.value[0] for name in ("line_contour", "color"))
            bgr = np.asarray(cv2.imdecode(np.frombuffer(color, np.uint8), cv2.IMREAD_COLOR))
            gray = np.asarray(cv2.imdecode(np.frombuffer(line, np.uint8), cv2.IMREAD_GRAYSCALE))
            pixels.append((gray.tobytes(), np.ascontiguousarray(bgr[..., ::-1]).tobytes()))
    return pixels


def run(block: str) -> dict[str, Any]:
    """Run a block of the guide; its global names."""
    names: dict[str, Any] = {}
    exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_the_tf_data_example_reads_every_pair(stored: list[tuple[bytes, bytes]]) -> None:
    names = run(BLOCKS[0])
    batches = [(lines.numpy(), colors.numpy()) for lines, colors in names["pairs"]]
    pixels = [
        (line.tobytes(), color.tobytes())
        for lines, colors in batches
        for line, color in zip(lines, colors, strict=True)
    ]
    assert pixels == stored


def test_the_keras_dataset_example_reads_every_pair(stored: list[tuple[bytes, bytes]]) -> None:
    pairs = run(BLOCKS[1])["Pairs"]("shards", batch=5)
    batches = [pairs[number] for number in range(len(pairs))]
    pixels = [
        (line.tobytes(), np.ascontiguousarray(color[..., ::-1]).tobytes())
        for lines, colors in batches
        for line, color in zip(lines, colors, strict=True)
    ]
    assert pixels == stored


def test_the_onnx_example_colours_as_the_run_does(
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
    expected = np.asarray(model.model([names["lines"], names["tags"]], training=False))[0]
    np.testing.assert_allclose(names["picture"], np.rint(127.5 * (expected + 1)), atol=1)
