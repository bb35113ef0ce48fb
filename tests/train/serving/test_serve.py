"""The page colours as `train colorize` does, refuses other sites, and works in a real browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from curate.contract import read_index
from curate.system.files import SEAL_KEY, write_sealed
from curate.system.hashing import sha256_file
from curate.web import server
from curate.web.guard import RequestGuard, RequestLimits
from curate.web.static_files import read_page_files
from tests import ROOT
from tests.browser import HOSTILE, PHONE, Visit, barriers, overflow
from train.coloring.colorize import ColorizeOptions, TagPrompt
from train.errors import NurieError, RunError
from train.serving.app import create_app
from train.serving.loaded_models import LoadedModels
from train.serving.serve import MAX_UPLOAD_BYTES, serve

ORIGIN = "http://127.0.0.1:8766"


@pytest.fixture(scope="module")
def loaded_models(trained: Path) -> LoadedModels:
    return LoadedModels([trained, trained / "best.keras"])


@pytest.fixture(scope="module")
def client(loaded_models: LoadedModels) -> TestClient:
    return TestClient(
        RequestGuard(create_app(loaded_models), limits=RequestLimits(max_body_bytes=MAX_UPLOAD_BYTES)),
        base_url=ORIGIN,
        headers={"origin": ORIGIN},
    )


@pytest.fixture(scope="module")
def drawing() -> bytes:
    """A circle, 60 px wide and 40 high."""
    paper = np.full((40, 60), 255, np.uint8)
    cv2.circle(paper, (30, 20), 15, 0, 2)
    return cv2.imencode(".png", paper)[1].tobytes()


def post_drawing(client: TestClient, drawing: bytes, **query: Any) -> httpx2.Response:
    return client.post("/api/colorize", params=query, content=drawing, headers={"content-type": "image/png"})


@pytest.mark.parametrize(
    ("query", "prompt", "options"),
    [
        ({"tags": "blue_heart"}, TagPrompt(("blue_heart",)), ColorizeOptions()),
        ({"tags": "Blue Heart", "keep_lines": True}, TagPrompt(("blue_heart",)), ColorizeOptions(keep_lines=True)),
        ({"negative": "blue_heart"}, TagPrompt((), ("blue_heart",), 2.0), ColorizeOptions()),
        (
            {"tags": "blue_heart", "guidance": 3, "method": "tiles"},
            TagPrompt(("blue_heart",), (), 3.0),
            ColorizeOptions("tiles"),
        ),
    ],
)
@pytest.mark.parametrize("model", [0, 1])
def test_the_answer_is_the_picture_that_colorize_writes(
    client: TestClient,
    loaded_models: LoadedModels,
    drawing: bytes,
    tmp_path: Path,
    query: dict[str, Any],
    prompt: TagPrompt,
    options: ColorizeOptions,
    model: int,
) -> None:
    (tmp_path / "drawing.png").write_bytes(drawing)
    loaded_models.colorizers[model].color_file(tmp_path / "drawing.png", tmp_path / "colored.png", prompt, options)
    answer = post_drawing(client, drawing, model=model, **query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
    assert answer.content == (tmp_path / "colored.png").read_bytes()


@pytest.mark.parametrize(
    ("query", "body", "status", "line"),
    [
        ({"tags": "blue_haert"}, None, 422, "did you mean blue_heart"),
        ({}, b"no picture", 422, "the drawing is not a picture"),
        ({}, b"", 422, ""),
        ({"model": 2}, None, 404, "there are 2 models"),
        ({"negative": "blue_heart", "guidance": 1}, None, 422, "need a guidance above 1"),
        ({"guidance": 11}, None, 422, ""),
        ({"method": "magic"}, None, 422, ""),
        ({}, bytes(MAX_UPLOAD_BYTES + 1), 413, "send less"),
    ],
)
def test_a_mistake_is_answered_by_one_line_that_names_no_folder(
    client: TestClient, drawing: bytes, query: dict[str, Any], body: bytes | None, status: int, line: str
) -> None:
    answer = post_drawing(client, drawing if body is None else body, **query)
    assert answer.status_code == status, answer.text
    assert line in answer.text
    assert "/" not in json.dumps(answer.json()["detail"]).replace("pydantic.dev/", "").replace("https:/", "")


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"origin": ""}, {"sec-fetch-site": "cross-site"}]
)
def test_requests_from_other_sites_are_refused(client: TestClient, drawing: bytes, headers: dict[str, str]) -> None:
    answer = client.post("/api/colorize", content=drawing, headers={"content-type": "image/png", **headers})
    assert answer.status_code == 403


def test_models_are_listed_with_their_tags_and_the_pairs_that_have_them(client: TestClient, pairs32: Path) -> None:
    last, best = client.get("/api/models").json()
    index = read_index(pairs32)
    assert {tag["name"]: tag["count"] for tag in last["tags"]} == index.tags["train"]
    assert {tag["name"]: tuple(tag["color"]) for tag in last["tags"] if tag["color"]} == dict(index.colors)
    assert (last["number"], last["name"], best["number"], best["name"]) == (0, "run", 1, "run/best.keras")


def test_only_the_files_of_the_page_can_be_requested(client: TestClient) -> None:
    for name in read_page_files("train.serving"):
        assert client.get(f"/{name}").status_code == 200
    for name in ("config.json", "..%2fapp.py", "%2fetc%2fpasswd", "page/index.html"):
        assert client.get(f"/{name}").status_code == 404
    assert "/api/colorize" in client.get("/api/openapi.json").json()["paths"]


def test_a_run_without_a_model_a_run_given_twice_and_a_taken_port_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no model\.keras"):
        serve([tmp_path])
    with pytest.raises(NurieError, match="given twice"):
        serve([trained, trained / ".." / "run"])
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(NurieError, match="give another --port"):
        serve([trained], port=taken.getsockname()[1])


def test_the_command_serves_the_curl_example_of_the_guide_until_ctrl_c(
    trained: Path, drawing: bytes, tmp_path: Path
) -> None:
    guide = (ROOT / ".github" / "docs" / "training.md").read_text("utf-8")
    [line] = re.findall(r"^```text\n(curl .*?)^```", guide, re.MULTILINE | re.DOTALL)
    (tmp_path / "sketch.png").write_bytes(drawing)
    command = [sys.executable, "-m", "train", "serve", str(trained), "--port", "0"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment) as process:
        assert process.stderr is not None
        address = next(found[0] for line in process.stderr if (found := re.findall(r"http://\S+/", line)))
        headers = {"content-type": "image/png", "origin": address.rstrip("/")}
        answer = httpx2.post(f"{address}api/colorize?tags=blue_heart", content=drawing, headers=headers, timeout=60)
        if shutil.which("curl"):
            line = line.replace("http://127.0.0.1:8766", address.rstrip("/")).replace("blue_hair,smile", "blue_heart")
            subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True, capture_output=True)
            assert cv2.imread(str(tmp_path / "coloured.png")).shape == (40, 60, 3)  # type: ignore[union-attr]
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert answer.content.startswith(b"\x89PNG"), answer.text
    assert (process.returncode, stderr) == (0, "")
    assert address in stdout


@pytest.fixture
def page(trained: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a served page whose models have hostile texts as their first tags."""
    import threading

    run = Path(shutil.copytree(trained, tmp_path / "run"))
    known = (run / "vocabulary.txt").read_text().splitlines()
    hostile = [text for text in HOSTILE if text.split() == [text]][: len(known) // 2]
    others = [tag for tag in known if tag != "blue_heart"]
    vocabulary = [*hostile, *others[len(hostile) :], "blue_heart"]
    (run / "vocabulary.txt").write_text("".join(f"{tag}\n" for tag in vocabulary))
    config = json.loads((run / "config.json").read_text())
    config["colors"] = {tag: ["blue", "heart"] for tag in vocabulary[:3]} | {"blue_heart": ["blue", "heart"]}
    config["vocabulary"] = sha256_file(run / "vocabulary.txt")
    write_sealed(run / "config.json", {name: value for name, value in config.items() if name != SEAL_KEY})
    listening = server.listen("127.0.0.1", 0)
    running = server.make_server(
        create_app(LoadedModels([run, run / "best.keras"])), "127.0.0.1", RequestLimits(max_body_bytes=MAX_UPLOAD_BYTES)
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    yield server.browser_url(listening)
    running.should_exit = True
    thread.join()
    listening.close()


@pytest.mark.browser
def test_a_visitor_can_draw_pick_tags_compare_models_and_download(
    page: str, visit: Visit, drawing: bytes, tmp_path: Path
) -> None:
    for size, dark in ((PHONE, True), ((1280, 900), False)):
        seen = visit(page, size=size, dark=dark)
        seen.locator("#model-1").wait_for()
        assert not barriers(seen)
        assert overflow(seen) == 0
        seen.locator("#color").click()
        assert "Draw something first" in seen.locator("#message").inner_text()
        seen.locator("#paper").scroll_into_view_if_needed()
        box = seen.locator("#paper").bounding_box()
        assert box
        seen.mouse.move(box["x"] + 50, box["y"] + 50)
        seen.mouse.down()
        seen.mouse.move(box["x"] + 150, box["y"] + 120, steps=5)
        seen.mouse.up()
        seen.locator("#tags-A").fill("blue heart")
        seen.locator("#tags-A").press("Enter")
        assert seen.locator("ul[aria-label='Chosen tags A'] button").all_inner_texts() == ["blue_heart \u00d7"]
        assert seen.locator("#known-tags option[value=blue_heart]").inner_text() == "1 pair", "completions show counts"
        seen.locator("#tags-A").fill("blue haert")
        seen.locator("#tags-A").press("Enter")
        assert "run does not know blue_haert" in seen.locator("#message").inner_text()
        seen.get_by_role("button", name="Remove blue_haert").click()
        assert not seen.locator("#message").inner_text()
        seen.locator("#compare").check()
        seen.locator("#random-colors").click()
        seen.locator("#color").click()
        seen.locator("#results figure >> nth=3").wait_for()
        assert seen.locator("#message").inner_text() == "Done."
        assert not barriers(seen)
        assert overflow(seen) == 0
        with seen.expect_download() as download:
            seen.locator("#results a >> nth=0").click()
        download.value.save_as(tmp_path / "picture.png")
        assert cv2.imread(str(tmp_path / "picture.png")).shape == (512, 512, 3)  # type: ignore[union-attr]
        seen.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": drawing})
        seen.locator("#color").click()
        seen.locator("#results canvas[width='60'] >> nth=3").wait_for()
        seen.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"none"})
        seen.get_by_text("The browser cannot read a.png as a picture").wait_for()


@pytest.mark.browser
def test_dropping_undo_eraser_random_colours_and_guidance_work(page: str, visit: Visit, drawing: bytes) -> None:
    seen = visit(page)
    seen.locator("#model-1").wait_for()
    ink = "[...paper.getContext('2d').getImageData(0, 0, paper.width, paper.height).data].filter(v => v < 128).length"
    dropped = seen.evaluate_handle(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" })); return data }""",
        list(drawing),
    )
    seen.dispatch_event("#paper-frame", "drop", {"dataTransfer": dropped})
    seen.locator("#paper[width='60'][height='40']").wait_for()
    assert seen.evaluate(ink) > 100
    seen.locator("#undo").click()
    assert seen.locator("#paper").get_attribute("width") == "512"
    assert seen.evaluate(ink) == 0
    box = seen.locator("#paper").bounding_box()
    assert box
    for tool, width, marks in (("#pen", 5, True), ("#eraser", 24, False), ("#pen", 5, True)):
        seen.locator("#width").fill(str(width))
        seen.locator(tool).click()
        seen.mouse.move(box["x"] + 50, box["y"] + 50)
        seen.mouse.down()
        seen.mouse.move(box["x"] + 150, box["y"] + 120, steps=5)
        seen.mouse.up()
        assert (seen.evaluate(ink) > 0) == marks
    chosen = "ul[aria-label='Chosen tags A'] button"
    picked = []
    for seed in (3, 4, 5, 6, 3):
        seen.locator("#seed").fill(str(seed))
        seen.locator("#random-colors").click()
        picked.append(seen.locator(chosen).all_inner_texts())
        for _ in picked[-1]:
            seen.locator(chosen).first.click()
    assert picked[0] == picked[-1]
    assert len(set(map(tuple, picked))) > 1
    seen.locator("#guidance").fill("2.5")
    seen.locator("#negative").fill("blue heart")
    with seen.expect_response(re.compile("api/colorize")) as answered:
        seen.locator("#color").click()
    assert answered.value.ok
    assert {"guidance=2.5", "negative=blue_heart", "tags="} <= set(answered.value.url.partition("?")[2].split("&"))
    seen.locator("#clear").click()
    assert seen.evaluate(ink) == 0
