"""What an exported model must tell of itself: data, licence, settings, figures, how to feed it, its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CARD_FILE = "README.md"
MAX_LISTED_TAGS = 20  # tags named in the card; vocabulary.txt has them all
NOT_RECORDED = "unknown: the run is of a version that did not note it"
USAGE_EXAMPLES = {
    "keras": 'keras.saving.load_model("{name}", custom_objects=train.model.layers.OWN)([lines, tags])',
    "savedmodel": 'tf.saved_model.load("{name}").serve(lines, tags)["colors"]',
    "onnx": 'onnxruntime.InferenceSession("{name}").run(["colors"], {{"lines": lines, "tags": tags}})',
    "tflite": 'Interpreter("{name}").get_signature_runner("serving_default")(lines=lines, tags=tags)["colors"]',
}
"""How each format is run, in Python."""


@dataclass(frozen=True)
class CardFacts:
    """All that a card is made of."""

    format_name: str
    """A key of CALLS."""
    model_file: str
    """Name of its file."""
    run_config: Mapping[str, Any]
    """RUN/config.json."""
    vocabulary: Sequence[str]
    max_difference: float
    """Of the file's colours from the run's model, in [-1, 1]."""
    evaluation: Mapping[str, Any] | None = None
    """What `train evaluate --json` printed."""


def render_card(facts: CardFacts) -> str:
    """The card, in Markdown."""
    parts = (
        _head(facts),
        _data(facts),
        _usage_section(facts),
        _figures(facts.evaluation),
        _settings(facts.run_config),
        LIMITS_SECTION,
    )
    return "\n".join(parts)


def _head(facts: CardFacts) -> str:
    preset = facts.run_config["config"]["preset"]
    return (
        f"# A model that colours line art\n\nBy `train fit` of nurie, preset `{preset}`. "
        f"`{facts.model_file}` is its generator, averaged over the training. On the noise that it was tried on, its "
        f"colours differ from the run's own model by {facts.max_difference:.1e} at most, pixels in [-1, 1].\n"
    )


def _data(facts: CardFacts) -> str:
    pairs, licences = facts.run_config.get("pairs"), facts.run_config.get("licenses")
    names = facts.run_config.get("attribution")
    shown = ", ".join(f"`{tag}`" for tag in facts.vocabulary[:MAX_LISTED_TAGS])
    rest = len(facts.vocabulary) - MAX_LISTED_TAGS
    return (
        "## Data\n\n"
        f"- Pairs: {_counts(pairs)}; {facts.run_config['size']} px; "
        f"line art by {', '.join(facts.run_config['lines'])}. "
        f"Shards: `{facts.run_config['shards']}` (SHA-256 of their options).\n"
        f"- Licences, by number of pairs: {_counts(licences)}.\n"
        f"- Attribution: {NOT_RECORDED if names is None else ', '.join(names) or 'none named'}.\n"
        f"- Tags: {len(facts.vocabulary)}, in `vocabulary.txt`, most frequent first: {shown}"
        f"{f' and {rest} more' if rest > 0 else ''}.\n\n"
        "Whoever hands the model or its pictures on should see what these licences ask for.\n"
    )


def _counts(counts: Mapping[str, int] | None) -> str:
    if counts is None:
        return NOT_RECORDED
    return ", ".join(f"{name or 'none named'} {number:,}" for name, number in sorted(counts.items())) or "none"


def _usage_section(facts: CardFacts) -> str:
    call = USAGE_EXAMPLES[facts.format_name].format(name=facts.model_file)
    told = INPUT_GUIDE.format(size=facts.run_config["size"], tags=len(facts.vocabulary))
    return f"{told}\n```python\n{call}\n```\n"


def _figures(evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return (
            "## Figures\n\nNone given: `train evaluate RUN SHARDS --json > FILE`, `train export --evaluation FILE`.\n"
        )
    rows = "".join(f"| {name} | {value} |\n" for name, value in _flat(evaluation) if name != "seconds")
    return f"## Figures\n\nOf `train evaluate`.\n\n| figure | value |\n|---|---|\n{rows}"


def _flat(figures: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested figures as (path, value), in their order."""
    rows = []
    for key, value in figures.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name}.")
        else:
            rows.append((name, f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)))
    return rows


def _settings(run: Mapping[str, Any]) -> str:
    rows = "".join(f"| {key} | {value} |\n" for key, value in run["config"].items())
    return f"## Settings of the training\n\n| key | value |\n|---|---|\n{rows}"


INPUT_GUIDE = """## How to feed it

- `lines`: float32 (b, {size}, {size}, 1). Lay the drawing on white, make it gray, shrink it with its aspect kept (by
  area: OpenCV's INTER_AREA) into the middle of a white square of {size} px; then value / 127.5 - 1, so that 1 is paper
  and -1 is ink.
- `tags`: float32 (b, {tags}): 1 at the line, counted from 0, that a wanted tag has in `vocabulary.txt`, else 0.
- `colors`: float32 (b, {size}, {size}, 3), RGB in [-1, 1]; (colors + 1) * 127.5 is 0 to 255. What lies outside of the
  drawing means nothing.
"""

LIMITS_SECTION = """## Limits

- It knows the tags of its vocabulary, and draws at the size above: what is larger is coloured small and enlarged.
- It has seen the drawings above and colours others after their likeness: their subjects, styles and gaps are its own.
- Tags lead it; they do not bind it. Figures above, where given, say how often it obeyed on drawings it had not seen.
"""
