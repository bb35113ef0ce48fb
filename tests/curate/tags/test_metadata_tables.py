import contextlib
import hashlib
import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dataset import ledger, parquet
from curate.extraction import extract
from curate.sources.scan import Source, SourceFile, scan_sources
from curate.sources.table_lookup import TableLookup
from curate.system.errors import DatasetError
from curate.tags import metadata_tables
from curate.tags.sidecar import Sidecar

Tree = Callable[[Path], dict[str, bytes]]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: (
        st.lists(v)
        | st.dictionaries(st.sampled_from(["md5", "id", "tags", "file_name", "text", "caption"]) | st.text(), v)
    ),
)


@pytest.fixture
def pictures(art: Path, tmp_path: Path) -> Path:
    """Three pictures in two folders, one named by a number."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(art / "1F600.png", folder / "123.png")
    shutil.copy(art / "1F408.png", folder / "cat.png")
    shutil.copy(art / "1F34E.png", folder / "deep" / "apple.png")
    return folder


def lines(*entries: object) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def tags_and_error_count(folder: Path) -> tuple[dict[str, tuple[str, ...]], int]:
    """The tags by path of every file that becomes a row, and the number of unreadable entries."""
    with closing(TableLookup()) as join:
        sidecars = {file.path: join.look_up(file) for file in scan_sources([Source("s", folder)])}
        return {path: sidecar.tags if sidecar else () for path, sidecar in sidecars.items()}, join.error_count


def sidecar_of(folder: Path, path: str) -> Sidecar | None:
    """The metadata that tables have for one file."""
    with closing(TableLookup()) as join:
        [found] = [join.look_up(file) for file in scan_sources([Source("s", folder)]) if file.path == path]
        return found


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_posts_are_joined_by_id_and_by_the_md5_of_bytes_or_name(pictures: Path) -> None:
    named = "0" * 31 + "f"
    shutil.copy(pictures / "cat.png", pictures / f"__a_cat__{named}.png")
    (pictures / "dump.jsonl").write_text(
        lines(
            {"id": 123, "tag_string": "smile"},
            {"id": 9, "md5": md5(pictures / "deep" / "apple.png").upper(), "tags": ["red_apple", "artist:x"]},
            {"md5": named, "tags": "cat"},
        )
    )
    tags, errors = tags_and_error_count(pictures)
    assert tags == {
        "123.png": ("smile",),
        "cat.png": (),
        "deep/apple.png": ("red_apple", "artist:x"),
        f"__a_cat__{named}.png": ("cat",),
    }
    assert errors == 0


@pytest.mark.parametrize("name", ["posts.json", "2023.jsonl", "posts.parquet", "metadata.jsonl"])
def test_posts_say_the_same_in_every_format(pictures: Path, name: str) -> None:
    posts = [
        {
            "id": 123,
            "tag_string_general": "smile open_mouth",
            "tag_string_artist": "someone",
            "rating": "g",
            "score": 7,
        },
        {"id": 5, "tag_string_general": "", "tag_string_artist": "", "rating": None, "score": 0},
    ]
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(posts), pictures / name)
    else:
        (pictures / name).write_text(lines(*posts))
    post = sidecar_of(pictures, "123.png")
    assert post is not None
    assert set(post.tags) == {"smile", "open_mouth", "artist:someone"}
    assert (post.rating, post.score) == ("g", 7)


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "metadata.parquet"])
def test_hugging_face_metadata_names_files_below_its_own_folder(pictures: Path, name: str) -> None:
    rows = [{"file_name": "apple.png", "text": "red apple, leaf"}, {"file_name": "cat.png", "text": "cat"}]
    if name.endswith("csv"):
        pd.DataFrame(rows).to_csv(pictures / "deep" / name, index=False)
    elif name.endswith("parquet"):
        pd.DataFrame(rows).to_parquet(pictures / "deep" / name)
    else:
        (pictures / "deep" / name).write_text(lines(*rows))
    tags, errors = tags_and_error_count(pictures)
    assert tags == {"123.png": (), "cat.png": (), "deep/apple.png": ("red_apple", "leaf")}
    assert errors == 0


def test_posts_json_may_be_one_array_as_from_danboorus_api(pictures: Path) -> None:
    text = json.dumps([{"id": 123, "tag_string": "smile"}, 7, {"id": 4, "tag_string": "x"}], indent=1)
    (pictures / "posts.json").write_text(text)
    tags, errors = tags_and_error_count(pictures)
    assert tags == {"123.png": ("smile",), "cat.png": (), "deep/apple.png": ()}
    assert errors == 1
    (pictures / "posts.json").write_text(text[:-10])
    tags, errors = tags_and_error_count(pictures)
    assert tags["123.png"] == ("smile",)
    assert errors == 2


def test_rows_with_too_many_or_too_few_columns_are_counted(pictures: Path) -> None:
    (pictures / "metadata.csv").write_text('file_name,tags\nx.png\ncat.png,"cat, smile"\ny.png,a,b\n')
    tags, errors = tags_and_error_count(pictures)
    assert tags["cat.png"] == ("cat", "smile")
    assert errors == 2


def test_infinite_numbers_and_nan_become_null(pictures: Path) -> None:
    (pictures / "metadata.jsonl").write_text('{"file_name": "cat.png", "tags": "cat", "x": 1e999, "y": NaN}\n')
    found = sidecar_of(pictures, "cat.png")
    assert found is not None
    assert dict(found.extra) == {"x": None, "y": None}


def test_prose_gives_no_tags_and_is_kept_as_extra_text(pictures: Path) -> None:
    (pictures / "metadata.jsonl").write_text(lines({"file_name": "cat.png", "text": "A cat, which sleeps."}))
    found = sidecar_of(pictures, "cat.png")
    assert found is not None
    assert (found.tags, dict(found.extra)) == ((), {"text": "A cat, which sleeps."})


@pytest.mark.parametrize("key", ["deep/apple.png", "deep/apple", "apple", "/data/deep/apple.png", "C:\\d\\apple.png"])
def test_kohyas_metadata_is_found_by_path_or_stem(pictures: Path, key: str) -> None:
    value = {"tags": "red apple, leaf", "caption": "an apple", "train_resolution": [64, 64]}
    (pictures / "meta_cap.json").write_text(json.dumps({key: value, "other": {"tags": "x"}}, indent=2))
    tags, errors = tags_and_error_count(pictures)
    assert tags == {"123.png": (), "cat.png": (), "deep/apple.png": ("red_apple", "leaf")}
    assert errors == 0


def test_absolute_paths_with_the_same_end_match_no_file(pictures: Path) -> None:
    entries = {f"/data/{folder}/cat.png": {"tags": folder} for folder in ("a", "b", "c")}
    (pictures / "meta.json").write_text(json.dumps(entries))
    assert tags_and_error_count(pictures)[0]["cat.png"] == ()
    (pictures / "a").mkdir()
    shutil.copy(pictures / "cat.png", pictures / "a")
    assert tags_and_error_count(pictures)[0]["a/cat.png"] == ("a",)


def test_the_nearest_table_wins_and_of_two_entries_the_later(pictures: Path) -> None:
    (pictures / "metadata.jsonl").write_text(
        lines(
            {"file_name": "deep/apple.png", "tags": "old"}, {"file_name": "./deep/apple.png", "tags": "far", "score": 1}
        )
    )
    (pictures / "deep" / "metadata.jsonl").write_text(lines({"file_name": "apple.png", "tags": "near", "score": 2}))
    found = sidecar_of(pictures, "deep/apple.png")
    assert found is not None
    assert (found.tags, found.score) == (("near", "far"), 2)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.jsonl", b'{"message": "hello", "id": 3}\n'),
        ("empty.jsonl", b""),
        ("posts.json", b'{"posts": []}'),
        ("metadata.csv", b"name,tags\na.png,b\n"),
        ("metadata.json", b'{"title": "x"}'),
        ("meta.json", b'{"a": {"width": 3}}'),
        ("a.parquet", b"PAR1 and no more"),
        ("other.csv", b"file_name,tags\ncat.png,cat\n"),
        ("tags.json", b'{"cat.png": {"tags": "cat"}}'),
    ],
)
def test_a_file_that_is_not_a_table_is_a_row(pictures: Path, name: str, data: bytes) -> None:
    (pictures / name).write_bytes(data)
    tags, errors = tags_and_error_count(pictures)
    assert tags == {"123.png": (), "cat.png": (), "deep/apple.png": (), name: ()}
    assert errors == 0


def test_a_datasets_own_manifest_is_not_a_table_of_posts(dataset: Path) -> None:
    assert {metadata_tables.table_kind(path) for path in dataset.rglob("*.parquet")} == {None}


def test_a_sidecar_comes_before_a_table_of_the_same_name(pictures: Path) -> None:
    shutil.copy(pictures / "cat.png", pictures / "meta.png")
    (pictures / "meta.json").write_text(json.dumps({"cat": {"tags": "cat"}}))
    files = {file.path: file for file in scan_sources([Source("s", pictures)])}
    assert files["meta.png"].sidecars == (pictures / "meta.json",)
    assert "meta.json" not in files
    assert not files["cat.png"].tables


def test_a_pipe_with_the_name_of_a_table_is_not_opened(pictures: Path) -> None:
    os.mkfifo(pictures / "metadata.jsonl")
    (pictures / "posts.parquet").symlink_to(pictures / "nowhere")
    assert {"metadata.jsonl", "posts.parquet"} <= tags_and_error_count(pictures)[0].keys()


def test_a_malformed_line_costs_only_its_tags_and_is_counted(pictures: Path, tmp_path: Path) -> None:
    good = lines({"file_name": "cat.png", "tags": "cat"}).encode()
    bad = [b"{broken", b"[1]", b"\xff", b"[" * 9999, rb'{"file_name": "a", "tags": ["\ud800"]}', b'{"tags": "x"}']
    long = b'{"file_name": "' + b"a" * (2 * metadata_tables.MAX_ENTRY_SIZE) + b'"}'
    (pictures / "metadata.jsonl").write_bytes(b"\n".join([*bad, long, good]))
    counts = extract.extract([Source("s", pictures)], tmp_path / "d", extract.ExtractOptions(lines=("dilate",)))
    assert (counts["in"], counts["kept"], counts["sidecar_errors"]) == (3, 3, 7)
    rows = {row["path"]: row for row in parquet.read_parts(tmp_path / "d" / "manifest").to_pylist()}
    assert rows["cat.png"]["tags"] == ["cat"]
    assert rows["cat.png"]["error"] is None


@pytest.mark.parametrize("cut", [30, 60, -1])
def test_the_entries_before_a_truncated_end_are_kept(pictures: Path, cut: int) -> None:
    text = json.dumps({"cat": {"tags": "cat"}, "123": {"tags": "smile"}, "x": {"tags": "x"}})
    (pictures / "meta.json").write_text(text[:cut])
    tags, errors = tags_and_error_count(pictures)
    assert tags["cat.png"] == ("cat",)
    assert errors == 1


def test_an_object_larger_than_the_window_is_read_to_its_end(tmp_path: Path) -> None:
    entries = {f"name{n}": {"tags": "a, b", "caption": "é" * n} for n in range(0, 20_000, 997)}
    (tmp_path / "meta.json").write_text(json.dumps(entries, ensure_ascii=False), "utf-8")
    read = {
        entry["key"]: entry["value"]
        for entry in metadata_tables.read_entries(tmp_path / "meta.json")
        if entry is not None
    }
    assert read == entries


def test_nan_and_repeated_keys_in_one_member_do_not_end_an_array(tmp_path: Path) -> None:
    (tmp_path / "posts.json").write_text('[{"id": 1, "score": NaN, "tags": "a", "tags": "b"}, {"id": 2}]')
    entries = list(metadata_tables.read_entries(tmp_path / "posts.json"))
    assert entries == [{"id": 1, "score": None, "tags": "b"}, {"id": 2}]


def test_a_lone_surrogate_is_counted_and_the_next_member_is_read(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(r'{"a": {"tags": "\ud800"}, "b": {"tags": "x"}}')
    assert list(metadata_tables.read_entries(tmp_path / "meta.json")) == [None, {"key": "b", "value": {"tags": "x"}}]


@pytest.mark.parametrize("bomb", ["x", "[", '{"a":', "1", " "])
@pytest.mark.parametrize("name", ["posts.json", "meta.json", "posts.jsonl"])
def test_a_long_or_deep_member_takes_no_memory_in_proportion_to_the_file(tmp_path: Path, name: str, bomb: str) -> None:
    start = {"posts.json": '[{"id": 1}, ', "meta.json": '{"a": {"tags": "x"}, "b": ', "posts.jsonl": '{"id": 1}\n'}[
        name
    ]
    quote = '"' if bomb == "x" else ""
    (tmp_path / name).write_text(start + quote + bomb * ((32 << 20) // len(bomb)) + quote)
    tracemalloc.start()
    entries = []
    with contextlib.suppress(*metadata_tables.TABLE_ERRORS):
        for entry in metadata_tables.read_entries(tmp_path / name):
            entries.append(entry)  # noqa: PERF402  # those before an error count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert entries[0] in ({"id": 1}, {"key": "a", "value": {"tags": "x"}})
    assert [entry for entry in entries[1:] if entry] == []
    assert peak < 16 << 20


NAMES = (
    "posts.jsonl",
    "posts.json",
    "metadata.jsonl",
    "metadata.csv",
    "meta.json",
    "posts.parquet",
    "metadata.parquet",
)


def survives(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    (folder / "1.png").touch()
    try:
        rows = {file.path for file in scan_sources([Source("s", folder)])}
        assert rows in ({"1.png"}, {"1.png", name})
        # even if it were taken for a table of either kind, nothing but these may be raised
        with closing(TableLookup()) as join:
            join.look_up(SourceFile("s", "1.png", None, folder / "1.png", (), (folder / name,)))
    finally:
        (folder / name).unlink()


@given(st.sampled_from(NAMES), st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_crash_a_table_reader_or_lose_a_row(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    survives(tmp_path_factory.mktemp("t"), name, data)


@settings(max_examples=50)
@given(
    st.lists(st.dictionaries(st.sampled_from(["md5", "id", "tags", "file_name", "text", "extra"]), JSON, max_size=4)),
    st.sampled_from(["posts.jsonl", "metadata.jsonl", "meta.json"]),
)
def test_entries_of_any_shape_are_read_or_counted(
    tmp_path_factory: pytest.TempPathFactory, entries: list[dict[str, Any]], name: str
) -> None:
    whole = json.dumps({f"k{n}": entry for n, entry in enumerate(entries)})
    data = whole if name == "meta.json" else lines(*entries)
    survives(tmp_path_factory.mktemp("t"), name, data.encode())


def test_parquet_with_flipped_bits_raises_only_known_errors(tmp_path: Path) -> None:
    rows = [{"id": n, "md5": f"{n:032x}", "tags": ["a", f"b{n}"], "blob": b"x"} for n in range(50)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    good, chance = sink.getvalue().to_pybytes(), random.Random(0)
    for _ in range(200):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        survives(tmp_path, "posts.parquet", bytes(data))


def test_any_number_of_workers_and_a_resume_give_the_same_bytes(pictures: Path, tmp_path: Path, tree: Tree) -> None:
    (pictures / "metadata.jsonl").write_text(
        lines({"file_name": "cat.png", "tags": "cat"}, {"file_name": "deep/apple.png", "tags": "red_apple"})
    )
    sources, options = [Source("s", pictures)], extract.ExtractOptions(lines=("dilate",))
    for name, workers in (("one", 1), ("two", 2)):
        extract.extract(sources, tmp_path / name, options, workers=workers, part_size=1)
    extract.extract(sources, tmp_path / "resumed", options, limit=1, part_size=1)
    assert extract.extract(sources, tmp_path / "resumed", options, part_size=1)["new"] == 2
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "resumed")


def test_a_picture_added_later_is_found_in_the_table(pictures: Path, tmp_path: Path) -> None:
    (pictures / "metadata.jsonl").write_text(lines({"file_name": "late.png", "tags": "late"}))
    sources, options = [Source("s", pictures)], extract.ExtractOptions(lines=("dilate",))
    extract.extract(sources, tmp_path / "d", options)
    shutil.copy(pictures / "cat.png", pictures / "late.png")
    assert extract.extract(sources, tmp_path / "d", options)["new"] == 1
    rows = {row["path"]: row["tags"] for row in parquet.read_parts(tmp_path / "d" / "manifest").to_pylist()}
    assert rows["late.png"] == ["late"]


def test_folder_names_are_tags_only_with_folder_tags(pictures: Path, tmp_path: Path) -> None:
    (pictures / "deep").rename(pictures / "10_red apple")
    sources = [Source("s", pictures)]
    for chosen, expected in ((False, []), (True, ["red_apple"])):
        options = extract.ExtractOptions(lines=("dilate",), folder_tags=chosen)
        extract.extract(sources, tmp_path / str(chosen), options)
        rows = {row["path"]: row["tags"] for row in parquet.read_parts(tmp_path / str(chosen) / "manifest").to_pylist()}
        assert rows == {"10_red apple/apple.png": expected, "123.png": [], "cat.png": []}
    with pytest.raises(DatasetError, match="begun with folder_tags=True"):
        extract.extract(sources, tmp_path / "True", extract.ExtractOptions(lines=("dilate",)))


def test_a_dataset_older_than_folder_tags_continues_without_them(pictures: Path, tmp_path: Path) -> None:
    sources, options = [Source("s", pictures)], extract.ExtractOptions(lines=("dilate",))
    extract.extract(sources, tmp_path / "d", options, limit=1)
    state = ledger.read_ledger(tmp_path / "d")
    del state["options"]["folder_tags"]
    ledger.write_ledger(tmp_path / "d", state)
    assert extract.extract(sources, tmp_path / "d", options)["new"] == 2
    with pytest.raises(DatasetError, match="begun with folder_tags=False"):
        extract.extract(sources, tmp_path / "d", extract.ExtractOptions(lines=("dilate",), folder_tags=True))
