"""Damage to every file of dataset, shard and run folders: `verify` names it, and no command gives another result.

A damaged copy is made, one way at one place at a time. `curate verify` has to name the file. Every other command has to
end with one line and exit code 1, or with the very result of undamaged data, in which case the damage may not be gone
unnoticed: what was written is as of undamaged data, or `verify` still finds fault.

Run: python -m tests.faults.damage [--rounds N] [--no-train] [--tally FILE] [--table] [--json]; it goes on where it
stopped
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
SAVING = 5.0  # s between two writings of the tally
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
SETTINGS = [word for one in (*TRAIN, "log_every=1") for word in ("--set", one)]


@dataclass(frozen=True)
class Made:
    """Whole folders, not to be changed."""

    art: Path
    dataset: Path
    shards: dict[str, Path]
    """By format."""


def make(folder: Path) -> Made:
    """Real art through every stage, at 32 px, with people's decisions and one who opted out."""
    art, dataset = folder / "art", folder / "dataset"
    drawings = [one for one in sample_art._drawings() if sample_art.without_skin_tones(one.code) in CODES]
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
    return Made(art, dataset, packed)


@cache
def made_once() -> Made:
    """The same for all tests of a process, and gone at its end."""
    folder = Path(tempfile.mkdtemp(prefix="nurie-faults-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make(folder)


Way = Callable[[Path, random.Random], Sequence[Path]]
"""Damages a file; returns those of which `verify` has to name each one."""


def flip(path: Path, draw: random.Random) -> Sequence[Path]:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return [path]


def zero(path: Path, draw: random.Random) -> Sequence[Path]:
    """As a disk that lost a block."""
    data = path.read_bytes()
    start = draw.randrange(len(data))
    end = min(len(data), start + draw.choice([1, 16, 512, 4096]))
    path.write_bytes(data[:start] + bytes(end - start) + data[end:] + b"\n" * (not any(data[start:end])))
    return [path]


def cut(path: Path, draw: random.Random) -> Sequence[Path]:
    os.truncate(path, draw.choice([0, path.stat().st_size - 1, draw.randrange(path.stat().st_size)]))
    return [path]


def grow(path: Path, draw: random.Random) -> Sequence[Path]:
    with path.open("ab") as file:
        file.write(draw.choice([b"\n", b"\0", path.read_bytes()]))
    return [path]


def lose(path: Path, draw: random.Random) -> Sequence[Path]:
    path.unlink()
    return [path]


def swap(path: Path, draw: random.Random) -> Sequence[Path]:
    """With another file of its folder that is not its like; without one, it is lost."""
    others = [one for one in sorted(path.parent.iterdir()) if one.is_file() and one.read_bytes() != path.read_bytes()]
    if not others:
        return lose(path, draw)
    other = draw.choice(others)
    mine = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(mine)
    return [path, other]


def overwrite(path: Path, draw: random.Random) -> Sequence[Path]:
    """By a copy of another."""
    others = [one for one in sorted(path.parent.iterdir()) if one.is_file() and one.read_bytes() != path.read_bytes()]
    if not others:
        return lose(path, draw)
    shutil.copyfile(draw.choice(others), path)
    return [path]


def duplicate(path: Path, draw: random.Random) -> Sequence[Path]:
    names = (f"copy of {path.name}", f"part-{draw.randrange(100, 200):05d}.parquet", f"{path.stem}~{path.suffix}", ".x")
    copy = path.with_name(draw.choice(names))
    shutil.copyfile(path, copy)
    return [copy]


def fill(path: Path, draw: random.Random) -> Sequence[Path]:
    """By a folder in its place."""
    path.unlink()
    path.mkdir()
    return [path]


def dangle(path: Path, draw: random.Random) -> Sequence[Path]:
    """A link to nowhere in its place."""
    path.unlink()
    path.symlink_to("nowhere")
    return [path]


def drain(path: Path, draw: random.Random) -> Sequence[Path]:
    """A pipe in its place, which nobody writes to: to read it would take for ever."""
    path.unlink()
    os.mkfifo(path)
    return [path]


WAYS: dict[str, Way] = {
    one.__name__: one for one in (flip, zero, cut, grow, lose, swap, overwrite, duplicate, fill, dangle, drain)
}


def files(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def damage(folder: Path, name: str, way: str, draw: random.Random) -> Sequence[Path]:
    """Do it to a copy of a folder; an empty file can only be lost, filled, or grow."""
    path = folder / name
    empty = not path.stat().st_size and way in {"flip", "zero", "cut"}
    return (grow if empty else WAYS[way])(path, draw)


def named(folder: Path, wanted: Sequence[Path]) -> bool:
    """Whether `verify` finds fault, and names each of the files."""
    try:
        faults = verify(folder)
    except NurieError as error:
        faults = [str(error)]
    entry = {folder / LEDGER_FILE, folder / INDEX_FILE} & set(wanted)  # without which a folder is of no kind
    return bool(faults) and all(any(path.name in fault for fault in faults) for path in entry or wanted)


Outcome = tuple[Any, dict[str, str]]
"""What a command printed, and the digest of every file it left."""


def digest(*folders: Path) -> dict[str, str]:
    """Of every file below folders."""
    paths = [(path, folder) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        f"{folder.name}/{path.relative_to(folder)}": sha256(path.read_bytes()).hexdigest() for path, folder in paths
    }


@dataclass(frozen=True)
class Command:
    """One that reads a folder: its words, where {data} is the damaged folder and {out} one of its own."""

    words: tuple[str, ...]
    writes: bool = False
    """Into {data} itself."""
    program: click.Command = curate


def commands(made: Made) -> dict[str, Command]:
    """All that read a dataset."""
    picture = sorted(path.name for path in made.art.glob("*.png"))[3]
    source, split = f"art={made.art}", ("--split", "0.5,0.25,0.25", "--seed", "5")
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


def call(command: Command, data: Path, out: Path) -> tuple[Result, Outcome]:
    """Run it in this process."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    words = [word.format(data=data, out=out) for word in command.words]
    result = CliRunner().invoke(command.program, [*words, "--json"])
    told = json.loads(result.stdout.replace(str(data), "DATA")) if result.exit_code == 0 else None
    for name in ("seconds", "elapsed"):
        if told:
            told.pop(name, None)
    left = digest(out, data) if command.writes else digest(out)
    return result, (told, {name.replace(data.name, "DATA", 1): one for name, one in left.items()})


def in_a_line(result: Result) -> bool:
    """Whether it ended as a mistake does: one line, exit code 1, no traceback."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("fit: ")]
    told = len(lines) == 1 and lines[0].startswith("Error: ")
    return result.exit_code == 1 and isinstance(result.exception, SystemExit) and told


def judged(command: Command, whole: Outcome, data: Path, out: Path) -> str:
    """What became of a command on damaged data: `refused`, `same`, or what is wrong with it."""
    result, outcome = call(command, data, out)
    if in_a_line(result):
        return "refused"
    if result.exit_code:
        return f"ended badly: {result.exception!r} {result.stderr[-300:]}"
    if outcome[0] != whole[0]:
        return f"told otherwise: {outcome[0]} for {whole[0]}"
    if outcome[1] == whole[1]:
        return "same"
    if command.writes and all(
        outcome[1].get(name) == one for name, one in whole[1].items() if not name.startswith("DATA")
    ):
        return "same" if not _passes(data) else "damage is gone unnoticed"
    return "left other files"


def _passes(folder: Path) -> bool:
    try:
        return not verify(folder)
    except NurieError:
        return False


@dataclass(frozen=True)
class Trial:
    """One damage, and what is asked of it."""

    group: str
    key: str
    """Its name among those of the group, on which all that is drawn by chance depends."""
    judge: Callable[[random.Random], tuple[str, str]]
    """What became of it, in a word, and what is wrong with that, if anything."""


class Tally:
    """What was tried, and what failed, in a file to go on with."""

    def __init__(self, path: Path) -> None:
        self.path, self.saved = path, time.monotonic()
        told = json.loads(path.read_bytes()) if path.exists() else {"done": {}, "failures": []}
        self.done: dict[str, dict[str, str]] = told["done"]
        """What became of it, by group and key."""
        self.failures: list[str] = told["failures"]

    def add(self, trial: Trial, became: str, failure: str) -> None:
        """One trial, on the disk within seconds."""
        self.done.setdefault(trial.group, {})[trial.key] = became
        if failure:
            self.failures.append(f"{trial.group}: {trial.key}: {failure}")
        if time.monotonic() - self.saved > SAVING:
            self.save()

    def save(self) -> None:
        """Write it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"done": self.done, "failures": self.failures})
        self.saved = time.monotonic()

    def counts(self) -> dict[str, int]:
        """How many trials of each group came to what."""
        counted = Counter(f"{group}: {one}" for group, known in self.done.items() for one in known.values())
        return {"trials": counted.total(), **dict(sorted(counted.items()))}


def run_all(trials: Sequence[Trial], seed: int, tally: Tally) -> None:
    """Those that are left, of each group for as long as of others, until all are done."""
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


def of_verify(folder: Path, rounds: int, scratch: Path) -> Iterator[Trial]:
    """Every file in every way, `rounds` times; and one bit of every byte of what lists them."""

    def damaged(name: str, way: str, draw: random.Random) -> tuple[str, str]:
        copy = fresh(folder, scratch)
        return _found(named(copy, damage(copy, name, way, draw)))

    def flipped(name: str, place: int, draw: random.Random) -> tuple[str, str]:
        copy, data = scratch.with_name(f"{folder.name} but for {name}"), bytearray((folder / name).read_bytes())
        if not copy.exists():
            shutil.copytree(folder, copy)
        data[place] ^= 1 << draw.randrange(8)
        (copy / name).write_bytes(data)
        return _found(named(copy, [copy / name]))

    for key, name, way in cases(folder, rounds):
        yield Trial(f"verify {folder.name}", key, partial(damaged, name, way))
    for name in (name for name in (LEDGER_FILE, INDEX_FILE) if (folder / name).exists()):
        for place in range((folder / name).stat().st_size):
            yield Trial(f"verify each byte of {folder.name}/{name}", str(place), partial(flipped, name, place))


def _found(good: bool) -> tuple[str, str]:
    return ("named", "") if good else ("passed", "verify does not name it")


def fresh(folder: Path, scratch: Path) -> Path:
    """A copy to be damaged."""
    shutil.rmtree(scratch, ignore_errors=True)
    return Path(shutil.copytree(folder, scratch))


def of_commands(known: dict[str, Command], folder: Path, rounds: int, work: Path) -> Iterator[Trial]:
    """Every command on every file damaged in every way, `rounds` times."""
    data, out = work / "data", work / "out"

    @cache
    def whole(title: str) -> Outcome:
        result, outcome = call(known[title], fresh(folder, data), out)
        if result.exit_code:
            raise click.ClickException(f"{title} fails on whole data: {result.output}")
        return outcome

    def judge(title: str, name: str, way: str, draw: random.Random) -> tuple[str, str]:
        expected = whole(title)
        damage(fresh(folder, data), name, way, draw)
        became = judged(known[title], expected, data, out)
        return (became, "") if became in {"refused", "same"} else ("failed", became)

    for title in known:
        for key, name, way in cases(folder, rounds):
            yield Trial(title, key, partial(judge, title, name, way))


def cases(folder: Path, rounds: int) -> Iterator[tuple[str, str, str]]:
    """Keys, files and ways."""
    for name in files(folder):
        for way in WAYS:
            for number in range(rounds if way in {"flip", "zero", "cut"} else 1):
                yield f"{way} of {name} ({number})", name, way


def of_training(made: Made, rounds: int, work: Path) -> Iterator[Trial]:
    """Every command of `train`, some times, on damaged shards and on damaged run folders."""
    from train.cli import main as train

    run, shards = work / "run", made.shards["tfrecord"]
    begun = CliRunner().invoke(train, ["fit", str(shards), str(run), "--steps", "3", *SETTINGS, "--quiet"])
    if begun.exit_code:
        raise click.ClickException(begun.output)
    colorize = ("--count", "2", "--quiet")
    of_shards = {
        "fit": Command(("fit", "{data}", "{out}/run", "--steps", "1", *SETTINGS, "--quiet"), program=train),
        "fit --trust": Command(("fit", "{data}", "{out}/run", "--steps", "1", "--trust", *SETTINGS), program=train),
        "evaluate shards": Command(("evaluate", str(run), "{data}"), program=train),
        "colorize shards": Command(("colorize", str(run), "{data}", "{out}", *colorize), program=train),
    }
    of_run = {
        "go on": Command(("fit", str(shards), "{data}", "--steps", "4", *SETTINGS, "--quiet"), program=train),
        "evaluate": Command(("evaluate", "{data}", str(shards)), program=train),
        "colorize": Command(("colorize", "{data}", str(shards), "{out}", *colorize), program=train),
        "export": Command(("export", "{data}", "{out}/model"), program=train),
    }

    def judge(command: Command, folder: Path, name: str, way: str, draw: random.Random) -> tuple[str, str]:
        data = fresh(folder, work / "data")
        damage(data, name, way, draw)
        result, _ = call(command, data, work / "out")
        if result.exit_code == 0 or in_a_line(result):
            return "refused" if result.exit_code else "done", ""
        return "failed", f"{result.exception!r} {result.stderr[-300:]}"

    for folder, known in ((shards, of_shards), (run, of_run)):
        for title, command in known.items():
            every = list(cases(folder, 1))
            for key, name, way in random.Random(title).sample(every, min(10 * rounds, len(every))):
                yield Trial(title, key, partial(judge, command, folder, name, way))


SIZE, COUNT = 1 << 26, 8


def speed(folder: Path) -> dict[str, float]:
    """GB/s of hashing files that the page cache holds: as `verify` and `train fit` do it, and by a loop of hashlib."""
    folder.mkdir()
    paths = [folder / str(number) for number in range(COUNT)]
    for path in paths:
        path.write_bytes(os.urandom(SIZE))
    taken = {"digests": [0.0], "hashlib": [0.0]}
    for _ in range(3):
        began = time.perf_counter()
        list(sha256_files(paths))
        taken["digests"].append(time.perf_counter() - began)
        began = time.perf_counter()
        for path in paths:
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")
        taken["hashlib"].append(time.perf_counter() - began)
    shutil.rmtree(folder)
    return {f"{name}_gb_s": round(SIZE * COUNT / min(times[1:]) / 1e9, 2) for name, times in taken.items()}


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=4, show_default=True, help="Places a file and way.")
@click.option("--train/--no-train", default=True, show_default=True, help="Also train's commands, which take minutes.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--tally", "path", type=click.Path(path_type=Path), default=Path("faults/damage.json"), show_default=True)
@click.option("--table", "only_table", is_flag=True, help="Print the tally; damage nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(rounds: int, train: bool, seed: int, path: Path, only_table: bool, as_json: bool) -> None:
    """Damage everything, everywhere; exit code 1 if anything goes unnoticed or ends badly."""
    tally, fast = Tally(path), {}
    with tempfile.TemporaryDirectory() as place:
        if not only_table:
            attack(Path(place), rounds, seed, tally, train=train)
            fast = speed(Path(place) / "speed")
    told: dict[str, Any] = {**tally.counts(), **fast, "failures": tally.failures}
    if as_json:
        click.echo(json.dumps(told))
    else:
        for name, value in told.items():
            click.echo(f"{name}: {value}")
    raise SystemExit(bool(tally.failures))


def attack(work: Path, rounds: int, seed: int, tally: Tally, *, train: bool) -> None:
    """All that the tally lacks."""
    made = make(work / "made")
    folders = (made.dataset, *made.shards.values())
    trials = [trial for folder in folders for trial in of_verify(folder, rounds, work / "copy")]
    trials += of_commands(commands(made), made.dataset, rounds, work)
    if train:
        trials += of_training(made, rounds, work)
    run_all(trials, seed, tally)


if __name__ == "__main__":
    main()
