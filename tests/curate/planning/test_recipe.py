"""Recipes: every option of a stage, every mistake told with file, line and key."""

import re
import tomllib
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.cli.run import STAGE_COMMANDS
from curate.planning import recipe, toml_lines
from curate.system.errors import RecipeError
from tests import ROOT

SHIPPED = sorted((ROOT / "manifests").glob("*.toml"))
LEAST = """\
[extract]
sources = ["art"]
dataset = "d"
[dedupe]
[shard]
shards = "s"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_understood_by_every_stage(path: Path) -> None:
    read = recipe.read_recipe(path, STAGE_COMMANDS)
    for stage in read.stages:
        context = read.make_context(stage, {})
        for key, value in tomllib.loads(path.read_text("utf-8"))[stage].items():
            name = next(one.name for one in STAGE_COMMANDS[stage].params if f"--{key}" in one.opts or key in one.opts)
            told = str(context.params[str(name)])
            assert told in {str(tuple(value) if isinstance(value, list) else value), f"{value}.0"}


MISTAKES = {
    "an option that is none": ("[extract]\nlinse = 'xdog'", "2: [extract] linse: no such option; did you mean lines?"),
    "an underscore": ("[extract]\n\nmin_side = 3", "3: [extract] min_side: no such option; did you mean min-side?"),
    "a stage that is none": ("[extract]\n[dedup]", "2: [dedup]: no such stage; did you mean dedupe?"),
    "training": ("[train]\nminutes = 3", "1: [train]: a recipe ends with shards: run `train fit SHARDS RUN` then"),
    "a stage that is a value": ("# so\nextract = 3", "2: [extract]: is a table: write [extract], and"),
    "a text for a number": ("[extract]\nsize = '64'", "2: [extract] size: '64' is not a whole number"),
    "a number for a flag": ("[dedupe]\nmirror = 1", "2: [dedupe] mirror: 1 is not true or false"),
    "a flag for a number": ("[extract]\nsize = true", "2: [extract] size: True is not a whole number"),
    "a number for a text": ("[extract]\ndataset = 3", "2: [extract] dataset: 3 is not text in quotes"),
    "a text for a list": ("[extract]\nsources = 'a'", "2: [extract] sources: 'a' is no list: write [...]"),
    "a list for a text": ("[extract]\nlines = ['xdog']", "2: [extract] lines: ['xdog'] is a list: write one value"),
    "a date": ("[extract]\nsources = [\n'a',\n2026-01-01]", "2: [extract] sources: datetime.date(2026, 1, 1) is not"),
    "how to run": ("[shard]\nworkers = 3", "2: [shard] workers: says how to run, not what to make"),
    "the dataset twice": ("[dedupe]\ndataset = 'd'", "2: [dedupe] dataset: leave it out: the dataset is that of"),
    "a count that is none": ("[expect]\nout = 3", "2: [expect] out: no such count; there are in, kept, dropped"),
    "a count that is no number": ("[expect]\nin = 'all'", "2: [expect] in: 'all' is not a whole number"),
    "reasons that are a number": ("[expect]\ndropped = 3", "2: [expect] dropped: write whole numbers by reason"),
    "not TOML": ("[extract]\nsize = \n", "2: Invalid value: see https://toml.io"),
    "a text that does not end": ("[extract]\nlines = '''\nx\n", "3: Expected"),
    "a key twice": ("[extract]\nsize = 3\nsize = 4", "3: Cannot overwrite a value: see"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_file_line_and_key(tmp_path: Path, mistake: str) -> None:
    text, told = MISTAKES[mistake]
    with pytest.raises(RecipeError) as error:
        recipe.read_recipe(written(tmp_path, text), STAGE_COMMANDS)
    assert str(error.value).startswith(f"{tmp_path / 'x.toml'}:{told}"), error.value
    assert len(str(error.value).splitlines()) == 1


LACKING = {
    "sources": (LEAST.replace('sources = ["art"]\n', ""), "x.toml:1: [extract] lacks sources"),
    "no sources": (LEAST.replace('"art"', ""), "x.toml:1: [extract] lacks sources"),
    "dataset": (LEAST.replace('dataset = "d"\n', ""), "x.toml:1: [extract] lacks dataset"),
    "shards": (LEAST.replace('shards = "s"\n', ""), "x.toml:5: [shard] lacks shards"),
    "dedupe": (LEAST.replace("[dedupe]\n", ""), "x.toml lacks [dedupe]"),
    "out": (LEAST + "[select]\nwhere = 'width > 3'", "x.toml:7: [select] lacks out"),
}


@pytest.mark.parametrize("lacking", LACKING)
def test_what_a_stage_cannot_do_without_is_named(tmp_path: Path, lacking: str) -> None:
    text, told = LACKING[lacking]
    with pytest.raises(RecipeError, match=re.escape(str(tmp_path / told))):
        recipe.read_recipe(written(tmp_path, text), STAGE_COMMANDS)


def test_a_value_out_of_range_is_told_by_the_command_and_by_its_place(tmp_path: Path) -> None:
    read = recipe.read_recipe(
        written(tmp_path, LEAST.replace("[dedupe]", "[dedupe]\nmax-distance = 99")), STAGE_COMMANDS
    )
    with pytest.raises(RecipeError, match=r"x\.toml:5: \[dedupe\] max-distance: 99 is not in the range 0<=x<=16"):
        read.make_context("dedupe", {})
    read = recipe.read_recipe(written(tmp_path, LEAST), STAGE_COMMANDS, ["dedupe.max-distance=many"])
    with pytest.raises(RecipeError, match=r"--set dedupe\.max-distance: 'many' is not a valid integer"):
        read.make_context("dedupe", {})


def test_a_text_of_other_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"# \xe9t\xe9\n")
    with pytest.raises(RecipeError, match=r"x\.toml is not UTF-8"):
        recipe.read_recipe(path, STAGE_COMMANDS)


def value(option: click.Parameter) -> str:
    """Something an option takes, as TOML."""
    if isinstance(option, click.Option) and option.is_flag:
        return "true"
    if isinstance(option.type, click.Choice):
        return f'"{option.type.choices[0]}"'
    least = getattr(option.type, "min", None)
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        return str(least if least is not None else 0)
    return '["x"]' if option.multiple or option.nargs == -1 else '"x"'


@pytest.mark.parametrize("stage", recipe.STAGES)
def test_every_option_of_a_stage_may_be_written(tmp_path: Path, stage: str) -> None:
    keys = {max(one.opts, key=len).removeprefix("--"): one for one in STAGE_COMMANDS[stage].params}
    options = {key: one for key, one in keys.items() if key not in recipe.RUN_OPTIONS}
    if stage != "extract":
        options.pop("dataset", None)
    lines = "\n".join(f"{key} = {value(one)}" for key, one in options.items())
    others = re.sub(rf"\[{stage}\]\n(?:[^\[].*\n)*", "", LEAST)
    read = recipe.read_recipe(written(tmp_path, f"{others}[{stage}]\n{lines}\n"), STAGE_COMMANDS)
    params = read.make_context(stage, {"workers": 2, "fresh": True, "dry-run": True}).params
    for one in options.values():
        default = (
            STAGE_COMMANDS[stage]
            .make_context(stage, [], resilient_parsing=True, help_option_names=[])
            .params[str(one.name)]
        )
        same = value(one) in {"0", "1", f'"{default}"'}
        assert same or params[str(one.name)] != default
    assert params["dry_run"] is True
    assert params.get("workers", 2) == 2


def test_settings_overrule_a_recipe_and_a_list_takes_several(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST + "[select]\nout = 'o'\n")
    settings = ["extract.sources=a=b", "extract.sources=~/c", "extract.size=64", "extract.keep-monochrome=true"]
    read = recipe.read_recipe(path, STAGE_COMMANDS, settings)
    params = read.make_context("extract", {}).params
    assert params["sources"] == ("a=b", str(Path.home() / "c"))
    assert (params["size"], params["keep_monochrome"], params["dataset"]) == (64, True, Path("d"))
    assert read.overruled_options() == ["extract.keep-monochrome", "extract.size"]
    assert read.make_context("shard", {}).params["chosen"] == Path("o")
    assert read.make_context("select", {}).params["dataset"] == Path("d")
    read = recipe.read_recipe(path, STAGE_COMMANDS, ["extract.keep-monochrome=false", "shard.manifest=mine"])
    assert read.make_context("extract", {}).params["keep_monochrome"] is False
    assert read.make_context("shard", {}).params["chosen"] == Path("mine")
    for wrong in ("extract", "extract.size", "dedup.seed=1", "expect.in=3", "extract.sizes=3", "dedupe.mirror=yes"):
        with pytest.raises(RecipeError, match=f"--set {wrong}: "):
            recipe.read_recipe(path, STAGE_COMMANDS, [wrong])


def test_what_is_expected_is_compared_by_key_and_reason(tmp_path: Path) -> None:
    text = LEAST + "[expect]\nin = 5\ntrain = 2\ndropped = { duplicate = 2, too_large = 1 }\n"
    read = recipe.read_recipe(written(tmp_path, text), STAGE_COMMANDS)
    counts = {"in": 5, "kept": 2, "train": 2, "dropped": {"duplicate": 2, "too_large": 1, "monochrome": 0}}
    assert read.count_differences(counts) == []
    lines = read.count_differences({**counts, "in": 4, "dropped": {"duplicate": 2}})
    assert [line.removeprefix(f"{tmp_path}/") for line in lines] == [
        "x.toml:8: [expect] in: 5 in expected, and 4 found",
        "x.toml:10: [expect] dropped: 1 dropped as too_large expected, and 0 found",
    ]


NOTE = st.sampled_from(["", "# a = 1", "  # [b]", "\t"])
VALUE = st.sampled_from(["1", "'x'", "[\n1, # ]\n2,\n]", "'''\na = 3\n[b]\n'''", '"""\n\\"""\n"""', "{ a = [\n] }"])


@given(st.lists(st.tuples(st.lists(NOTE, max_size=2), VALUE), min_size=1, max_size=6), st.data())
def test_a_key_is_found_at_the_line_where_it_begins(keys: list[tuple[list[str], str]], data: st.DataObject) -> None:
    text, begins = "[a]\n", []
    for number, (notes, told) in enumerate(keys):
        text += "".join(f"{note}\n" for note in notes)
        begins.append(text.count("\n") + 1)
        text += f"k{number} = {told}\n"
    tail = text.count("\n") + 1
    text += "[b]\nk0 = 1\n"
    number = data.draw(st.integers(0, len(keys) - 1))
    path = Path("f")
    assert toml_lines.locate(path, text, "a", f"k{number}") == f"f:{begins[number]}: [a] k{number}"
    assert toml_lines.locate(path, text, "b") == f"f:{tail}: [b]"
    assert toml_lines.locate(path, text, "b", "k0") == f"f:{tail + 1}: [b] k0"
    assert toml_lines.locate(path, text, "b", "k1") == "f: [b] k1"


def test_a_recipe_that_is_another_folders_is_read_from_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, LEAST)
    monkeypatch.chdir(tmp_path.parent)
    assert recipe.read_recipe(path, STAGE_COMMANDS).make_context("shard", {}).params["shards"] == Path("s")
