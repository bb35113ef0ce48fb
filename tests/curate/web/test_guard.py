"""What may not come is refused: other hosts, other sites, too much, too slow."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient

from curate.system.errors import NurieError
from curate.web import server
from curate.web.guard import SECURITY_HEADERS, Message, Receive, RequestGuard, RequestLimits, Scope, Send

OURS = "http://127.0.0.1:8765"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what it was sent; takes as many seconds as the query says."""
    body = (await receive())["body"]
    await asyncio.sleep(float(scope["query_string"] or b"0"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


def client(names: tuple[str, ...] = (), limits: RequestLimits | None = None) -> TestClient:
    return TestClient(RequestGuard(echo, names, limits), base_url=OURS)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:8765", 200),
        ("LOCALHOST", 200),
        ("[::1]:8765", 200),
        ("192.168.1.7:80", 200),  # no stranger's name can stand there
        ("studio.local:8765", 200),
        ("evil.example:8765", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8765", 421),
        ("127.0.0.1:evil", 421),
        ("", 421),
    ],
)
def test_only_our_own_hosts_are_answered(host: str, status: int) -> None:
    told = client(("Studio.local",)).get("/", headers={"host": host})
    assert told.status_code == status
    assert {name: told.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (OURS, 200),
        ("https://127.0.0.1:8765", 200),  # behind a proxy that encrypts
        ("http://127.0.0.1:8766", 403),
        ("http://localhost:8765", 403),
        ("http://evil.example", 403),
        ("null", 403),
        (None, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_what_changes_anything_says_that_it_comes_from_our_page(origin: str | None, status: int, method: str) -> None:
    told = client().request(method, "/", content="x", headers={} if origin is None else {"origin": origin})
    assert told.status_code == status
    if status == 403:
        assert told.json()["detail"].startswith("a request that changes anything needs the header Origin: " + OURS)


@pytest.mark.parametrize(
    ("site", "mode", "path", "status"),
    [
        ("same-origin", "cors", "/api/pictures", 200),
        ("none", "navigate", "/api/pictures", 200),
        ("cross-site", "no-cors", "/api/pictures/x/color", 403),
        ("same-site", "cors", "/api/pictures", 403),  # another port of this machine
        ("cross-site", "navigate", "/", 200),  # a link to the page
        ("cross-site", "navigate", "/api/pictures", 403),
        ("cross-site", "no-cors", "/", 403),
    ],
)
def test_other_sites_pages_may_link_and_no_more(site: str, mode: str, path: str, status: int) -> None:
    told = client().get(path, headers={"sec-fetch-site": site, "sec-fetch-mode": mode})
    assert told.status_code == status
    assert "access-control-allow-origin" not in told.headers


def test_bodies_come_whole_up_to_the_limit_and_no_further() -> None:
    small = client(limits=RequestLimits(max_body_bytes=1000))
    assert small.post("/", content=b"x" * 1000, headers={"origin": OURS}).content == b"x" * 1000
    told = small.post("/", content=b"x" * 1001, headers={"origin": OURS})
    assert (told.status_code, told.json()["detail"]) == (413, "more than 1000 bytes: send less")


def test_long_addresses_are_refused() -> None:
    assert client().get("/" + "x" * 4095).status_code == 200
    assert client().get("/" + "x" * 4096).status_code == 414


def test_what_takes_too_long_is_told() -> None:
    told = client(limits=RequestLimits(response_timeout_s=0.05)).get("/?30")
    assert (told.status_code, told.json()["detail"]) == (503, "no answer within 0 s: ask for less")


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    sent: list[Message] = []

    async def stall(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(30)

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "path": "/", "query_string": b"", "method": "GET", "headers": [(b"host", b"[::1]")]}
    asyncio.run(RequestGuard(stall, limits=RequestLimits(response_timeout_s=0.05))(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start"]


# ---- over a real socket


@contextmanager
def served(app: Any, limits: RequestLimits | None = None) -> Iterator[socket.socket]:
    listening = server.listen("127.0.0.1", 0)
    running = server.make_server(app, "127.0.0.1", limits)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening
    finally:
        running.should_exit = True
        thread.join(30)
        listening.close()
    assert not thread.is_alive()


def exchange(listening: socket.socket, data: bytes, then: bytes = b"") -> bytes:
    """All that comes back until the other side closes; `then` is sent once something came."""
    with closing(socket.create_connection(listening.getsockname()[:2], timeout=30)) as wire:
        wire.sendall(data)
        if then:
            assert wire.recv(65536).startswith(b"HTTP/1.1 200")
            wire.sendall(then)
        parts = []
        while part := wire.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.web.server.HEAD_TIMEOUT_S", 0.2)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "], ids=["no", "torn", "half"]
)
def test_a_request_that_does_not_come_to_its_point_is_closed(begun: bytes) -> None:
    with served(echo) as listening:
        assert exchange(listening, begun) == b""


@pytest.mark.usefixtures("quick")
def test_nor_does_a_second_one_on_the_same_connection() -> None:
    with served(echo) as listening:
        told = exchange(listening, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", then=b"GET /sec")
    assert b"HTTP/1.1" not in told


@pytest.mark.usefixtures("quick")
def test_an_answer_may_take_longer_than_a_request() -> None:
    with served(echo) as listening:
        told = exchange(listening, b"GET /?0.6 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_come_is_told() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 10\r\n\r\nhalf"
    with served(echo, RequestLimits(body_timeout_s=0.2)) as listening:
        told = exchange(listening, head)
    assert told.startswith(b"HTTP/1.1 408")
    assert json.loads(told.partition(b"\r\n\r\n")[2])["detail"].startswith("the body is incomplete after")


def test_heads_of_any_size_are_not_held() -> None:
    with served(echo) as listening:
        told = exchange(
            listening, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (server.MAX_HEAD_BYTES + 70_000)
        )
    assert told.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")) or told == b""


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://localhost:"), ("localhost", "http://127.0.0.1:")],
)
def test_the_address_to_open_is_one_that_this_machine_reaches(host: str, address: str) -> None:
    with closing(server.listen(host, 0)) as listening:
        assert server.browser_url(listening) == f"{address}{listening.getsockname()[1]}/"


def test_answers_are_sent_at_once() -> None:
    """Held back until the client has acknowledged what came before, each would take 40 ms longer."""
    with closing(server.listen("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_told() -> None:
    with closing(server.listen("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(NurieError, match=rf"cannot listen on port {port} of 127\.0\.0\.1 \(.+\): give another"):
            server.listen("127.0.0.1", port)
    with pytest.raises(NurieError, match=r"of no\.such\.host\.invalid"):
        server.listen("no.such.host.invalid", 0)


@pytest.mark.parametrize(
    ("host", "inside"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_whether_others_reach_it_is_known(host: str, inside: bool) -> None:
    assert server.is_loopback(host) == inside
