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


def test_batches_are_a_pure_function_of_seed_and_step(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    choices = BatchOptions(7, True, 0.3, 0.3, jitter=0.5, lines=("contour", "xdog"), line_variation=0.5, balance=0.5)
    first = list(training_batches(pairs, 4, choices).take(5))
    other = next(iter(training_batches(pairs, 4, BatchOptions(8), first_step=4)))
    for step in (2, 4):
        later = next(iter(training_batches(pairs, 4, choices, first_step=step)))
        for one, same in zip(first[step], later, strict=True):
            np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first[4].colors, other.colors)


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


def test_every_line_style_is_drawn(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    styles = [fixed_batch(pairs, list(range(len(pairs))), style).lines.numpy() for style in range(3)]
    for batch in training_batches(pairs, 8, BatchOptions(0)).take(3):
        matches = [any((line == known).all(axis=(1, 2, 3)).any() for line in batch.lines.numpy()) for known in styles]
        assert all(matches)


def test_only_the_line_styles_asked_for_are_drawn(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    first, left_out, last = (fixed_batch(pairs, list(range(len(pairs))), style).lines.numpy() for style in range(3))
    named = BatchOptions(0, lines=(pairs.index.lines[2], pairs.index.lines[0]))
    seen = {"first": 0, "last": 0}
    for batch in training_batches(pairs, 8, named).take(4):
        for line in batch.lines.numpy():
            found = {name for name, known in (("first", first), ("last", last)) if _among(line, known)}
            assert found
            seen = {name: count + (found == {name}) for name, count in seen.items()}
            assert not _among(line, left_out) or _among(line, np.concatenate([first, last]))
    assert min(seen.values()) > 0


def _among(line: Any, known: Any) -> bool:
    return bool((line == known).all(axis=(1, 2, 3)).any())


def test_a_line_style_that_is_not_stored_is_one_line_that_names_those_that_are(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    with pytest.raises(RunError, match=r"no lines by xdgo: choose from .*xdog.*$"):
        training_batches(pairs, 4, BatchOptions(0, lines=("xdog", "xdgo")))
    assert line_style_indices(pairs.index, ()) == [0, 1, 2]


def test_what_a_config_says_of_pairs_is_what_they_get() -> None:
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


def test_dropped_tags_are_a_share_and_never_added(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    whole = training_batches(pairs, 8, BatchOptions(0)).take(20)
    less = training_batches(pairs, 8, BatchOptions(0, tag_dropout=0.25, single_tag_dropout=0.2)).take(20)
    before, after = (np.concatenate([batch.tags for batch in batches]) for batches in (whole, less))
    assert (after <= before).all()
    assert after.sum() / before.sum() == pytest.approx(0.75 * 0.8, abs=0.12)


def test_a_flip_mirrors_lines_colours_and_mask_together(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    plain = next(iter(training_batches(pairs, 8, BatchOptions(0))))
    flipped = next(iter(training_batches(pairs, 8, BatchOptions(0, flip=True))))
    mirrored = 0
    for field in range(3):
        for one, other in zip(plain[field].numpy(), flipped[field].numpy(), strict=True):
            same, turned = np.array_equal(one, other), np.array_equal(one[:, ::-1], other)
            assert same or turned
            mirrored += turned and not same
    assert 0 < mirrored < 24


def test_a_pair_whose_tags_name_a_side_is_never_mirrored(pairs32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = Pairs(pairs32, "train")
    tags = fixed_batch(pairs, list(range(len(pairs)))).tags.numpy()
    sided = tags[:, np.argmin(abs(tags.sum(axis=0) - len(pairs) / 2))]  # a tag on about half of them
    place = int(np.flatnonzero((tags == sided[:, None]).all(axis=0))[0])
    monkeypatch.setattr(pairs, "side_tag_mask", np.eye(tags.shape[1], dtype=np.float32)[place])
    seen = {0.0: 0, 1.0: 0}
    for step in range(6):
        plain, flipped = (
            next(iter(training_batches(pairs, 8, BatchOptions(0, flip=flip), first_step=step)))
            for flip in (False, True)
        )
        changed = (plain.colors.numpy() != flipped.colors.numpy()).any(axis=(1, 2, 3))
        for tag, turned in zip(plain.tags.numpy()[:, place], changed, strict=True):
            seen[float(tag)] += bool(turned)
    assert seen[1.0] == 0
    assert seen[0.0] > 0


def test_jitter_moves_lines_colours_and_mask_together(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "train")
    batch = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines", jitter=1.0))))
    plain = next(iter(training_batches(pairs, 8, BatchOptions(0, target="lines"))))
    np.testing.assert_allclose(batch.colors, np.repeat(batch.lines, 3, axis=-1), atol=1e-6)
    assert (batch.lines.numpy() != plain.lines.numpy()).any(axis=(1, 2, 3)).all()
    assert (batch.lines.numpy()[batch.mask.numpy() == 0] == 1).all()
    ink = [float((1 - one.lines.numpy()).sum()) for one in (batch, plain)]
    assert ink[0] == pytest.approx(ink[1], rel=0.3)


def test_the_mask_is_the_content_box() -> None:
    mask = content_mask([1, 0, 2, 3], 4)[..., 0]
    assert mask.tolist() == [[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


def test_outside_the_mask_everything_is_white() -> None:
    mask = content_mask([0, 0, 2, 4], 4)[None]
    pixels = white_outside(-np.ones((1, 4, 4, 3)), mask)
    assert (pixels[0, :2] == -1).all()
    assert (pixels[0, 2:] == 1).all()


def test_an_empty_split_is_one_clear_error(pairs32: Path) -> None:
    pairs = Pairs(pairs32, "nowhere")
    with pytest.raises(RunError, match="no nowhere pairs"):
        training_batches(pairs, 4, BatchOptions(0))


def test_closed_pairs_let_go_of_their_files(pairs32: Path, tmp_path: Path) -> None:
    held = Path("/proc/self/maps")
    if not held.exists():
        pytest.skip("only Linux tells which files a process has mapped")
    folder = shutil.copytree(pairs32, tmp_path / "shards")
    with closing(Pairs(folder, "train")) as pairs:
        assert pairs.read_record(len(pairs) - 1)
        assert str(folder) in held.read_text()
    assert str(folder) not in held.read_text()


def test_closed_pairs_let_go_of_their_threads(pairs32: Path) -> None:
    before = set(threading.enumerate())
    with closing(Pairs(pairs32, "train")) as pairs:
        next(iter(training_batches(pairs, 24, BatchOptions(0))))
        begun = {one for one in set(threading.enumerate()) - before if one.name.startswith("ThreadPoolExecutor")}
    assert begun
    for one in begun:
        one.join(60)
    assert not any(one.is_alive() for one in begun)
