"""What a user of `train` sees: results, one JSON object with --json, one line for a mistake."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from curate.shards import shard
from train.cli import main

Call = Callable[..., Result]


@pytest.fixture
def call() -> Call:
    return lambda *arguments: CliRunner().invoke(main, [*map(str, arguments)])


def settings(*more: str) -> list[str]:
    """Options for the smallest model, and more settings."""
    small = ("width=8", "levels=3", "tag_width=16", "discriminator_width=8", "batch_size=8", "jit=false", *more)
    return [word for setting in (*small, "log_every=1", "snapshot_every=1") for word in ("--set", setting)]


def test_help_lists_the_commands_in_the_order_of_use(call: Call) -> None:
    listed = call("--help").output.split("Commands:")[1]
    places = [listed.index(f"  {name} ") for name in ("fit", "presets", "colorize", "evaluate", "export", "serve")]
    assert places == sorted(places)


def test_fit_evaluate_and_colorize_work_in_turn(call: Call, pairs32: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fitted = call("fit", pairs32, run, "--steps", 2, *settings(), "--json")
    assert fitted.exit_code == 0, fitted.output
    training = json.loads(fitted.stdout)
    assert training["step"] == 2
    assert "too short to tell" in training["verdict"]
    figures = json.loads(call("evaluate", run, pairs32, "--json").stdout)
    assert figures["split"] == "validation"
    assert figures["images_seen"] == 16
    colored = call("colorize", run / "best.keras", pairs32, tmp_path / "out", "--grid", "--quiet")
    assert "grid.png" in colored.stdout
    assert (tmp_path / "out" / "grid.png").is_file()


def test_a_dry_run_prints_devices_settings_and_parameters_and_writes_nothing(
    call: Call, pairs32: Path, tmp_path: Path
) -> None:
    result = call("fit", pairs32, tmp_path / "run", "--dry-run", "--json", *settings("tag_width=17"))
    plan = json.loads(result.stdout)
    assert plan["devices"] == ["CPU"]
    assert plan["config"]["tag_width"] == 17
    assert plan["parameters"]["generator"] > plan["parameters"]["discriminator"] > 0
    assert not (tmp_path / "run").exists()


def test_presets_are_listed_with_their_sources(call: Call) -> None:
    listed = json.loads(call("presets", "--json").stdout)
    assert {"tags", "tags-cpu", "tags-gpu", "unet-l1"} <= listed.keys()
    assert "1505.04597" in listed["unet-l1"]["source"]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["fit", "{none}", "{run}", "--steps", "1"], "curate shard"),
        (["fit", "{shards}", "{run}", "--steps", "1", "--preset", "tag"], "did you mean 'tags'"),
        (["fit", "{shards}", "{run}", "--steps", "1", "--set", "width=x"], "width=x"),
        (["evaluate", "{none}", "{shards}"], "train fit"),
        (["colorize", "{none}", "{none}", "{run}"], "train fit"),
    ],
)
def test_a_mistake_is_reported_in_one_line_with_a_remedy(
    arguments: list[str], remedy: str, call: Call, pairs32: Path, tmp_path: Path
) -> None:
    places = {"none": tmp_path / "none", "shards": pairs32, "run": tmp_path / "run"}
    result = call(*(word.format(**places) for word in arguments))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len(result.stderr.strip().splitlines()) == 1
    assert remedy in result.stderr


@pytest.mark.parametrize("length", [["--steps", 1], ["--dry-run"]])
def test_an_unknown_line_style_is_refused_before_the_run_folder_is_made(
    length: list[object], call: Call, pairs32: Path, tmp_path: Path
) -> None:
    result = call("fit", pairs32, tmp_path / "run", *length, "--set", "lines=xdog,xdgo", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == "Error: the shards have no lines by xdgo: choose from contour, dilate, xdog\n"
    assert not (tmp_path / "run").exists()


def test_every_option_of_colorize_changes_the_picture(call: Call, trained: Path, tmp_path: Path) -> None:
    drawing = np.full((70, 50, 4), 255, np.uint8)
    drawing[20:23, :, :3], drawing[:, 40:, 3] = 0, 0
    cv2.imwrite(str(tmp_path / "a.png"), drawing)
    pictures = []
    for number, options in enumerate([[], ["--method", "tiles"], ["--keep-lines"], ["--keep-transparency"]]):
        result = call("colorize", trained, tmp_path / "a.png", tmp_path / str(number), *options, "--quiet")
        assert result.exit_code == 0, result.output
        pictures.append((tmp_path / str(number) / "a.png").read_bytes())
    assert len(set(pictures)) == 4


def test_a_seed_colours_other_pairs(call: Call, trained: Path, pairs32: Path, tmp_path: Path) -> None:
    names = []
    for options in ([], ["--seed", 1], ["--seed", 1]):
        result = call("colorize", trained, pairs32, tmp_path / "out", "--count", 3, *options, "--json")
        names.append(sorted(Path(path).name for path in json.loads(result.stdout)["pictures"]))
    assert names[1] == names[2] != names[0]


@pytest.mark.parametrize("format_name", ["webdataset", "imagefolder"])
@pytest.mark.parametrize("options", [["--steps", 1], ["--steps", 1, "--trust"], ["--dry-run"]])
def test_shards_of_another_format_are_refused_in_one_line_with_a_remedy(
    format_name: str, options: list[object], call: Call, pairs32: Path, tmp_path: Path
) -> None:
    shard.shard(pairs32.parent / "dataset", tmp_path / "s", shard.ShardOptions(format=format_name))
    result = call("fit", tmp_path / "s", tmp_path / "run", *options, *settings())
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    [line] = [line for line in result.stderr.splitlines() if not line.startswith("fit: on ")]
    assert f"{tmp_path / 's'} is of the format {format_name}, which `train` does not read" in line
    assert "`curate shard DATASET SHARDS`" in line
    assert not (tmp_path / "run").exists()


def test_exactly_one_length_must_be_given(call: Call, pairs32: Path, tmp_path: Path) -> None:
    for length in ([], ["--steps", 1, "--minutes", 1]):
        result = call("fit", pairs32, tmp_path / "run", *length)
        assert result.exit_code == 2
        assert "--steps N or --minutes M" in result.output


def test_quiet_prints_only_the_result(call: Call, pairs32: Path, tmp_path: Path) -> None:
    result: Any = call("fit", pairs32, tmp_path / "run", "--steps", 1, "--quiet", *settings())
    assert result.exit_code == 0
    assert result.stderr == ""
    assert re.search("^step +1$", result.stdout, re.MULTILINE)
