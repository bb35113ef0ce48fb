"""Damaged files of datasets, shards and runs: `verify` names them, and no other command uses damaged data unnoticed."""

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
    DAMAGES,
    FORMATS,
    SETTINGS,
    CommandOutcome,
    Tally,
    Trial,
    UndamagedFolders,
    commands,
    damage,
    fresh_copy,
    is_one_line_error,
    judge_command,
    list_files,
    run_all,
    run_command,
    undamaged_folders,
    verify_names,
)

FOLDERS = ("dataset", *FORMATS)
COMMANDS = ("tags", "select", "why", "decide", "shard", "drop", "extract", "dedupe", "mirror", "remove")


@pytest.fixture(scope="module")
def undamaged() -> UndamagedFolders:
    return undamaged_folders()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def folder_of(undamaged: UndamagedFolders, name: str) -> Path:
    return undamaged.dataset if name == "dataset" else undamaged.shards[name]


positions = st.floats(0, 1, exclude_max=True)


def file_at(folder: Path, position: float) -> str:
    names = list_files(folder)
    return names[int(position * len(names))]


@settings(max_examples=100)
@given(st.sampled_from(FOLDERS), positions, st.sampled_from(sorted(DAMAGES)), st.integers(0, 1 << 32))
def test_verify_names_every_damaged_file(
    undamaged: UndamagedFolders, scratch: Path, name: str, position: float, way: str, seed: int
) -> None:
    folder = folder_of(undamaged, name)
    copy = fresh_copy(folder, scratch / "copy")
    wanted = damage(copy, file_at(folder, position), way, random.Random(seed))
    assert verify_names(copy, wanted)


@settings(max_examples=60)
@given(
    st.sampled_from([("dataset", LEDGER_FILE), *((form, INDEX_FILE) for form in FORMATS)]), positions, st.integers(0, 7)
)
def test_verify_names_a_ledger_or_index_with_any_bit_flipped(
    undamaged: UndamagedFolders, scratch: Path, folder_and_file: tuple[str, str], position: float, bit: int
) -> None:
    folder, name = folder_and_file
    copy = fresh_copy(folder_of(undamaged, folder), scratch / "copy")
    data = bytearray((copy / name).read_bytes())
    data[int(position * len(data))] ^= 1 << bit
    (copy / name).write_bytes(data)
    assert verify_names(copy, [copy / name])


@pytest.mark.parametrize("folder", ["records", "pairs", "manifest", "edges", "decisions", "removed"])
def test_verify_names_every_file_of_a_missing_folder(undamaged: UndamagedFolders, tmp_path: Path, folder: str) -> None:
    copy = fresh_copy(undamaged.dataset, tmp_path / "copy")
    lost = list((copy / folder).iterdir())
    shutil.rmtree(copy / folder)
    assert verify_names(copy, lost)


def test_verify_names_each_foreign_file_in_one_printable_line(undamaged: UndamagedFolders, tmp_path: Path) -> None:
    copy = fresh_copy(undamaged.dataset, tmp_path / "copy")
    names = [b"two\nlines", b"\xff\xfe", "e\u202egnp.exe".encode(), b" ", b"\x1b[2J"]
    for name in names:
        (copy / "pairs" / Path(name.decode("utf-8", "surrogateescape"))).touch()
    result = CliRunner().invoke(curate, ["verify", str(copy), "--quiet"])
    assert result.exit_code == 1
    assert result.stdout.count("is not in dataset.json\n") == len(names)
    assert result.stdout.replace("\n", "").isprintable()


@pytest.fixture(scope="module")
def whole(undamaged: UndamagedFolders, scratch: Path) -> dict[str, CommandOutcome]:
    """Outcome of each command on undamaged data."""
    commands_by_name = commands(undamaged)
    assert tuple(commands_by_name) == COMMANDS
    results = {
        name: run_command(commands_by_name[name], fresh_copy(undamaged.dataset, scratch / "data"), scratch / "out")
        for name in COMMANDS
    }
    assert {name: result.exit_code for name, (result, _) in results.items()} == dict.fromkeys(COMMANDS, 0)
    return {name: outcome for name, (_, outcome) in results.items()}


@settings(max_examples=50)
@given(st.sampled_from(COMMANDS), positions, st.sampled_from(sorted(DAMAGES)), st.integers(0, 1 << 32))
def test_a_command_refuses_damaged_data_in_one_line_or_gives_the_undamaged_outcome(
    undamaged: UndamagedFolders,
    whole: dict[str, CommandOutcome],
    scratch: Path,
    command: str,
    position: float,
    way: str,
    seed: int,
) -> None:
    data = fresh_copy(undamaged.dataset, scratch / "data")
    damage(data, file_at(undamaged.dataset, position), way, random.Random(seed))
    assert judge_command(commands(undamaged)[command], whole[command], data, scratch / "out") in {"refused", "same"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refuses_a_dataset_without_a_part_unless_it_can_do_without_that_of_the_manifest(
    undamaged: UndamagedFolders, whole: dict[str, CommandOutcome], tmp_path: Path, command: str
) -> None:
    for folder in ("records", "pairs", "manifest"):
        data = fresh_copy(undamaged.dataset, tmp_path / "data")
        (data / folder / "part-00001.parquet").unlink()
        outcome = judge_command(commands(undamaged)[command], whole[command], data, tmp_path / "out")
        assert outcome == "refused" or (outcome == "same" and folder == "manifest")


def test_progress_of_hashing_shards_adds_up_to_their_bytes(undamaged: UndamagedFolders) -> None:
    folder, hashed_bytes = undamaged.shards["imagefolder"], list[int]()
    index = read_index(folder)
    assert find_file_faults(folder, index, hashed_bytes.append) == []
    assert sum(hashed_bytes) == sum(file.bytes for file in index.files.values())


def test_files_are_hashed_in_order_and_unreadable_ones_give_an_error_in_their_place(
    undamaged: UndamagedFolders, tmp_path: Path
) -> None:
    paths = sorted(path for path in undamaged.art.iterdir() if path.is_file())
    paths = [*paths, tmp_path / "none", *paths, tmp_path]
    digests = list(sha256_files(paths))
    assert [path for path, _ in digests] == paths
    assert [path for path, digest in digests if isinstance(digest, OSError)] == [tmp_path / "none", tmp_path]


def train(*words: object) -> Result:
    from train.cli import main

    return CliRunner().invoke(main, [*map(str, words)])


def test_fit_hashes_shards_reports_the_speed_and_refuses_damage_before_making_a_run_folder(
    undamaged: UndamagedFolders, tmp_path: Path
) -> None:
    shards = fresh_copy(undamaged.shards["tfrecord"], tmp_path / "shards")
    shard = next(shards.glob("train-*.tfrecord"))
    dry_run = train("fit", shards, tmp_path / "run", "--dry-run", *SETTINGS)
    assert dry_run.exit_code == 0, dry_run.output
    assert "fit: shards hashed, " in dry_run.stderr
    damage(shards, shard.name, "flip", random.Random(0))
    for words in (["--steps", 1], ["--dry-run"]):
        refused = train("fit", shards, tmp_path / "run", *words, *SETTINGS, "--quiet")
        assert is_one_line_error(refused)
        assert f"{shard} has other bytes than the index says" in refused.stderr
    assert not (tmp_path / "run").exists()
    assert train("fit", shards, tmp_path / "run", "--dry-run", "--trust", "--quiet", *SETTINGS).exit_code == 0


@pytest.fixture
def trusted(undamaged: UndamagedFolders, tmp_path: Path) -> Path:
    """Shards in which every training pair is damaged."""
    shards = fresh_copy(undamaged.shards["tfrecord"], tmp_path / "shards")
    for path in shards.glob("train-*.tfrecord"):
        data = bytearray(path.read_bytes())
        data[40::2000] = bytes(byte ^ 1 for byte in data[40::2000])
        path.write_bytes(data)
    return shards


def test_fit_with_trust_ends_in_one_line_at_a_damaged_pair(trusted: Path, tmp_path: Path) -> None:
    result = train("fit", trusted, tmp_path / "run", "--steps", 1, "--trust", "--quiet", *SETTINGS)
    assert is_one_line_error(result), result.output
    assert "is damaged at byte" in result.stderr
    assert "-of-" in result.stderr


def test_fit_refuses_a_run_folder_that_another_run_is_writing_before_it_hashes_shards(
    undamaged: UndamagedFolders, tmp_path: Path
) -> None:
    from curate.system import lock

    (tmp_path / "run").mkdir()
    with lock.exclusive(tmp_path / "run"):
        (tmp_path / "run" / ".lock").write_text('{"host": "other", "pid": 1, "since": "2026-01-01 00:00 UTC"}')
        result = train("fit", undamaged.shards["tfrecord"], tmp_path / "run", "--steps", 1, *SETTINGS)
    holder = f"another run is writing {tmp_path / 'run'} (process 1 on other, since 2026-01-01 00:00 UTC)"
    assert result.exit_code == 1
    assert result.stderr == f"Error: {holder}: wait until it ends\n"
    assert list((tmp_path / "run").iterdir()) == []


def test_a_continued_tally_equals_that_of_one_run(tmp_path: Path) -> None:
    def trials(limit: int) -> list[Trial]:
        left = [limit]

        def judge(rng: random.Random) -> tuple[str, str]:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return (outcome := rng.choice("abc"), "wrong" * (outcome == "c"))

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
