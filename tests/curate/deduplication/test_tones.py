"""Half of OpenMoji's families of skin tones: the same drawing in up to six tones, or two people in up to 25.

tests.bench.families prints the same figures for all families, from the demo's dataset.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curate.deduplication import dedupe
from curate.deduplication.family_split import FamilyUnionFind
from curate.extraction import extract
from curate.sources import sample_art
from curate.sources.scan import Source
from curate.workers import executor
from tests.bench.families import report, true_families

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def toned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of every other family."""
    home = tmp_path_factory.mktemp("tones")
    members = sample_art.tone_family_sizes(drawing.code for drawing in sample_art._drawings())
    bases = set(sorted(base for base, count in members.items() if count > 1)[::2])
    drawings = [drawing for drawing in sample_art._drawings() if sample_art.without_skin_tones(drawing.code) in bases]
    for path in (home / "art", sample_art.line_art_folder(home / "art")):
        path.mkdir()
    tasks = [(drawings[start : start + 64], home / "art", 256) for start in range(0, len(drawings), 64)]
    assert sum(executor.run(sample_art._draw_all, tasks, 2)) > 1000
    extract.extract(
        [Source("art", home / "art")], home / "dataset", extract.ExtractOptions(lines=("dilate",)), workers=2
    )
    dedupe.dedupe(home / "dataset", dedupe.DedupeOptions())
    return home / "dataset"


@pytest.fixture(scope="module")
def figures(toned: Path) -> dict[str, Any]:
    return report(pd.read_parquet(toned / "manifest"), None)


def test_only_byte_copies_are_dropped_as_duplicates_of_another_tone(figures: dict[str, Any]) -> None:
    assert figures["tone"]["families"] > 150
    assert figures["tone"]["dropped"]["duplicate"] > 0
    assert figures["tone"]["dropped_as_duplicate_but_no_byte_copy"] == 0


def test_no_tone_family_has_pictures_in_two_splits(figures: dict[str, Any]) -> None:
    assert figures["tone"]["straddling_splits"] == 0
    assert figures["color"]["straddling_splits"] == 0


def test_few_pictures_are_dropped_because_they_look_like_pictures_of_two_splits(figures: dict[str, Any]) -> None:
    assert figures["tone"]["dropped"].get("straddles", 0) < 0.02 * figures["tone"]["pictures"]


def test_verified_look_alikes_connect_every_tone_family(toned: Path) -> None:
    rows, edges = pd.read_parquet(toned / "manifest"), pd.read_parquet(toned / "edges")
    place = {key: number for number, key in reversed(list(enumerate(rows["id"])))}
    joined = FamilyUnionFind(len(rows))
    for a, b in zip(edges["a"], edges["b"], strict=True):
        joined.merge(place[a], place[b])
    roots = {
        name: {joined.root(place[rows["id"][member]]) for member in members}
        for name, members in true_families(rows).items()
        if name.startswith("tone ")
    }
    assert not [name for name, family_roots in roots.items() if len(family_roots) > 1]
