"""Damage every file of dataset, shard and run folders: `verify` must name it, and no command may give another result.

Each trial damages one place of a copy in one way. `curate verify` must name the file. Every other command must end
with one line and exit code 1, or give the result of undamaged data. In that case it must also write the same files, or
`verify` must still report the damage.

Run: python -m tests.faults.damage [--rounds N] [--no-train] [--tally FILE] [--table] [--json]
The tally is continued by the next run.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from curate.audit.verify import verify
from curate.cli import main as curate
from curate.contract import INDEX_FILE
from curate.dataset import remove_pictures
from curate.dataset.decisions import decide
from curate.dataset.ledger import LEDGER_FILE
from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.shards import shard
from curate.sources import sample_art
from curate.sources.scan import Source
from curate.system.errors import NurieError
from curate.system.files import write_json
from curate.system.hashing import sha256_files

CODES = ("1F44B", "1F499", "1F49A", "1F49B", "2764", "1F9E1", "1F49C", "270B")
SAVING = 5.0  # s between two saves of the tally
FORMATS = ("tfrecord", "webdataset", "imagefolder")
TRAIN = (
    "width=8",
    "levels=3",
    "tag_width=16",
    "discriminator_width=8",
    "batch_size=4",
    "jit=false",
    "snapshot_every=1",
)
SETTINGS = [word for setting in (*TRAIN, "log_every=1") for word in ("--set", setting)]


@dataclass(frozen=True)
class UndamagedFolders:
    """Folders that the stages made. Tests damage copies only."""

    art: Path
    dataset: Path
    shards: dict[str, Path]
    """By format."""


def make(folder: Path) -> UndamagedFolders:
    """Take real art through every stage at 32 px, with decisions by people and an opt-out."""
    art, dataset = folder / "art", folder / "dataset"
    drawings = [drawing for drawing in sample_art._drawings() if sample_art.without_skin_tones(drawing.code) in CODES]
    for path in (art, sample_art.line_art_folder(art)):
        path.mkdir(parents=True)
    sample_art._draw_all((drawings, art, 48))
    extract.extract([Source("art", art)], dataset, extract.ExtractOptions(size=32), part_size=8)
    options = dedupe.DedupeOptions(shares=SplitShares(0.5, 0.25, 0.25, seed=5))
    dedupe.dedupe(dataset, options)
    paths = sorted(path.name for path in art.glob("*.png"))
    decide(dataset, "different", paths[:2])
    remove_pictures.remove(dataset, [paths[-1], "artist:nobody"])
    dedupe.dedupe(dataset, options)
    packed = {form: folder / form for form in FORMATS}
    for form, target in packed.items():
        shard.shard(dataset, target, shard.ShardOptions(shard_size=6, min_count=1, format=form))
    return UndamagedFolders(art, dataset, packed)


@cache
def undamaged_folders() -> UndamagedFolders:
    """Folders that all tests of this process share. They are removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="nurie-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make(folder)


Damage = Callable[[Path, random.Random], Sequence[Path]]
"""Damages a file in place; returns the files that `verify` must name."""


def flip(path: Path, rng: random.Random) -> Sequence[Path]:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return [path]


def zero(path: Path, rng: random.Random) -> Sequence[Path]:
    """Zero some bytes, as a disk does that loses a block."""
    data = path.read_bytes()
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice([1, 16, 512, 4096]))
    path.write_bytes(data[:start] + bytes(end - start) + data[end:] + b"\n" * (not any(data[start:end])))
    return [path]


def cut(path: Path, rng: random.Random) -> Sequence[Path]:
    os.truncate(path, rng.choice([0, path.stat().st_size - 1, rng.randrange(path.stat().st_size)]))
    return [path]


def grow(path: Path, rng: random.Random) -> Sequence[Path]:
    with path.open("ab") as file:
        file.write(rng.choice([b"\n", b"\0", path.read_bytes()]))
    return [path]


def lose(path: Path, rng: random.Random) -> Sequence[Path]:
    path.unlink()
    return [path]


def swap(path: Path, rng: random.Random) -> Sequence[Path]:
    """Swap the file with a different one of its folder; if there is none, remove it."""
    partners = [
        candidate
        for candidate in sorted(path.parent.iterdir())
        if candidate.is_file() and candidate.read_bytes() != path.read_bytes()
    ]
    if not partners:
        return lose(path, rng)
    partner = rng.choice(partners)
    data = path.read_bytes()
    path.write_bytes(partner.read_bytes())
    partner.write_bytes(data)
    return [path, partner]


def overwrite(path: Path, rng: random.Random) -> Sequence[Path]:
    """Overwrite the file with a different one of its folder; if there is none, remove it."""
    partners = [
        candidate
        for candidate in sorted(path.parent.iterdir())
        if candidate.is_file() and candidate.read_bytes() != path.read_bytes()
    ]
    if not partners:
        return lose(path, rng)
    shutil.copyfile(rng.choice(partners), path)
    return [path]


def duplicate(path: Path, rng: random.Random) -> Sequence[Path]:
    names = (f"copy of {path.name}", f"part-{rng.randrange(100, 200):05d}.parquet", f"{path.stem}~{path.suffix}", ".x")
    copy = path.with_name(rng.choice(names))
    shutil.copyfile(path, copy)
    return [copy]


def fill(path: Path, rng: random.Random) -> Sequence[Path]:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()
    return [path]


def dangle(path: Path, rng: random.Random) -> Sequence[Path]:
    """Put a link to nowhere in its place."""
    path.unlink()
    path.symlink_to("nowhere")
    return [path]


def drain(path: Path, rng: random.Random) -> Sequence[Path]:
    """Put a pipe in its place. Nobody writes to it, so that reading it would block."""
    path.unlink()
    os.mkfifo(path)
    return [path]


DAMAGES: dict[str, Damage] = {
    way.__name__: way for way in (flip, zero, cut, grow, lose, swap, overwrite, duplicate, fill, dangle, drain)
}


def list_files(folder: Path) -> list[str]:
    """Sorted paths of all files below a folder, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def damage(folder: Path, name: str, way: str, rng: random.Random) -> Sequence[Path]:
    """Damage one file in `folder`; returns the files that `verify` must name. An empty file grows instead."""
    path = folder / name
    empty = not path.stat().st_size and way in {"flip", "zero", "cut"}
    return (grow if empty else DAMAGES[way])(path, rng)


def verify_names(folder: Path, wanted: Sequence[Path]) -> bool:
    """Whether `verify` reports faults that name each of the files."""
    try:
        faults = verify(folder)
    except NurieError as error:
        faults = [str(error)]
    ledgers = {folder / LEDGER_FILE, folder / INDEX_FILE} & set(wanted)  # verify stops at a damaged one
    return bool(faults) and all(any(path.name in fault for fault in faults) for path in ledgers or wanted)


CommandOutcome = tuple[Any, dict[str, str]]
"""What a command printed, and the digests of the files that it left."""


def digest_files(*folders: Path) -> dict[str, str]:
    """SHA-256 of every file below the folders, by path."""
    paths = [(path, folder) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        f"{folder.name}/{path.relative_to(folder)}": sha256(path.read_bytes()).hexdigest() for path, folder in paths
    }


@dataclass(frozen=True)
class Command:
    """A command that reads a folder. In its words, {data} is the damaged folder and {out} an empty one."""

    words: tuple[str, ...]
    writes: bool = False
    """Whether it writes to {data} itself."""
    program: click.Command = curate


def commands(undamaged: UndamagedFolders) -> dict[str, Command]:
    """The commands that read a dataset, by title."""
    picture = sorted(path.name for path in undamaged.art.glob("*.png"))[3]
    source, split = f"art={undamaged.art}", ("--split", "0.5,0.25,0.25", "--seed", "5")
    return {
        "tags": Command(("tags", "{data}", "--check")),
        "select": Command(("select", "{data}", "{out}/chosen.parquet", "--where", "width >= 48")),
        "why": Command(("why", "{data}", picture)),
        "decide": Command(("decide", "{data}")),
        "shard": Command(("shard", "{data}", "{out}/shards", "--min-count", "1", "--workers", "1")),
        "drop": Command(("decide", "{data}", "drop", picture), writes=True),
        "extract": Command(("extract", source, "{data}", "--size", "32", "--workers", "1"), writes=True),
        "dedupe": Command(("dedupe", "{data}", *split, "--workers", "1"), writes=True),
        "mirror": Command(("dedupe", "{data}", *split, "--mirror", "--workers", "1"), writes=True),
        "remove": Command(("remove", "{data}", picture), writes=True),
    }


def run_command(command: Command, data: Path, out: Path) -> tuple[Result, CommandOutcome]:
    """Run a command in this process, on `data`, with an empty folder `out`."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    words = [word.format(data=data, out=out) for word in command.words]
    result = CliRunner().invoke(command.program, [*words, "--json"])
    printed = json.loads(result.stdout.replace(str(data), "DATA")) if result.exit_code == 0 else None
    for name in ("seconds", "elapsed"):
        if printed:
            printed.pop(name, None)
    digests = digest_files(out, data) if command.writes else digest_files(out)
    return result, (printed, {name.replace(data.name, "DATA", 1): digest for name, digest in digests.items()})


def is_one_line_error(result: Result) -> bool:
    """Whether the command ended with one line `Error: ...`, exit code 1 and no traceback."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("fit: ")]
    one_line = len(lines) == 1 and lines[0].startswith("Error: ")
    return result.exit_code == 1 and isinstance(result.exception, SystemExit) and one_line


def judge_command(command: Command, whole: CommandOutcome, data: Path, out: Path) -> str:
    """Run a command on damaged data; returns `refused`, `same`, or what is wrong.

    `whole` is the outcome on undamaged data.
    """
    result, outcome = run_command(command, data, out)
    if is_one_line_error(result):
        return "refused"
    if result.exit_code:
        return f"ended badly: {result.exception!r} {result.stderr[-300:]}"
    if outcome[0] != whole[0]:
        return f"printed {outcome[0]} instead of {whole[0]}"
    if outcome[1] == whole[1]:
        return "same"
    if command.writes and all(
        outcome[1].get(name) == digest for name, digest in whole[1].items() if not name.startswith("DATA")
    ):
        return "same" if not _passes(data) else "verify no longer reports the damage"
    return "wrote other files"


def _passes(folder: Path) -> bool:
    try:
        return not verify(folder)
    except NurieError:
        return False


@dataclass(frozen=True)
class Trial:
    """One damage and its check."""

    group: str
    key: str
    """Unique within the group. Seeds the trial's random numbers."""
    judge: Callable[[random.Random], tuple[str, str]]
    """Does the trial; returns the outcome in a word, and what is wrong or an empty text."""


class Tally:
    """The trials done and the failures, in a file that the next run continues."""

    def __init__(self, path: Path) -> None:
        self.path, self.saved = path, time.monotonic()
        saved = json.loads(path.read_bytes()) if path.exists() else {"done": {}, "failures": []}
        self.done: dict[str, dict[str, str]] = saved["done"]
        """Outcomes by group and key."""
        self.failures: list[str] = saved["failures"]

    def add(self, trial: Trial, outcome: str, failure: str) -> None:
        """Add one trial; saves the file every few seconds."""
        self.done.setdefault(trial.group, {})[trial.key] = outcome
        if failure:
            self.failures.append(f"{trial.group}: {trial.key}: {failure}")
        if time.monotonic() - self.saved > SAVING:
            self.save()

    def save(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"done": self.done, "failures": self.failures})
        self.saved = time.monotonic()

    def counts(self) -> dict[str, int]:
        """Number of trials in all, and by group and outcome."""
        counts = Counter(f"{group}: {outcome}" for group, trials in self.done.items() for outcome in trials.values())
        return {"trials": counts.total(), **dict(sorted(counts.items()))}


def run_all(trials: Sequence[Trial], seed: int, tally: Tally) -> None:
    """Do the trials that the tally lacks. Every group gets the same time until its trials are done."""
    left = defaultdict(list)
    for trial in random.Random(seed).sample(trials, len(trials)):
        if trial.key not in tally.done.get(trial.group, {}):
            left[trial.group].append(trial)
    spent = dict.fromkeys(left, 0.0)
    while left:
        group = min(left, key=spent.__getitem__)
        trial, began = left[group].pop(), time.monotonic()
        tally.add(trial, *trial.judge(random.Random(f"{seed}/{group}/{trial.key}")))
        spent[group] += time.monotonic() - began
        if not left[group]:
            del left[group]
    tally.save()


def verify_trials(folder: Path, rounds: int, scratch: Path) -> Iterator[Trial]:
    """Trials of `verify`: every damage to a folder, and one flipped bit in every byte of its ledger or index."""

    def damaged(name: str, way: str, rng: random.Random) -> tuple[str, str]:
        copy = fresh_copy(folder, scratch)
        return _verdict(verify_names(copy, damage(copy, name, way, rng)))

    def flipped(name: str, place: int, rng: random.Random) -> tuple[str, str]:
        copy, data = scratch.with_name(f"{folder.name} but for {name}"), bytearray((folder / name).read_bytes())
        if not copy.exists():
            shutil.copytree(folder, copy)
        data[place] ^= 1 << rng.randrange(8)
        (copy / name).write_bytes(data)
        return _verdict(verify_names(copy, [copy / name]))

    for key, name, way in damages(folder, rounds):
        yield Trial(f"verify {folder.name}", key, partial(damaged, name, way))
    for name in (name for name in (LEDGER_FILE, INDEX_FILE) if (folder / name).exists()):
        for place in range((folder / name).stat().st_size):
            yield Trial(f"verify each byte of {folder.name}/{name}", str(place), partial(flipped, name, place))


def _verdict(good: bool) -> tuple[str, str]:
    return ("named", "") if good else ("passed", "verify does not name it")


def fresh_copy(folder: Path, scratch: Path) -> Path:
    """Copy `folder` to `scratch`, which is emptied first."""
    shutil.rmtree(scratch, ignore_errors=True)
    return Path(shutil.copytree(folder, scratch))


def command_trials(commands_by_title: dict[str, Command], folder: Path, rounds: int, work: Path) -> Iterator[Trial]:
    """Trials of every command on every damage to a folder."""
    data, out = work / "data", work / "out"

    @cache
    def undamaged_outcome(title: str) -> CommandOutcome:
        result, outcome = run_command(commands_by_title[title], fresh_copy(folder, data), out)
        if result.exit_code:
            raise click.ClickException(f"{title} fails on undamaged data: {result.output}")
        return outcome

    def judge(title: str, name: str, way: str, rng: random.Random) -> tuple[str, str]:
        expected = undamaged_outcome(title)
        damage(fresh_copy(folder, data), name, way, rng)
        outcome = judge_command(commands_by_title[title], expected, data, out)
        return (outcome, "") if outcome in {"refused", "same"} else ("failed", outcome)

    for title in commands_by_title:
        for key, name, way in damages(folder, rounds):
            yield Trial(title, key, partial(judge, title, name, way))


def damages(folder: Path, rounds: int) -> Iterator[tuple[str, str, str]]:
    """(key, file, way) of every damage to a folder."""
    for name in list_files(folder):
        for way in DAMAGES:
            for number in range(rounds if way in {"flip", "zero", "cut"} else 1):
                yield f"{way} of {name} ({number})", name, way


def training_trials(undamaged: UndamagedFolders, rounds: int, work: Path) -> Iterator[Trial]:
    """Some trials of every `train` command, on damaged shards and on damaged run folders."""
    from train.cli import main as train

    run, shards = work / "run", undamaged.shards["tfrecord"]
    first_fit = CliRunner().invoke(train, ["fit", str(shards), str(run), "--steps", "3", *SETTINGS, "--quiet"])
    if first_fit.exit_code:
        raise click.ClickException(first_fit.output)
    colorize = ("--count", "2", "--quiet")
    of_shards = {
        "fit": Command(("fit", "{data}", "{out}/run", "--steps", "1", *SETTINGS, "--quiet"), program=train),
        "fit --trust": Command(("fit", "{data}", "{out}/run", "--steps", "1", "--trust", *SETTINGS), program=train),
        "evaluate shards": Command(("evaluate", str(run), "{data}"), program=train),
        "colorize shards": Command(("colorize", str(run), "{data}", "{out}", *colorize), program=train),
    }
    of_run = {
        "fit again": Command(("fit", str(shards), "{data}", "--steps", "4", *SETTINGS, "--quiet"), program=train),
        "evaluate": Command(("evaluate", "{data}", str(shards)), program=train),
        "colorize": Command(("colorize", "{data}", str(shards), "{out}", *colorize), program=train),
        "export": Command(("export", "{data}", "{out}/model"), program=train),
    }

    def judge(command: Command, folder: Path, name: str, way: str, rng: random.Random) -> tuple[str, str]:
        data = fresh_copy(folder, work / "data")
        damage(data, name, way, rng)
        result, _ = run_command(command, data, work / "out")
        if result.exit_code == 0 or is_one_line_error(result):
            return "refused" if result.exit_code else "done", ""
        return "failed", f"{result.exception!r} {result.stderr[-300:]}"

    for folder, commands_by_title in ((shards, of_shards), (run, of_run)):
        for title, command in commands_by_title.items():
            every = list(damages(folder, 1))
            for key, name, way in random.Random(title).sample(every, min(10 * rounds, len(every))):
                yield Trial(title, key, partial(judge, command, folder, name, way))


SIZE, COUNT = 1 << 26, 8


def speed(folder: Path) -> dict[str, float]:
    """GB/s of hashing files in the page cache, by `sha256_files` (as `verify` and `train fit`) and by hashlib."""
    folder.mkdir()
    paths = [folder / str(number) for number in range(COUNT)]
    for path in paths:
        path.write_bytes(os.urandom(SIZE))
    seconds = {"digests": [0.0], "hashlib": [0.0]}
    for _ in range(3):
        began = time.perf_counter()
        list(sha256_files(paths))
        seconds["digests"].append(time.perf_counter() - began)
        began = time.perf_counter()
        for path in paths:
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")
        seconds["hashlib"].append(time.perf_counter() - began)
    shutil.rmtree(folder)
    return {f"{name}_gb_s": round(SIZE * COUNT / min(times[1:]) / 1e9, 2) for name, times in seconds.items()}


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=4, show_default=True, help="Places a file and way.")
@click.option("--train/--no-train", default=True, show_default=True, help="Also train's commands, which take minutes.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--tally", "path", type=click.Path(path_type=Path), default=Path("faults/damage.json"), show_default=True)
@click.option("--table", "only_table", is_flag=True, help="Print the tally; damage nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(rounds: int, train: bool, seed: int, path: Path, only_table: bool, as_json: bool) -> None:
    """Damage every file in every way. Exit code 1 if a damage goes unnoticed or a command ends badly."""
    tally, fast = Tally(path), {}
    with tempfile.TemporaryDirectory() as place:
        if not only_table:
            attack(Path(place), rounds, seed, tally, train=train)
            fast = speed(Path(place) / "speed")
    result: dict[str, Any] = {**tally.counts(), **fast, "failures": tally.failures}
    if as_json:
        click.echo(json.dumps(result))
    else:
        for name, value in result.items():
            click.echo(f"{name}: {value}")
    raise SystemExit(bool(tally.failures))


def attack(work: Path, rounds: int, seed: int, tally: Tally, *, train: bool) -> None:
    """Do all trials that the tally lacks."""
    undamaged = make(work / "made")
    folders = (undamaged.dataset, *undamaged.shards.values())
    trials = [trial for folder in folders for trial in verify_trials(folder, rounds, work / "copy")]
    trials += command_trials(commands(undamaged), undamaged.dataset, rounds, work)
    if train:
        trials += training_trials(undamaged, rounds, work)
    run_all(trials, seed, tally)


if __name__ == "__main__":
    main()
