"""Compare the time that `train serve` takes to colour a drawing over HTTP with one pass of the network alone.

The drawing is OpenMoji line art of 512 px, the model is the demo's. Times are wall seconds, medians of rounds that
alternate between both. The first picture, for which TensorFlow builds its graph, is reported by itself.

Run after `make demo`: python -m tests.bench.serve [RUN] [LINES] [--rounds 20] [--json]
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # its start-up messages would hide the figures

import click
import httpx2
import numpy as np
import tensorflow as tf

from tests.served import seconds, served
from train.model.trained_model import load_trained


def compiled_pass(run: Path) -> Callable[[], object]:
    """A compiled call of the network on a blank sheet without tags."""
    trained = load_trained(run)
    lines = np.ones((1, trained.size, trained.size, 1), np.float32)
    tags = np.zeros((1, len(trained.vocabulary)), np.float32)
    graph = tf.function(lambda: trained.model([lines, tags], training=False))
    graph()
    return lambda: graph().numpy()


def report(run: Path, drawing: bytes, rounds: int) -> dict[str, Any]:
    """Seconds of the first picture, of the others and of a pass, and the ratio of the last two."""
    call_network = compiled_pass(run)
    with served("train", "serve", str(run)) as (_, address, _), httpx2.Client(base_url=address, timeout=60) as client:
        headers = {"content-type": "image/png", "origin": address.rstrip("/")}

        def color_drawing() -> None:
            client.post("api/colorize", content=drawing, headers=headers).raise_for_status()

        first = seconds(color_drawing)
        spent = [(seconds(color_drawing), seconds(call_network)) for _ in range(rounds)]
    picture_seconds, pass_seconds = (median(times) for times in zip(*spent, strict=True))
    return {
        "first_seconds": first,
        "seconds": picture_seconds,
        "pass_seconds": pass_seconds,
        "times_the_pass": median(picture / network for picture, network in spent),
    }


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True), default="demo/run")
@click.argument("lines", type=click.Path(path_type=Path, exists=True), default="demo/art.lines")
@click.option("--rounds", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(run: Path, lines: Path, rounds: int, as_json: bool) -> None:
    """Time how the model in RUN colours the first drawing in LINES."""
    figures = report(run, min(lines.glob("*.png")).read_bytes(), rounds)
    if as_json:
        click.echo(json.dumps(figures))
        return
    line = "first picture {first_seconds:.2f} s; then {seconds:.3f} s, {times_the_pass:.1f} times the network's pass"
    click.echo(line.format(**figures))


if __name__ == "__main__":
    main()
