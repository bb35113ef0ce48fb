"""The figures of a run, and that they tell a network that obeys its tags from one that does not."""

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
from train.data.pairs import Pairs
from train.errors import RunError
from train.evaluation import evaluate as evaluation
from train.evaluation.evaluate import evaluate, sample_families
from train.model.trained import generate_colors
from train.training.fit import fit
from train.training.schedule import TrainingLength


@pytest.fixture(scope="module")
def figures(trained: Path, pairs32: Path) -> dict[str, Any]:
    return evaluate(trained, pairs32, "train")


def test_figures_have_the_names_that_programs_rely_on(figures: dict[str, Any], pairs32: Path) -> None:
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


def test_on_what_it_learned_by_heart_true_tags_beat_shuffled_and_none(figures: dict[str, Any]) -> None:
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
def test_of_a_large_split_whole_families_are_measured(families: list[str], most: int, seed: int) -> None:
    numbers = sample_families(families, most, seed)
    kept = {families[number] for number in numbers}
    assert numbers == [number for number, name in enumerate(families) if name in kept]
    assert len(numbers) <= most or len(kept) == 1
    assert len(families) > most or len(numbers) == len(families)
    renamed = [name for name in families if name in kept]
    assert sample_families(renamed, most, seed) == list(range(len(renamed)))  # those left out decide nothing


def test_a_figure_of_a_sample_is_that_of_the_pairs_in_it(trained: Path, pairs32: Path, figures: dict[str, Any]) -> None:
    few = evaluate(trained, pairs32, "train", most=12)
    assert 1 < few["pairs"] <= 12 < few["split_pairs"] == figures["pairs"]
    assert few["ciede2000"] != figures["ciede2000"]


def test_equal_calls_give_equal_figures_and_tell_of_every_colouring(
    trained: Path, pairs32: Path, figures: dict[str, Any]
) -> None:
    told: list[tuple[int, int]] = []
    assert evaluate(trained, pairs32, "train", on_progress=lambda *shares: told.append(shares)) == figures
    assert told == sorted(told)
    assert {total for _, total in told} == {told[-1][0]} == {5 * figures["pairs"]}


def test_a_generator_that_copies_the_truth_has_perfect_figures(
    trained: Path, pairs32: Path, monkeypatch: pytest.MonkeyPatch, figures: dict[str, Any]
) -> None:
    monkeypatch.setattr(evaluation, "generate_colors", lambda *given: np.asarray(given[1].colors))
    perfect = evaluate(trained, pairs32, "train")
    assert (perfect["l1"], perfect["ciede2000"], perfect["line_f1"]) == (0, 0, 1)
    assert perfect["chroma_ratio"] == pytest.approx(1)
    assert perfect["tags"]["obedience"]["accuracy"] == 1
    assert perfect["kid"]["mean"] < 0.01 * figures["kid"]["mean"]
    assert perfect["tags"]["none_minus_true"] == {"mean": 0, "low": 0, "high": 0}


def test_padding_counts_for_nothing(
    trained: Path, pairs32: Path, monkeypatch: pytest.MonkeyPatch, figures: Any
) -> None:
    plain = generate_colors
    monkeypatch.setattr(
        evaluation, "colored", lambda model, batch, rows: plain(model, batch, rows) * batch.mask - (1 - batch.mask)
    )
    assert evaluate(trained, pairs32, "train") == figures


def test_of_line_art_drawn_again_no_chroma_is_told(pairs32: Path, small: Any, tmp_path: Path, eagerly: Any) -> None:
    with eagerly():
        config = replace(small, target="lines", tags=False, adversary="none")
        fit(pairs32, tmp_path / "run", config, TrainingLength(steps=2), tell=lambda *_: None)
    told = evaluate(tmp_path / "run", pairs32)
    assert (told["chroma_ratio"], told["tags"]) == (None, None)
    assert 0 < told["l1"] < 1


def test_an_empty_split_and_foreign_shards_are_refused(trained: Path, pairs32: Path, tmp_path: Path) -> None:
    from shutil import copytree

    with pytest.raises(RunError, match="no nowhere pairs"):
        evaluate(trained, pairs32, "nowhere")
    other = Path(copytree(pairs32, tmp_path / "shards"))
    words = (other / "tags.txt").read_text("utf-8").splitlines()
    (other / "tags.txt").write_text("\n".join(words[::-1]) + "\n", "utf-8")
    index = read_index(other)
    told = replace(index.files["tags.txt"], sha256=sha256_file(other / "tags.txt"))
    write_index(other, replace(index, files={**index.files, "tags.txt": told}))
    with pytest.raises(RunError, match="other tags"):
        evaluate(trained, other)
