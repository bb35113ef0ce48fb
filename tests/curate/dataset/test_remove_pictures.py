"""Opted-out pictures are deleted from everything stored and never read again; nothing else is lost."""

import hashlib
import re
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.audit.explain_picture import why
from curate.audit.verify import verify
from curate.dataset import decisions, ledger, opt_out, parquet
from curate.dataset.opt_out import OptOut
from curate.dataset.remove_pictures import remove
from curate.dataset.rows import RecordRow
from curate.dataset.schema import MANIFEST_SCHEMA
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.query.selection import select
from curate.shards import shard
from curate.sources.scan import Source
from curate.system.errors import NurieError
from tests.curate.deduplication.test_dedupe import OPTIONS, Row, Tree, jpeg, rows

LINES = extract.ExtractOptions(lines=("dilate",), keep_monochrome=True)
ANNA, BERT = "apple.png", "thumb.png"
"""Anna's picture, known by its sidecar's `artist`; Bert's, by a tag."""


@pytest.fixture(scope="module")
def begun(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cat with a byte copy and two JPEGs, pictures of two artists, five hands and a torn file. Not to be changed."""
    home = tmp_path_factory.mktemp("begun")
    source = home / "s"
    source.mkdir()
    for code, name in (("1F408", "cat"), ("1F34E", "apple"), ("1F44D", "thumb"), ("1F600", "smile"), ("1F4D5", "book")):
        shutil.copy(art / f"{code}.png", source / f"{name}.png")
    for tone in "BCDEF":
        shutil.copy(art / f"1F44B-1F3F{tone}.png", source)
        shutil.copy(art / f"1F44B-1F3F{tone}.png.json", source)
    (source / "cat.txt").write_text("whiskers")
    (source / "apple.png.json").write_text('{"artist": "Anna B.", "tags": "windfall", "title": "secret"}')
    (source / "thumb.png.json").write_text('{"tag_string_artist": "bert", "tag_string_general": "upward"}')
    shutil.copy(source / "cat.png", source / "cat-again.png")
    shutil.copy(source / "apple.png", source / "zz-apple.png")
    for number, quality in enumerate((90, 70)):
        (source / f"cat{number}.jpg").write_bytes(jpeg(art / "1F408.png", quality, 200))
    (source / "torn.png").write_bytes(b"\x89PNG")
    grow(home)
    return home


def grow(home: Path) -> dict[str, Row]:
    """Extract in parts of four and dedupe."""
    extract.extract([Source("s", home / "s")], home / "d", LINES, part_size=4)
    dedupe.dedupe(home / "d", OPTIONS)
    assert verify(home / "d") == []
    return rows(home / "d")


@pytest.fixture
def home(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "home"))


def pixels(dataset: Path, *ids: str) -> list[bytes]:
    """Every stored PNG of the pictures with these ids."""
    pairs = [pair for pair in parquet.read_parts(dataset / "pairs").to_pylist() if pair["id"] in ids]
    assert {pair["id"] for pair in pairs} == set(ids)
    return [value for pair in pairs for value in pair.values() if isinstance(value, bytes)]


def stored(dataset: Path) -> list[Any]:
    """Every value of every cell of every Parquet file below a folder, as text or bytes."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted(dataset.rglob("*.parquet"))]
    return [value for table in tables for row in table.to_pylist() for value in row.values()]


def empty(row: Row) -> bool:
    """Whether a row keeps nothing of a removed picture but its path and id."""
    kept = {"source", "path", "path_raw", "id", "dropped"}
    return row["dropped"] == "removed" and not any(value for name, value in row.items() if name not in kept)


def test_every_copy_of_a_removed_picture_becomes_a_blank_row_and_counts_still_add_up(home: Path) -> None:
    before = rows(home / "d")
    counts = remove(home / "d", ["cat.png"])
    assert verify(home / "d") == []
    after = rows(home / "d")
    assert [(path, row["id"]) for path, row in after.items()] == [(path, row["id"]) for path, row in before.items()]
    assert {path for path, row in after.items() if empty(row)} == {"cat.png", "cat-again.png"}
    assert (counts["in"], counts["dropped"]) == (len(before), {"removed": 2, "unreadable": 1})
    assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
    assert (counts["removed"], counts["absent"], counts["remembered"]) == (2, [], {"ids": 1, "artists": 0})
    assert counts["lookalikes"] == ["cat0.jpg", "cat1.jpg"]
    assert pq.read_table(home / "d" / "manifest").equals(pq.read_table(home / "d" / "records"))


def test_the_next_best_duplicate_becomes_the_survivor(home: Path) -> None:
    before = rows(home / "d")
    assert before["cat0.jpg"]["duplicate_of"] == before["cat.png"]["id"]
    assert "whiskers" in before["cat.png"]["tags"]
    remove(home / "d", ["cat.png"])
    after = grow(home)
    assert [after[name]["dropped"] for name in ("cat.png", "cat0.jpg", "cat1.jpg")] == ["removed", None, "duplicate"]
    assert after["cat1.jpg"]["duplicate_of"] == after["cat0.jpg"]["id"]
    assert "whiskers" not in after["cat0.jpg"]["tags"]


@pytest.mark.parametrize(
    ("name", "path"),
    [("artist:Anna B.", ANNA), ("artist:anna_b.", ANNA), ("ARTIST:BERT", BERT), ("artist:artist:bert", BERT)],
)
def test_an_artist_is_found_by_column_or_tag_in_any_spelling(home: Path, name: str, path: str) -> None:
    remove(home / "d", [name])
    after = rows(home / "d")
    copies = {copy for copy, row in after.items() if row["id"] == after[path]["id"]}
    assert path in copies
    assert {removed for removed, row in after.items() if empty(row)} == copies
    texts = [str(value) for value in stored(home / "d") if not isinstance(value, bytes)]
    assert any("secret" in text for text in texts) == (path != ANNA)  # the title in Anna's sidecar
    assert any("upward" in text for text in texts) == (path != BERT)  # a tag in Bert's


def test_new_pictures_by_the_artist_or_with_the_same_bytes_become_removed_rows_without_pixels(
    art: Path, home: Path
) -> None:
    remove(home / "d", ["cat.png", "artist:anna b."])
    shutil.copy(home / "s" / "cat.png", home / "s" / "new-cat.png")
    shutil.copy(art / "1F499.png", home / "s" / "new-heart.png")
    (home / "s" / "new-heart.png.json").write_text('{"artist": ["Carl", "Anna B."], "tags": "blue"}')
    shutil.copy(art / "1F49A.png", home / "s" / "other-heart.png")
    after = grow(home)
    assert empty(after["new-cat.png"])
    assert empty(after["new-heart.png"])
    assert after["other-heart.png"]["dropped"] is None
    ids = {row["id"] for row in after.values() if row["dropped"] == "removed"}
    assert not ids & set(parquet.read_parts(home / "d" / "pairs")["id"].to_pylist())
    assert ids <= opt_out.read(home / "d").ids


def test_a_copy_read_before_the_sidecar_that_names_its_artist_is_removed_too(art: Path, home: Path) -> None:
    remove(home / "d", ["artist:anna b."])
    shutil.copy(art / "1F499.png", home / "s" / "a.png")
    assert grow(home)["a.png"]["dropped"] is None
    shutil.copy(art / "1F499.png", home / "s" / "z.png")
    (home / "s" / "z.txt").write_text("artist:anna_b.")
    after = grow(home)
    assert empty(after["a.png"])
    assert empty(after["z.png"])


def test_extract_fresh_keeps_opt_outs_and_gives_the_same_rows(home: Path) -> None:
    remove(home / "d", [ANNA, "artist:bert"])
    grown = list(grow(home).values())
    counts = extract.extract([Source("s", home / "s")], home / "d", LINES, part_size=4, fresh=True)
    assert counts["dropped"]["removed"] == 3
    assert list(grow(home).values()) == grown


def test_opt_outs_of_pictures_not_in_the_dataset_are_remembered(art: Path, home: Path) -> None:
    shutil.copy(art / "1F499.png", home / "new.png")
    key = digest(home / "new.png")
    counts = remove(home / "d", [key.upper(), "artist:nobody"])
    assert (counts["removed"], counts["absent"]) == (0, [key.upper(), "artist:nobody"])
    assert verify(home / "d") == []
    assert rows(home / "d")["cat0.jpg"]["dropped"] == "duplicate"  # the manifest need not be decided again
    shutil.move(home / "new.png", home / "s")
    assert empty(grow(home)["new.png"])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def test_removing_again_changes_nothing(home: Path, tree: Tree) -> None:
    keys = ["cat.png", "artist:anna b."]
    remove(home / "d", keys)
    grow(home)
    before = tree(home / "d")
    assert remove(home / "d", keys)["removed"] == 0
    assert tree(home / "d") == before


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("none.png", "'none.png' is neither the path of a record nor an id of 32 hex digits: give a path below"),
        ("0123abc", "nor an id of 32 hex digits"),
        ("artist: ", "names no artist: write artist:NAME"),
        ("torn.png", "'torn.png' could not be read"),
    ],
)
def test_an_unknown_key_is_refused_before_anything_is_removed(home: Path, tree: Tree, key: str, message: str) -> None:
    before = tree(home / "d")
    with pytest.raises(NurieError, match=re.escape(message)):
        remove(home / "d", ["cat.png", key])
    assert tree(home / "d") == before


def test_a_path_in_two_sources_is_refused_with_a_request_for_an_id(home: Path, art: Path) -> None:
    (home / "t").mkdir()
    shutil.copy(art / "1F499.png", home / "t" / "cat.png")
    extract.extract([Source("t", home / "t")], home / "d", LINES)
    with pytest.raises(NurieError, match="2 pictures have the path"):
        remove(home / "d", ["cat.png"])


def test_tags_given_to_removed_pictures_are_deleted_and_decisions_keep_their_numbers(home: Path) -> None:
    decisions.decide(home / "d", "retag", ["book.png"], "artist:dora, hush")
    decisions.decide(home / "d", "retag", ["smile.png"], "loud")
    remove(home / "d", ["artist:dora"])
    assert verify(home / "d") == []
    assert empty(rows(home / "d")["book.png"])
    assert [(row["sequence"], row["tags"]) for row in decisions.read(home / "d")] == [(0, None), (1, ["loud"])]
    assert grow(home)["smile.png"]["tags"] == ["loud"]


def test_why_says_that_a_picture_was_removed_and_which_shards_still_hold_it(home: Path) -> None:
    shard.shard(home / "d", home / "old", shard.ShardOptions(min_count=1))
    remove(home / "d", ["cat.png"])
    grow(home)
    shard.shard(home / "d", home / "new", shard.ShardOptions(min_count=1))
    [old] = why(home / "d", "cat.png", shards=home / "old")
    [new] = why(home / "d", "cat.png", shards=home / "new")
    assert "manifest: dropped as removed: it was removed by request, and stays out" in old["story"]
    assert old["story"][-1].endswith(", made before it was removed: make the shards again")
    assert new["story"][-1] == "shards: not in them"


def test_verify_finds_removed_data_that_was_restored(home: Path) -> None:
    part = parquet.part_path(home / "d" / "records", 0)
    kept = [(path, path.read_bytes()) for path in sorted((home / "d").rglob("part-*"))]
    remove(home / "d", ["cat.png"])
    for path, data in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    state = ledger.read_ledger(home / "d")
    names = ("records", "pairs", "manifest", "edges")
    counts = parquet.count_fates(parquet.read_parts(home / "d" / "manifest", ["dropped"]))
    ledger.write_ledger(home / "d", state | {"counts": counts}, rehash=names)
    assert part.is_file()
    assert any("which opted out: run `curate dedupe`" in fault for fault in verify(home / "d"))
    grow(home)
    assert empty(rows(home / "d")["cat.png"])


def test_the_command_prints_counts_and_the_next_step(home: Path, run: Callable[..., Any]) -> None:
    counts = run("remove", home / "d", "cat.png", "artist:anna b.")
    assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
    assert counts["removed"] == 4
    assert "curate dedupe" in counts["next"]
    assert run("verify", home / "d")["faults"] == []


def test_shard_refuses_until_dedupe_has_run(home: Path) -> None:
    remove(home / "d", ["cat.png"])
    with pytest.raises(NurieError, match="run `curate dedupe"):
        shard.shard(home / "d", home / "shards", shard.ShardOptions())


def test_a_selection_made_before_the_removal_is_refused(home: Path) -> None:
    select(home / "d", home / "old.parquet")
    remove(home / "d", ["cat.png"])
    grow(home)
    with pytest.raises(NurieError, match=r"old\.parquet keeps [0-9a-f]{32}, which opted out"):
        shard.shard(home / "d", home / "shards", shard.ShardOptions(), manifest=home / "old.parquet")
    assert not (home / "shards").exists()


def test_shard_refuses_after_an_interrupted_removal(begun: Path, tmp_path: Path) -> None:
    homes = (Path(shutil.copytree(begun, tmp_path / str(fatal))) for fatal in count(1))
    home = next(home for home in homes if killed(home, int(home.name)) and opt_out.read(home / "d"))
    assert rows(home / "d")["cat.png"]["dropped"] is None
    with pytest.raises(NurieError, match="which opted out: run `curate dedupe"):
        shard.shard(home / "d", home / "shards", shard.ShardOptions())


def test_artists_are_the_names_between_commas_and_the_artist_tags() -> None:
    row: RecordRow = {"artist": "Anna B., Carl", "own_tags": ["artist:dora", "character:emil"]}
    assert opt_out.artist_tags_of(row) == {"artist:anna_b.,_carl", "artist:anna_b.", "artist:carl", "artist:dora"}
    assert not OptOut(artists=frozenset({"artist:emil"})).has_opted_out({"artist": None, "own_tags": [], "id": None})


NAMES = st.lists(st.sampled_from(["artist:anna", "artist:", "character:artist:x", "Artist:Bert", "blue"]), max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "artist": st.none() | st.sampled_from(["", "Anna, Bert", " ,", "creator:Carl", "artist:dora"]),
            "own_tags": NAMES,
        }
    )
)


@given(ROWS)
def test_artists_of_a_table_are_the_artists_of_its_rows(records: list[RecordRow]) -> None:
    schema = pa.schema([MANIFEST_SCHEMA.field(name) for name in ("artist", "own_tags")])
    artists = set(opt_out.iter_artist_tags(pa.Table.from_pylist(records, schema=schema)))
    expected = {(number, artist) for number, row in enumerate(records) for artist in opt_out.artist_tags_of(row)}
    assert artists == expected


class KilledError(BaseException):
    """The simulated death of the process, after which no file is changed."""


class Killer:
    """Raises KilledError at call number `fatal` of the functions that change files, and at every later call.

    With 0 it only counts the calls.
    """

    def __init__(self, patch: pytest.MonkeyPatch, fatal: int) -> None:
        self.fatal, self.calls, self.dead = fatal, 0, False
        for owner, name in (
            *((Path, name) for name in ("replace", "rename", "unlink", "mkdir")),
            (shutil, "rmtree"),
            (pq, "write_table"),
        ):
            patch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            self.dead = self.dead or self.calls == self.fatal
            if self.dead:
                raise KilledError
            return real(*arguments, **options)

        return call


KEYS = ("cat.png", "artist:anna b.", "artist:bert", "artist:nobody")


def killed(home: Path, fatal: int) -> int:
    """Kill a removal at call number `fatal`, or never if it is 0; returns the number of calls that changed files."""
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(patch, fatal)
        if not fatal:
            remove(home / "d", KEYS)
            return killer.calls
        with pytest.raises(KilledError):
            remove(home / "d", KEYS)
    return killer.calls


@pytest.fixture(scope="module")
def unbroken(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A dataset after a removal, and how many calls changed files. Not to be changed."""
    home = tmp_path_factory.mktemp("unbroken") / "home"
    shutil.copytree(begun, home)
    decisions.decide(home / "d", "retag", ["apple.png"], "hush")
    return home, killed(home, 0)


def test_a_removal_killed_at_any_write_and_run_again_gives_the_same_bytes(
    begun: Path, unbroken: tuple[Path, int], tmp_path: Path, tree: Tree
) -> None:
    whole, calls = unbroken
    expected = tree(whole / "d")
    assert verify(whole / "d") == []
    assert calls > 40
    decisions.decide(Path(shutil.copytree(begun, tmp_path / "start")) / "d", "retag", ["apple.png"], "hush")
    for fatal in range(1, calls + 1):
        home = Path(shutil.copytree(tmp_path / "start", tmp_path / "killed"))
        killed(home, fatal)
        remove(home / "d", KEYS)
        assert tree(home / "d") == expected, f"killed at call {fatal} of {calls}"
        shutil.rmtree(home)


def test_an_interrupted_removal_is_finished_by_extract_and_by_dedupe(
    begun: Path, unbroken: tuple[Path, int], tmp_path: Path
) -> None:
    ids = sorted(opt_out.read(unbroken[0] / "d").ids)
    finished_count, calls = 0, killed(Path(shutil.copytree(begun, tmp_path / "counted")), 0)
    for fatal in range(4, calls, 9):
        home = Path(shutil.copytree(begun, tmp_path / str(fatal)))
        killed(home, fatal)
        if not opt_out.read(home / "d"):
            continue
        if fatal % 2:
            extract.extract([Source("s", home / "s")], home / "d", LINES, part_size=4)
        dedupe.dedupe(home / "d", OPTIONS)
        assert verify(home / "d") == []
        assert sorted({row["id"] for row in rows(home / "d").values() if empty(row)}) == ids
        finished_count += 1
    assert finished_count > 3


def leftovers(folder: Path, gone: list[bytes]) -> list[str]:
    """Names of files below a folder that hold any of the `gone` bytes, directly or in a cell of a table."""
    names = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        contents = [path.read_bytes()]
        if path.suffix == ".parquet":
            rows = pq.read_table(path, partitioning=None).to_pylist()
            contents += [value for row in rows for value in row.values() if isinstance(value, bytes)]
        names += [path.name for pixels in gone if any(pixels in data for data in contents)]
    return sorted(set(names))


def test_no_byte_of_a_removed_picture_is_in_any_later_output(home: Path) -> None:
    before = rows(home / "d")
    gone = pixels(home / "d", *{before[name]["id"] for name in ("cat.png", ANNA, BERT)})
    shard.shard(home / "d", home / "old", shard.ShardOptions(min_count=1))
    assert leftovers(home / "old", gone)
    assert leftovers(home / "d", gone)

    remove(home / "d", ["cat.png"])
    remove(home / "d", ["artist:anna b.", before[BERT]["id"]])
    assert leftovers(home / "d", gone) == []

    shutil.copy(home / "s" / "cat.png", home / "s" / "yet-another-cat.png")
    after = grow(home)
    counts = shard.shard(home / "d", home / "new", shard.ShardOptions(min_count=1))
    assert leftovers(home / "d", gone) == leftovers(home / "new", gone) == []
    assert verify(home / "d") == verify(home / "new") == []
    assert len(after) == len(before) + 1 == counts["in"] == counts["kept"] + sum(counts["dropped"].values())
    removed = {path for path, row in after.items() if empty(row)}
    assert removed == {"cat.png", "cat-again.png", "yet-another-cat.png", ANNA, "zz-apple.png", BERT}
    assert counts["dropped"]["removed"] == len(removed)
    assert after["cat0.jpg"]["dropped"] is None
    index = (home / "new" / "index.json").read_text()
    assert not any(word in index for word in ("Anna", "windfall", "upward", "whiskers"))
