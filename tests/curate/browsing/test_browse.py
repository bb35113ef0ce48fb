"""The HTTP API of `curate browse`, by the application itself, and once by the command with a client."""

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
from curate.dataset import decisions, parquet, remove_pictures
from curate.deduplication import dedupe
from curate.extraction import extract
from curate.sources.scan import Source
from curate.system import lock
from curate.system.errors import DatasetError, NurieError
from curate.system.files import write_json
from curate.web.guard import RequestGuard
from curate.web.static_files import read_page_files
from tests.browser import HOSTILE

OWN_ORIGIN = "http://127.0.0.1:8765"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def read_only_client(mixed: Path) -> TestClient:
    """A client of a dataset that no test may change."""
    return client(mixed)


@pytest.fixture
def dataset(mixed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mixed, tmp_path / "d"))


def client(dataset: Path) -> TestClient:
    return TestClient(
        RequestGuard(create_app(LiveDataset(dataset))), base_url=OWN_ORIGIN, headers={"origin": OWN_ORIGIN}
    )


def get_json(client: TestClient, path: str, **query: Any) -> Any:
    response = client.get(f"/api/{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def ids(client: TestClient) -> dict[str, str]:
    """Ids by path."""
    return {row["path"]: row["id"] for row in get_json(client, "pictures")["rows"]}


def decide(client: TestClient, kind: str, *paths: str, tags: list[str] | None = None) -> Row:
    id_by_path = ids(client)
    pictures = [id_by_path.get(path, path) for path in paths]
    answer = client.post("/api/decisions", json={"kind": kind, "pictures": pictures, "tags": tags})
    assert answer.status_code == 201, answer.text
    row: Row = answer.json()
    return row


def fates(client: TestClient, *paths: str) -> list[str | None]:
    dropped = {row["path"]: row["dropped"] for row in get_json(client, "pictures")["rows"]}
    return [dropped[path] for path in paths]


def test_every_row_of_the_manifest_is_listed_page_by_page(read_only_client: TestClient, mixed: Path) -> None:
    rows = parquet.read_parts(mixed / "manifest").to_pylist()
    pages = [get_json(read_only_client, "pictures", start=start, count=2) for start in range(0, 10, 2)]
    listed = [row for page in pages for row in page["rows"]]
    assert [row["path"] for row in listed] == [row["path"] for row in rows]
    assert {page["total"] for page in pages} == {len(rows)} == {9}
    names = ("id", "role", "group", "dropped", "distance", "error")
    assert [[row[name] for name in names] for row in listed] == [[row[name] for name in names] for row in rows]
    assert get_json(read_only_client, "pictures", start=10**9)["rows"] == []
    dropped = get_json(read_only_client, "pictures")["dropped"]
    assert sum(dropped.values()) == 9
    assert dropped == {"none": 5, "duplicate": 3, "unreadable": 1}


def test_filter_expression_and_order_can_be_combined(read_only_client: TestClient) -> None:
    answer = get_json(
        read_only_client,
        "pictures",
        filter="-role:duplicate path:1F4*",
        where="width >= 256",
        order="bytes",
        descending=True,
    )
    sizes = [get_json(read_only_client, f"pictures/{row['id']}")["columns"]["bytes"] for row in answer["rows"]]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)
    assert get_json(read_only_client, "pictures", filter="catt")["unknown"]["catt"][0] == "cat"


@pytest.mark.parametrize("path", ["pictures", "families"])
def test_an_invalid_filter_matches_nothing_and_says_why(read_only_client: TestClient, path: str) -> None:
    wrong = {"filter": ("width>=x", "width holds numbers"), "where": ("__import__('os')", "only compare columns")}
    for name, (text, problem) in wrong.items():
        answer = get_json(read_only_client, path, **{name: text})
        assert (answer["total"], problem in answer["problem"]) == (0, True)
    assert get_json(read_only_client, path)["problem"] == ""


def test_families_are_listed_with_their_survivor_first(read_only_client: TestClient) -> None:
    answer = get_json(read_only_client, "families")
    assert answer["total"] == 3
    assert {family["members"][0]["role"] for family in answer["families"]} == {"survivor"}
    [cats] = get_json(read_only_client, "families", filter="cat")["families"]
    assert (cats["size"], {row["path"] for row in cats["members"]}) == (3, {"1F408.png", "cat0.jpg", "cat1.jpg"})


def test_a_picture_has_its_look_alikes_tags_and_story(read_only_client: TestClient) -> None:
    answer = get_json(read_only_client, f"pictures/{ids(read_only_client)['1F408.png']}")
    assert {look["tile"]["path"] for look in answer["looks"]} == {"cat0.jpg", "cat1.jpg"}
    assert "asleep" in answer["tags"]
    assert "asleep" not in answer["own_tags"]
    assert answer["story"][0].startswith("extract: 1F408.png of s, png 256x256")
    apple = get_json(read_only_client, f"pictures/{ids(read_only_client)['1F34E.png']}")
    assert sorted([apple["tile"]["path"], *apple["copies"]]) == ["1F34E.png", "apple again.png"]


def test_layers_have_the_stored_bytes(read_only_client: TestClient, mixed: Path) -> None:
    for row in parquet.read_parts(mixed / "pairs").to_pylist():
        for layer in ("color", "line_contour", "line_dilate"):
            answer = read_only_client.get(f"/api/pictures/{row['id']}/{layer}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            assert answer.content == row[layer]


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
def test_any_other_path_is_not_found(read_only_client: TestClient, path: str) -> None:
    assert read_only_client.get(path.format(id=ids(read_only_client)["1F408.png"])).status_code == 404


def test_a_malformed_id_is_refused(read_only_client: TestClient) -> None:
    for key in ("1F408.png", "x" * 32, "..", "A" * 32):
        assert read_only_client.get(f"/api/pictures/{key}").status_code in {404, 422}


def test_hostile_text_is_returned_unchanged(read_only_client: TestClient) -> None:
    [row] = get_json(read_only_client, "pictures", filter="path:*onmouseover*")["rows"]
    answer = read_only_client.get(f"/api/pictures/{row['id']}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["columns"]["artist"] == HOSTILE[0]
    assert len(answer.json()["own_tags"]) > 10
    for tag in answer.json()["own_tags"]:
        if not re.search(r'[\s"]', tag):  # which part the words of a filter
            assert row["path"] in {one["path"] for one in get_json(read_only_client, "pictures", filter=tag)["rows"]}


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ({"order": "path"}, 409, "cannot sort by 'path'"),
        ({"filter": "x" * 2001}, 422, "at most 2000"),
        ({"start": -1}, 422, "greater than or equal to 0"),
        ({"count": 201}, 422, "less than or equal to 200"),
        ({"count": "many"}, 422, "valid integer"),
    ],
)
def test_a_wrong_query_is_answered_with_the_reason(
    read_only_client: TestClient, query: Row, status: int, reason: str
) -> None:
    answer = read_only_client.get("/api/pictures", params=query)
    assert answer.status_code == status
    assert reason in answer.text


def test_a_decision_is_stored_applied_by_dedupe_and_undone(dataset: Path) -> None:
    page = client(dataset)
    before = pq.read_table(dataset / "manifest")
    row = decide(page, "different", "1F408.png", "cat0.jpg")
    assert (row["sequence"], row["paths"], row["waits"]) == (0, ["1F408.png", "cat0.jpg"], True)
    assert get_json(page, "dataset")["waiting"] == 1
    decide(page, "different", "cat0.jpg", "cat1.jpg")
    assert fates(page, "1F408.png", "cat0.jpg", "cat1.jpg") == [None, "duplicate", "duplicate"]
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert fates(page, "1F408.png", "cat0.jpg", "cat1.jpg") == [None, None, "duplicate"]
    assert get_json(page, "dataset")["waiting"] == 0
    assert [row["waits"] for row in get_json(page, "decisions")["rows"]] == [False, False]
    decide(page, "undo", "0")
    decide(page, "undo", "1")
    assert get_json(page, "dataset")["waiting"] == 2
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert pq.read_table(dataset / "manifest").equals(before)
    assert verify(dataset) == []


def test_decisions_are_stored_as_curate_decide_stores_them(dataset: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(dataset, tmp_path / "other"))
    page = client(dataset)
    choices = [("keep", "cat1.jpg"), ("drop", "1F34E.png"), ("duplicate", "1F44B-1F3FB.png", "1F44B-1F3FF.png")]
    for kind, *paths in [*choices, ("alternate", "1F408.png", "1F44B-1F3FB.png")]:
        decide(page, kind, *paths)
        decisions.decide(other, kind, paths)
    assert decisions.read(dataset) == decisions.read(other)
    answer = get_json(page, "decisions", start=1, count=2)
    assert (answer["total"], [row["sequence"] for row in answer["rows"]]) == (4, [2, 1])
    assert (dataset / "decisions/part-00000.parquet").read_bytes() == (
        other / "decisions/part-00000.parquet"
    ).read_bytes()
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert fates(page, "cat1.jpg", "1F408.png", "1F34E.png") == [None, "duplicate", "decision"]


def test_given_tags_replace_a_pictures_own_whatever_they_contain(dataset: Path) -> None:
    page = client(dataset)
    tags = [",_,", "Blue Hair", *HOSTILE]
    row = decide(page, "retag", "1F34E.png", tags=tags)
    assert row["tags"][:2] == [",_,", "blue_hair"]
    answer = get_json(page, f"pictures/{ids(page)['1F34E.png']}")
    assert answer["given_tags"] == row["tags"]
    assert [row["path"] for row in get_json(page, "pictures", filter="decided:retag")["rows"]] == [
        "1F34E.png",
        "apple again.png",
    ]
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert set(row["tags"]) <= set(get_json(page, f"pictures/{ids(page)['1F34E.png']}")["tags"])


@pytest.mark.parametrize(
    ("body", "status", "reason"),
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
def test_an_invalid_decision_is_refused_and_nothing_is_written(
    read_only_client: TestClient, mixed: Path, body: Any, status: int, reason: str
) -> None:
    text = json.dumps(body).replace("{cat}", ids(read_only_client)["1F408.png"])
    answer = read_only_client.post("/api/decisions", content=text, headers={"content-type": "application/json"})
    assert (answer.status_code, reason in answer.text) == (status, True), answer.text
    assert not (mixed / "decisions").exists()


def test_only_json_from_the_own_origin_can_decide(read_only_client: TestClient, mixed: Path) -> None:
    body = json.dumps({"kind": "drop", "pictures": [ids(read_only_client)["1F408.png"]]})
    form = read_only_client.post("/api/decisions", content=body, headers={"content-type": "text/plain"})
    assert form.status_code == 422
    stranger = read_only_client.post("/api/decisions", content=body, headers={"origin": "http://evil.example"})
    assert stranger.status_code == 403
    large = read_only_client.post("/api/decisions", content=body + " " * (64 << 10))
    assert large.status_code == 413
    assert not (mixed / "decisions").exists()


def test_while_a_stage_writes_pictures_are_shown_and_decisions_refused(dataset: Path) -> None:
    page = client(dataset)
    with lock.exclusive(dataset):
        assert get_json(page, "pictures")["total"] == 9
        answer = page.post("/api/decisions", json={"kind": "drop", "pictures": [ids(page)["1F408.png"]]})
    assert answer.status_code == 409
    assert "another run is writing" in answer.json()["detail"]


def test_simultaneous_decisions_are_all_stored(dataset: Path) -> None:
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


def test_added_pictures_are_shown_before_dedupe_and_all_decisions_wait(
    dataset: Path, art: Path, tmp_path: Path
) -> None:
    page = client(dataset)
    decide(page, "retag", "1F34E.png", tags=["red"])
    dedupe.dedupe(dataset, dedupe.DedupeOptions())
    assert get_json(page, "dataset")["waiting"] == 0
    (tmp_path / "more").mkdir()
    shutil.copy(art / "1F600.png", tmp_path / "more")
    extract.extract([Source("more", tmp_path / "more")], dataset, extract.ExtractOptions(("contour", "dilate")))
    answer = get_json(page, "dataset")
    assert (answer["judged"], answer["waiting"]) == (False, 1)
    assert get_json(page, "families")["total"] == 0
    assert get_json(page, "pictures")["dropped"] == {"none": 9, "unreadable": 1}
    assert page.get(f"/api/pictures/{ids(page)['1F600.png']}/line_dilate").status_code == 200
    assert get_json(page, f"pictures/{ids(page)['1F34E.png']}")["story"][-1] == "manifest: kept"


def test_an_opted_out_picture_is_a_row_without_pixels(dataset: Path) -> None:
    page = client(dataset)
    key = ids(page)["cat0.jpg"]
    assert page.get(f"/api/pictures/{key}/color").status_code == 200
    remove_pictures.remove(dataset, ["cat0.jpg"])
    answer = get_json(page, f"pictures/{key}")
    assert (answer["tile"]["stored"], answer["tile"]["dropped"], answer["tags"]) == (False, "removed", [])
    assert page.get(f"/api/pictures/{key}/color").status_code == 404
    refused = page.post("/api/decisions", json={"kind": "keep", "pictures": [key]})
    assert (refused.status_code, "was dropped before dedupe" in refused.json()["detail"]) == (409, True)


def test_a_dataset_that_disappears_is_an_error_until_it_is_back(dataset: Path) -> None:
    page = client(dataset)
    (dataset / "dataset.json").rename(dataset / "gone.json")
    answer = page.get("/api/pictures")
    assert (answer.status_code, "is not a dataset folder" in answer.json()["detail"]) == (409, True)
    write_json(dataset / "dataset.json", {"version": 99, "options": {}, "parts": {}})
    assert "version 99" in page.get("/api/pictures").json()["detail"]
    (dataset / "gone.json").rename(dataset / "dataset.json")
    assert get_json(page, "pictures")["total"] == 9


def test_a_folder_that_cannot_be_written_is_named(dataset: Path) -> None:
    page = client(dataset)
    (dataset / "decisions").write_text("in the way")
    answer = page.post("/api/decisions", json={"kind": "drop", "pictures": [ids(page)["1F408.png"]]})
    assert (answer.status_code, answer.json()["detail"].startswith(str(dataset / "decisions"))) == (500, True)


def test_openapi_describes_requests_and_answers(read_only_client: TestClient) -> None:
    answer = get_json(read_only_client, "openapi.json")
    assert {*answer["paths"]} == {
        "/api/dataset", "/api/pictures", "/api/families", "/api/pictures/{key}", "/api/pictures/{key}/{layer}",
        "/api/tags", "/api/decisions",
    }  # fmt: skip
    body = answer["paths"]["/api/decisions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    described = answer["components"]["schemas"][body["$ref"].rpartition("/")[2]]
    assert described["properties"]["kind"]["enum"] == list(decisions.DECISION_KINDS)


def test_the_page_loads_only_its_own_files(read_only_client: TestClient) -> None:
    assert {"index.html", "style.css", "browse.js"} <= read_page_files("curate.browsing").keys()
    for name, (data, _) in read_page_files("curate.browsing").items():
        answer = read_only_client.get(f"/{name}")
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        text = data.decode()
        assert not re.search(
            r"https?://(?!www\.w3\.org/2000/svg)|innerHTML|insertAdjacentHTML|document\.write|eval\(", text
        )
        assert not re.search(r"<[^>]+\s(style|on\w+)=", text), "the policy forbids inline styles and handlers"
    assert read_only_client.get("/").content == read_page_files("curate.browsing")["index.html"][0]


def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a dataset folder"):
        LiveDataset(tmp_path)


FASTAPI = {f"curate.{name}" for name in ("browsing.app", "browsing.api_models", "web.server", "web.static_files")}


def test_without_the_extra_the_error_names_it(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.browsing.browse import browse

    for name in [one for one in sys.modules if one in FASTAPI]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(NurieError) as caught:
        browse(mixed)
    assert str(caught.value) == "curate browse needs an extra: run `pip install 'nurie[ui]'`"


def test_the_command_prints_its_address_answers_and_ends_on_ctrl_c(dataset: Path, run: Callable[..., Any]) -> None:
    command = [sys.executable, "-m", "curate", "browse", str(dataset), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        match = re.fullmatch(
            rf"{re.escape(str(dataset))}: open (http://127\.0\.0\.1:\d+/) in a browser; stop with Ctrl-C\n", line
        )
        if match is None:  # the server would run on, and the test with it
            process.kill()
            pytest.fail(line + process.stderr.read())
        with httpx2.Client(base_url=match[1], timeout=60) as page:
            assert page.get("").text.startswith("<!doctype html>")
            [row] = page.get("api/pictures", params={"filter": "path:cat0*"}).json()["rows"]
            body = {"kind": "drop", "pictures": [row["id"]]}
            assert page.post("api/decisions", json=body).status_code == 403
            own_origin = {"origin": match[1].rstrip("/")}
            assert page.post("api/decisions", json=body, headers=own_origin).status_code == 201
            assert page.get("", headers={"host": "evil.example"}).status_code == 421
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == "1 decisions made, 1 waiting: run curate dedupe to apply them\n"
    assert [row["kind"] for row in run("decide", dataset)["decisions"]] == ["drop"]
