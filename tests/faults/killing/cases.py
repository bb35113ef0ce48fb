"""Draw how a command dies in each case. The draw depends only on the command, the case and the arguments."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from tests.faults.killing.commands import COMMANDS
from tests.faults.killing.deaths import Death

STOPPED_CASES = {4: "SIGINT", 9: "SIGTERM"}  # by the last digit of the case's number
TIMED_CASES = {1, 3, 7}
MAX_DEATHS = 5  # in one case


def draw_deaths(name: str, number: int, seconds: float, changes: list[str], unseen: Sequence[str] = ()) -> list[Death]:
    """The deaths of case `number`: one to five. Of ten cases, five begin at a change, three at a time, two with a stop.

    `changes` are those of an uninterrupted run of `seconds`. While kinds of change are `unseen`, that is without a
    kill so far, a case has up to five deaths, most of them at unseen kinds.
    """
    rng = random.Random(f"{name}/{number}")
    kind = number % 10
    if kind in TIMED_CASES or (kind in STOPPED_CASES and rng.random() < 0.5):
        first = _death_at_time(name, rng, seconds, STOPPED_CASES.get(kind, "SIGKILL"))
    else:
        order = in_turn(name, changes)
        first = _death_at_change(name, rng, order[number % len(order)], STOPPED_CASES.get(kind, "SIGKILL"))
    if not unseen:
        return [first, *(_later_death(name, rng, seconds, changes) for _ in range(rng.randrange(MAX_DEATHS)))]
    first_kind = (
        []
        if kind in TIMED_CASES or kind in STOPPED_CASES
        else [_death_at_kind(name, rng, unseen[0], changes.count(unseen[0]))]
    )
    later_kinds = spread_out(unseen[len(first_kind) :], MAX_DEATHS - 1)
    return [*(first_kind or [first]), *(_death_at_kind(name, rng, kind_of_change, 1) for kind_of_change in later_kinds)]


def spread_out(kinds: Sequence[str], count: int) -> Sequence[str]:
    """At most `count` kinds at equal distances, in order: each continued run must still reach the next one."""
    return kinds[:: -(-len(kinds) // count)] if kinds else kinds


def _later_death(name: str, rng: random.Random, seconds: float, changes: list[str]) -> Death:
    """A death of a continued run, which has less to do."""
    signal = rng.choice(("SIGINT", "SIGTERM", *["SIGKILL"] * 10))
    if rng.random() < 0.3:
        return _death_at_time(name, rng, 0.7 * seconds, signal)
    return _death_at_change(name, rng, rng.randrange(1 + len(changes) // 2), signal)


def in_turn(name: str, changes: list[str]) -> list[int]:
    """Indices of the changes: first one of each kind, then a second of each, and so on."""
    kinds = defaultdict(list)
    for number, kind in enumerate(changes):
        kinds[kind].append(number)
    rng = random.Random(name)
    for numbers in kinds.values():
        rng.shuffle(numbers)
    shuffled = rng.sample(sorted(kinds), len(kinds))
    rounds = zip_longest(*(kinds[kind] for kind in shuffled))
    return [number for one_of_each in rounds for number in one_of_each if number is not None]


def _death_at_kind(name: str, rng: random.Random, kind: str, count: int) -> Death:
    death = _death_at_change(name, rng, rng.randrange(count), "SIGKILL")
    return replace(death, kind=kind)


def _death_at_change(name: str, rng: random.Random, number: int, signal: str) -> Death:
    command = COMMANDS[name]
    whom = "self" if command.cluster else "group" if signal != "SIGKILL" else rng.choice(("group", "group", "self"))
    moment = rng.choice(("before", "within", "after"))
    return Death("change", whom, signal, number + 1, moment=moment)


def _death_at_time(name: str, rng: random.Random, seconds: float, signal: str) -> Death:
    command = COMMANDS[name]
    victims = ["parent"]
    if command.cluster and signal == "SIGKILL":
        victims = ["parent", "worker", "scheduler"]
    elif not command.cluster:
        victims = ["group", "parent", *(["worker"] if command.pooled and signal == "SIGKILL" else [])]
    return Death("time", rng.choice(victims), signal, seconds=round(rng.uniform(0, seconds), 2))
