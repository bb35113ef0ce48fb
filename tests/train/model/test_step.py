"""The benchmark of a training step, without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from tests.bench.step import KINDS, main

TINY = ("width=4", "levels=2", "tag_width=8", "discriminator_width=4", "batch_size=4")


def test_without_pytorch_our_steps_of_every_kind_are_timed_alone(pairs32: Path, eagerly: Any) -> None:
    settings = [part for one in TINY for part in ("--set", one)]
    with eagerly():
        said = CliRunner().invoke(main, [str(pairs32), "--rounds", "1", "--json", *settings])
    assert said.exit_code == 0, said.output
    result = json.loads(said.stdout)
    assert list(result["seconds"]) == list(KINDS)
    assert all(0 < took["ours"]["wall_min"] <= took["ours"]["wall_median"] for took in result["seconds"].values())
    assert result["ratio"] == {}
