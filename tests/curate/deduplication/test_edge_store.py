import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curate.dataset import ledger, parquet
from curate.dataset.schema import EDGES_SCHEMA
from curate.deduplication import compare, dedupe, lookalike_search
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import DatasetError
from tests.curate.deduplication.test_dedupe import OPTIONS, Tree, jpeg, rows

LINES = extract.ExtractOptions(lines=("dilate",))
Looks = list[tuple[str, str]]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """The ids of each pair that is looked at, as it happens."""
    found: Looks = []
    told = lookalike_search._candidate_columns

    def noted(block: lookalike_search.CandidateRows, search: lookalike_search.SearchRun) -> dict[str, Any]:
        ids = search.pictures.ids
        found.extend((ids[a], ids[b]) for a, b, variant in block.tolist() if not variant)
        return told(block, search)

    monkeypatch.setattr(lookalike_search, "_candidate_columns", noted)
    return found


@pytest.fixture
def source(art: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "s"
    folder.mkdir()
    for path in sorted(art.glob("1F44B*")) + sorted(art.glob("1F49*")):
        shutil.copy(path, folder)
    return folder


def deduplicated(source: Path, dataset: Path, options: dedupe.DedupeOptions = OPTIONS) -> Path:
    extract.extract([Source("s", source)], dataset, LINES)
    dedupe.dedupe(dataset, options)
    return dataset


def newcomer(art: Path, source: Path, tags: str = "") -> None:
    """Read after all others."""
    (source / "zz.jpg").write_bytes(jpeg(art / "1F44B-1F3FB.png", 90, 256))
    (source / "zz.txt").write_text(tags)


def test_newcomers_alone_are_looked_at(art: Path, source: Path, tmp_path: Path, looks: Looks) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    assert len(looks) > 5
    before = len(looks)
    newcomer(art, source)
    deduplicated(source, dataset)
    added = rows(dataset)["zz.jpg"]["id"]
    assert before < len(looks)
    assert all(added in pair for pair in looks[before:])


def test_run_again_nothing_is_looked_at(source: Path, tmp_path: Path, looks: Looks, tree: Tree) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    before, count = tree(dataset), len(looks)
    dedupe.dedupe(dataset, OPTIONS)
    assert tree(dataset) == before
    assert len(looks) == count


@pytest.mark.parametrize("options", [replace(OPTIONS, max_distance=5), replace(OPTIONS, mirror=True)])
def test_other_options_of_the_search_look_at_all_again(
    source: Path, tmp_path: Path, looks: Looks, tree: Tree, options: dedupe.DedupeOptions
) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    count = len(looks)
    dedupe.dedupe(dataset, options)
    assert len(looks) > count
    assert tree(dataset) == tree(deduplicated(source, tmp_path / "e", options))


@pytest.mark.parametrize("tags", ["", "asleep", "blue_skin_tone"])
def test_edges_of_a_grown_dataset_are_those_of_one_made_afresh(
    art: Path, source: Path, tmp_path: Path, tree: Tree, tags: str
) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    newcomer(art, source, tags)
    assert tree(deduplicated(source, dataset) / "edges") == tree(deduplicated(source, tmp_path / "e") / "edges")


def test_a_byte_copy_that_brings_another_colour_word_makes_a_recolour_of_an_old_copy(
    art: Path, source: Path, tmp_path: Path, tree: Tree
) -> None:
    newcomer(art, source, "light_skin_tone")
    dataset = deduplicated(source, tmp_path / "d")
    assert rows(dataset)["zz.jpg"]["role"] == "duplicate"
    shutil.copy(source / "zz.jpg", source / "zzz.jpg")
    (source / "zz.txt").write_text("light_skin_tone")
    (source / "zzz.txt").write_text("dark_skin_tone")
    assert tree(deduplicated(source, dataset) / "edges") == tree(deduplicated(source, tmp_path / "e") / "edges")


def test_killed_between_edges_and_what_was_looked_at_all_are_looked_at_again(
    source: Path, tmp_path: Path, looks: Looks, tree: Tree
) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    before, count = tree(dataset), len(looks)
    ledger.forget_digests(dataset, list((dataset / "edges").glob("*.parquet")))
    (dataset / "edges" / "_looked.parquet").unlink()
    parquet.write_rows(parquet.part_path(dataset / "edges", 0), [], EDGES_SCHEMA)
    dedupe.dedupe(dataset, OPTIONS)
    assert tree(dataset) == before
    assert len(looks) == 2 * count


def test_what_another_dataset_has_is_left_out_and_named(art: Path, source: Path, tmp_path: Path, tree: Tree) -> None:
    other = deduplicated(source, tmp_path / "other")
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(source / "1F499.png", mine / "same.png")
    shutil.copy(source / "1F499.png", mine / "same-again.png")
    (mine / "small.jpg").write_bytes(jpeg(source / "1F49A.png", 90, 200))
    shutil.copy(art / "2764.png", mine / "recolour.png")
    buffer = io.BytesIO()
    Image.open(art / "1F408.png").save(buffer, "PNG")
    (mine / "new.png").write_bytes(buffer.getvalue())
    extract.extract([Source("m", mine)], tmp_path / "d", LINES)
    counts = dedupe.dedupe(tmp_path / "d", OPTIONS, against=other)
    found, theirs = rows(tmp_path / "d"), rows(other)
    assert counts["dropped"] == {"in_other": 3}
    assert counts["in"] == counts["kept"] + 3 == 5
    assert {found[name]["duplicate_of"] for name in ("same.png", "same-again.png")} == {theirs["1F499.png"]["id"]}
    assert found["small.jpg"]["duplicate_of"] == theirs["1F49A.png"]["id"]
    assert 0 <= found["small.jpg"]["distance"] <= OPTIONS.max_distance
    assert {found[name]["dropped"] for name in ("recolour.png", "new.png")} == {None}
    before = tree(tmp_path / "d")
    dedupe.dedupe(tmp_path / "d", OPTIONS, against=other)
    assert tree(tmp_path / "d") == before
    assert dedupe.dedupe(tmp_path / "d", OPTIONS)["dropped"] == {"duplicate": 1}


def test_a_dataset_is_not_compared_with_itself(source: Path, tmp_path: Path) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    with pytest.raises(DatasetError, match="is the dataset itself"):
        dedupe.dedupe(dataset, OPTIONS, against=dataset)


@pytest.mark.parametrize(
    ("rule", "survivor"),
    [("pixels", "big.jpg"), ("bytes", "heavy.png"), ("tags", "tagged.jpg"), ("score", "liked.jpg"), ("first", "a.jpg")],
)
def test_the_rule_asked_for_decides_which_duplicate_is_kept(
    art: Path, tmp_path: Path, rule: str, survivor: str
) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name, side in {"a.jpg": 190, "big.jpg": 400, "tagged.jpg": 200, "liked.jpg": 210}.items():
        (source / name).write_bytes(jpeg(art / "1F408.png", 90, side))
    Image.open(art / "1F408.png").resize((380, 380)).save(source / "heavy.png", compress_level=0)
    (source / "tagged.txt").write_text("a, b, c")
    (source / "liked.json").write_text('{"score": 7}')
    dataset = deduplicated(source, tmp_path / "d", replace(OPTIONS, survivor=rule))
    assert [path for path, row in rows(dataset).items() if row["dropped"] is None] == [survivor]


def test_a_dataset_read_afresh_under_its_old_name_is_looked_at_as_it_is_now(
    art: Path, source: Path, tmp_path: Path, tree: Tree
) -> None:
    """A process that looked before, as a cluster's workers have, remembers nothing of the parts of then."""
    dataset = deduplicated(source, tmp_path / "d")
    shutil.rmtree(source)
    source.mkdir()
    for path in (*sorted(art.glob("1F44B*"))[:4], *sorted(art.glob("1F34E*"))):
        shutil.copy(path, source)
    newcomer(art, source)
    extract.extract([Source("s", source)], dataset, LINES, fresh=True)
    dedupe.dedupe(dataset, OPTIONS)
    compare._thumbnails.cache_clear()
    assert tree(dataset / "edges") == tree(deduplicated(source, tmp_path / "e") / "edges")
