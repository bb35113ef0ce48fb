"""Damage to any file, in any way, at any place: `verify` names it, and no command takes it for sound."""

import random
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.cli import main as curate
from curate.contract import INDEX_FILE, find_file_faults, read_index
from curate.dataset.ledger import LEDGER_FILE
from curate.system.hashing import sha256_files
from tests.faults.damage import (
    FORMATS,
    SETTINGS,
    WAYS,
    Made,
    Outcome,
    Tally,
    Trial,
    call,
    commands,
    damage,
    files,
    fresh,
    in_a_line,
    judged,
    made_once,
    named,
    run_all,
)

FOLDERS = ("dataset", *FORMATS)
COMMANDS = ("tags", "select", "why", "decide", "shard", "drop", "extract", "dedupe", "mirror", "remove")


@pytest.fixture(scope="module")
def made() -> Made:
    return made_once()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def folder_of(made: Made, name: str) -> Path:
    return made.dataset if name == "dataset" else made.shards[name]


places = st.floats(0, 1, exclude_max=True)


def picked(folder: Path, place: float) -> str:
    names = files(folder)
    return names[int(place * len(names))]


@settings(max_examples=100)
@given(st.sampled_from(FOLDERS), places, st.sampled_from(sorted(WAYS)), st.integers(0, 1 << 32))
def test_verify_names_any_file_damaged_in_any_way_at_any_place(
    made: Made, scratch: Path, which: str, place: float, way: str, seed: int
) -> None:
    folder = folder_of(made, which)
    copy = fresh(folder, scratch / "copy")
    wanted = damage(copy, picked(folder, place), way, random.Random(seed))
    assert named(copy, wanted)


@settings(max_examples=60)
@given(
    st.sampled_from([("dataset", LEDGER_FILE), *((form, INDEX_FILE) for form in FORMATS)]), places, st.integers(0, 7)
)
def test_verify_names_what_lists_the_others_for_a_bit_of_any_byte(
    made: Made, scratch: Path, which: tuple[str, str], place: float, bit: int
) -> None:
    copy = fresh(folder_of(made, which[0]), scratch / "copy")
    data = bytearray((copy / which[1]).read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (copy / which[1]).write_bytes(data)
    assert named(copy, [copy / which[1]])


@pytest.mark.parametrize("folder", ["records", "pairs", "manifest", "edges", "decisions", "removed"])
def test_a_folder_that_is_gone_is_named(made: Made, tmp_path: Path, folder: str) -> None:
    copy = fresh(made.dataset, tmp_path / "copy")
    lost = list((copy / folder).iterdir())
    shutil.rmtree(copy / folder)
    assert named(copy, lost)


def test_a_strangers_file_of_any_name_is_named_in_a_line(made: Made, tmp_path: Path) -> None:
    copy = fresh(made.dataset, tmp_path / "copy")
    names = [b"two\nlines", b"\xff\xfe", "e\u202egnp.exe".encode(), b" ", b"\x1b[2J"]
    for name in names:
        (copy / "pairs" / Path(name.decode("utf-8", "surrogateescape"))).touch()
    result = CliRunner().invoke(curate, ["verify", str(copy), "--quiet"])
    assert result.exit_code == 1
    assert result.stdout.count("is not in dataset.json\n") == len(names)
    assert result.stdout.isprintable() or set(result.stdout) - {"\n"} == {
        one for one in result.stdout if one.isprintable()
    }


@pytest.fixture(scope="module")
def whole(made: Made, scratch: Path) -> dict[str, Outcome]:
    """What each command tells and leaves of undamaged data."""
    known = commands(made)
    assert tuple(known) == COMMANDS
    done = {name: call(known[name], fresh(made.dataset, scratch / "data"), scratch / "out") for name in COMMANDS}
    assert {name: result.exit_code for name, (result, _) in done.items()} == dict.fromkeys(COMMANDS, 0)
    return {name: outcome for name, (_, outcome) in done.items()}


@settings(max_examples=50)
@given(st.sampled_from(COMMANDS), places, st.sampled_from(sorted(WAYS)), st.integers(0, 1 << 32))
def test_a_command_refuses_damaged_data_in_a_line_or_does_what_it_does_with_whole_data(
    made: Made, whole: dict[str, Outcome], scratch: Path, command: str, place: float, way: str, seed: int
) -> None:
    data = fresh(made.dataset, scratch / "data")
    damage(data, picked(made.dataset, place), way, random.Random(seed))
    assert judged(commands(made)[command], whole[command], data, scratch / "out") in {"refused", "same"}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_makes_less_of_a_dataset_that_lost_a_part(
    made: Made, whole: dict[str, Outcome], tmp_path: Path, command: str
) -> None:
    for folder in ("records", "pairs", "manifest"):
        data = fresh(made.dataset, tmp_path / "data")
        (data / folder / "part-00001.parquet").unlink()
        became = judged(commands(made)[command], whole[command], data, tmp_path / "out")
        assert became == "refused" or (became == "same" and folder == "manifest")


def test_bytes_of_shards_are_told_as_they_are_hashed_and_add_up(made: Made) -> None:
    folder, heard = made.shards["imagefolder"], list[int]()
    index = read_index(folder)
    assert find_file_faults(folder, index, heard.append) == []
    assert sum(heard) == sum(file.bytes for file in index.files.values())


def test_files_are_hashed_in_order_and_one_that_cannot_be_read_costs_no_other(made: Made, tmp_path: Path) -> None:
    paths = sorted(path for path in made.art.iterdir() if path.is_file())
    paths = [*paths, tmp_path / "none", *paths, tmp_path]
    found = list(sha256_files(paths))
    assert [path for path, _ in found] == paths
    assert [path for path, told in found if isinstance(told, OSError)] == [tmp_path / "none", tmp_path]


def train(*words: object) -> Result:
    from train.cli import main

    return CliRunner().invoke(main, [*map(str, words)])


def test_fit_hashes_the_shards_first_tells_how_fast_and_refuses_before_it_makes_a_run(
    made: Made, tmp_path: Path
) -> None:
    shards = fresh(made.shards["tfrecord"], tmp_path / "shards")
    shard = next(shards.glob("train-*.tfrecord"))
    told = train("fit", shards, tmp_path / "run", "--dry-run", *SETTINGS)
    assert told.exit_code == 0, told.output
    assert "fit: shards hashed, " in told.stderr
    damage(shards, shard.name, "flip", random.Random(0))
    for words in (["--steps", 1], ["--dry-run"]):
        refused = train("fit", shards, tmp_path / "run", *words, *SETTINGS, "--quiet")
        assert in_a_line(refused)
        assert f"{shard} has other bytes than the index says" in refused.stderr
    assert not (tmp_path / "run").exists()
    assert train("fit", shards, tmp_path / "run", "--dry-run", "--trust", "--quiet", *SETTINGS).exit_code == 0


@pytest.fixture
def trusted(made: Made, tmp_path: Path) -> Path:
    """Shards of which every training pair is damaged."""
    shards = fresh(made.shards["tfrecord"], tmp_path / "shards")
    for path in shards.glob("train-*.tfrecord"):
        data = bytearray(path.read_bytes())
        data[40::2000] = bytes(one ^ 1 for one in data[40::2000])
        path.write_bytes(data)
    return shards


def test_a_damaged_pair_that_fit_was_told_to_trust_ends_it_in_a_line(trusted: Path, tmp_path: Path) -> None:
    result = train("fit", trusted, tmp_path / "run", "--steps", 1, "--trust", "--quiet", *SETTINGS)
    assert in_a_line(result), result.output
    assert "is damaged at byte" in result.stderr
    assert "-of-" in result.stderr


def test_fit_keeps_off_a_run_folder_that_another_is_writing_before_it_hashes(made: Made, tmp_path: Path) -> None:
    from curate.system import lock

    (tmp_path / "run").mkdir()
    with lock.exclusive(tmp_path / "run"):
        (tmp_path / "run" / ".lock").write_text('{"host": "other", "pid": 1, "since": "2026-01-01 00:00 UTC"}')
        result = train("fit", made.shards["tfrecord"], tmp_path / "run", "--steps", 1, *SETTINGS)
    told = f"another run is writing {tmp_path / 'run'} (process 1 on other, since 2026-01-01 00:00 UTC): wait"
    assert result.exit_code == 1
    assert result.stderr == f"Error: {told} until it ends\n"
    assert list((tmp_path / "run").iterdir()) == []


def test_a_tally_goes_on_where_it_was_stopped_and_tells_what_one_run_would(tmp_path: Path) -> None:
    def trials(most: int) -> list[Trial]:
        left = [most]

        def judge(draw: random.Random) -> tuple[str, str]:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return (what := draw.choice("abc"), "wrong" * (what == "c"))

        return [Trial(group, str(number), judge) for group in "xyz" for number in range(10)]

    whole, stopped = Tally(tmp_path / "whole"), Tally(tmp_path / "stopped")
    run_all(trials(30), 1, whole)
    with pytest.raises(KeyboardInterrupt):
        run_all(trials(12), 1, stopped)
    stopped.save()
    again = Tally(tmp_path / "stopped")
    assert again.counts()["trials"] == 12
    run_all(trials(18), 1, again)
    assert again.counts() == whole.counts() == Tally(tmp_path / "whole").counts()
    assert sorted(again.failures) == sorted(whole.failures)
