"""Configs: presets, `--set`, and what is stored in a run folder."""

import json
from dataclasses import asdict

import pytest

from train.config import ALLOWED_VALUES, Config, config_from_json, override
from train.errors import ConfigError
from train.model.losses import ADVERSARIAL_LOSSES, PIXEL_LOSSES
from train.presets import PRESETS, preset_config


def test_every_preset_is_a_valid_config_and_names_its_source() -> None:
    for name, preset in PRESETS.items():
        assert override(preset_config(name), []).preset == name
        assert preset.source


def test_the_preset_tags_means_tags_gpu_with_a_gpu_and_else_tags_cpu() -> None:
    assert preset_config("tags", gpu=False).preset == "tags-cpu"
    assert preset_config("tags", gpu=True).preset == "tags-gpu"


def test_a_config_read_from_json_equals_the_one_written() -> None:
    config = override(preset_config("unet-l1"), ["width=10", "flip=false", "learning_rate=1e-4"])
    assert config_from_json(json.loads(json.dumps(asdict(config)))) == config
    assert (config.width, config.flip, config.learning_rate) == (10, False, 1e-4)


def test_a_run_older_than_the_setting_parts_resumes_with_one_part() -> None:
    values = asdict(Config())
    del values["parts"]
    assert config_from_json(values) == Config()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("widht=3", "did you mean 'width'"),
        ("width", "no such key"),
        ("width=wide", "write a whole number"),
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
def test_an_invalid_setting_is_refused_with_what_to_write(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(Config(), [setting])


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'unet-l1'"):
        preset_config("unet-11")


def test_the_losses_a_config_allows_are_those_that_exist() -> None:
    assert set(ALLOWED_VALUES["adversary"]) == {"none", *ADVERSARIAL_LOSSES}
    assert set(ALLOWED_VALUES["loss"]) == set(PIXEL_LOSSES)


def test_presets_for_a_cpu_share_widths_batch_augmentation_and_seed() -> None:
    """So that a ladder of presets compares methods on equal terms."""
    sizes = ("width", "levels", "discriminator_width", "batch_size")
    same = (*sizes, "flip", "jitter", "lines", "line_variation", "balance", "seed", "average_decay")
    configs = [asdict(preset_config(name)) for name in PRESETS if name != "tags-gpu"]
    assert {tuple(config[key] for key in same) for config in configs} == {tuple(asdict(Config())[key] for key in same)}


def test_a_config_with_a_key_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"differ in 'colour_space': train again with --fresh"):
        config_from_json(asdict(Config()) | {"colour_space": "lab"})


def test_a_stored_value_of_another_type_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"width in the run's config.json cannot be 'wide'"):
        config_from_json(asdict(Config()) | {"width": "wide"})
