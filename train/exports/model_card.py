"""The card of an exported model: its data, licences, figures and settings, how to use it, and its limits.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CARD_FILE = "README.md"
MAX_LISTED_TAGS = 20
"""Tags named in the card; vocabulary.txt has them all."""
NOT_RECORDED = "unknown, as the version of nurie that made the run did not record it"


@dataclass(frozen=True)
class CardFacts:
    """Everything a card is made from."""

    format_name: str
    """A key of EXPORT_FORMATS and USAGE_EXAMPLES."""
    model_file: str
    """Name of the model's file or folder."""
    run_config: Mapping[str, Any]
    """RUN/config.json."""
    vocabulary: Sequence[str]
    max_difference: float
    """Largest difference of the file's colours from the run's, in [-1, 1]."""
    evaluation: Mapping[str, Any] | None = None
    """What `train evaluate --json` printed."""


def render_card(facts: CardFacts) -> str:
    """The card, in Markdown."""
    sections = (
        _head(facts),
        _data_section(facts),
        _usage_section(facts),
        _figures_section(facts.evaluation),
        _settings_section(facts.run_config),
        LIMITS_SECTION,
    )
    return "\n".join(sections)


def _head(facts: CardFacts) -> str:
    preset = facts.run_config["config"]["preset"]
    return (
        f"# A model that colours line art\n\nMade by `train fit` of nurie with the preset `{preset}`. "
        f"`{facts.model_file}` holds its generator; the weights are an average over the training. On random input, its "
        f"colours differ from those of the run's own model by {facts.max_difference:.1e} at most, "
        f"for pixels in [-1, 1].\n"
    )


def _data_section(facts: CardFacts) -> str:
    run, attribution = facts.run_config, facts.run_config.get("attribution")
    listed = ", ".join(f"`{tag}`" for tag in facts.vocabulary[:MAX_LISTED_TAGS])
    unlisted = len(facts.vocabulary) - MAX_LISTED_TAGS
    return (
        "## Data\n\n"
        f"- Pairs: {_counts(run.get('pairs'))}; {run['size']} px; line art by {', '.join(run['lines'])}. "
        f"Shards: `{run['shards']}` (SHA-256 of their options).\n"
        f"- Licences, by number of pairs: {_counts(run.get('licenses'))}.\n"
        f"- Attribution: {NOT_RECORDED if attribution is None else ', '.join(attribution) or 'nobody named'}.\n"
        f"- Tags: {len(facts.vocabulary)}, in `vocabulary.txt`, most frequent first: {listed}"
        f"{f' and {unlisted} more' if unlisted > 0 else ''}.\n\n"
        "Before you pass on the model or its pictures, check what these licences require.\n"
    )


def _counts(counts: Mapping[str, int] | None) -> str:
    if counts is None:
        return NOT_RECORDED
    return ", ".join(f"{name or 'not named'} {number:,}" for name, number in sorted(counts.items())) or "none"


def _usage_section(facts: CardFacts) -> str:
    shape = {"size": facts.run_config["size"], "tags": len(facts.vocabulary)}
    inputs = EXAMPLE_INPUTS.format(**shape)
    example = USAGE_EXAMPLES[facts.format_name].format(file=facts.model_file, inputs=inputs)
    return f"{USAGE_GUIDE.format(**shape)}\n```python\n{example}```\n"


def _figures_section(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return (
            "## Figures\n\nNone yet. To add them: `train evaluate RUN SHARDS --json > FILE`, then "
            "`train export --evaluation FILE`.\n"
        )
    rows = "".join(f"| {name} | {value} |\n" for name, value in _flatten(evaluation) if name != "seconds")
    return f"## Figures\n\nMeasured by `train evaluate`.\n\n| figure | value |\n|---|---|\n{rows}"


def _flatten(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as (dotted name, text), in their order."""
    rows = []
    for key, value in figures.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{name}.")
        else:
            rows.append((name, f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)))
    return rows


def _settings_section(run: Mapping[str, Any]) -> str:
    rows = "".join(f"| {key} | {value} |\n" for key, value in run["config"].items())
    return f"## Settings of the training\n\n| key | value |\n|---|---|\n{rows}"


USAGE_GUIDE = """## How to use it

- `lines`: float32 (b, {size}, {size}, 1). Put the drawing on white, convert it to gray, and shrink it by area
  (OpenCV's INTER_AREA), with its aspect ratio kept, into the middle of a white square of {size} px. Then
  value / 127.5 - 1, so that 1 is paper and -1 is ink.
- `tags`: float32 (b, {tags}). 1 at the line number, counted from 0, of each wanted tag in `vocabulary.txt`, else 0.
- `colors`: float32 (b, {size}, {size}, 3), RGB in [-1, 1]; (colors + 1) * 127.5 is 0 to 255. Ignore what lies
  outside of the drawing.
"""
EXAMPLE_INPUTS = """\
lines = np.ones((1, {size}, {size}, 1), np.float32)  # blank paper; put your drawing here
tags = np.zeros((1, {tags}), np.float32)  # no tags
"""
USAGE_EXAMPLES = {
    "keras": """\
import keras
import numpy as np

from train.model.layers import CUSTOM_LAYERS

{inputs}
model = keras.saving.load_model("{file}", custom_objects=CUSTOM_LAYERS)
colors = np.asarray(model([lines, tags]))
""",
    "savedmodel": """\
import numpy as np
import tensorflow as tf

{inputs}
model = tf.saved_model.load("{file}")
colors = model.serve(lines, tags)["colors"].numpy()
""",
    "onnx": """\
import numpy as np
import onnxruntime

{inputs}
session = onnxruntime.InferenceSession("{file}")
[colors] = session.run(["colors"], {{"lines": lines, "tags": tags}})
""",
    "tflite": """\
import numpy as np
import tensorflow as tf

{inputs}
color = tf.lite.Interpreter("{file}").get_signature_runner("serving_default")
colors = color(lines=lines, tags=tags)["colors"]
""",
}
"""Python that runs the model, by format. The file name is relative to the exported folder."""
LIMITS_SECTION = """## Limits

- It knows only the tags of its vocabulary, and draws at the size above: a larger drawing is coloured small, and its
  colours are enlarged.
- It has learned from the data above and colours other drawings in the same way: subjects, styles and gaps of that data
  are its own.
- Tags lead it but do not bind it. The figures above, if there are any, say how often it followed them on drawings it
  had not seen.
"""
