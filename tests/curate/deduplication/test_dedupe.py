import io
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.dataset import parquet
from curate.deduplication import dedupe, edge_store, lookalike_search, verdicts
from curate.deduplication.compare import Edge
from curate.deduplication.pictures import gather_pictures
from curate.deduplication.split import SplitShares
from curate.extraction import extract
from curate.images.decode import Rgb, decode
from curate.signatures.orientations import Orientation, flip_horizontally, quarter_turns, slant_by
from curate.sources import samples
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


def test_no_record_is_lost_and_in_is_kept_plus_dropped(copies: Path, tmp_path: Path) -> None:
    found = made(copies, tmp_path / "d")
    counts = dedupe.dedupe(tmp_path / "d", OPTIONS)
    assert set(found) == {row["path"] for row in parquet.read_parts(tmp_path / "d" / "records").to_pylist()}
    assert counts["in"] == len(found) == counts["kept"] + sum(counts["dropped"].values())
    assert counts["dropped"] == {"duplicate": 8, "unreadable": 1}
    assert sum(counts["splits"].values()) == counts["kept"]


def test_a_second_run_leaves_the_same_bytes(copies: Path, tmp_path: Path, tree: Tree) -> None:
    made(copies, tmp_path / "d")
    before = tree(tmp_path / "d")
    dedupe.dedupe(tmp_path / "d", OPTIONS)
    assert tree(tmp_path / "d") == before


def test_a_run_with_other_options_leaves_nothing_behind(dataset: Path, tmp_path: Path, tree: Tree) -> None:
    again = Path(shutil.copytree(dataset, tmp_path / "d"))
    dedupe.dedupe(again, dedupe.DedupeOptions(drop_alternates=True))
    assert tree(again) != tree(dataset)
    dedupe.dedupe(again, OPTIONS)
    assert tree(again) == tree(dataset)


def test_copies_are_dropped_and_the_drop_names_a_kept_survivor(copies: Path, tmp_path: Path) -> None:
    found = made(copies, tmp_path / "d")
    for name in ("1F408", "1F34E", "1F44B-1F3FD"):
        original = found[f"{name}.png"]
        for copy in (found[f"{name}-small.jpg"], found[f"{name}-good.jpg"]):
            assert (copy["role"], copy["dropped"]) == ("duplicate", "duplicate")
            assert copy["duplicate_of"] == copy["group"] == original["id"]
            assert copy["distance"] <= OPTIONS.max_distance
            assert copy["family"] == original["family"]
    kept = {row["id"] for row in found.values() if row["dropped"] is None}
    assert {row["duplicate_of"] for row in found.values() if row["dropped"] == "duplicate"} <= kept


def test_one_byte_copy_is_kept_and_it_has_the_tags_of_all(copies: Path, tmp_path: Path) -> None:
    found = made(copies, tmp_path / "d")
    same = {path: row for path, row in found.items() if row["id"] == found["1F408.png"]["id"]}
    assert [path for path, row in same.items() if row["dropped"] is None] == ["1F408.png"]
    assert len(same) == 3
    assert all(row["duplicate_of"] == row["id"] for path, row in same.items() if path != "1F408.png")
    assert {"asleep", "cat"} <= set(same["1F408.png"]["tags"])
    assert "asleep" not in same["1F408.png"]["own_tags"]


def test_a_byte_copy_of_a_dropped_picture_names_the_survivor_of_the_star(art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    shutil.copy(art / "1F408.png", source)
    for name in ("a.jpg", "b.jpg"):
        (source / name).write_bytes(jpeg(art / "1F408.png", 90, 192))
    found = made(source, tmp_path / "d")
    assert {found[name]["duplicate_of"] for name in ("a.jpg", "b.jpg")} == {found["1F408.png"]["id"]}
    assert found["a.jpg"]["distance"] == found["b.jpg"]["distance"] is not None


def test_a_survivor_has_its_duplicates_tags_behind_its_own(copies: Path, tmp_path: Path) -> None:
    found = made(copies, tmp_path / "d")
    apple = found["1F34E.png"]
    assert apple["tags"] == [*apple["own_tags"], "windfall"]
    assert found["1F34E-small.jpg"]["tags"] == ["windfall"]


@pytest.mark.parametrize(
    ("sides", "tags", "survivor"),
    [
        ((200, 256, 192), ("a, b, c", "", "a"), "1"),  # the largest
        ((200, 200, 192), ("a", "a, b", "a, b, c"), "1"),  # of the largest, the one with most tags
        ((200, 200, 200), ("a", "b", "c"), "0"),  # else the first path
    ],
)
def test_the_survivor_is_by_size_then_tags_then_path(
    art: Path, tmp_path: Path, sides: tuple[int, ...], tags: tuple[str, ...], survivor: str
) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number, (side, words) in enumerate(zip(sides, tags, strict=True)):
        (source / f"{number}.jpg").write_bytes(jpeg(art / "1F408.png", 95 - number, side))
        (source / f"{number}.txt").write_text(words)
    found = made(source, tmp_path / "d")
    assert [path for path, row in found.items() if row["dropped"] is None] == [f"{survivor}.jpg"]


@pytest.mark.parametrize("family", ["1F44B", "1F44D", "1F4D7 1F4D8", "1F499 1F49A 1F49B 2764"])
def test_a_recolour_is_an_alternate_and_never_a_duplicate(dataset: Path, family: str) -> None:
    members = [
        row
        for path, row in rows(dataset).items()
        if samples.without_skin_tones(path.removesuffix(".png")) in family.split()
    ]
    assert len(members) > 1
    assert all(row["dropped"] is None for row in members)
    assert Counter(row["role"] for row in members) == {"survivor": 1, "alternate": len(members) - 1}
    assert len({row["family"] for row in members}) == 1
    assert len({row["split"] for row in members}) == 1


def test_drop_alternates_keeps_one_picture_a_family(copies: Path, tmp_path: Path) -> None:
    found = made(copies, tmp_path / "d", dedupe.DedupeOptions(drop_alternates=True))
    kept = [row["family"] for row in found.values() if row["dropped"] is None]
    assert len(kept) == len(set(kept))
    assert {row["role"] for row in found.values() if row["dropped"] == "alternate"} == {"alternate"}


def test_no_family_straddles_splits_and_every_kept_picture_has_one(copies: Path, tmp_path: Path) -> None:
    splits = defaultdict(set)
    for row in made(copies, tmp_path / "d").values():
        if row["dropped"] != "unreadable":
            splits[row["family"]].add(row["split"])
    assert all(len(one) == 1 and one <= {"train", "validation", "test"} for one in splits.values())
    assert len({split for one in splits.values() for split in one}) == 3


def test_the_family_is_named_after_its_first_picture(dataset: Path) -> None:
    found = rows(dataset)
    assert {row["family"] for path, row in found.items() if path.startswith("1F44B")} == {
        found["1F44B-1F3FB.png"]["id"]
    }


@pytest.mark.parametrize("first", [5, 13])
def test_when_a_dataset_grows_every_old_row_keeps_its_split(art: Path, tmp_path: Path, first: int) -> None:
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


def test_a_grown_dataset_is_deduplicated_as_one_made_afresh_in_the_same_order(art: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in art.glob("*.png"))
    for name, chosen in (("a", names[1::2]), ("b", names[::2])):
        (tmp_path / name).mkdir()
        for one in chosen:
            shutil.copy(art / one, tmp_path / name)
    sources = [Source("a", tmp_path / "a"), Source("b", tmp_path / "b")]
    extract.extract(sources[:1], tmp_path / "grown", extract.ExtractOptions())
    dedupe.dedupe(tmp_path / "grown", OPTIONS)
    for dataset in ("grown", "afresh"):
        extract.extract(sources, tmp_path / dataset, extract.ExtractOptions())
        dedupe.dedupe(tmp_path / dataset, OPTIONS)
    assert rows(tmp_path / "grown") == rows(tmp_path / "afresh")


def test_newcomers_that_would_join_two_splits_are_left_out(
    art: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which real pictures would, hangs on chance: here a newcomer looks like every picture before it."""
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
    looks = [Edge(other, 5, "alternate", 9, 9.0, 0.0) for other in range(5)]
    monkeypatch.setattr(edge_store, "find_edges", lambda *_, **__: {(edge.a, edge.b): edge for edge in looks})
    counts = dedupe.dedupe(tmp_path / "d", OPTIONS)
    assert counts["dropped"] == {"straddles": 2}
    found = rows(tmp_path / "d")
    assert found["z.png"]["split"] is found["zz.png"]["split"] is None


def test_a_tag_that_gives_the_colour_another_name_keeps_a_copy_but_not_in_another_split(
    art: Path, tmp_path: Path
) -> None:
    source = tmp_path / "s"
    source.mkdir()
    shutil.copy(art / "1F408.png", source / "a.png")
    (source / "b.jpg").write_bytes(jpeg(art / "1F408.png", 90, 256))
    (source / "a.txt").write_text("red_hair")
    (source / "b.txt").write_text("blue_hair")
    found = made(source, tmp_path / "d")
    assert {row["dropped"] for row in found.values()} == {None}
    assert {row["role"] for row in found.values()} == {"survivor", "alternate"}
    assert len({row["family"] for row in found.values()}) == 1


def test_blank_pages_are_no_look_alikes(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number, side in enumerate((100, 101, 150)):
        Image.new("RGB", (side, side), "white").save(source / f"{number}.png")
    assert [row["role"] for row in made(source, tmp_path / "d").values()] == ["unique"] * 3


@pytest.mark.parametrize("names", [[], ["torn.png"]])
def test_a_dataset_without_a_picture_is_deduplicated(tmp_path: Path, names: list[str]) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for name in names:
        (source / name).touch()
    assert [row["role"] for row in made(source, tmp_path / "d").values()] == [None] * len(names)


graphs = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 3), min_size=n, max_size=n),
        st.dictionaries(
            st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda pair: pair[0] < pair[1]),
            st.sampled_from(["duplicate", "alternate"]),
            max_size=20,
        ),
        st.booleans(),
    )
)


@pytest.fixture(scope="module")
def plain(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of twelve different pictures."""
    folder: Path = tmp_path_factory.mktemp("plain") / "d"
    extract.extract([Source("art", art)], folder, extract.ExtractOptions(lines=("dilate",)), limit=12)
    return folder


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graphs)
def test_whatever_looks_alike_stars_families_and_fates_obey_their_laws(
    plain: Path, graph: tuple[list[int], dict[tuple[int, int], str], bool]
) -> None:
    sizes, kinds, drop_alternates = graph
    records = parquet.read_parts(plain / "records").slice(0, len(sizes))
    pictures = gather_pictures(records)
    looks = [Edge(a, b, kind, 1, 1.0, 0.0) for (a, b), kind in sorted(kinds.items())]
    decided = verdicts.decide(pictures, looks, SHARES, verdicts.FixedFates(), drop_alternates=drop_alternates)
    place = {key: number for number, key in enumerate(pictures.ids)}
    families = defaultdict(list)
    for one, verdict in enumerate(decided):
        if verdict.dropped == "straddles":
            continue
        families[verdict.family].append(verdict)
        center = place[verdict.group]
        if verdict.role == "duplicate":  # a star: never a duplicate of a duplicate, and each by an edge of its own
            assert decided[center].role in {"survivor", "alternate"}
            assert kinds[min(one, center), max(one, center)] == "duplicate"
            assert pictures.survivor_keys[center] <= pictures.survivor_keys[one]
            assert verdict.dropped == "duplicate"
        else:
            assert center == one
    for a, b in kinds:
        if "straddles" not in {decided[a].dropped, decided[b].dropped}:
            assert decided[a].family == decided[b].family
    for members in families.values():
        assert len({verdict.split for verdict in members}) == 1
        assert sum(verdict.role in {"unique", "survivor"} for verdict in members) == 1
        kept = sum(verdict.dropped is None for verdict in members)
        assert kept == 1 if drop_alternates else kept >= 1


@pytest.mark.parametrize(("edit", "mirror"), [("slant", False), ("flip", True), ("side", True), ("pad", False)])
def test_a_copy_is_found_however_it_lies(edit: str, mirror: bool, art: Path, tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    edits: dict[str, Orientation] = {
        "slant": slant_by(2),
        "flip": flip_horizontally,
        "side": quarter_turns(1),
        "pad": slant_by(0),
    }
    for name in ("1F408", "1F34E", "1F44B-1F3FD", "1F44D"):
        rgb = decode((art / f"{name}.png").read_bytes()).rgb
        Image.fromarray(rgb).save(source / f"{name}.png")
        Image.fromarray(edits[edit](rgb)).resize((200, 200)).save(source / f"{name}~copy.png")
    found = made(source, tmp_path / "d", replace(OPTIONS, mirror=mirror))
    assert [path for path, row in found.items() if row["dropped"] == "duplicate"] == sorted(
        path for path in found if "copy" in path
    )
    if mirror:
        assert all(row["role"] == "unique" for row in made(source, tmp_path / "e").values())


def card(pip: Callable[[Rgb, int, int], object]) -> Rgb:
    """A playing card, which is much the same upside down, with six pips."""
    rgb = np.full((420, 300, 3), 255, np.uint8)
    cv2.rectangle(rgb, (10, 10), (289, 409), (250, 245, 215), -1)
    cv2.rectangle(rgb, (60, 60), (239, 359), (200, 60, 60), 2)
    for row in range(3):
        for column in (110, 190):
            pip(rgb, column, 90 + 120 * row)
    return rgb


def club(rgb: Rgb, x: int, y: int) -> None:
    for right, down in ((-4, 3), (4, 3), (0, -4)):
        cv2.circle(rgb, (x + right, y + down), 5, (0, 0, 0), -1)


def spade(rgb: Rgb, x: int, y: int) -> None:
    cv2.fillConvexPoly(rgb, np.array([[x, y - 10], [x + 9, y + 6], [x - 9, y + 6]]), (0, 0, 0))


def test_a_card_of_another_suit_is_no_copy_though_it_is_nearly_one_when_slanted(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for pip in (club, spade):
        cv2.imwrite(str(tmp_path / "s" / f"{pip.__name__}.png"), card(pip))
    found = made(tmp_path / "s", tmp_path / "d")
    assert [row["dropped"] for row in found.values()] == [None, None]


def test_any_number_of_workers_decides_alike(
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
    told = [dedupe.dedupe(tmp_path / name, OPTIONS, workers=count) for name, count in (("d", 1), ("e", 3))]
    assert told[0] == told[1]
    assert told[0]["dropped"]["duplicate"] > 5
    assert tree(tmp_path / "d") == tree(tmp_path / "e")
