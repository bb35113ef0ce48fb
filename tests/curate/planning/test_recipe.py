"""Recipes: every option of a stage is accepted, and every mistake is reported with file, line and key."""

import re
import tomllib
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.cli.recipe_command import STAGE_COMMANDS
from curate.planning import recipe, toml_lines
from curate.system.errors import RecipeError
from tests import ROOT

SHIPPED = sorted((ROOT / "manifests").glob("*.toml"))
MINIMAL_RECIPE = """\
[extract]
sources = ["art"]
dataset = "d"
[dedupe]
[shard]
shards = "s"
"""


def write_recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_stage_accepts_the_shipped_recipes(path: Path) -> None:
    read = recipe.read_recipe(path, STAGE_COMMANDS)
    for stage in read.stages:
        context = read.make_context(stage, {})
        for key, value in tomllib.loads(path.read_text("utf-8"))[stage].items():
            option = next(option for option in STAGE_COMMANDS[stage].params if {key, f"--{key}"} & {*option.opts})
            parsed = str(context.params[str(option.name)])
            assert parsed in {str(tuple(value) if isinstance(value, list) else value), f"{value}.0"}


MISTAKES = {
    "an unknown option": ("[extract]\nlinse = 'xdog'", '2: [extract] has no option "linse"; did you mean "lines"?'),
    "an underscore": ("[extract]\n\nmin_side = 3", '3: [extract] has no option "min_side"; did you mean "min-side"?'),
    "an unknown stage": ("[extract]\n[dedup]", '2: there is no stage "dedup"; did you mean "dedupe"?'),
    "training": ("[train]\nminutes = 3", "1: [train]: a recipe ends with shards: train with `train fit SHARDS RUN`"),
    "a stage that is a value": ("# so\nextract = 3", "2: [extract] must be a table: write [extract], and"),
    "a text for a number": ("[extract]\nsize = '64'", "2: [extract] size: '64' is not a whole number"),
    "a number for a flag": ("[dedupe]\nmirror = 1", "2: [dedupe] mirror: 1 is not true or false"),
    "a flag for a number": ("[extract]\nsize = true", "2: [extract] size: True is not a whole number"),
    "a number for a text": ("[extract]\ndataset = 3", "2: [extract] dataset: 3 is not text in quotes"),
    "a text for a list": ("[extract]\nsources = 'a'", "2: [extract] sources: 'a' is not a list: write [...]"),
    "a list for a text": ("[extract]\nlines = ['xdog']", "2: [extract] lines: ['xdog'] is a list: write one value"),
    "a date": ("[extract]\nsources = [\n'a',\n2026-01-01]", "2: [extract] sources: datetime.date(2026, 1, 1) is not"),
    "how to run": ("[shard]\nworkers = 3", "2: [shard] workers: this says how to run, not what to make"),
    "the dataset twice": ("[dedupe]\ndataset = 'd'", "2: [dedupe] dataset: leave it out: the dataset is that of"),
    "an unknown count": ("[expect]\nout = 3", '2: [expect] has no count "out"; choose one of in, kept, dropped'),
    "a count that is not a number": ("[expect]\nin = 'all'", "2: [expect] in: 'all' is not a whole number"),
    "reasons that are a number": ("[expect]\ndropped = 3", "2: [expect] dropped: write whole numbers by reason"),
    "not TOML": ("[extract]\nsize = \n", "2: Invalid value: see https://toml.io"),
    "a text that does not end": ("[extract]\nlines = '''\nx\n", "3: Expected"),
    "a key twice": ("[extract]\nsize = 3\nsize = 4", "3: Cannot overwrite a value: see"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_file_line_and_key(tmp_path: Path, mistake: str) -> None:
    text, message = MISTAKES[mistake]
    with pytest.raises(RecipeError) as error:
        recipe.read_recipe(write_recipe(tmp_path, text), STAGE_COMMANDS)
    assert str(error.value).startswith(f"{tmp_path / 'x.toml'}:{message}"), error.value
    assert len(str(error.value).splitlines()) == 1


MISSING = {
    "sources": (MINIMAL_RECIPE.replace('sources = ["art"]\n', ""), "x.toml:1: [extract] needs sources"),
    "no sources": (MINIMAL_RECIPE.replace('"art"', ""), "x.toml:1: [extract] needs sources"),
    "dataset": (MINIMAL_RECIPE.replace('dataset = "d"\n', ""), "x.toml:1: [extract] needs dataset"),
    "shards": (MINIMAL_RECIPE.replace('shards = "s"\n', ""), "x.toml:5: [shard] needs shards"),
    "dedupe": (MINIMAL_RECIPE.replace("[dedupe]\n", ""), "x.toml has no [dedupe]"),
    "out": (MINIMAL_RECIPE + "[select]\nwhere = 'width > 3'", "x.toml:7: [select] needs out"),
}


@pytest.mark.parametrize("missing", MISSING)
def test_a_missing_required_option_is_named(tmp_path: Path, missing: str) -> None:
    text, message = MISSING[missing]
    with pytest.raises(RecipeError, match=re.escape(str(tmp_path / message))):
        recipe.read_recipe(write_recipe(tmp_path, text), STAGE_COMMANDS)


def test_a_value_that_the_command_refuses_is_reported_with_its_line(tmp_path: Path) -> None:
    read = recipe.read_recipe(
        write_recipe(tmp_path, MINIMAL_RECIPE.replace("[dedupe]", "[dedupe]\nmax-distance = 99")), STAGE_COMMANDS
    )
    with pytest.raises(RecipeError, match=r"x\.toml:5: \[dedupe\] max-distance: 99 is not in the range 0<=x<=16"):
        read.make_context("dedupe", {})
    read = recipe.read_recipe(write_recipe(tmp_path, MINIMAL_RECIPE), STAGE_COMMANDS, ["dedupe.max-distance=many"])
    with pytest.raises(RecipeError, match=r"--set dedupe\.max-distance: 'many' is not a valid integer"):
        read.make_context("dedupe", {})


def test_a_recipe_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"# \xe9t\xe9\n")
    with pytest.raises(RecipeError, match=r"x\.toml is not UTF-8"):
        recipe.read_recipe(path, STAGE_COMMANDS)


def value_other_than(default: object, option: click.Parameter) -> str:
    """A value that an option accepts and that is not its default, as TOML."""
    if isinstance(option, click.Option) and option.is_flag:
        return str(not default).lower()
    if isinstance(option.type, click.Choice):
        return f'"{next(choice for choice in option.type.choices if choice != default)}"'
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        minimum = getattr(option.type, "min", None) or 0
        return str(minimum + 1 if default == minimum else minimum)
    return '["x"]' if option.multiple or option.nargs == -1 else '"x"'


@pytest.mark.parametrize("stage", recipe.STAGES)
def test_a_recipe_can_set_every_option_of_a_stage(tmp_path: Path, stage: str) -> None:
    command = STAGE_COMMANDS[stage]
    keys = {max(option.opts, key=len).removeprefix("--"): option for option in command.params}
    left_out = {*recipe.RUN_OPTIONS, *(["dataset"] if stage != "extract" else [])}
    options = {key: option for key, option in keys.items() if key not in left_out}
    defaults = command.make_context(stage, [], resilient_parsing=True, help_option_names=[]).params
    lines = "\n".join(
        f"{key} = {value_other_than(defaults[str(option.name)], option)}" for key, option in options.items()
    )
    others = re.sub(rf"\[{stage}\]\n(?:[^\[].*\n)*", "", MINIMAL_RECIPE)
    read = recipe.read_recipe(write_recipe(tmp_path, f"{others}[{stage}]\n{lines}\n"), STAGE_COMMANDS)
    params = read.make_context(stage, {"workers": 2, "fresh": True, "dry-run": True}).params
    for key, option in options.items():
        assert params[str(option.name)] != defaults[str(option.name)], key
    assert params["dry_run"] is True
    assert params.get("workers", 2) == 2


def test_settings_overrule_a_recipe_and_may_be_repeated_for_lists(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, MINIMAL_RECIPE + "[select]\nout = 'o'\n")
    settings = ["extract.sources=a=b", "extract.sources=~/c", "extract.size=64", "extract.keep-monochrome=true"]
    read = recipe.read_recipe(path, STAGE_COMMANDS, settings)
    params = read.make_context("extract", {}).params
    assert params["sources"] == ("a=b", str(Path.home() / "c"))
    assert (params["size"], params["keep_monochrome"], params["dataset"]) == (64, True, Path("d"))
    assert read.overruled_options() == ["extract.keep-monochrome", "extract.size"]
    assert read.make_context("shard", {}).params["manifest"] == Path("o")
    assert read.make_context("select", {}).params["dataset"] == Path("d")
    read = recipe.read_recipe(path, STAGE_COMMANDS, ["extract.keep-monochrome=false", "shard.manifest=mine"])
    assert read.make_context("extract", {}).params["keep_monochrome"] is False
    assert read.make_context("shard", {}).params["manifest"] == Path("mine")
    for wrong in ("extract", "extract.size", "dedup.seed=1", "expect.in=3", "extract.sizes=3", "dedupe.mirror=yes"):
        with pytest.raises(RecipeError, match=f"--set {wrong}: "):
            recipe.read_recipe(path, STAGE_COMMANDS, [wrong])


def test_expected_counts_are_compared_by_key_and_reason(tmp_path: Path) -> None:
    text = MINIMAL_RECIPE + "[expect]\nin = 5\ntrain = 2\ndropped = { duplicate = 2, too_large = 1 }\n"
    read = recipe.read_recipe(write_recipe(tmp_path, text), STAGE_COMMANDS)
    counts = {"in": 5, "kept": 2, "train": 2, "dropped": {"duplicate": 2, "too_large": 1, "monochrome": 0}}
    assert read.count_differences(counts) == []
    lines = read.count_differences({**counts, "in": 4, "dropped": {"duplicate": 2}})
    assert [line.removeprefix(f"{tmp_path}/") for line in lines] == [
        "x.toml:8: [expect] in: expected 5 in, found 4",
        "x.toml:10: [expect] dropped: expected 1 dropped as too_large, found 0",
    ]


NOTE = st.sampled_from(["", "# a = 1", "  # [b]", "\t"])
VALUE = st.sampled_from(["1", "'x'", "[\n1, # ]\n2,\n]", "'''\na = 3\n[b]\n'''", '"""\n\\"""\n"""', "{ a = [\n] }"])


@given(st.lists(st.tuples(st.lists(NOTE, max_size=2), VALUE), min_size=1, max_size=6), st.data())
def test_a_key_is_found_at_the_line_where_it_begins(keys: list[tuple[list[str], str]], data: st.DataObject) -> None:
    text, begins = "[a]\n", []
    for number, (notes, value) in enumerate(keys):
        text += "".join(f"{note}\n" for note in notes)
        begins.append(text.count("\n") + 1)
        text += f"k{number} = {value}\n"
    tail = text.count("\n") + 1
    text += "[b]\nk0 = 1\n"
    number = data.draw(st.integers(0, len(keys) - 1))
    path = Path("f")
    assert toml_lines.locate(path, text, "a", f"k{number}") == f"f:{begins[number]}: [a] k{number}"
    assert toml_lines.locate(path, text, "b") == f"f:{tail}: [b]"
    assert toml_lines.locate(path, text, "b", "k0") == f"f:{tail + 1}: [b] k0"
    assert toml_lines.locate(path, text, "b", "k1") == "f: [b] k1"


def test_paths_are_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recipe(tmp_path, MINIMAL_RECIPE)
    monkeypatch.chdir(tmp_path.parent)
    assert recipe.read_recipe(path, STAGE_COMMANDS).make_context("shard", {}).params["shards"] == Path("s")
