"""The tables of measured speed in the docs, one function each; called by cog."""

from __future__ import annotations

from typing import Any

from tests.docs.tables import BENCH, markdown_table, paragraph, read_json

STEP_KINDS = {"half": "half the size", "plain": "full size, no discriminator", "both": "full size, discriminator"}


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
