"""What the page asks for and decides, by the real application; once by the command and a client beside it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from curate.audit.verify import verify
from curate.browsing.app import create_app
from curate.browsing.live_dataset import LiveDataset
from curate.dataset import decisions, parquet, remove
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system import lock
from curate.system.errors import DatasetError, NurieError
from curate.system.files import write_json
from curate.web.guard import RequestGuard
from curate.web.static_files import read_page_files
from tests.browser import HOSTILE

OURS = "http://127.0.0.1:8765"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def looked_at(mixed: Path) -> TestClient:
    """A client of a dataset that is not to be changed."""
    return client(mixed)


@pytest.fixture
def dataset(mixed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mixed, tmp_path / "d"))


def client(dataset: Path) -> TestClient:
    return TestClient(RequestGuard(create_app(LiveDataset(dataset))), base_url=OURS, headers={"origin": OURS})


def got(client: TestClient, path: str, **query: Any) -> Any:
    told = client.get(f"/api/{path}", params=query)
    assert told.status_code == 200, told.text
    return told.json()


def ids(client: TestClient) -> dict[str, str]:
    """By path."""
    return {row["path"]: row["id"] for row in got(client, "pictures")["rows"]}


def decide(client: TestClient, kind: str, *paths: str, tags: list[str] | None = None) -> Row:
    known = ids(client)
    pictures = [known.get(path, path) for path in paths]
    told = client.post("/api/decisions", json={"kind": kind, "pictures": pictures, "tags": tags})
    assert told.status_code == 201, told.text
    row: Row = told.json()
    return row


def fates(client: TestClient, *paths: str) -> list[str | None]:
    known = {row["path"]: row["dropped"] for row in got(client, "pictures")["rows"]}
    return [known[path] for path in paths]


def test_every_row_of_the_manifest_is_told_a_page_at_a_time(looked_at: TestClient, mixed: Path) -> None:
    rows = parquet.read_parts(mixed / "manifest").to_pylist()
    pages = [got(looked_at, "pictures", start=start, count=2) for start in range(0, 10, 2)]
    told = [row for page in pages for row in page["rows"]]
    assert [row["path"] for row in told] == [row["path"] for row in rows]
    assert {page["total"] for page in pages} == {len(rows)} == {9}
    names = ("id", "role", "group", "dropped", "distance", "error")
    assert [[row[name] for name in names] for row in told] == [[row[name] for name in names] for row in rows]
    assert got(looked_at, "pictures", start=10**9)["rows"] == []
    dropped = got(looked_at, "pictures")["dropped"]
    assert sum(dropped.values()) == 9
    assert dropped == {"none": 5, "duplicate": 3, "unreadable": 1}


def test_a_filter_an_expression_and_an_order_go_together(looked_at: TestClient) -> None:
    told = got(
        looked_at, "pictures", filter="-role:duplicate path:1F4*", where="width >= 256", order="bytes", descending=True
    )
    sizes = [got(looked_at, f"pictures/{row['id']}")["columns"]["bytes"] for row in told["rows"]]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)
    assert got(looked_at, "pictures", filter="catt")["unknown"]["catt"][0] == "cat"


@pytest.mark.parametrize("path", ["pictures", "families"])
def test_a_filter_that_is_half_typed_finds_nothing_and_tells_why(looked_at: TestClient, path: str) -> None:
    wrong = {"filter": ("width>=x", "width holds numbers"), "where": ("__import__('os')", "only compare columns")}
    for name, (text, problem) in wrong.items():
        told = got(looked_at, path, **{name: text})
        assert (told["total"], problem in told["problem"]) == (0, True)
    assert got(looked_at, path)["problem"] == ""


def test_sets_of_look_alikes_are_told_with_what_survives_first(looked_at: TestClient) -> None:
    told = got(looked_at, "families")
    assert told["total"] == 3
    assert {family["members"][0]["role"] for family in told["families"]} == {"survivor"}
    [cats] = got(looked_at, "families", filter="cat")["families"]
    assert (cats["size"], {row["path"] for row in cats["members"]}) == (3, {"1F408.png", "cat0.jpg", "cat1.jpg"})


def test_a_picture_is_told_with_its_look_alikes_tags_and_story(looked_at: TestClient) -> None:
    told = got(looked_at, f"pictures/{ids(looked_at)['1F408.png']}")
    assert {look["tile"]["path"] for look in told["looks"]} == {"cat0.jpg", "cat1.jpg"}
    assert "asleep" in told["tags"]
    assert "asleep" not in told["own_tags"]
    assert told["story"][0].startswith("extract: 1F408.png of s, png 256x256")
    apple = got(looked_at, f"pictures/{ids(looked_at)['1F34E.png']}")
    assert sorted([apple["tile"]["path"], *apple["copies"]]) == ["1F34E.png", "apple again.png"]


def test_pictures_are_the_stored_bytes(looked_at: TestClient, mixed: Path) -> None:
    for row in parquet.read_parts(mixed / "pairs").to_pylist():
        for layer in ("color", "line_contour", "line_dilate"):
            told = looked_at.get(f"/api/pictures/{row['id']}/{layer}")
            assert (told.status_code, told.headers["content-type"]) == (200, "image/png")
            assert told.content == row[layer]


@pytest.mark.parametrize(
    "path",
    [
        "/api/pictures/{id}/sketch",
        "/api/pictures/{id}/id",
        "/api/pictures/{id}/..%2f..%2fdataset.json",
        f"/api/pictures/{'0' * 32}",
        f"/api/pictures/{'0' * 32}/color",
        "/dataset.json",
        "/..%2fdataset.json",
        "/%2e%2e/app.py",
        "/page/index.html",
        "/etc/passwd",
        "/docs",
        "/redoc",
        "/server.py",
        "/{id}",
    ],
)
def test_nothing_else_is_to_be_had(looked_at: TestClient, path: str) -> None:
    assert looked_at.get(path.format(id=ids(looked_at)["1F408.png"])).status_code == 404


def test_ids_are_ids(looked_at: TestClient) -> None:
    for key in ("1F408.png", "x" * 32, "..", "A" * 32):
        assert looked_at.get(f"/api/pictures/{key}").status_code in {404, 422}


def test_hostile_text_comes_back_as_it_went_in(looked_at: TestClient) -> None:
    [row] = got(looked_at, "pictures", filter="path:*onmouseover*")["rows"]
    told = looked_at.get(f"/api/pictures/{row['id']}")
    assert told.headers["content-type"] == "application/json"
    assert told.json()["columns"]["artist"] == HOSTILE[0]
    assert len(told.json()["own_tags"]) > 10
    for tag in told.json()["own_tags"]:
        if not re.search(r'[\s"]', tag):  # which part the words of a filter
            assert row["path"] in {one["path"] for one in got(looked_at, "pictures", filter=tag)["rows"]}


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ({"order": "path"}, 409, "cannot sort by 'path'"),
        ({"filter": "x" * 2001}, 422, "at most 2000"),
        ({"start": -1}, 422, "greater than or equal to 0"),
        ({"count": 201}, 422, "less than or equal to 200"),
        ({"count": "many"}, 422, "valid integer"),
    ],
)
def test_what_is_asked_wrongly_is_told(looked_at: TestClient, query: Row, status: int, told: str) -> None:
    answer = looked_at.get("/api/pictures", params=query)
    assert answer.status_code == status
    assert told in answer.text


def test_a_verdict_is_noted_holds_from_the_next_dedupe_on_and_is_undone(dataset: Path) -> None:
    page = client(dataset)
    before = pq.read_table(dataset / "manifest")
    noted = decide(page, "different", "1F408.png", "cat0.jpg")
    assert (noted["sequence"], noted["paths"], noted["waits"]) == (0, ["1F408.png", "cat0.jpg"], True)
    assert got(page, "dataset")["waiting"] == 1
    decide(page, "different", "cat0.jpg", "cat1.jpg")
    assert fates(page, "1F408.png", "cat0.jpg", "cat1.jpg") == [None, "duplicate", "duplicate"]
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert fates(page, "1F408.png", "cat0.jpg", "cat1.jpg") == [None, None, "duplicate"]
    assert got(page, "dataset")["waiting"] == 0
    assert [row["waits"] for row in got(page, "decisions")["rows"]] == [False, False]
    decide(page, "undo", "0")
    decide(page, "undo", "1")
    assert got(page, "dataset")["waiting"] == 2
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert pq.read_table(dataset / "manifest").equals(before)
    assert verify(dataset) == []


def test_keep_leave_out_and_is_a_copy_are_what_decide_writes(dataset: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(dataset, tmp_path / "other"))
    page = client(dataset)
    asked = [("keep", "cat1.jpg"), ("drop", "1F34E.png"), ("duplicate", "1F44B-1F3FB.png", "1F44B-1F3FF.png")]
    for kind, *paths in [*asked, ("alternate", "1F408.png", "1F44B-1F3FB.png")]:
        decide(page, kind, *paths)
        decisions.decide(other, kind, paths)
    assert decisions.read(dataset) == decisions.read(other)
    told = got(page, "decisions", start=1, count=2)
    assert (told["total"], [row["sequence"] for row in told["rows"]]) == (4, [2, 1])
    assert (dataset / "decisions/part-00000.parquet").read_bytes() == (
        other / "decisions/part-00000.parquet"
    ).read_bytes()
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert fates(page, "cat1.jpg", "1F408.png", "1F34E.png") == [None, "duplicate", "decision"]


def test_tags_are_given_in_place_of_its_own_whatever_they_hold(dataset: Path) -> None:
    page = client(dataset)
    tags = [",_,", "Blue Hair", *HOSTILE]
    noted = decide(page, "retag", "1F34E.png", tags=tags)
    assert noted["tags"][:2] == [",_,", "blue_hair"]
    told = got(page, f"pictures/{ids(page)['1F34E.png']}")
    assert told["given_tags"] == noted["tags"]
    assert [row["path"] for row in got(page, "pictures", filter="decided:retag")["rows"]] == [
        "1F34E.png",
        "apple again.png",
    ]
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert set(noted["tags"]) <= set(got(page, f"pictures/{ids(page)['1F34E.png']}")["tags"])


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"kind": "drop", "pictures": ["1F408.png"]}, 409, "no picture has the id '1F408.png'"),
        ({"kind": "drop", "pictures": ["/etc/passwd"]}, 409, "no picture has the id"),
        ({"kind": "drop", "pictures": []}, 422, "at least 1"),
        ({"kind": "drop", "pictures": ["a", "b", "c"]}, 422, "at most 2"),
        ({"kind": "drop", "pictures": ["x" * 41]}, 422, "at most 40"),
        ({"kind": "hide", "pictures": ["x"]}, 422, "different"),
        ({"kind": "undo", "pictures": ["7"]}, 409, "there is no decision 7 to undo"),
        ({"kind": "retag", "pictures": ["{cat}"]}, 409, "needs --tags"),
        ({"kind": "retag", "pictures": ["{cat}"], "tags": ["x" * 501]}, 422, "at most 500"),
        ({"kind": "different", "pictures": ["{cat}", "{cat}"]}, 409, "are the same file"),
        ({"kind": "drop"}, 422, "Field required"),
        ([], 422, "Field required"),
    ],
)  # fmt: skip
def test_a_decision_that_makes_no_sense_is_refused_and_nothing_is_written(
    looked_at: TestClient, mixed: Path, body: Any, status: int, told: str
) -> None:
    text = json.dumps(body).replace("{cat}", ids(looked_at)["1F408.png"])
    answer = looked_at.post("/api/decisions", content=text, headers={"content-type": "application/json"})
    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert not (mixed / "decisions").exists()


def test_only_json_of_our_own_page_decides(looked_at: TestClient, mixed: Path) -> None:
    body = json.dumps({"kind": "drop", "pictures": [ids(looked_at)["1F408.png"]]})
    form = looked_at.post("/api/decisions", content=body, headers={"content-type": "text/plain"})
    assert form.status_code == 422
    stranger = looked_at.post("/api/decisions", content=body, headers={"origin": "http://evil.example"})
    assert stranger.status_code == 403
    large = looked_at.post("/api/decisions", content=body + " " * (64 << 10))
    assert large.status_code == 413
    assert not (mixed / "decisions").exists()


def test_while_a_stage_writes_the_page_may_look_but_not_decide(dataset: Path) -> None:
    page = client(dataset)
    with lock.exclusive(dataset):
        assert got(page, "pictures")["total"] == 9
        told = page.post("/api/decisions", json={"kind": "drop", "pictures": [ids(page)["1F408.png"]]})
    assert told.status_code == 409
    assert "another run is writing" in told.json()["detail"]


def test_decisions_of_one_moment_are_all_noted(dataset: Path) -> None:
    page = client(dataset)
    keys = [key for key in ids(page).values() if key]
    with ThreadPoolExecutor(8) as visitors:
        sent = [
            visitors.submit(page.post, "/api/decisions", json={"kind": kind, "pictures": [key]})
            for key in keys[:4]
            for kind in ("keep", "drop")
        ]
        assert {one.result().status_code for one in sent} == {201}
    assert [row["sequence"] for row in decisions.read(dataset)] == [*range(8)]


def test_newcomers_are_looked_at_before_dedupe_and_all_decisions_wait(dataset: Path, art: Path, tmp_path: Path) -> None:
    page = client(dataset)
    decide(page, "retag", "1F34E.png", tags=["red"])
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert got(page, "dataset")["waiting"] == 0
    (tmp_path / "more").mkdir()
    shutil.copy(art / "1F600.png", tmp_path / "more")
    extract.extract([Source("more", tmp_path / "more")], dataset, extract.ExtractOptions(("contour", "dilate")))
    told = got(page, "dataset")
    assert (told["judged"], told["waiting"]) == (False, 1)
    assert got(page, "families")["total"] == 0
    assert got(page, "pictures")["dropped"] == {"none": 9, "unreadable": 1}
    assert page.get(f"/api/pictures/{ids(page)['1F600.png']}/line_dilate").status_code == 200
    assert got(page, f"pictures/{ids(page)['1F34E.png']}")["story"][-1] == "manifest: kept"


def test_who_opted_out_is_a_row_without_pixels(dataset: Path) -> None:
    page = client(dataset)
    key = ids(page)["cat0.jpg"]
    assert page.get(f"/api/pictures/{key}/color").status_code == 200
    remove.remove(dataset, ["cat0.jpg"])
    told = got(page, f"pictures/{key}")
    assert (told["tile"]["stored"], told["tile"]["dropped"], told["tags"]) == (False, "removed", [])
    assert page.get(f"/api/pictures/{key}/color").status_code == 404
    refused = page.post("/api/decisions", json={"kind": "keep", "pictures": [key]})
    assert (refused.status_code, "was dropped before dedupe" in refused.json()["detail"]) == (409, True)


def test_a_dataset_that_goes_away_is_told(dataset: Path) -> None:
    page = client(dataset)
    (dataset / "dataset.json").rename(dataset / "gone.json")
    told = page.get("/api/pictures")
    assert (told.status_code, "is not a dataset folder" in told.json()["detail"]) == (409, True)
    write_json(dataset / "dataset.json", {"version": 99, "options": {}, "parts": {}})
    assert "version 99" in page.get("/api/pictures").json()["detail"]
    (dataset / "gone.json").rename(dataset / "dataset.json")
    assert got(page, "pictures")["total"] == 9


def test_a_disk_that_cannot_be_written_is_told(dataset: Path) -> None:
    page = client(dataset)
    (dataset / "decisions").write_text("in the way")
    told = page.post("/api/decisions", json={"kind": "drop", "pictures": [ids(page)["1F408.png"]]})
    assert (told.status_code, told.json()["detail"].startswith(str(dataset / "decisions"))) == (500, True)


def test_requests_and_answers_are_described(looked_at: TestClient) -> None:
    told = got(looked_at, "openapi.json")
    assert {*told["paths"]} == {
        "/api/dataset", "/api/pictures", "/api/families", "/api/pictures/{key}", "/api/pictures/{key}/{layer}",
        "/api/tags", "/api/decisions",
    }  # fmt: skip
    body = told["paths"]["/api/decisions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    described = told["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert described["properties"]["kind"]["enum"] == list(decisions.DECISION_KINDS)


def test_the_page_is_its_own_files_and_asks_nobody_else(looked_at: TestClient) -> None:
    assert {"index.html", "style.css", "browse.js"} <= read_page_files("curate.browsing").keys()
    for name, (data, _) in read_page_files("curate.browsing").items():
        told = looked_at.get(f"/{name}")
        assert (told.status_code, told.content) == (200, data)
        assert told.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        text = data.decode()
        assert not re.search(
            r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|insertAdjacentHTML|document\.write|eval\(", text
        )
        assert not re.search(r"<[^>]+\s(style|on\w+)=", text), "the policy would not let it"
    assert looked_at.get("/").content == read_page_files("curate.browsing")["index.html"][0]


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a dataset folder"):
        LiveDataset(tmp_path)


FASTAPI = {f"curate.{name}" for name in ("browsing.app", "browsing.api_models", "web.server", "web.static_files")}


def test_without_the_extra_one_line_names_it(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.browsing.browse import browse

    for name in [one for one in sys.modules if one in FASTAPI]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(NurieError) as caught:
        browse(mixed)
    assert str(caught.value) == "curate browse needs an extra: run `pip install 'nurie[ui]'`"


def test_the_command_tells_its_address_answers_and_ends_on_ctrl_c(dataset: Path, run: Callable[..., Any]) -> None:
    command = [sys.executable, "-m", "curate", "browse", str(dataset), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        told = re.fullmatch(
            rf"{re.escape(str(dataset))}: open (http://127\.0\.0\.1:\d+/) in a browser; Ctrl-C ends it\n", line
        )
        assert told, line + process.stderr.read()
        with httpx2.Client(base_url=told[1], timeout=60) as page:
            assert page.get("").text.startswith("<!doctype html>")
            [row] = page.get("api/pictures", params={"filter": "path:cat0*"}).json()["rows"]
            body = {"kind": "drop", "pictures": [row["id"]]}
            assert page.post("api/decisions", json=body).status_code == 403
            ours = {"origin": told[1].rstrip("/")}
            assert page.post("api/decisions", json=body, headers=ours).status_code == 201
            assert page.get("", headers={"host": "evil.example"}).status_code == 421
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == "1 decisions noted, 1 waiting; they hold from the next curate dedupe on\n"
    assert [row["kind"] for row in run("decide", dataset)["decisions"]] == ["drop"]
