import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curate.dataset import ledger, parquet
from curate.dataset.schema import EDGES_SCHEMA
from curate.deduplication import compare, dedupe
from curate.deduplication.candidates import CandidateRows
from curate.deduplication.lookalike_search import SearchRun
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import DatasetError
from tests.curate.deduplication.test_dedupe import OPTIONS, Tree, jpeg, rows

LINES = extract.ExtractOptions(lines=("dilate",))
Compared = list[tuple[str, str]]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Compared:
    """The ids of each pair that is compared as stored, as it happens."""
    pairs: Compared = []
    candidate_columns = SearchRun.candidate_columns

    def noting(self: SearchRun, block: CandidateRows) -> dict[str, Any]:
        ids = self.pictures.ids
        pairs.extend((ids[a], ids[b]) for a, b, orientation in block.tolist() if not orientation)
        return candidate_columns(self, block)

    monkeypatch.setattr(SearchRun, "candidate_columns", noting)
    return pairs


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


def test_only_pairs_with_a_newcomer_are_compared(art: Path, source: Path, tmp_path: Path, compared: Compared) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    assert len(compared) > 5
    before = len(compared)
    newcomer(art, source)
    deduplicated(source, dataset)
    added = rows(dataset)["zz.jpg"]["id"]
    assert before < len(compared)
    assert all(added in pair for pair in compared[before:])


def test_a_second_run_compares_nothing(source: Path, tmp_path: Path, compared: Compared, tree: Tree) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    before, count = tree(dataset), len(compared)
    dedupe.dedupe(dataset, OPTIONS)
    assert tree(dataset) == before
    assert len(compared) == count


@pytest.mark.parametrize("options", [replace(OPTIONS, max_distance=5), replace(OPTIONS, mirror=True)])
def test_other_search_options_compare_all_pairs_again(
    source: Path, tmp_path: Path, compared: Compared, tree: Tree, options: dedupe.DedupeOptions
) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    count = len(compared)
    dedupe.dedupe(dataset, options)
    assert len(compared) > count
    assert tree(dataset) == tree(deduplicated(source, tmp_path / "e", options))


@pytest.mark.parametrize("tags", ["", "asleep", "blue_skin_tone"])
def test_a_grown_dataset_has_the_edges_of_one_made_afresh(
    art: Path, source: Path, tmp_path: Path, tree: Tree, tags: str
) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    newcomer(art, source, tags)
    assert tree(deduplicated(source, dataset) / "edges") == tree(deduplicated(source, tmp_path / "e") / "edges")


def test_a_new_byte_copy_whose_tags_name_another_colour_turns_an_old_duplicate_into_a_recolour(
    art: Path, source: Path, tmp_path: Path, tree: Tree
) -> None:
    newcomer(art, source, "light_skin_tone")
    dataset = deduplicated(source, tmp_path / "d")
    assert rows(dataset)["zz.jpg"]["role"] == "duplicate"
    shutil.copy(source / "zz.jpg", source / "zzz.jpg")
    (source / "zz.txt").write_text("light_skin_tone")
    (source / "zzz.txt").write_text("dark_skin_tone")
    assert tree(deduplicated(source, dataset) / "edges") == tree(deduplicated(source, tmp_path / "e") / "edges")


def test_a_kill_between_the_edges_and_the_list_of_compared_pictures_compares_all_pairs_again(
    source: Path, tmp_path: Path, compared: Compared, tree: Tree
) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    before, count = tree(dataset), len(compared)
    ledger.forget_digests(dataset, list((dataset / "edges").glob("*.parquet")))
    (dataset / "edges" / "_looked.parquet").unlink()
    parquet.write_rows(parquet.part_path(dataset / "edges", 0), [], EDGES_SCHEMA)
    dedupe.dedupe(dataset, OPTIONS)
    assert tree(dataset) == before
    assert len(compared) == 2 * count


def test_pictures_that_another_dataset_has_are_dropped_and_name_their_copy_there(
    art: Path, source: Path, tmp_path: Path, tree: Tree
) -> None:
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


def test_a_dataset_is_refused_as_its_own_other_dataset(source: Path, tmp_path: Path) -> None:
    dataset = deduplicated(source, tmp_path / "d")
    with pytest.raises(DatasetError, match="is the dataset itself"):
        dedupe.dedupe(dataset, OPTIONS, against=dataset)


@pytest.mark.parametrize(
    ("rule", "survivor"),
    [("pixels", "big.jpg"), ("bytes", "heavy.png"), ("tags", "tagged.jpg"), ("score", "liked.jpg"), ("first", "a.jpg")],
)
def test_the_survivor_rule_decides_which_duplicate_is_kept(art: Path, tmp_path: Path, rule: str, survivor: str) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name, side in {"a.jpg": 190, "big.jpg": 400, "tagged.jpg": 200, "liked.jpg": 210}.items():
        (source / name).write_bytes(jpeg(art / "1F408.png", 90, side))
    Image.open(art / "1F408.png").resize((380, 380)).save(source / "heavy.png", compress_level=0)
    (source / "tagged.txt").write_text("a, b, c")
    (source / "liked.json").write_text('{"score": 7}')
    dataset = deduplicated(source, tmp_path / "d", replace(OPTIONS, survivor=rule))
    assert [path for path, row in rows(dataset).items() if row["dropped"] is None] == [survivor]


def test_a_dataset_made_afresh_in_the_same_folder_is_compared_by_its_new_pixels(
    art: Path, source: Path, tmp_path: Path, tree: Tree
) -> None:
    """A process that compared before, as a worker of a cluster may have, reuses no part that it cached then."""
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
