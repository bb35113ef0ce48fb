"""The tables of figures in README and the docs, one function each: `make docs` calls them through cog.

Every function returns Markdown. Figures come from the JSON files under `.github/docs`, which benchmarks and
`train evaluate` wrote; nothing is measured here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from curate.planning.cost_model import Workload
from curate.planning.plan import CostPlan, estimate_cost, format_estimate, measured_costs, read_measurements
from tests import ROOT

DOCS = ROOT / ".github" / "docs"
BENCH = DOCS / "bench"
WIDTH = 118  # characters of a line of text
PLANNED_POWERS = range(5, 10)  # 10^5 to 10^9 pictures
PLANNED_WORKERS = 64
ART_KINDS = {"as similar as icons": None, "no look-alike strangers": 0}  # share of strangers; None: as measured
LINE_KINDS = {"drawn": "as drawn", "brown": "brown outline", "removed": "outline removed"}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, one line a row."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def paragraph(text: str) -> str:
    """Text in lines of one length."""
    return fill(text, WIDTH, break_on_hyphens=False) + "\n"


# Results


def evaluations() -> list[dict[str, Any]]:
    """`train evaluate` of the demo after an hour: on the validation split, then on the test split."""
    return [read_json(DOCS / f"evaluation{split}.json") for split in ("", "-test")]


def _result_rows(figures: dict[str, Callable[[dict[str, Any]], str]]) -> str:
    splits = evaluations()
    rows = [[name, *map(show, splits)] for name, show in figures.items()]
    return markdown_table(["figure", "validation", "test"], rows)


def results() -> str:
    """README's short table."""

    def obedience(split: dict[str, Any]) -> str:
        return "{accuracy:.0%} (chance {chance:.0%})".format(**split["tags"]["obedience"])

    return _result_rows(
        {
            "Colour error (CIEDE2000) with the right tags": lambda split: f"{split['tags']['ciede2000_true']:.2f}",
            "Colour error with no tags": lambda split: f"{split['tags']['ciede2000_none']:.2f}",
            "Colour error with another drawing's tags": lambda split: f"{split['tags']['ciede2000_shuffled']:.2f}",
            "Of several colours, the one asked for comes out": obedience,
            "Lines kept (F1)": lambda split: f"{split['line_f1']:.3f}",
        }
    )


def all_results() -> str:
    """Every figure of both splits, with intervals."""

    def worse(tags: dict[str, Any], other: str) -> str:
        interval = tags[f"{other}_minus_true"]
        return "{:.2f}: {mean:.2f} worse ({low:.2f} to {high:.2f})".format(tags[f"ciede2000_{other}"], **interval)

    recolours = "{ciede2000_shuffled:.2f} against {ciede2000_true:.2f}: {ratio:.2f} times"
    obedience = "{accuracy:.0%} (chance {chance:.0%}; {sets} families)"
    swap = "{inside:.1f} (asked for: {asked:.1f}), {outside:.1f}"
    return _result_rows(
        {
            "pairs seen in training; pairs measured": lambda one: f"{one['images_seen']:,}; {one['pairs']}",
            "CIEDE2000 to the truth with the true tags": lambda one: f"{one['tags']['ciede2000_true']:.2f}",
            "with no tags": lambda one: worse(one["tags"], "none"),
            "with the tags of a picture of another family": lambda one: worse(one["tags"], "shuffled"),
            "the same, recolours only": lambda one: recolours.format(**one["tags"]["alternates"]),
            "output closest to the tone or colour asked for, within its family": lambda one: obedience.format(
                **one["tags"]["obedience"]
            ),
            "one colour tag changed: CIEDE2000 where it should change, elsewhere": lambda one: swap.format(
                **one["tags"]["swap"]
            ),
            "PSNR, SSIM, line F1": lambda one: f"{one['psnr']:.1f} dB, {one['ssim']:.3f}, {one['line_f1']:.3f}",
            "chroma relative to the truth (sepia shows here)": lambda one: f"{one['chroma_ratio']:.2f}",
            "KID, on VGG-16 edge features": lambda one: "{mean:.0f} ({low:.0f} to {high:.0f})".format(**one["kid"]),
        }
    )


def line_styles() -> str:
    """F1 of each line style against the artists' own lines, best first."""
    measured = read_json(BENCH / "lineart.json")
    f1 = {name: [kinds[kind]["f1"] for kind in LINE_KINDS] for name, kinds in measured["methods"].items()}
    rows = [
        [f"`{name}`", *(f"{value:.3f}" for value in f1[name])] for name in sorted(f1, key=lambda name: -sum(f1[name]))
    ]
    note = "\nScored on {reported} of {pictures} drawings; the others chose the threshold of each style and column.\n"
    return markdown_table(["style", *LINE_KINDS.values()], rows) + note.format(**measured)


def ladder() -> str:
    """What `make ladder` wrote: every preset on equally many pairs."""
    return (DOCS / "ladder.md").read_text("utf-8")


def gpu_results() -> str:
    """Figures of `tags-gpu` after minutes on a GPU, and of `tags-cpu` after an hour on two cores."""
    runs = read_json(DOCS / "evaluation-gpu.json")
    runs.append({"name": "an hour, two cores, `tags-cpu`"} | evaluations()[0])
    rows = [
        [
            run["name"],
            f"{run['images_seen']:,}",
            str(run["pairs"]),
            f"{run['ciede2000']:.2f}",
            f"{run['tags']['ciede2000_shuffled']:.2f}",
            f"{run['tags']['obedience']['accuracy']:.0%}",
            f"{run['line_f1']:.3f}",
            f"{run['chroma_ratio']:.2f}",
        ]
        for run in runs
    ]
    header = ["trained", "pairs seen", "pictures measured", "CIEDE2000", "with another family's tags"]
    return markdown_table([*header, "closest to the tone asked for", "line F1", "chroma"], rows)


# Scaling


def _plans(pictures: int) -> list[CostPlan]:
    """What `curate plan` says of so many pictures, for each kind of art."""
    costs = measured_costs()
    return [estimate_cost(Workload(pictures, 2, PLANNED_WORKERS, 3, share), costs) for share in ART_KINDS.values()]


def scaling() -> str:
    """Hours, disk and memory from 10^5 to 10^9 pictures, by `curate plan`."""
    names = ("cpu_hours", "wall_hours", "disk_gb", "exchange_gb", "node_gb")
    rows = [
        [
            f"10^{power}",
            kind,
            *(format_estimate(plan.totals[name]) for name in names),
            f"{plan.dominant_term.stage}: {plan.dominant_term.name}",
        ]
        for power in PLANNED_POWERS
        for kind, plan in zip(ART_KINDS, _plans(10**power), strict=True)
    ]
    header = ["pictures", "kind of art", "CPU hours", f"hours, {PLANNED_WORKERS} workers", "disk, GB", "exchange, GB"]
    note = paragraph(
        "*2 megapixels, three line styles, shards as PNG. The constants were measured on {cores} cores of {cpu}, "
        "{python}, with thousands of pictures and a million hashes. Everything else is extrapolated.*".format(
            **read_measurements()["machine"]
        )
    )
    return markdown_table([*header, "GB of one process", "most of the time"], rows) + "\n" + note
