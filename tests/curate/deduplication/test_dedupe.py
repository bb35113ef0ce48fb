import io
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from curate.dataset import parquet
from curate.deduplication import dedupe, edge_store, lookalike_search
from curate.deduplication.compare import Edge
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.sources import sample_art
from curate.sources.scan import Source

Tree = Callable[[Path], dict[str, bytes]]
Row = dict[str, Any]
SHARES = SplitShares(0.5, 0.25, 0.25)
OPTIONS = dedupe.DedupeOptions(shares=SHARES)


def rows(dataset: Path) -> dict[str, Row]:
    return {row["path"]: row for row in parquet.read_parts(dataset / "manifest").to_pylist()}


def made(source: Path, dataset: Path, options: dedupe.DedupeOptions = OPTIONS) -> dict[str, Row]:
    extract.extract(
        [Source("s", source)], dataset, extract.ExtractOptions(lines=("dilate",), keep_monochrome=True), part_size=8
    )
    dedupe.dedupe(dataset, options)
    return rows(dataset)


def jpeg(path: Path, quality: int, side: int) -> bytes:
    buffer = io.BytesIO()
    image = Image.open(path).convert("RGB")
    image.resize((side, side), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.fixture
def copies(art: Path, tmp_path: Path) -> Path:
    """The art, byte copies of one picture, and JPEG copies of three."""
    folder = Path(shutil.copytree(art, tmp_path / "copies"))
    for name in ("1F408.png", "1F408-again.png", "twice/1F408.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(art / "1F408.png", folder / name)
    (folder / "twice" / "1F408.txt").write_text("asleep")
    for name in ("1F408", "1F34E", "1F44B-1F3FD"):
        (folder / f"{name}-small.jpg").write_bytes(jpeg(art / f"{name}.png", 90, 192))
        (folder / f"{name}-good.jpg").write_bytes(jpeg(art / f"{name}.png", 90, 256))
    (folder / "torn.png").write_bytes((art / "1F408.png").read_bytes()[:99])
    (folder / "1F34E-small.txt").write_text("windfall")
    return folder


def test_every_record_is_in_the_manifest_and_in_equals_kept_plus_dropped(copies: Path, tmp_path: Path) -> None:
    manifest = made(copies, tmp_path / "d")
    counts = dedupe.dedupe(tmp_path / "d", OPTIONS)
    assert set(manifest) == {row["path"] for row in parquet.read_parts(tmp_path / "d" / "records").to_pylist()}
    assert counts["in"] == len(manifest) == counts["kept"] + sum(counts["dropped"].values())
    assert counts["dropped"] == {"duplicate": 8, "unreadable": 1}
    assert sum(counts["splits"].values()) == counts["kept"]


def test_a_second_run_writes_the_same_bytes(copies: Path, tmp_path: Path, tree: Tree) -> None:
    made(copies, tmp_path / "d")
    before = tree(tmp_path / "d")
    dedupe.dedupe(tmp_path / "d", OPTIONS)
    assert tree(tmp_path / "d") == before


def test_a_run_with_other_options_leaves_no_trace_in_the_next_one(dataset: Path, tmp_path: Path, tree: Tree) -> None:
    again = Path(shutil.copytree(dataset, tmp_path / "d"))
    dedupe.dedupe(again, dedupe.DedupeOptions(drop_alternates=True))
    assert tree(again) != tree(dataset)
    dedupe.dedupe(again, OPTIONS)
    assert tree(again) == tree(dataset)


def test_copies_are_dropped_and_name_a_survivor_that_is_kept(copies: Path, tmp_path: Path) -> None:
    manifest = made(copies, tmp_path / "d")
    for name in ("1F408", "1F34E", "1F44B-1F3FD"):
        original = manifest[f"{name}.png"]
        for copy in (manifest[f"{name}-small.jpg"], manifest[f"{name}-good.jpg"]):
            assert (copy["role"], copy["dropped"]) == ("duplicate", "duplicate")
            assert copy["duplicate_of"] == copy["group"] == original["id"]
            assert copy["distance"] <= OPTIONS.max_distance
            assert copy["family"] == original["family"]
    kept = {row["id"] for row in manifest.values() if row["dropped"] is None}
    assert {row["duplicate_of"] for row in manifest.values() if row["dropped"] == "duplicate"} <= kept


def test_one_byte_copy_is_kept_and_has_the_tags_of_all(copies: Path, tmp_path: Path) -> None:
    manifest = made(copies, tmp_path / "d")
    same = {path: row for path, row in manifest.items() if row["id"] == manifest["1F408.png"]["id"]}
    assert [path for path, row in same.items() if row["dropped"] is None] == ["1F408.png"]
    assert len(same) == 3
    assert all(row["duplicate_of"] == row["id"] for path, row in same.items() if path != "1F408.png")
    assert {"asleep", "cat"} <= set(same["1F408.png"]["tags"])
    assert "asleep" not in same["1F408.png"]["own_tags"]


def test_a_byte_copy_of_a_duplicate_names_the_survivor_of_its_group(art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    shutil.copy(art / "1F408.png", source)
    for name in ("a.jpg", "b.jpg"):
        (source / name).write_bytes(jpeg(art / "1F408.png", 90, 192))
    manifest = made(source, tmp_path / "d")
    assert {manifest[name]["duplicate_of"] for name in ("a.jpg", "b.jpg")} == {manifest["1F408.png"]["id"]}
    assert manifest["a.jpg"]["distance"] == manifest["b.jpg"]["distance"] is not None


def test_a_survivor_has_the_tags_of_its_duplicates_after_its_own(copies: Path, tmp_path: Path) -> None:
    manifest = made(copies, tmp_path / "d")
    apple = manifest["1F34E.png"]
    assert apple["tags"] == [*apple["own_tags"], "windfall"]
    assert manifest["1F34E-small.jpg"]["tags"] == ["windfall"]


@pytest.mark.parametrize(
    ("sides", "tags", "survivor"),
    [
        ((200, 256, 192), ("a, b, c", "", "a"), "1"),  # the largest
        ((200, 200, 192), ("a", "a, b", "a, b, c"), "1"),  # of the largest, the one with most tags
        ((200, 200, 200), ("a", "b", "c"), "0"),  # else the first path
    ],
)
def test_the_survivor_is_chosen_by_size_then_tags_then_path(
    art: Path, tmp_path: Path, sides: tuple[int, ...], tags: tuple[str, ...], survivor: str
) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number, (side, words) in enumerate(zip(sides, tags, strict=True)):
        (source / f"{number}.jpg").write_bytes(jpeg(art / "1F408.png", 95 - number, side))
        (source / f"{number}.txt").write_text(words)
    manifest = made(source, tmp_path / "d")
    assert [path for path, row in manifest.items() if row["dropped"] is None] == [f"{survivor}.jpg"]


@pytest.mark.parametrize("family", ["1F44B", "1F44D", "1F4D7 1F4D8", "1F499 1F49A 1F49B 2764"])
def test_a_recolour_is_an_alternate_and_never_a_duplicate(dataset: Path, family: str) -> None:
    members = [
        row
        for path, row in rows(dataset).items()
        if sample_art.without_skin_tones(path.removesuffix(".png")) in family.split()
    ]
    assert len(members) > 1
    assert all(row["dropped"] is None for row in members)
    assert Counter(row["role"] for row in members) == {"survivor": 1, "alternate": len(members) - 1}
    assert len({row["family"] for row in members}) == 1
    assert len({row["split"] for row in members}) == 1


def test_drop_alternates_keeps_one_picture_of_each_family(copies: Path, tmp_path: Path) -> None:
    manifest = made(copies, tmp_path / "d", dedupe.DedupeOptions(drop_alternates=True))
    kept = [row["family"] for row in manifest.values() if row["dropped"] is None]
    assert len(kept) == len(set(kept))
    assert {row["role"] for row in manifest.values() if row["dropped"] == "alternate"} == {"alternate"}


def test_a_family_is_in_one_split_and_every_readable_picture_has_one(copies: Path, tmp_path: Path) -> None:
    splits = defaultdict(set)
    for row in made(copies, tmp_path / "d").values():
        if row["dropped"] != "unreadable":
            splits[row["family"]].add(row["split"])
    assert all(len(names) == 1 and names <= {"train", "validation", "test"} for names in splits.values())
    assert len({split for names in splits.values() for split in names}) == 3


def test_the_family_is_named_after_its_first_picture(dataset: Path) -> None:
    manifest = rows(dataset)
    assert {row["family"] for path, row in manifest.items() if path.startswith("1F44B")} == {
        manifest["1F44B-1F3FB.png"]["id"]
    }


@pytest.mark.parametrize("first", [5, 13])
def test_old_rows_keep_their_split_when_a_dataset_grows(art: Path, tmp_path: Path, first: int) -> None:
    source = tmp_path / "s"
    source.mkdir()
    names = sorted(path.name for path in art.glob("*.png"))
    for name in names[::2][:first]:  # half of each family, so that newcomers look like old pictures
        shutil.copy(art / name, source)
    before = made(source, tmp_path / "d")
    for name in names:
        shutil.copy(art / name, source)
        (source / f"{name}.json").write_bytes((art / f"{name}.json").read_bytes())
    after = made(source, tmp_path / "d")
    assert {path: row["split"] for path, row in before.items()} == {path: after[path]["split"] for path in before}
    assert len(after) == len(names)


def test_a_grown_dataset_has_the_rows_of_one_made_afresh_in_the_same_order(art: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in art.glob("*.png"))
    for name, chosen in (("a", names[1::2]), ("b", names[::2])):
        (tmp_path / name).mkdir()
        for file_name in chosen:
            shutil.copy(art / file_name, tmp_path / name)
    sources = [Source("a", tmp_path / "a"), Source("b", tmp_path / "b")]
    extract.extract(sources[:1], tmp_path / "grown", extract.ExtractOptions())
    dedupe.dedupe(tmp_path / "grown", OPTIONS)
    for dataset in ("grown", "afresh"):
        extract.extract(sources, tmp_path / dataset, extract.ExtractOptions())
        dedupe.dedupe(tmp_path / dataset, OPTIONS)
    assert rows(tmp_path / "grown") == rows(tmp_path / "afresh")


def test_newcomers_that_look_like_pictures_of_two_splits_are_dropped(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chance decides which real pictures do. Here a newcomer looks like every picture before it."""
    source = tmp_path / "s"
    source.mkdir()
    for name in ("1F408", "1F34E", "1F600", "1F499", "E041"):
        shutil.copy(art / f"{name}.png", source)
    extract.extract([Source("s", source)], tmp_path / "d", extract.ExtractOptions())
    dedupe.dedupe(tmp_path / "d", OPTIONS)
    assert len({row["split"] for row in rows(tmp_path / "d").values()}) > 1
    shutil.copy(art / "1F44B.png", source / "z.png")
    shutil.copy(art / "1F44B.png", source / "zz.png")
    extract.extract([Source("s", source)], tmp_path / "d", extract.ExtractOptions())
    edges = [Edge(other, 5, "alternate", 9, 9.0, 0.0) for other in range(5)]
    monkeypatch.setattr(edge_store, "find_edges", lambda *_, **__: {(edge.a, edge.b): edge for edge in edges})
    counts = dedupe.dedupe(tmp_path / "d", OPTIONS)
    assert counts["dropped"] == {"straddles": 2}
    manifest = rows(tmp_path / "d")
    assert manifest["z.png"]["split"] is manifest["zz.png"]["split"] is None


def test_a_copy_whose_tags_name_another_colour_is_kept_in_the_same_family(art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    shutil.copy(art / "1F408.png", source / "a.png")
    (source / "b.jpg").write_bytes(jpeg(art / "1F408.png", 90, 256))
    (source / "a.txt").write_text("red_hair")
    (source / "b.txt").write_text("blue_hair")
    manifest = made(source, tmp_path / "d")
    assert {row["dropped"] for row in manifest.values()} == {None}
    assert {row["role"] for row in manifest.values()} == {"survivor", "alternate"}
    assert len({row["family"] for row in manifest.values()}) == 1


def test_blank_pages_do_not_look_alike(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number, side in enumerate((100, 101, 150)):
        Image.new("RGB", (side, side), "white").save(source / f"{number}.png")
    assert [row["role"] for row in made(source, tmp_path / "d").values()] == ["unique"] * 3


@pytest.mark.parametrize("names", [[], ["torn.png"]])
def test_a_dataset_without_pictures_is_deduplicated(tmp_path: Path, names: list[str]) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name in names:
        (source / name).touch()
    assert [row["role"] for row in made(source, tmp_path / "d").values()] == [None] * len(names)


def test_any_number_of_workers_writes_the_same_bytes(
    art: Path, tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for path in sorted(art.glob("1F44B*.png")) + sorted(art.glob("1F49*.png")):
        shutil.copy(path, source)
        (source / f"{path.stem}.jpg").write_bytes(jpeg(path, 80, 300))
    monkeypatch.setattr(lookalike_search, "CANDIDATES_PER_TASK", 5)
    extract.extract([Source("s", source)], tmp_path / "d", extract.ExtractOptions(lines=("dilate",)))
    shutil.copytree(tmp_path / "d", tmp_path / "e")
    counts = [dedupe.dedupe(tmp_path / name, OPTIONS, workers=count) for name, count in (("d", 1), ("e", 3))]
    assert counts[0] == counts[1]
    assert counts[0]["dropped"]["duplicate"] > 5
    assert tree(tmp_path / "d") == tree(tmp_path / "e")
