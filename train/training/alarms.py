"""Alarms: what the rows of stats.jsonl warn of. Pure functions, so that a resumed training raises the same alarms.

A sign is what one row shows; an alarm is a sign that has lasted for several rows. Thresholds are wide, so that an alarm
means that somebody should look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from train.model.losses import ADVERSARIAL_LOSSES
from train.training.stats import StatsRow

# The discriminator's loss, as a share of its loss at a tie.
# Below: cross-entropy logits of about ±2.6, where log(1 - D) has a 15th of its steepest gradient.
# Above: it has learned nothing, or is fooled throughout.
MIN_LOSS_SHARE, MAX_LOSS_SHARE = 0.1, 0.98
# Share of right verdicts; chance is 0.5, and an interval holds hundreds of verdicts
MIN_ACCURACY, MAX_ACCURACY = 0.52, 0.995
# Between mean logits. No critic of slope 1 can reach it: pictures of 128 px differ by at most 2·sqrt(3·128²) = 443.
MAX_LOGIT_GAP = 1000.0
# Share of the truths' spread of hues. Sample art had 0.36 after 40 steps and 0.8 at the end; near 0 all look alike.
MIN_DIVERSITY_SHARE = 0.2
# Share of the truths' chroma. The mean of many possible colours is brown; trained networks reach 0.9 and more.
MIN_CHROMA_SHARE = 0.5
PATIENCE = {"discriminator_strong": 5, "discriminator_weak": 5, "collapse": 3, "sepia": 3}
"""Rows for which a sign must last. Rows with a discriminator: intervals; with validation figures: snapshots.

It takes as many, since the adversary starts at a tie and pictures start gray.
"""
ALARM_NAMES = ("nan", *PATIENCE)


def signs(row: StatsRow, adversary: str) -> dict[str, bool]:
    """Whether a row shows each sign, by alarm name; only for signs whose figures the row has."""
    shown = _discriminator_signs(row, adversary) if "discriminator" in row else {}
    if "validation_diversity" in row:
        shown["collapse"] = row["validation_diversity"] < MIN_DIVERSITY_SHARE
    if "validation_chroma" in row:
        shown["sepia"] = row["validation_chroma"] < MIN_CHROMA_SHARE
    return shown


def _discriminator_signs(row: StatsRow, adversary: str) -> dict[str, bool]:
    """Whether the discriminator has all but won (strong), or cannot tell reals from fakes (weak).

    Its loss is compared with the loss at a tie, 2·log 2 for cross-entropy. A Wasserstein critic has no such value: it
    is weak while its loss, fake - real, is not below zero. Accuracy counts only if a logit of 0 separates reals from
    fakes, which it does not with a relativistic loss.
    """
    tie, loss = ADVERSARIAL_LOSSES[adversary].loss_at_tie, row["discriminator"]
    strong = abs(row["real_logits"] - row["fake_logits"]) > MAX_LOGIT_GAP
    if tie is None:
        return {"discriminator_strong": strong, "discriminator_weak": loss >= 0}
    accuracy = row["accuracy"] if adversary != "relativistic" else (MAX_ACCURACY + MIN_ACCURACY) / 2
    strong = strong or loss < MIN_LOSS_SHARE * tie or accuracy > MAX_ACCURACY
    return {
        "discriminator_strong": strong,
        "discriminator_weak": not strong and (loss > MAX_LOSS_SHARE * tie or accuracy < MIN_ACCURACY),
    }


@dataclass(frozen=True)
class AlarmState:
    """What a training's rows so far amount to."""

    streaks: Mapping[str, int] = field(default_factory=dict)
    """For how many rows in a row each sign has lasted, by name."""
    streak_starts: Mapping[str, int] = field(default_factory=dict)
    """The step at which each lasting sign began."""
    looks: int = 0
    """Number of rows with validation figures."""

    def after_row(self, row: StatsRow, adversary: str) -> AlarmState:
        """The state after one more row of a training with this adversarial loss."""
        streaks, starts = dict(self.streaks), dict(self.streak_starts)
        for name, shown in signs(row, adversary).items():
            if not shown:
                starts.pop(name, None)
            elif not streaks.get(name):
                starts[name] = row["step"]
            streaks[name] = streaks.get(name, 0) + 1 if shown else 0
        return AlarmState(streaks, starts, self.looks + ("validation_l1" in row))

    def raised(self) -> list[str]:
        """Names of the alarms that are raised."""
        return [name for name, patience in PATIENCE.items() if self.streaks.get(name, 0) >= patience]


def row_alarms(state: AlarmState, step: int, nan: Iterable[int]) -> list[str]:
    """A row's `alarms`: those raised, and `nan` for the steps that were repeated after the last of the steps `nan`.

    `nan` are the steps at which a figure was not finite and the training went back to a snapshot.
    """
    return ["nan"] * any(step <= nan_step for nan_step in list(nan)[-1:]) + state.raised()


def verdict(state: AlarmState, nan: Iterable[int]) -> str:
    """One line on a whole training: `healthy`, or what is wrong and since when."""
    findings = [f"{name.replace('_', ' ')} since step {state.streak_starts[name]}" for name in state.raised()]
    if steps := list(nan):
        findings.append(f"NaN at step {', '.join(map(str, steps))}: continued at a rate of 1/{2 ** len(steps)}")
    if findings:
        return "; ".join(findings)
    return "healthy" if state.looks >= PATIENCE["sepia"] else "no alarm, but too short to tell"
