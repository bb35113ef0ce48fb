"""An alarm is a sign that has lasted; the verdict names the alarms and since when they are raised."""

import math
from typing import cast

import pytest

from train.model.losses import ADVERSARIAL_LOSSES
from train.training.alarms import ALARM_NAMES, PATIENCE, AlarmState, row_alarms, signs, verdict
from train.training.stats import StatsRow

FAIR = {"accuracy": 0.8, "real_logits": 0.4, "fake_logits": -0.4}
GOOD = {"validation_l1": 0.05, "validation_chroma": 0.9, "validation_diversity": 0.8}


def row_at(step: int, **figures: float) -> StatsRow:
    return cast("StatsRow", {"step": step, **figures})


def rows(count: int, **figures: float) -> list[StatsRow]:
    return [row_at(20 * number, **figures) for number in range(1, count + 1)]


def state_after(rows: list[StatsRow], adversary: str = "hinge") -> AlarmState:
    state = AlarmState()
    for row in rows:
        state = state.after_row(row, adversary)
    return state


@pytest.mark.parametrize("adversary", [name for name, loss in ADVERSARIAL_LOSSES.items() if loss.loss_at_tie])
@pytest.mark.parametrize(
    ("share", "figures", "name"),
    [
        (0.05, {}, "discriminator_strong"),
        (0.5, {}, None),
        (1.0, {}, "discriminator_weak"),
        (1.5, {}, "discriminator_weak"),
        (0.5, {"real_logits": 2000.0}, "discriminator_strong"),
    ],
)
def test_a_discriminator_is_strong_with_a_loss_far_below_the_tie_and_weak_with_one_at_it(
    adversary: str, share: float, figures: dict[str, float], name: str | None
) -> None:
    loss = share * (ADVERSARIAL_LOSSES[adversary].loss_at_tie or math.nan)
    row = row_at(20, **{"discriminator": loss, **FAIR, **figures})
    assert [sign for sign, shown in signs(row, adversary).items() if shown] == ([name] if name else [])


@pytest.mark.parametrize(("accuracy", "name"), [(1.0, "discriminator_strong"), (0.5, "discriminator_weak")])
def test_accuracy_counts_only_where_a_logit_of_zero_separates_reals_from_fakes(accuracy: float, name: str) -> None:
    figures = {**FAIR, "accuracy": accuracy}
    assert signs(row_at(20, discriminator=0.5, **figures), "hinge")[name]
    assert not any(signs(row_at(20, discriminator=0.5, **figures), "relativistic").values())
    assert not signs(row_at(20, discriminator=-0.5, **figures), "wasserstein")[name]


def test_a_wasserstein_critic_is_weak_while_it_rates_fakes_no_lower_than_reals() -> None:
    assert signs(row_at(20, discriminator=0.1, **FAIR), "wasserstein")["discriminator_weak"]
    assert not signs(row_at(20, discriminator=-0.1, **FAIR), "wasserstein")["discriminator_weak"]


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("discriminator_strong", {"discriminator": 0.01, **FAIR}),
        ("collapse", {**GOOD, "validation_diversity": 0.05}),
        ("sepia", {**GOOD, "validation_chroma": 0.3}),
    ],
)
def test_a_sign_becomes_an_alarm_after_lasting_and_stays_one_until_it_is_gone(
    name: str, figures: dict[str, float]
) -> None:
    bad = rows(PATIENCE[name], **figures)
    healthy = row_at(900, discriminator=1.0, **FAIR, **GOOD)
    assert state_after(bad[:-1]).raised() == []
    assert state_after(bad).raised() == [name]
    assert state_after([*bad, row_at(900, l1=0.1)]).raised() == [name]  # a row without the figure changes nothing
    assert state_after([*bad, healthy]).raised() == []
    assert state_after([*bad[:-1], healthy, bad[-1]]).raised() == []


def test_the_verdict_names_what_is_wrong_and_since_which_step() -> None:
    sepia = rows(4, **{**GOOD, "validation_chroma": 0.3})
    assert verdict(state_after([row_at(10, **GOOD), *sepia]), ()) == "sepia since step 20"
    assert verdict(state_after(sepia), (30, 50)).endswith("; NaN at step 30, 50: continued at a rate of 1/4")
    assert verdict(state_after(rows(3, **GOOD)), ()) == "healthy"
    assert "too short" in verdict(state_after(rows(2, **GOOD)), ())


def test_rows_of_steps_repeated_after_nan_carry_the_alarm_nan() -> None:
    assert [row_alarms(AlarmState(), step, (40, 60)) for step in (50, 60, 70)] == [["nan"], ["nan"], []]
    assert row_alarms(AlarmState(), 1, ()) == []
    assert set(PATIENCE) | {"nan"} == set(ALARM_NAMES)
