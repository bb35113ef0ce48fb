"""The generated tables of README and the docs, one function each: `make docs` calls them through cog.

Every function returns Markdown. Figures come from the JSON files under `.github/docs`, which benchmarks and
`train evaluate` wrote; nothing is measured here.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import fill
from typing import Any

from click.testing import CliRunner

from curate.dataset import schema
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
STEP_KINDS = {"half": "half the size", "plain": "full size, no discriminator", "both": "full size, discriminator"}


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


# GPU


def gpu_speed() -> str:
    """Pairs a second of the networks in Keras on JAX, against PyTorch."""
    measured = read_json(BENCH / "gpu.json")
    rows = [
        [
            name,
            *(f"{measured['pairs_per_second'][kind][who]:,.0f}" for who in ("ours", "PyTorch", "PyTorch compiled")),
            f"{measured['ratio'][f'{kind} over PyTorch' + chr(39) + 's best']:.2f}",
            f"{measured['roof']['share'][kind]['ours']:.2f}",
        ]
        for kind, name in STEP_KINDS.items()
    ]
    header = ["training step, 64 pairs", "JAX", "PyTorch", "PyTorch compiled", "JAX / best PyTorch", "of the roofline"]
    ceilings = measured["roof"]["ceilings"]
    note = "\n*{device}; JAX {jax}, PyTorch {torch}. ".format(**measured["device"])
    note += f"Ceilings measured there: {ceilings['bfloat16'] / 1e12:,.0f} Tflop/s in bfloat16, "
    return markdown_table(header, rows) + note + f"{ceilings['bytes'] / 1e12:.1f} TB/s.*\n"


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


# Speed


def _bench() -> dict[str, Any]:
    return {path.stem: read_json(path) for path in sorted(BENCH.glob("*.json"))}


def extract_speed() -> str:
    """Extract against scripts and other tools, on the same JPEGs."""
    bench = _bench()
    rows = [
        [f"lines by `{style}`", other, f"{ratio:.2f}"]
        for style in ("dilate", "contour")
        for other, ratio in bench["extract"][f"speed of ours, {style}"].items()
    ]
    rows += [
        ["lines by `dilate`", f"{other}, without its start-up", f"{ratio:.2f}"]
        for other, ratio in bench["peers"]["speed of extract"].items()
    ]
    rows.append(["two workers", "one worker", f"{bench['workers']['speed_of_two_workers']:.2f}"])
    on_dask = "{efficiency:.2f}; {ms_a_task:.0f} ms a task".format(**bench["cluster"])
    rows.append(["two workers on Dask", "two local processes", on_dask])
    return markdown_table(["extract", "compared with", "times as fast"], rows)


def extract_remark() -> str:
    """How fast extract would be if it made no more than the scripts do."""
    speed = _bench()["extract"]["per_cpu_second"]
    ratios = [
        speed[f"ours, {way}"] / speed[f"{script} and imagehash"]
        for way in ("no more than scripts", "no PNG either")
        for script in ("OpenCV", "Pillow")
    ]
    return paragraph(
        "The scripts turn a picture into a pHash and two 128 px PNGs. `curate extract` also makes thumbnails and "
        "thirteen hashes for dedupe. Without those it would be {:.1f} times as fast as the OpenCV script and "
        "{:.0f} times as fast as the Pillow script; without PNG compression too, {:.1f} and {:.0f} times.".format(
            *ratios
        )
    )


def search_speed() -> str:
    """The near-hash search: CPU seconds, memory, and how much longer others take."""
    search = _bench()["search"]
    rows = [
        [f"{one['hashes']:,}", str(one["radius"]), f"{one['cpu_seconds']:.1f} CPU s", f"{one['more_mb']:,.0f} MB"]
        for one in search["ours"]
        if one["hashes"] >= 10**6
    ]
    others = [
        [f"{one['hashes']:,}", str(one["radius"]), one["what"].replace("_", " "), f"{one['times_ours']:,.0f}"]
        for one in search["others"]
        if one["hashes"] >= 10**5 or one["what"] == "imagededup"
    ]
    others += [
        [f"10,000 added to {one['hashes']:,}", str(one["radius"]), "searching all again", f"{1 / one['ratio']:.0f}"]
        for one in search["added"]
    ]
    growth = [search[name][radius] for name in ("growth", "growth_in_all") for radius in ("6", "8")]
    note = paragraph(
        "It finds exactly the pairs that comparing all with all finds. From one to ten million hashes its time grows "
        "with exponents of {:.2f} (radius 6) and {:.2f} (radius 8); from ten thousand on, {:.2f} and {:.2f}.".format(
            *growth
        )
    )
    return (
        markdown_table(["hashes", "radius", "time", "memory"], rows)
        + "\n"
        + markdown_table(["hashes", "radius", "other method", "times as slow"], others)
        + "\n"
        + note
    )


def other_speed() -> str:
    """Shards, batches, training steps, pages and start-up."""
    bench = _bench()
    steps = {kind: 1 / bench["step"]["ratio"][f"{kind} wall_median over PyTorch's best"] for kind in STEP_KINDS}
    naive_reader = "`TFRecordDataset` and `parse_single_example`"
    pages, report, serve = bench["browse"], bench["report"]["many"], bench["serve"]
    rows = [
        ["`curate shard`", "pandas and `TFRecordWriter`", f"{bench['shard']['ratio']:.2f} times as fast"],
        *(
            [
                f"batches of {kind} pairs",
                naive_reader,
                f"{bench['pipeline'][kind]['pairs_per_cpu_second_against_naive']:.2f} times as fast",
            ]
            for kind in ("png", "raw")
        ),
        *(
            [f"a training step, {name}", "the best of four ways in PyTorch", f"{steps[kind]:.2f} times as fast"]
            for kind, name in STEP_KINDS.items()
        ),
        [
            f"a page of `curate browse`, {pages['pictures']:,} pictures",
            "",
            f"{1000 * pages['cpu']['deep_page']:.0f} ms of CPU time",
        ],
        [
            f"`curate report`, {report['pictures']:,} pictures",
            "",
            "{cpu_seconds} CPU s, {page_megabytes} MB".format(**report),
        ],
        [
            "`train serve`, a picture of 512 px",
            "the network's pass alone",
            f"{1000 * serve['seconds']:.0f} ms, {serve['times_the_pass']:.1f} times as long",
        ],
        ["`curate --help`", "`python -c pass`", f"{bench['imports']['curate_help_more']:.2f} s more"],
    ]
    return markdown_table(["work", "compared with", "measured"], rows)


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


def scaling_limits() -> str:
    """From how many pictures on the design would have to change."""
    limits = [{limit.what: limit for limit in plan.limits} for plan in _plans(10**8)]
    rows = [
        [
            what,
            *(
                f"{format_estimate(by_name[what].start)} {by_name[what].of}" if what in by_name else "never"
                for by_name in limits
            ),
            next(by_name[what].change for by_name in limits if what in by_name),
        ]
        for what in dict.fromkeys(what for by_name in limits for what in by_name)
    ]
    return markdown_table(
        ["what happens", *(f"from, {kind}" for kind in ART_KINDS), "what would have to be done"], rows
    )


# Code


def rooms() -> str:
    """The packages of `curate` and `train` with the first line of their docstrings, lowest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = {one["containers"][0]: one["layers"] for one in contracts if one["type"] == "layers"}
    lines = ["```text"]
    for package in ("curate", "train"):
        lines.append(f"{package}/")
        for layer in reversed(layers[package]):
            lines += [_room_line(ROOT / package / name.strip()) for name in layer.split("|")]
    return "\n".join([*lines, "```\n"])


def _room_line(room: Path) -> str:
    source, name = (
        (room / "__init__.py", f"{room.name}/") if room.is_dir() else (room.with_suffix(".py"), f"{room.name}.py")
    )
    docstring = ast.get_docstring(ast.parse(source.read_text("utf-8")))
    assert docstring, f"{source} has no docstring"
    return f"  {name:21s} {docstring.splitlines()[0]}"


def columns(kind: str) -> str:
    """The columns of one kind of table in a dataset folder, from their definitions."""
    tables = {
        "manifest": schema.MANIFEST_COLUMNS,
        "pairs": schema.PAIR_COLUMNS,
        "tags": schema.TAG_TABLE_COLUMNS,
        "edges": schema.EDGE_COLUMNS,
        "decisions": schema.DECISION_COLUMNS,
        "removed": schema.OPT_OUT_COLUMNS,
    }
    rows = [[f"`{name}`", f"`{str(type_).replace('item: ', '')}`", meaning] for name, type_, meaning in tables[kind]]
    return markdown_table(["column", "type", "meaning"], rows)


def commands() -> str:
    """`--help` of both programs and all their commands."""

    def help_of(program: str, *names: str) -> str:
        main = import_module(f"{program}.cli").main
        shown = CliRunner().invoke(main, [*names, "--help"], prog_name=program, terminal_width=80, max_content_width=80)
        return f"```text\n{shown.output}```\n"

    return "\n".join(
        section
        for program in ("curate", "train")
        for section in (
            f"## {program}\n\n{help_of(program)}",
            *(
                f"### {program} {name}\n\n{help_of(program, name)}"
                for name in import_module(f"{program}.cli").main.list_commands(None)
            ),
        )
    )
