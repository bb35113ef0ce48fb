"""How a command is to die, case by case: the same deaths whenever they are drawn."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from tests.faults.killing.commands import COMMANDS
from tests.faults.killing.deaths import Death

STOPS = {4: "SIGINT", 9: "SIGTERM"}  # of ten cases
TIMES = {1, 3, 7}
MOST = 5  # deaths in a row


def draw(name: str, number: int, seconds: float, changes: list[str], unseen: Sequence[str] = ()) -> list[Death]:
    """One death, or up to five in a row; of ten cases five begin as the disk changes, three at a time, two stop.

    While kinds of changes have seen no death yet, every case is five in a row, at some of those where it may be.
    """
    rng = random.Random(f"{name}/{number}")
    kind = number % 10
    if kind in TIMES or (kind in STOPS and rng.random() < 0.5):
        first = _in_time(name, rng, seconds, STOPS.get(kind, "SIGKILL"))
    else:
        order = in_turn(name, changes)
        first = _at_change(name, rng, order[number % len(order)], STOPS.get(kind, "SIGKILL"))
    if not unseen:
        return [first, *(_another(name, rng, seconds, changes) for _ in range(rng.randrange(MOST)))]
    begins = [] if kind in TIMES or kind in STOPS else [_of_kind(name, rng, unseen[0], changes.count(unseen[0]))]
    left = spread(unseen[len(begins) :], MOST - 1)
    return [*(begins or [first]), *(_of_kind(name, rng, what, 1) for what in left)]


def spread(kinds: Sequence[str], most: int) -> Sequence[str]:
    """So many of them, as far from one another as may be, in their order: a run that goes on has to reach the next."""
    return kinds[:: -(-len(kinds) // most)] if kinds else kinds


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


def _of_kind(name: str, rng: random.Random, kind: str, most: int) -> Death:
    death = _at_change(name, rng, rng.randrange(most), "SIGKILL")
    return replace(death, kind=kind)


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
