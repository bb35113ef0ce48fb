"""The report shows what the manifest holds, whatever that is, and is a sound page for people and browsers."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curate.audit import census, count_tables, html_page, report_examples
from curate.audit.report import report
from curate.dataset import decisions, ledger, parquet
from curate.dataset.remove_pictures import remove
from curate.deduplication import dedupe
from curate.deduplication.family_split import SplitShares
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system.errors import DamagedError, NurieError
from curate.system.text import escape_unprintable
from curate.tags.normalize import normalize_tag, split_color
from tests.bench.browse import grown
from tests.browser import CANARY, DESKTOP, HOSTILE, PAYLOAD, PHONE, Visit, Watch, barriers, overflow

OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"


def copy(art: Path, to: Path, name: str) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(art / name, to)


@pytest.fixture(scope="module")
def folder(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two sources with many fates, whose names, tags and sidecars are hostile."""
    home = tmp_path_factory.mktemp("report")
    names = sorted(path.name for path in art.glob("*.png"))
    for name in names[12:]:
        copy(art, home / "s" / name, name)
        copy(art, home / "s" / f"{name}.json", f"{name}.json")
    for number, text in enumerate(HOSTILE):  # a slash makes a folder, and the path holds the whole text again
        path = home / "h" / f"{number}{text}.png"
        copy(art, path, names[number])
        path.write_bytes(path.read_bytes() + bytes([number]))  # other bytes, and where it is in `s`, the same picture
        post = {"tags": [text, "cat"], "artist": text, "license": text, "rating": text, "extra": text}
        path.with_name(f"{path.name}.json").write_text(json.dumps(post), "utf-8")
        path.with_name(f"{number}.broken{text.split('/')[0]}.png").write_bytes(b"\x89PNG" + text.encode())
    copy(art, home / "h" / "twin.png", names[-1])
    copy(art, home / "h" / f"sidecar{HOSTILE[0]}.png", names[-2])
    (home / "h" / f"sidecar{HOSTILE[0]}.png.json").write_text(HOSTILE[0], "utf-8")
    sources = [Source("s", home / "s"), Source(HOSTILE[2].replace("/", ""), home / "h")]
    extract.extract(sources, home / "d", extract.ExtractOptions(), part_size=16)
    dedupe.dedupe(home / "d", dedupe.DedupeOptions(shares=SplitShares(0.5, 0.25, 0.25)))
    return home


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    return report(folder / "d", folder / "report.html")


@pytest.fixture
def html(folder: Path, summary: dict[str, Any]) -> Path:
    return folder / "report.html"


class Tables(HTMLParser):
    """The rows of text of every table, by caption."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows_by_caption: dict[str, list[list[str]]] = {}
        self.rows: list[list[str]] = []
        self.images = 0
        self.into: Callable[[str], None] = lambda _: None
        self.caption = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  # the parser's signature
        self.images += tag == "img"
        if tag == "caption":
            self.caption, self.rows, self.into = "", [], self._caption
        elif tag == "tr":
            self.rows.append([])
        elif tag in {"th", "td"}:
            self.rows[-1].append("")
            self.into = self._cell

    def handle_endtag(self, tag: str) -> None:
        if tag in {"th", "td", "caption"}:
            self.into = lambda _: None
        elif tag == "table":
            self.rows_by_caption[self.caption] = self.rows

    def handle_data(self, data: str) -> None:
        self.into(data)

    def _caption(self, data: str) -> None:
        self.caption += data

    def _cell(self, data: str) -> None:
        self.rows[-1][-1] += data

    def counts(self, caption: str) -> list[tuple[str, int]]:
        """(name, count) of a table with bars."""
        return [(row[0], int(row[1].replace(",", ""))) for row in self.rows_by_caption.get(caption, [[]])[1:]]


def frame(dataset: Path) -> pd.DataFrame:
    return pd.read_parquet(dataset / "manifest")


def test_counts_equal_those_of_the_manifest_in_pandas(folder: Path, summary: dict[str, Any]) -> None:
    rows = frame(folder / "d")
    kept = rows[rows["dropped"].isna()]
    tags = Counter(tag for one in kept["tags"] for tag in one)
    assert summary["in"] == len(rows) == summary["kept"] + sum(summary["dropped"].values())
    assert summary["dropped"] == rows["dropped"].value_counts().sort_index().to_dict()
    assert summary["bytes"] == kept["bytes"].sum()
    assert summary["roles"] == rows["role"].value_counts().sort_index().to_dict()
    assert summary["splits"] == kept["split"].value_counts().to_dict()
    assert summary["families"] == (kept["family"].value_counts() > 1).sum()
    colors = sum(split_color(tag) is not None for tag in tags)
    assert summary["tags"] == {
        "distinct": len(tags),
        "colors": colors,
        "untagged": sum(len(t) == 0 for t in kept["tags"]),
    }
    assert summary["errors"] == Counter(text.split(":")[0] for text in rows["error"].dropna())
    assert ledger.read_ledger(folder / "d")["counts"] == {name: summary[name] for name in ("in", "kept", "dropped")}
    assert summary["dropped"].keys() == {"unreadable", "duplicate"}
    assert kept["license"].isin(HOSTILE).sum() >= 12


def test_the_tables_of_the_page_show_the_counts(folder: Path, html: Path, summary: dict[str, Any]) -> None:
    tables = Tables(html.read_text("utf-8"))
    kept = frame(folder / "d").query("dropped.isnull()", engine="python")
    fates = [(name.split(" ")[0], count) for name, count in tables.counts("Files, kept and dropped")]
    assert fates == [("kept", summary["kept"]), *summary["dropped"].items()]
    assert sum(count for _, count in fates) == summary["in"]
    for caption, column in (("Width", "width"), ("Area", "width"), ("Aspect ratio", "width"), ("Formats", "format")):
        assert sum(count for _, count in tables.counts(caption)) == kept[column].notna().sum()
    assert dict(tables.counts("Width")) == {"256 to 511": len(kept)}
    sizes = tables.counts("Families by size")
    assert sum(count for _, count in sizes) == kept["family"].nunique()
    assert dict(sizes)["1"] == (kept["family"].value_counts() == 1).sum()
    splits = {row[0]: (int(row[1]), int(row[2])) for row in tables.rows_by_caption["Kept pictures by split"][1:]}
    expected = kept.groupby("split")["family"].agg(["size", "nunique"])
    assert splits == {str(name): (row["size"], row["nunique"]) for name, row in expected.iterrows()}
    tags = Counter(tag for one in kept["tags"] for tag in one)
    first = sorted(tags.items(), key=lambda pair: (-pair[1], pair[0]))[:20]
    shown = [(escape_unprintable(html_page.shorten(tag, 60)), count) for tag, count in first]
    assert tables.counts("Most common tags") == shown
    for caption, column in (("Licences", "license"), ("Artists", "artist"), ("Ratings", "rating")):
        names = Counter(escape_unprintable(html_page.shorten(name, 60)) for name in kept[column].dropna())
        assert dict(tables.counts(caption)) == names
    sources = {row[0]: [int(one) for one in row[1:]] for row in tables.rows_by_caption["Files by source"][1:]}
    assert [sum(column) for column in zip(*sources.values(), strict=True)] == [
        summary["in"], summary["kept"], summary["in"] - summary["kept"],
    ]  # fmt: skip
    hashes = ledger.read_ledger(folder / "d")["hashes"]
    for stage in ("extract", "dedupe"):
        assert tables.rows_by_caption[f"Options of curate {stage}"][-1] == ["hash of these options", hashes[stage]]


def test_the_page_does_not_depend_on_where_the_dataset_is(folder: Path, html: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "d", tmp_path / "elsewhere")
    report(tmp_path / "elsewhere", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == html.read_bytes()
    assert str(folder).encode() not in html.read_bytes()


def test_json_prints_the_counts(run: Callable[..., Any], dataset: Path, tmp_path: Path) -> None:
    printed = run("report", dataset, tmp_path / "page.html")
    assert (
        printed["in"] == printed["kept"] + sum(printed["dropped"].values()) == parquet.count_rows(dataset / "manifest")
    )
    assert printed["page_bytes"] == (tmp_path / "page.html").stat().st_size


def test_the_page_does_not_grow_with_the_dataset(folder: Path, dataset: Path, tmp_path: Path) -> None:
    """Once there are enough pictures of every kind."""
    sizes, images = [], []
    for name, times in (("many", 15), ("more", 45)):
        grown(dataset, tmp_path / name, times * parquet.count_rows(dataset / "manifest"))
        summary = report(tmp_path / name, tmp_path / "page.html")
        assert summary["kept"] >= 20 * times
        sizes.append(summary["page_bytes"])
        images.append(Tables((tmp_path / "page.html").read_text("utf-8")).images)
    assert max(images) < 500
    assert sizes[1] < 1.1 * sizes[0] < 5e6


def make_source(tmp_path: Path, files: dict[str, bytes]) -> list[Source]:
    (tmp_path / "s").mkdir()
    for name, data in files.items():
        (tmp_path / "s" / name).write_bytes(data)
    return [Source("s", tmp_path / "s")]


@pytest.mark.parametrize("deduped", [False, True])
@pytest.mark.parametrize("files", [{}, {"a.png": b"torn", "b.jpg": b""}], ids=["empty", "unreadable"])
def test_an_empty_dataset_has_a_page(tmp_path: Path, files: dict[str, bytes], deduped: bool) -> None:
    extract.extract(make_source(tmp_path, files), tmp_path / "d", extract.ExtractOptions())
    if deduped:
        dedupe.dedupe(tmp_path / "d", dedupe.DedupeOptions())
    summary = report(tmp_path / "d", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert (summary["in"], summary["kept"]) == (len(files), 0)
    assert ("run <code>curate dedupe</code>" in text) == (not deduped)
    assert ("No file was found" in text) == (not files)
    assert ("DecodeError" in text) == bool(files)


def test_before_dedupe_the_page_says_so_and_shows_everything_else(art: Path, tmp_path: Path) -> None:
    extract.extract([Source("art", art)], tmp_path / "d", extract.ExtractOptions())
    summary = report(tmp_path / "d", tmp_path / "page.html")
    tables = Tables((tmp_path / "page.html").read_text("utf-8"))
    assert summary["roles"] == {}
    assert (tmp_path / "page.html").read_text("utf-8").count("run <code>curate dedupe</code>") == 3
    assert "Families by size" not in tables.rows_by_caption
    assert tables.images > 12


def test_the_page_asks_for_dedupe_if_pictures_were_added_since(art: Path, tmp_path: Path) -> None:
    [source] = make_source(tmp_path, {"a.png": (art / "1F408.png").read_bytes()})
    extract.extract([source], tmp_path / "d", extract.ExtractOptions())
    dedupe.dedupe(tmp_path / "d", dedupe.DedupeOptions())
    copy(art, tmp_path / "s" / "b.png", "1F408.png")
    extract.extract([source], tmp_path / "d", extract.ExtractOptions())
    report(tmp_path / "d", tmp_path / "page.html")
    assert "run <code>curate dedupe</code>" in (tmp_path / "page.html").read_text("utf-8")


def test_an_opted_out_picture_is_counted_and_not_named(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    remove(tmp_path / "d", ["1F408.png"])
    for step in (lambda: None, lambda: dedupe.dedupe(tmp_path / "d", dedupe.DedupeOptions())):
        step()
        summary = report(tmp_path / "d", tmp_path / "page.html")
        assert summary["dropped"]["removed"] == 1
        assert "1F408" not in (tmp_path / "page.html").read_text("utf-8")


def test_pairs_that_people_decided_are_different_are_not_shown_as_recolours(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    pair = ("1F44B-1F3FC.png", "1F44B-1F3FB.png")

    def are_side_by_side(html: str) -> bool:
        cards = re.findall(r"recolour: .*?</li>", html, re.DOTALL)
        return any(all(f"{name}</bdi>" in card for name in pair) for card in cards)

    report(tmp_path / "d", tmp_path / "page.html")
    assert are_side_by_side((tmp_path / "page.html").read_text("utf-8"))
    decisions.decide(tmp_path / "d", "different", pair)
    dedupe.dedupe(tmp_path / "d", dedupe.DedupeOptions())
    report(tmp_path / "d", tmp_path / "page.html")
    assert not are_side_by_side((tmp_path / "page.html").read_text("utf-8"))


def test_a_page_in_the_dataset_or_at_no_file_path_is_refused(dataset: Path, tmp_path: Path) -> None:
    for target, message in (
        (dataset / "report.html", "lies inside the dataset"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "page.html", "there is no folder"),
    ):
        with pytest.raises(NurieError, match=message):
            report(dataset, target)
    with pytest.raises(NurieError, match="not a dataset folder"):
        report(tmp_path, tmp_path / "page.html")


def test_damage_leaves_the_earlier_page_as_it_is(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "d")
    report(tmp_path / "d", tmp_path / "page.html")
    before = (tmp_path / "page.html").read_bytes()
    for path in parquet.part_paths(tmp_path / "d" / "pairs"):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedError, match="curate verify"):
        report(tmp_path / "d", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"d", "page.html"}


@pytest.fixture
def opened(visit: Visit, html: Path) -> Any:
    """The page with all details open and its policy off: only escaping stops hostile text."""
    shown = visit(html, bypass_csp=True)
    shown.evaluate(OPEN_ALL)
    return shown


@pytest.mark.browser
def test_hostile_text_is_only_ever_shown_as_text(opened: Any, folder: Path) -> None:
    text = re.sub(r"\s+", " ", opened.inner_text("body"))
    for one in HOSTILE:
        expected = escape_unprintable(html_page.shorten(normalize_tag(one), 60))
        assert re.sub(r"\s+", " ", expected).strip() in text
    assert (
        opened.evaluate("document.scripts.length + document.querySelectorAll('iframe, object, form, input').length")
        == 0
    )
    attributes = "[...document.querySelectorAll('*')].flatMap(one => one.getAttributeNames())"
    known = {
        *(
            "lang",
            "charset",
            "http-equiv",
            "content",
            "name",
            "rel",
            "href",
            "class",
            "id",
            "tabindex",
            "scope",
            "open",
        ),
        *(
            "src",
            "width",
            "height",
            "alt",
            "loading",
            "decoding",
            "viewBox",
            "preserveAspectRatio",
            "cx",
            "cy",
            "r",
            "fill",
        ),
        *("aria-label", "aria-labelledby", "aria-hidden"),
    }
    assert set(opened.evaluate(attributes)) <= known
    assert opened.evaluate("[...document.images].every(one => one.src.startsWith('data:image/webp;base64,'))")
    assert "\u202e" not in opened.content()


@pytest.mark.browser
def test_every_thumbnail_decodes_and_is_loaded_lazily(opened: Any) -> None:
    assert opened.evaluate("[...document.images].every(one => one.loading == 'lazy' && one.alt)")
    decode = "async one => { one.loading = 'eager'; await one.decode(); return one.naturalWidth }"
    widths = opened.evaluate(f"Promise.all([...document.images].map({decode}))")
    assert len(widths) > 50
    assert set(widths) == {128}


@pytest.mark.browser
def test_the_page_requests_nothing_but_itself(chromium: Any, html: Path) -> None:
    watch = Watch(chromium.new_page())
    watch.page.goto(html.as_uri())
    assert not watch.faults()
    assert [one for one in watch.requested_urls if not one.startswith("data:")] == [html.as_uri()]
    watch.page.close()


@pytest.mark.browser
def test_the_policy_stops_what_escaping_would_miss(chromium: Any, html: Path, tmp_path: Path) -> None:
    smuggled = f"<script>{PAYLOAD}</script><img src=x onerror={PAYLOAD}><img src=https://example.com/x.png><style>p{{}}</style>"
    (tmp_path / "page.html").write_text(html.read_text("utf-8").replace("</main>", f"{smuggled}</main>"), "utf-8")
    watch = Watch(chromium.new_page())
    watch.page.goto((tmp_path / "page.html").as_uri())
    faults = watch.faults()
    messages = [fault for fault in faults if fault.startswith("console: ")]
    assert len(messages) == 5  # the script, the handler, two pictures, the style
    assert all("violates the following Content Security Policy" in message for message in messages)
    assert "https://example.com/x.png: csp" in faults
    assert not watch.page.evaluate(f"'{CANARY}' in window")
    watch.page.close()


@pytest.mark.browser
@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop light", "phone dark"])
def test_the_page_has_no_accessibility_barriers(visit: Visit, html: Path, size: tuple[int, int], dark: bool) -> None:
    shown = visit(html, size=size, dark=dark)
    shown.evaluate(OPEN_ALL)
    assert barriers(shown) == []


@pytest.mark.browser
def test_no_width_needs_sideways_scrolling(visit: Visit, html: Path) -> None:
    shown = visit(html)
    shown.evaluate(OPEN_ALL)
    for width in (320, 360, 480, 768, 1280, 1920):
        shown.set_viewport_size({"width": width, "height": 700})
        assert overflow(shown) == 0


@pytest.mark.browser
def test_the_page_works_with_the_keyboard_alone(visit: Visit, html: Path) -> None:
    shown = visit(html)
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.textContent") == "Skip to the content"
    box = shown.locator(":focus").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "content"
    closed = shown.locator("details:not([open]) summary").first
    closed.focus()
    assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.parentElement.open")
    shown.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert shown.locator("nav").bounding_box()["y"] == 0, "the links to the sections stay at the top"  # type: ignore[index]
    for link in shown.locator("nav a").all():
        assert shown.locator(link.get_attribute("href") or "#none").count() == 1


def test_examples_are_the_extremes_and_show_what_dedupe_measured(folder: Path, html: Path) -> None:
    limit, lines = 4, ["contour", "dilate", "xdog"]
    counted = census.take(folder / "d", limit)
    families = count_tables.family_sizes(counted).choose_examples(limit)
    shown = report_examples.gather_examples(folder / "d", counted, families, lines)
    table, edges = frame(folder / "d"), pd.read_parquet(folder / "d" / "edges")
    measured = {tuple(sorted(row[:2])): dict(zip(edges, row, strict=True)) for row in edges.itertuples(index=False)}
    copies: dict[Any, Any] = {
        (row.id, row.duplicate_of): row.distance for row in table[table["dropped"] == "duplicate"].itertuples()
    }
    assert shown.copies
    assert shown.recolours
    for pair in shown.copies:
        distance = copies[pair.left["id"], pair.right["id"]]
        assert pair.left["distance"] == distance
        assert f"duplicate: {int(distance)} bit" in html.read_text("utf-8")
    for pair in (*shown.copies, *shown.recolours):
        assert pair.edge == measured.get(tuple(sorted((pair.left["id"], pair.right["id"]))), {})
    colors = [pair.edge["color_distance"] for pair in shown.recolours]
    assert {pair.edge["kind"] for pair in shown.recolours} == {"alternate"}
    assert colors == sorted(colors)
    kept = table[table["dropped"].isna()]
    extremes = {
        "faint": ("line_faint", -1),
        "gaps": ("line_gaps", -1),
        "pale": ("line_ink", 1),
        "black": ("line_ink", -1),
    }
    for name, (column, sign) in extremes.items():
        eligible = kept[kept[column] > 0] if name in {"faint", "gaps"} else kept
        expected = sorted(eligible[column], key=lambda value: sign * value)[:limit]
        assert [dict(row)[column] for row in shown.worst[name]] == expected
    assert {(row["id"], f"line_{line}") for row in shown.any for line in lines} <= shown.pixels.keys()
