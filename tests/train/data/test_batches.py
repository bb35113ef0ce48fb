"""Batches: what they hold, how pairs are varied, and that they depend on seed and step alone."""

import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from train.config import Config
from train.data.batches import BatchOptions, content_mask, fixed_batch, training_batches, white_outside
from train.data.pairs import Pairs, line_style_indices
from train.errors import RunError


def test_batches_depend_on_seed_and_step_alone(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    options = BatchOptions(7, True, 0.3, 0.3, jitter=0.5, lines=("contour", "xdog"), line_variation=0.5, balance=0.5)
    first = list(training_batches(pairs, 4, options).take(5))
    other_seed = next(iter(training_batches(pairs, 4, BatchOptions(8), first_step=4)))
    for step in (2, 4):
        later = next(iter(training_batches(pairs, 4, options, first_step=step)))
        for expected, tensor in zip(first[step], later, strict=True):
            np.testing.assert_array_equal(tensor, expected)
    assert not np.array_equal(first[4].colors, other_seed.colors)


def test_a_batch_holds_the_pixels_and_tags_of_the_shards(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    batch = fixed_batch(pairs, [0, 1])
    example = tf.train.Example.FromString(pairs.read_record(1)).features.feature
    color = tf.io.decode_png(example["color"].bytes_list.value[0]).numpy()
    line = tf.io.decode_png(example["line_contour"].bytes_list.value[0]).numpy()
    np.testing.assert_allclose(batch.colors[1], color / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(batch.lines[1], line / 127.5 - 1, atol=1e-6)
    assert np.flatnonzero(batch.tags[1]).tolist() == list(example["tags"].int64_list.value)
    assert example["id"].bytes_list.value[0].decode() == pairs.ids[1]


def test_every_stored_line_style_is_drawn_by_default(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    styles = [fixed_batch(pairs, list(range(len(pairs))), style).lines.numpy() for style in range(3)]
    for batch in training_batches(pairs, 8, BatchOptions(0)).take(3):
        assert all(any(_is_among(line, style) for line in batch.lines.numpy()) for style in styles)


def test_only_the_line_styles_in_the_options_are_drawn(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    first, left_out, last = (fixed_batch(pairs, list(range(len(pairs))), style).lines.numpy() for style in range(3))
    options = BatchOptions(0, lines=(pairs.index.lines[2], pairs.index.lines[0]))
    counts = {"first": 0, "last": 0}
    for batch in training_batches(pairs, 8, options).take(4):
        for line in batch.lines.numpy():
            matches = {name for name, pictures in (("first", first), ("last", last)) if _is_among(line, pictures)}
            assert matches
            counts = {name: count + (matches == {name}) for name, count in counts.items()}
            assert not _is_among(line, left_out) or _is_among(line, np.concatenate([first, last]))
    assert min(counts.values()) > 0


def _is_among(line: Any, pictures: Any) -> bool:
    return bool((line == pictures).all(axis=(1, 2, 3)).any())


def test_a_line_style_that_is_not_stored_is_refused_and_the_stored_ones_are_named(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    with pytest.raises(RunError, match=r"no lines by xdgo: choose from .*xdog.*$"):
        training_batches(pairs, 4, BatchOptions(0, lines=("xdog", "xdgo")))
    assert line_style_indices(pairs.index, ()) == [0, 1, 2]


def test_batch_options_take_each_setting_of_the_config() -> None:
    config = Config(
        seed=3,
        flip=False,
        single_tag_dropout=0.2,
        jitter=0.7,
        lines=" xdog,canny ,",
        line_variation=0.4,
        balance=0.6,
        target="lines",
    )
    assert BatchOptions.from_config(config) == BatchOptions(
        3, False, 0.1, 0.2, "lines", 0.7, ("xdog", "canny"), 0.4, 0.6
    )


def test_tag_dropout_removes_its_share_of_tags_and_adds_none(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    plain = training_batches(pairs, 8, BatchOptions(0)).take(20)
    dropped = training_batches(pairs, 8, BatchOptions(0, tag_dropout=0.25, single_tag_dropout=0.2)).take(20)
    before, after = (np.concatenate([batch.tags for batch in batches]) for batches in (plain, dropped))
    assert (after <= before).all()
    assert after.sum() / before.sum() == pytest.approx(0.75 * 0.8, abs=0.12)


def test_a_flip_mirrors_lines_colours_and_mask_together(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    plain = next(iter(training_batches(pairs, 8, BatchOptions(0))))
    flipped = next(iter(training_batches(pairs, 8, BatchOptions(0, flip=True))))
    mirrored = 0
    for field in range(3):
        for before, after in zip(plain[field].numpy(), flipped[field].numpy(), strict=True):
            is_same, is_mirrored = np.array_equal(before, after), np.array_equal(before[:, ::-1], after)
            assert is_same or is_mirrored
            mirrored += is_mirrored and not is_same
    assert 0 < mirrored < 24


def test_a_pair_whose_tags_name_a_side_is_never_mirrored(pairs32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = Pairs(pairs32, "train")
    tags = fixed_batch(pairs, list(range(len(pairs)))).tags.numpy()
    index = int(np.argmin(abs(tags.sum(axis=0) - len(pairs) / 2)))  # a tag on about half of the pairs
    monkeypatch.setattr(pairs, "side_tag_mask", np.eye(tags.shape[1], dtype=np.float32)[index])
    mirrored = {0.0: 0, 1.0: 0}
    for step in range(6):
        plain, flipped = (
            next(iter(training_batches(pairs, 8, BatchOptions(0, flip=flip), first_step=step)))
            for flip in (False, True)
        )
        changed = (plain.colors.numpy() != flipped.colors.numpy()).any(axis=(1, 2, 3))
        for tag, is_changed in zip(plain.tags.numpy()[:, index], changed, strict=True):
            mirrored[float(tag)] += bool(is_changed)
    assert mirrored[1.0] == 0
    assert mirrored[0.0] > 0


def test_jitter_moves_lines_colours_and_mask_together(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    batch = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines", jitter=1.0))))
    plain = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines"))))
    np.testing.assert_allclose(batch.colors, np.repeat(batch.lines, 3, axis=-1), atol=1e-6)
    assert (batch.lines.numpy() != plain.lines.numpy()).any(axis=(1, 2, 3)).all()
    assert (batch.lines.numpy()[batch.mask.numpy() == 0] == 1).all()
    ink, plain_ink = (float((1 - each.lines.numpy()).sum()) for each in (batch, plain))
    assert ink == pytest.approx(plain_ink, rel=0.3)


def test_the_mask_is_one_inside_the_content_box() -> None:
    mask = content_mask([1, 0, 2, 3], 4)[..., 0]
    assert mask.tolist() == [[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


def test_white_outside_whitens_what_the_mask_excludes() -> None:
    mask = content_mask([0, 0, 2, 4], 4)[None]
    pixels = white_outside(-np.ones((1, 4, 4, 3)), mask)
    assert (pixels[0, :2] == -1).all()
    assert (pixels[0, 2:] == 1).all()


def test_a_split_without_pairs_is_refused_by_name(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "nowhere")
    with pytest.raises(RunError, match="no nowhere pairs"):
        training_batches(pairs, 4, BatchOptions(0))


def test_closing_pairs_unmaps_their_files(pairs32: Path, tmp_path: Path) -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux lists the files that a process has mapped")
    folder = shutil.copytree(pairs32, tmp_path / "shards")
    with closing(Pairs(folder, "train")) as pairs:
        assert pairs.read_record(len(pairs) - 1)
        assert str(folder) in maps.read_text()
    assert str(folder) not in maps.read_text()


def test_closing_pairs_ends_their_threads(pairs32: Path) -> None:
    before = set(threading.enumerate())
    with closing(Pairs(pairs32, "train")) as pairs:
        next(iter(training_batches(pairs, 24, BatchOptions(0))))
        started = set(threading.enumerate()) - before
    threads = [thread for thread in started if thread.name.startswith("ThreadPoolExecutor")]
    assert threads
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
