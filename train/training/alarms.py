"""What a training's figures warn of, as pure functions of stats.jsonl's rows: folding them again gives the same.

A sign is what one row shows; an alarm is a sign that has stayed for several looks. Thresholds are wide: an alarm shall
mean that somebody should look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from train.model.losses import ADVERSARIAL_LOSSES

MIN_LOSS_SHARE = (
    0.1  # of the loss at the tie: in a cross-entropy logits of ±2.6, and log(1 - D) has a 15th of its slope
)
MAX_LOSS_SHARE = 0.98  # of the loss at the tie: what no judge learned, or one that was fooled throughout
MAX_ACCURACY, MIN_ACCURACY = (
    0.995,
    0.52,
)  # share of right verdicts: next to all; chance is 0.5, and an interval judges hundreds
MAX_LOGIT_GAP = (
    1000.0  # between mean logits: no critic of slope 1 has it, for pictures of 128 px differ by 2·√(3·128²) = 443
)
MIN_DIVERSITY_SHARE = (
    0.2  # of the truths' spread of hues: all alike; on the demo's art 0.36 after 40 steps, 0.8 in the end
)
MIN_CHROMA_SHARE = (
    0.5  # of the truths' chroma: the mean of many possible colours is brown; trained networks have 0.9 and more
)
PATIENCE = {"discriminator_strong": 5, "discriminator_weak": 5, "collapse": 3, "sepia": 3}
"""Looks that a sign must last: intervals for the game, begun at a tie; snapshots for pictures, gray at first."""
ALARM_NAMES = ("nan", *PATIENCE)


def signs(row: Mapping[str, Any], adversary: str) -> dict[str, bool]:
    """What a row's figures show: alarms by name, those alone that it has figures for. `adversary` names the game."""
    shown = _discriminator_signs(row, adversary) if "discriminator" in row else {}
    if "validation_diversity" in row:
        shown["collapse"] = row["validation_diversity"] < MIN_DIVERSITY_SHARE
    if "validation_chroma" in row:
        shown["sepia"] = row["validation_chroma"] < MIN_CHROMA_SHARE
    return shown


def _discriminator_signs(row: Mapping[str, Any], adversary: str) -> dict[str, bool]:
    """Whether the discriminator has all but won, or sees nothing.

    Its loss is held against the game's at a tie, 2·log 2 for cross-entropy. Without a tie, as a Wasserstein critic, it
    is weak while its loss, fake - real, is not below zero. Verdicts count only where a logit of 0 parts real and fake.
    """
    tie, loss = ADVERSARIAL_LOSSES[adversary].loss_at_tie, row["discriminator"]
    strong = abs(row["real_logits"] - row["fake_logits"]) > MAX_LOGIT_GAP
    if tie is None:
        return {"discriminator_strong": strong, "discriminator_weak": loss >= 0}
    right = row["accuracy"] if adversary != "relativistic" else (MAX_ACCURACY + MIN_ACCURACY) / 2
    strong = strong or loss < MIN_LOSS_SHARE * tie or right > MAX_ACCURACY
    return {
        "discriminator_strong": strong,
        "discriminator_weak": not strong and (loss > MAX_LOSS_SHARE * tie or right < MIN_ACCURACY),
    }


@dataclass(frozen=True)
class AlarmState:
    """What a training's rows, so far, amount to."""

    streaks: Mapping[str, int] = field(default_factory=dict)
    """For how many looks in a row each sign has been seen."""
    streak_starts: Mapping[str, int] = field(default_factory=dict)
    """The step at which that began."""
    looks: int = 0
    """Rows with figures of pictures."""

    def after_row(self, row: Mapping[str, Any], adversary: str) -> AlarmState:
        """The same with one more row."""
        lasted, since = dict(self.streaks), dict(self.streak_starts)
        for name, seen in signs(row, adversary).items():
            if not seen:
                since.pop(name, None)
            elif not lasted.get(name):
                since[name] = row["step"]
            lasted[name] = lasted.get(name, 0) + 1 if seen else 0
        return AlarmState(lasted, since, self.looks + ("validation_l1" in row))

    def raised(self) -> list[str]:
        """Names of signs that have lasted."""
        return [name for name, patience in PATIENCE.items() if self.streaks.get(name, 0) >= patience]


def row_alarms(state: AlarmState, step: int, nan: Iterable[int]) -> list[str]:
    """A row's `alarms`: those that have lasted, and `nan` on the steps that were done again for it.

    `nan` are the steps at which figures were no numbers, and the training was taken back.
    """
    return ["nan"] * any(step <= at for at in list(nan)[-1:]) + state.raised()


def verdict(state: AlarmState, nan: Iterable[int]) -> str:
    """One line on a whole training: `healthy`, or what is wrong and since when."""
    found = [f"{name.replace('_', ' ')} since step {state.streak_starts[name]}" for name in state.raised()]
    if steps := list(nan):
        found.append(f"NaN at step {', '.join(map(str, steps))}: gone on at a rate of 1/{2 ** len(steps)}")
    if found:
        return "; ".join(found)
    return "healthy" if state.looks >= PATIENCE["sepia"] else "no alarm, but too short to tell"
