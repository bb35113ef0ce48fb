"""The command line: what it prints, where, and with which exit code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from curate.cli import main
from curate.system import lock

COMMANDS = [
    "sample",
    "extract",
    "dedupe",
    "decide",
    "browse",
    "tags",
    "select",
    "shard",
    "run",
    "report",
    "why",
    "remove",
    "verify",
    "copy",
    "plan",
]


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "dataset"))


def test_help_lists_the_commands_in_pipeline_order() -> None:
    listed = invoke("--help").stdout.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json_and_quiet(command: str) -> None:
    help_text = invoke(command, "--help").stdout
    assert "--json" in help_text
    assert "--quiet" in help_text


def test_every_stage_prints_one_object_in_which_in_is_kept_plus_dropped(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    art, dataset, out, shards = (tmp_path / name for name in ("art", "dataset", "out.parquet", "shards"))
    results = {"sample": run("sample", "openmoji", art, "--limit", 40, "--size", 64, "--workers", 1)}
    (art / "torn.png").write_bytes(b"\x89PNG")
    results["extract"] = run("extract", f"mine={art}", dataset, "--workers", 1)
    results["dedupe"] = run("dedupe", dataset, "--split", "0.6,0.2,0.2", "--seed", 3)
    results["tags"] = run("tags", dataset, "--top", 5)
    results["select"] = run("select", dataset, out, "--where", "width == 64")
    results["shard"] = run("shard", dataset, shards, "--manifest", out, "--min-count", 1, "--workers", 1)
    assert run("verify", dataset)["faults"] == run("verify", shards)["faults"] == []
    for stage in ("extract", "dedupe", "select", "shard"):
        assert results[stage]["in"] == results[stage]["kept"] + sum(results[stage]["dropped"].values())
        assert results[stage]["seconds"] >= 0
    assert results["sample"]["pictures"] == 40
    assert results["extract"]["in"] == results["dedupe"]["in"] == results["select"]["in"] == 41
    assert results["select"]["kept"] == results["shard"]["kept"] == sum(results["shard"]["splits"].values())
    assert len(results["tags"]["tags"]) == 5


def test_results_go_to_standard_output_and_quiet_leaves_standard_error_empty(copy: Path, tmp_path: Path) -> None:
    for command in (["dedupe", copy], ["tags", copy], ["shard", copy, tmp_path / "s"], ["verify", copy]):
        result = invoke(*command, "--quiet")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout


def test_a_summary_is_printed_as_a_sum(copy: Path) -> None:
    first = invoke("dedupe", copy, "--drop-alternates").stdout.splitlines()[0]
    assert first.startswith("dedupe: 23 in = ")
    assert " kept + " in first
    assert " dropped (alternate " in first


def test_tags_of_kept_pictures_are_counted_after_aliases(
    dataset: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    plain = run("tags", dataset, "--top", 1000)
    assert plain["tags"]["medium_skin_tone"] == 2
    assert plain["colors"]["blue_heart"] == ["blue", "heart"]
    (tmp_path / "aliases").write_text("blue_heart,heart\ngreen_heart\theart\n")
    with_aliases = run("tags", dataset, "--top", 1000, "--aliases", tmp_path / "aliases")
    assert with_aliases["tags"]["heart"] >= plain["tags"]["heart"]
    assert plain["distinct"] - with_aliases["distinct"] == 2
    assert "medium_skin_tone  (colour)" in invoke("tags", dataset, "--top", 1000).stdout


MISTAKES = {
    "missing source": (["extract", "{here}/none", "{here}/d"], "none is not a folder"),
    "two sources of one name": (["extract", "a={art}", "a={art}", "{here}/d"], "two sources are called 'a'"),
    "dataset inside its source": (["extract", "{art}", "{art}/d"], "lies inside the source"),
    "unknown line art": (["extract", "{art}", "{here}/d", "--lines", "dilate,crayon"], "no line-art method 'crayon'"),
    "other options": (["extract", "{art}", "{dataset}", "--lines", "dilate"], "use the same options, or --fresh"),
    "missing dataset": (["dedupe", "{here}/none"], "not a dataset folder"),
    "not a dataset": (["dedupe", "{art}"], "not a dataset folder"),
    "a file for a dataset": (["extract", "{art}", "{art}/1F408.png"], "1F408.png"),
    "tags of no dataset": (["tags", "{here}"], "not a dataset folder"),
    "what goes with no tag": (["tags", "{dataset}", "--with", "xyz"], "no kept picture has the tag 'xyz'"),
    "missing implications": (["tags", "{dataset}", "--implications", "{here}/none"], "none cannot be read"),
    "missing aliases": (["tags", "{dataset}", "--aliases", "{here}/none"], "none cannot be read"),
    "split that does not add up": (["dedupe", "{dataset}", "--split", "0.5,0.6,0"], "does not add up to 1"),
    "split of two": (["dedupe", "{dataset}", "--split", "0.5,0.5"], "is not three numbers"),
    "bad where": (["select", "{dataset}", "{here}/o.parquet", "--where", "widht > 3"], "no column 'widht'"),
    "out in no folder": (["select", "{dataset}", "{here}/none/o.parquet"], "No such file or directory"),
    "select of no dataset": (["select", "{art}", "{here}/o.parquet"], "not a dataset folder"),
    "shard without dedupe": (["shard", "{undecided}", "{here}/s"], "run `curate dedupe"),
    "shard over pictures": (["shard", "{dataset}", "{art}"], "holds other files"),
    "missing manifest": (["shard", "{dataset}", "{here}/s", "--manifest", "{here}/none"], "none does not exist"),
    "picture for a manifest": (
        ["shard", "{dataset}", "{here}/s", "--manifest", "{art}/1F408.png"],
        "cannot be read as Parquet",
    ),
    "why of nothing": (["why", "{dataset}", "none.png"], "no record has the path or id"),
    "why without shards": (["why", "{dataset}", "1F408.png", "--shards", "{art}"], "not a finished shard folder"),
    "verify of pictures": (["verify", "{art}"], "neither a dataset nor a shard folder"),
}


@pytest.fixture(scope="module")
def undecided(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset before dedupe."""
    folder: Path = tmp_path_factory.mktemp("undecided") / "dataset"
    assert invoke("extract", art, folder, "--limit", 2, "--workers", 1).exit_code == 0
    return folder


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_reported_in_one_line_with_exit_code_1(
    art: Path, dataset: Path, undecided: Path, tmp_path: Path, mistake: str
) -> None:
    words, message = MISTAKES[mistake]
    places = {"art": art, "dataset": dataset, "undecided": undecided, "here": tmp_path}
    result = invoke(*(word.format(**places) for word in words))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)  # no traceback
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line


@pytest.mark.parametrize(
    "words",
    [
        ["extract"],
        ["dedupe", "d", "--max-distance", "99"],
        ["shard", "d", "s", "--seed", "-1"],
        ["shard", "--encoding", "x"],
    ],
)
def test_a_usage_error_has_exit_code_2(words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_a_stage_refuses_a_folder_that_another_run_is_writing(art: Path, copy: Path, shard_folder: Path) -> None:
    for locked, command in (
        (copy, ["extract", art, copy]),
        (copy, ["dedupe", copy]),
        (shard_folder, ["shard", copy, shard_folder]),
    ):
        with lock.exclusive(locked):
            result = invoke(*command)
        assert result.exit_code == 1
        assert f"another run is writing {locked}" in result.stderr


def test_extract_continues_and_with_fresh_starts_over(art: Path, tmp_path: Path, run: Callable[..., Any]) -> None:
    base = ("extract", art, tmp_path / "d", "--workers", 1)
    assert run(*base, "--limit", 3)["new"] == 3
    assert run(*base, "--limit", 5)["new"] == 2
    assert run(*base, "--limit", 5)["new"] == 0
    assert run(*base, "--limit", 4, "--fresh", "--lines", "xdog")["new"] == 4


def test_json_errors_leave_standard_output_empty(tmp_path: Path) -> None:
    result = invoke("dedupe", tmp_path, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.dumps(str(tmp_path))[1:-1] in result.stderr
