import json
from dataclasses import asdict

import pytest

from train.config import ALLOWED_VALUES, Config, config_from_json, override
from train.errors import ConfigError
from train.model.losses import ADVERSARIAL_LOSSES, PIXEL_LOSSES
from train.presets import PRESETS, preset_config


def test_every_preset_is_a_valid_config_and_names_its_source() -> None:
    for name, one in PRESETS.items():
        assert override(preset_config(name), []).preset == name
        assert one.source


def test_tags_means_the_width_for_the_device_found() -> None:
    assert preset_config("tags", gpu=False).preset == "tags-cpu"
    assert preset_config("tags", gpu=True).preset == "tags-gpu"


def test_a_config_survives_json() -> None:
    config = override(preset_config("unet-l1"), ["width=10", "flip=false", "learning_rate=1e-4"])
    assert config_from_json(json.loads(json.dumps(asdict(config)))) == config
    assert (config.width, config.flip, config.learning_rate) == (10, False, 1e-4)


def test_a_run_begun_before_batches_came_in_parts_goes_on_with_whole_ones() -> None:
    values = asdict(Config())
    del values["parts"]
    assert config_from_json(values) == Config()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("widht=3", "did you mean 'width'"),
        ("width", "no such key"),
        ("width=wide", "needs a int"),
        ("width=0", "at least 1"),
        ("tag_dropout=2", "0 to 1"),
        ("line_variation=1.5", "0 to 1"),
        ("balance=-1", "0 to 1"),
        ("learning_rate=nan", "finite"),
        ("flip=perhaps", "true or false"),
        ("snapshot_every=30", "multiple of log_every"),
        ("preset=tags", "no such key"),
        ("skip=concatenate", "skip is one of concat, add, none, not 'concatenate'"),
        ("critic_steps=0", "at least 1"),
        ("jitter=2", "0 to 1"),
        ("half_until=0.9", "joins before half_until is over: --set adversary_from=0.9"),
        ("accumulate=0", "at least 1"),
        ("parts=0", "at least 1"),
        ("accumulate=3", "snapshot_every=400 must be a multiple of accumulate=3"),
        ("precision=float16", "precision is one of float32, bfloat16, not 'float16'"),
    ],
)
def test_a_bad_setting_says_what_to_write(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(Config(), [setting])


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'unet-l1'"):
        preset_config("unet-11")


def test_every_loss_that_can_be_named_is_there() -> None:
    assert set(ALLOWED_VALUES["adversary"]) == {"none", *ADVERSARIAL_LOSSES}
    assert set(ALLOWED_VALUES["loss"]) == set(PIXEL_LOSSES)


def test_rungs_differ_only_where_the_ladder_says() -> None:
    """Equal terms: widths, batch, augmentation and seed are the same on every rung."""
    sizes = ("width", "levels", "discriminator_width", "batch_size")
    same = (*sizes, "flip", "jitter", "lines", "line_variation", "balance", "seed", "average_decay")
    rungs = [asdict(preset_config(name)) for name in PRESETS if name != "tags-gpu"]
    assert {tuple(rung[key] for key in same) for rung in rungs} == {tuple(asdict(Config())[key] for key in same)}
