"""Figures of a trained run: their names, and that they separate a model that obeys tags from one that does not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contract import read_index, write_index
from curate.system.hashing import sha256_file
from train.data.batches import Batch
from train.data.pairs import Pairs
from train.errors import RunError
from train.evaluation import evaluate as stage
from train.evaluation.evaluate import evaluate, sample_families
from train.model.trained_model import generate_colors
from train.training.fit import fit
from train.training.schedule import TrainingLength


@pytest.fixture(scope="module")
def figures(trained: Path, pairs32: Path) -> Any:
    return evaluate(trained, pairs32, "train")


def test_figures_have_the_names_that_programs_rely_on(figures: Any, pairs32: Path) -> None:
    assert list(figures) == [
        "split", "lines", "pairs", "split_pairs", "images_seen", "l1", "psnr", "ssim", "ciede2000", "line_f1",
        "chroma_ratio", "kid", "tags",
    ]  # fmt: skip
    assert {"ciede2000_true", "ciede2000_shuffled", "ciede2000_none", "obedience", "swap"} <= figures["tags"].keys()
    assert figures["tags"]["obedience"].keys() == {"accuracy", "neighbours", "chance", "sets"}
    assert figures["pairs"] == figures["split_pairs"] == len(Pairs(pairs32, "train"))
    assert figures["tags"]["alternates"].keys() == {"pictures", "ciede2000_true", "ciede2000_shuffled", "ratio"}
    assert figures["tags"]["swap"].keys() == {"inside", "outside", "asked"}
    assert json.loads(json.dumps(figures)) == figures


def test_on_what_it_learned_by_heart_true_tags_beat_shuffled_and_none(figures: Any) -> None:
    tags = figures["tags"]
    assert tags["ciede2000_true"] == pytest.approx(figures["ciede2000"])
    for worse in ("shuffled", "none"):
        assert tags[f"{worse}_minus_true"]["mean"] == pytest.approx(tags[f"ciede2000_{worse}"] - tags["ciede2000_true"])
        assert tags[f"{worse}_minus_true"]["low"] > 0
    assert tags["obedience"]["accuracy"] > 2 * tags["obedience"]["chance"]
    assert tags["obedience"]["neighbours"] >= tags["obedience"]["accuracy"]
    assert tags["alternates"]["ratio"] > 1.2
    assert tags["swap"]["inside"] > 2 * tags["swap"]["outside"]


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 3))
def test_a_large_split_is_sampled_by_whole_families(families: list[str], most: int, seed: int) -> None:
    numbers = sample_families(families, most, seed)
    kept = {families[number] for number in numbers}
    assert numbers == [number for number, name in enumerate(families) if name in kept]
    assert len(numbers) <= most or len(kept) == 1
    assert len(families) > most or len(numbers) == len(families)
    kept_families = [name for name in families if name in kept]
    assert sample_families(kept_families, most, seed) == list(range(len(kept_families)))  # others decide nothing


def test_most_limits_the_pairs_that_are_measured(trained: Path, pairs32: Path, figures: Any) -> None:
    few = evaluate(trained, pairs32, "train", most=12)
    assert 1 < few["pairs"] <= 12 < few["split_pairs"] == figures["pairs"]
    assert few["ciede2000"] != figures["ciede2000"]


def test_equal_calls_give_equal_figures_and_report_every_colouring(trained: Path, pairs32: Path, figures: Any) -> None:
    reports: list[tuple[int, int]] = []
    assert evaluate(trained, pairs32, "train", on_progress=lambda *report: reports.append(report)) == figures
    assert reports == sorted(reports)
    assert {total for _, total in reports} == {reports[-1][0]} == {5 * figures["pairs"]}


def test_a_generator_that_copies_the_truth_has_perfect_figures(
    trained: Path, pairs32: Path, monkeypatch: pytest.MonkeyPatch, figures: Any
) -> None:
    monkeypatch.setattr(stage, "generate_colors", lambda _model, batch, _tags: np.asarray(batch.colors))
    perfect: Any = evaluate(trained, pairs32, "train")
    assert (perfect["l1"], perfect["ciede2000"], perfect["line_f1"]) == (0, 0, 1)
    assert perfect["chroma_ratio"] == pytest.approx(1)
    assert perfect["tags"]["obedience"]["accuracy"] == 1
    assert perfect["kid"]["mean"] < 0.01 * figures["kid"]["mean"]
    assert perfect["tags"]["none_minus_true"] == {"mean": 0, "low": 0, "high": 0}


def test_padding_does_not_count(trained: Path, pairs32: Path, monkeypatch: pytest.MonkeyPatch, figures: Any) -> None:
    def black_outside(model: Any, batch: Batch, rows: Any) -> Any:
        return generate_colors(model, batch, rows) * batch.mask - (1 - batch.mask)

    monkeypatch.setattr(stage, "generate_colors", black_outside)
    assert evaluate(trained, pairs32, "train") == figures


def test_a_model_that_draws_lines_has_no_chroma_ratio(pairs32: Path, small: Any, tmp_path: Path, eagerly: Any) -> None:
    with eagerly():
        config = replace(small, target="lines", tags=False, adversary="none")
        fit(pairs32, tmp_path / "run", config, TrainingLength(steps=2), on_progress=lambda *_: None)
    figures = evaluate(tmp_path / "run", pairs32)
    assert (figures["chroma_ratio"], figures["tags"]) == (None, None)
    assert 0 < figures["l1"] < 1


def test_an_empty_split_an_unknown_line_style_and_other_shards_are_refused(
    trained: Path, pairs32: Path, tmp_path: Path
) -> None:
    from shutil import copytree

    with pytest.raises(RunError, match="no nowhere pairs"):
        evaluate(trained, pairs32, "nowhere")
    with pytest.raises(RunError, match="no line style 'pencil': choose from contour, dilate, xdog"):
        evaluate(trained, pairs32, lines="pencil")
    other = Path(copytree(pairs32, tmp_path / "shards"))
    words = (other / "tags.txt").read_text("utf-8").splitlines()
    (other / "tags.txt").write_text("\n".join(words[::-1]) + "\n", "utf-8")
    index = read_index(other)
    tags_file = replace(index.files["tags.txt"], sha256=sha256_file(other / "tags.txt"))
    write_index(other, replace(index, files={**index.files, "tags.txt": tags_file}))
    with pytest.raises(RunError, match="other tags"):
        evaluate(trained, other)
