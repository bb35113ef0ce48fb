import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.audit.explain_picture import why
from curate.audit.verify import verify
from curate.dataset import ledger
from curate.dataset.decisions import decide, read_with_holds, rows_in_force
from curate.dataset.rows import DecisionRow
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import NurieError
from tests.curate.deduplication.test_dedupe import OPTIONS, Row, Tree, jpeg, rows

LINES = extract.ExtractOptions(lines=("dilate",))


@pytest.fixture(scope="module")
def begun(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cat, two JPEGs of it, an apple and two hands that differ in tone, deduplicated. Not to be changed."""
    home = tmp_path_factory.mktemp("begun")
    source = home / "s"
    source.mkdir()
    for name in ("1F408.png", "1F34E.png", "1F44B-1F3FB.png", "1F44B-1F3FF.png"):
        shutil.copy(art / name, source)
        shutil.copy(art / f"{name}.json", source)
    for number, quality in enumerate((90, 70)):
        (source / f"cat{number}.jpg").write_bytes(jpeg(art / "1F408.png", quality, 200))
    (source / "cat0.txt").write_text("asleep")
    extract.extract([Source("s", source)], home / "d", LINES)
    dedupe.dedupe(home / "d", OPTIONS)
    return home


@pytest.fixture
def dataset(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun / "d", tmp_path / "d"))


def after(dataset: Path, *decisions: tuple[str, ...], tags: str | None = None) -> dict[str, Row]:
    for kind, *pictures in decisions:
        decide(dataset, kind, pictures, tags)
    dedupe.dedupe(dataset, OPTIONS)
    assert verify(dataset) == []
    return rows(dataset)


def fates(rows_by_path: dict[str, Row], *names: str) -> list[str | None]:
    return [rows_by_path[name]["dropped"] for name in names]


def test_without_decisions_copies_are_dropped_and_recolours_kept(dataset: Path) -> None:
    manifest = after(dataset)
    assert fates(manifest, "1F408.png", "cat0.jpg", "cat1.jpg") == [None, "duplicate", "duplicate"]
    assert manifest["1F44B-1F3FB.png"]["family"] == manifest["1F44B-1F3FF.png"]["family"]


def test_different_pictures_are_kept_in_separate_families(dataset: Path) -> None:
    manifest = after(dataset, ("different", "1F408.png", "cat0.jpg"), ("different", "cat0.jpg", "cat1.jpg"))
    assert fates(manifest, "1F408.png", "cat0.jpg", "cat1.jpg") == [None, None, "duplicate"]
    assert manifest["cat0.jpg"]["family"] != manifest["1F408.png"]["family"]
    assert "asleep" not in manifest["1F408.png"]["tags"]


def test_pictures_decided_to_be_duplicates_are_kept_once(dataset: Path) -> None:
    manifest = after(dataset, ("duplicate", "1F408.png", "1F34E.png"))
    assert sorted(fates(manifest, "1F408.png", "1F34E.png"), key=str) == [None, "duplicate"]
    assert len({manifest[name]["group"] for name in ("1F408.png", "1F34E.png")}) == 1


def test_pictures_decided_to_be_recolours_are_kept_in_one_family(dataset: Path) -> None:
    manifest = after(dataset, ("alternate", "cat0.jpg", "1F34E.png"), ("alternate", "1F408.png", "cat0.jpg"))
    assert fates(manifest, "1F408.png", "cat0.jpg", "1F34E.png") == [None, None, None]
    assert len({manifest[name]["family"] for name in ("1F408.png", "cat0.jpg", "1F34E.png")}) == 1


def test_a_picture_decided_to_be_kept_is_the_survivor(dataset: Path) -> None:
    manifest = after(dataset, ("keep", "cat1.jpg"))
    assert fates(manifest, "1F408.png", "cat0.jpg", "cat1.jpg") == ["duplicate", "duplicate", None]
    assert manifest["1F408.png"]["duplicate_of"] == manifest["cat1.jpg"]["id"]


def test_two_copies_decided_to_be_kept_are_both_kept(dataset: Path) -> None:
    assert fates(after(dataset, ("keep", "cat1.jpg"), ("keep", "1F408.png")), "1F408.png", "cat1.jpg") == [None, None]


def test_a_dropped_picture_is_replaced_by_its_copy(dataset: Path) -> None:
    manifest = after(dataset, ("drop", "1F408.png"))
    assert sorted(fates(manifest, "cat0.jpg", "cat1.jpg"), key=str) == [None, "duplicate"]
    assert manifest["1F408.png"]["dropped"] == "decision"
    assert "people left it out" in why(dataset, "1F408.png")[0]["story"][-1]


def test_retag_replaces_the_tags_of_the_sidecar(dataset: Path) -> None:
    manifest = after(dataset, ("retag", "1F408.png"), tags="Blue Hair, smile")
    assert manifest["1F408.png"]["tags"] == ["blue_hair", "smile", "asleep"]
    assert "cat" in manifest["1F408.png"]["own_tags"]
    story = why(dataset, "1F408.png")[0]["story"]
    assert "decision 0: retag blue_hair, smile" in story
    assert "tags: asleep from cat0.jpg" in story


def test_a_later_decision_overrules_an_earlier_one(dataset: Path) -> None:
    manifest = after(dataset, ("drop", "1F34E.png"), ("keep", "1F34E.png"))
    assert fates(manifest, "1F34E.png") == [None]


def test_undone_decisions_leave_the_manifest_as_it_was(dataset: Path, tree: Tree) -> None:
    before = tree(dataset / "manifest")
    pair = ("1F408.png", "cat0.jpg")
    after(dataset, ("different", *pair), ("drop", "1F34E.png"), ("keep", "cat1.jpg"))
    assert tree(dataset / "manifest") != before
    after(dataset, ("undo", "2"), ("undo", "1"), ("undo", "0"))
    assert tree(dataset / "manifest") == before
    assert [row["holds"] for row in read_with_holds(dataset)] == [False] * 3 + [True] * 3


def test_an_undo_can_be_undone(dataset: Path) -> None:
    assert fates(after(dataset, ("drop", "1F34E.png"), ("undo", "0"), ("undo", "1")), "1F34E.png") == ["decision"]


def test_decisions_survive_extract_fresh(begun: Path, dataset: Path) -> None:
    before = after(dataset, ("drop", "1F34E.png"))
    extract.extract([Source("s", begun / "s")], dataset, LINES, fresh=True)
    assert after(dataset) == before


@pytest.mark.parametrize(
    ("kind", "pictures", "tags", "message"),
    [
        ("hide", ["1F408.png"], None, "no kind of decision 'hide': choose one of different, duplicate"),
        ("different", ["1F408.png"], None, "different takes two pictures, got 1"),
        ("drop", ["1F408.png", "cat0.jpg"], None, "drop takes one argument, got 2"),
        ("drop", ["nothing.png"], None, r"'nothing\.png' is not the path or id of a picture"),
        ("drop", ["1F408.png"], "a", "drop takes no --tags"),
        ("retag", ["1F408.png"], None, "retag needs --tags"),
        ("different", ["1F408.png", "1F408.png"], None, "are the same file"),
        ("undo", ["0"], None, "there is no decision 0 to undo"),
        ("undo", ["x"], None, "there is no decision x to undo"),
    ],
)
def test_an_impossible_decision_is_refused_and_nothing_is_stored(
    dataset: Path, kind: str, pictures: list[str], tags: str | None, message: str
) -> None:
    with pytest.raises(NurieError, match=message):
        decide(dataset, kind, pictures, tags)
    assert not (dataset / "decisions").exists()


def test_the_command_stores_and_lists_decisions(dataset: Path, run: Callable[..., Any]) -> None:
    [noted] = run("decide", dataset, "retag", "1F34E.png", "--tags", "red, fruit")["decisions"]
    assert (noted["kind"], noted["tags"]) == ("retag", ["red", "fruit"])
    assert run("decide", dataset)["decisions"] == [noted | {"holds": True}]
    assert ledger.read_ledger(dataset)["parts"].keys() >= {"decisions/part-00000.parquet"}


def test_tags_in_a_list_may_contain_commas_and_the_ledger_counts_decisions(dataset: Path) -> None:
    assert decide(dataset, "retag", ["1F34E.png"], [",_,", "Red Apple", ",_,"])["tags"] == (",_,", "red_apple")
    assert after(dataset)["1F34E.png"]["tags"] == [",_,", "red_apple"]
    decide(dataset, "undo", ["0"])
    assert (ledger.read_ledger(dataset)["decisions"], len(read_with_holds(dataset))) == (1, 2)


kinds = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), max_size=12)


@given(kinds)
def test_a_decision_is_in_force_if_no_undo_of_it_is(steps: list[tuple[bool, int]]) -> None:
    decisions: list[DecisionRow] = []
    for is_undo, number in steps:
        kind, a = ("undo", str(number % len(decisions))) if is_undo and decisions else ("drop", "x")
        decisions.append({"sequence": len(decisions), "kind": kind, "a": a, "b": None, "tags": None})

    def holds(sequence: int) -> bool:
        undone_by = [row["sequence"] for row in decisions if row["kind"] == "undo" and row["a"] == str(sequence)]
        return not any(holds(undo) for undo in undone_by)

    expected = [row["sequence"] for row in decisions if row["kind"] == "drop" and holds(row["sequence"])]
    assert [row["sequence"] for row in rows_in_force(decisions)] == expected
