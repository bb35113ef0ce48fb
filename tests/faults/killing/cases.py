"""How a command is to die, case by case: the same deaths whenever they are drawn."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import zip_longest

from tests.faults.killing.commands import COMMANDS
from tests.faults.killing.deaths import Death

STOPS = {4: "SIGINT", 9: "SIGTERM"}  # of ten cases
TIMES = {1, 3, 7}


def draw(name: str, number: int, seconds: float, changes: list[str]) -> list[Death]:
    """One death, or up to five in a row; of ten cases five begin as the disk changes, three at a time, two stop."""
    rng = random.Random(f"{name}/{number}")
    kind = number % 10
    if kind in TIMES or (kind in STOPS and rng.random() < 0.5):
        first = _in_time(name, rng, seconds, STOPS.get(kind, "SIGKILL"))
    else:
        order = in_turn(name, changes)
        first = _at_change(name, rng, order[number % len(order)], STOPS.get(kind, "SIGKILL"))
    return [first, *(_another(name, rng, seconds, changes) for _ in range(rng.randrange(5)))]


def _another(name: str, rng: random.Random, seconds: float, changes: list[str]) -> Death:
    """Of a run that goes on, which has less to do."""
    signal = rng.choice(("SIGINT", "SIGTERM", *["SIGKILL"] * 10))
    if rng.random() < 0.3:
        return _in_time(name, rng, 0.7 * seconds, signal)
    return _at_change(name, rng, rng.randrange(1 + len(changes) // 2), signal)


def in_turn(name: str, changes: list[str]) -> list[int]:
    """Numbers of the changes, from 0, such that one of each kind comes first, then a second of each, and so on."""
    kinds = defaultdict(list)
    for number, what in enumerate(changes):
        kinds[what].append(number)
    rng = random.Random(name)
    for numbers in kinds.values():
        rng.shuffle(numbers)
    shuffled = rng.sample(sorted(kinds), len(kinds))
    rounds = zip_longest(*(kinds[what] for what in shuffled))
    return [number for one in rounds for number in one if number is not None]


def _at_change(name: str, rng: random.Random, number: int, signal: str) -> Death:
    command = COMMANDS[name]
    whom = "self" if command.cluster else "group" if signal != "SIGKILL" else rng.choice(("group", "group", "self"))
    moment = rng.choice(("before", "within", "after"))
    return Death("change", whom, signal, number + 1, moment=moment)


def _in_time(name: str, rng: random.Random, seconds: float, signal: str) -> Death:
    command = COMMANDS[name]
    victims = ["parent"]
    if command.cluster and signal == "SIGKILL":
        victims = ["parent", "worker", "scheduler"]
    elif not command.cluster:
        victims = ["group", "parent", *(["worker"] if command.pooled and signal == "SIGKILL" else [])]
    return Death("time", rng.choice(victims), signal, seconds=round(rng.uniform(0, seconds), 2))
