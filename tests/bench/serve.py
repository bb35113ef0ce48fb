"""How long a drawing takes from the page of `train serve` and back, over HTTP, against the network's pass alone.

The drawing is an artist's, of OpenMoji's, 512 px; the model is the demo's. Seconds are wall, medians of rounds in which
both take turns; the first picture, for which TensorFlow makes its graph, is told by itself.

Run, after make demo: python -m tests.bench.serve [RUN] [LINES] [--rounds 20] [--json]
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # its start-up notes would hide the figures

import click
import httpx2
import numpy as np
import tensorflow as tf

from tests.served import seconds, served
from train.model.trained import load_trained


def passing(run: Path) -> Callable[[], object]:
    """The network alone, on one sheet of paper without tags."""
    found = load_trained(run)
    lines = np.ones((1, found.size, found.size, 1), np.float32)
    tags = np.zeros((1, len(found.vocabulary)), np.float32)
    graph = tf.function(lambda: found.model([lines, tags], training=False))
    graph()
    return lambda: graph().numpy()


def report(run: Path, drawing: bytes, rounds: int) -> dict[str, Any]:
    """Seconds of both, and how many times the pass a picture takes."""
    alone = passing(run)
    with served("train", "serve", str(run)) as (_, address, _), httpx2.Client(base_url=address, timeout=60) as client:
        headers = {"content-type": "image/png", "origin": address.rstrip("/")}

        def ask() -> None:
            told = client.post("api/colorize", content=drawing, headers=headers)
            told.raise_for_status()

        first = seconds(ask)
        spent = [(seconds(ask), seconds(alone)) for _ in range(rounds)]
    pictures, passes = (median(one) for one in zip(*spent, strict=True))
    ratio = median(picture / one for picture, one in spent)
    return {"first_seconds": first, "seconds": pictures, "pass_seconds": passes, "times_the_pass": ratio}


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True), default="demo/run")
@click.argument("lines", type=click.Path(path_type=Path, exists=True), default="demo/art.lines")
@click.option("--rounds", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(run: Path, lines: Path, rounds: int, as_json: bool) -> None:
    """Time pictures of the model in RUN, of the first drawing in LINES."""
    found = report(run, min(lines.glob("*.png")).read_bytes(), rounds)
    if as_json:
        click.echo(json.dumps(found))
        return
    told = "first picture {first_seconds:.2f} s; then {seconds:.3f} s, {times_the_pass:.1f} times the network's pass"
    click.echo(told.format(**found))


if __name__ == "__main__":
    main()
