"""An alarm is a sign that lasts; the verdict says which, and since when."""

import math
from typing import Any

import pytest

from train.model.losses import ADVERSARIAL_LOSSES
from train.training.alarms import ALARM_NAMES, PATIENCE, AlarmState, row_alarms, signs, verdict

FAIR = {"accuracy": 0.8, "real_logits": 0.4, "fake_logits": -0.4}
GOOD = {"validation_l1": 0.05, "validation_chroma": 0.9, "validation_diversity": 0.8}


def rows(count: int, **figures: float) -> list[dict[str, Any]]:
    return [{"step": 20 * number, **figures} for number in range(1, count + 1)]


def watched(found: list[dict[str, Any]], adversary: str = "hinge") -> AlarmState:
    state = AlarmState()
    for row in found:
        state = state.after_row(row, adversary)
    return state


@pytest.mark.parametrize("adversary", [name for name, game in ADVERSARIAL_LOSSES.items() if game.loss_at_tie])
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
def test_a_loss_far_below_the_tie_is_a_judge_too_strong_and_one_at_it_too_weak(
    adversary: str, share: float, figures: dict[str, float], name: str | None
) -> None:
    row = {"discriminator": share * (ADVERSARIAL_LOSSES[adversary].loss_at_tie or math.nan), **FAIR, **figures}
    assert [one for one, seen in signs(row, adversary).items() if seen] == ([name] if name else [])


@pytest.mark.parametrize(("accuracy", "name"), [(1.0, "discriminator_strong"), (0.5, "discriminator_weak")])
def test_verdicts_count_where_a_logit_of_zero_parts_real_from_fake(accuracy: float, name: str) -> None:
    row = {"discriminator": 0.5, **FAIR, "accuracy": accuracy}
    assert signs(row, "hinge")[name]
    assert not any(signs(row, "relativistic").values())
    assert not signs({**row, "discriminator": -0.5}, "wasserstein")[name]


def test_a_critic_is_weak_while_it_rates_fakes_no_lower_than_reals() -> None:
    assert signs({"discriminator": 0.1, **FAIR}, "wasserstein")["discriminator_weak"]
    assert not signs({"discriminator": -0.1, **FAIR}, "wasserstein")["discriminator_weak"]


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("discriminator_strong", {"discriminator": 0.01, **FAIR}),
        ("collapse", {**GOOD, "validation_diversity": 0.05}),
        ("sepia", {**GOOD, "validation_chroma": 0.3}),
    ],
)
def test_a_sign_is_an_alarm_once_it_has_lasted_and_until_it_is_gone(name: str, figures: dict[str, float]) -> None:
    bad, well = rows(PATIENCE[name], **figures), {"discriminator": 1.0, **FAIR, **GOOD}
    assert watched(bad[:-1]).raised() == []
    assert watched(bad).raised() == [name]
    assert watched([*bad, {"step": 900, "l1": 0.1}]).raised() == [name]  # a row without the figure says nothing
    assert watched([*bad, {"step": 900, **well}]).raised() == []
    assert watched([*bad[:-1], {"step": 900, **well}, bad[-1]]).raised() == []


def test_the_verdict_tells_what_is_wrong_since_when() -> None:
    sepia = rows(4, **{**GOOD, "validation_chroma": 0.3})
    assert verdict(watched([{"step": 10, **GOOD}, *sepia]), ()) == "sepia since step 20"
    assert verdict(watched(sepia), (30, 50)).endswith("; NaN at step 30, 50: gone on at a rate of 1/4")
    assert verdict(watched(rows(3, **GOOD)), ()) == "healthy"
    assert "too short" in verdict(watched(rows(2, **GOOD)), ())


def test_steps_done_again_after_nan_are_marked() -> None:
    assert [row_alarms(AlarmState(), step, (40, 60)) for step in (50, 60, 70)] == [["nan"], ["nan"], []]
    assert row_alarms(AlarmState(), 1, ()) == []
    assert set(PATIENCE) | {"nan"} == set(ALARM_NAMES)
