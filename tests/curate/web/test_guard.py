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
    response = client(("Studio.local",)).get("/", headers={"host": host})
    assert response.status_code == status
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


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
def test_a_request_that_changes_anything_needs_our_own_origin(origin: str | None, status: int, method: str) -> None:
    response = client().request(method, "/", content="x", headers={} if origin is None else {"origin": origin})
    assert response.status_code == status
    if status == 403:
        assert response.json()["detail"].startswith("a request that changes anything needs the header Origin: " + OURS)


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
def test_other_sites_may_only_link_to_the_page(site: str, mode: str, path: str, status: int) -> None:
    response = client().get(path, headers={"sec-fetch-site": site, "sec-fetch-mode": mode})
    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers


def test_a_body_over_the_limit_is_refused() -> None:
    small = client(limits=RequestLimits(max_body_bytes=1000))
    assert small.post("/", content=b"x" * 1000, headers={"origin": OURS}).content == b"x" * 1000
    response = small.post("/", content=b"x" * 1001, headers={"origin": OURS})
    assert (response.status_code, response.json()["detail"]) == (413, "more than 1000 bytes: send less")


def test_long_addresses_are_refused() -> None:
    assert client().get("/" + "x" * 4095).status_code == 200
    assert client().get("/" + "x" * 4096).status_code == 414


def test_an_application_that_takes_too_long_is_answered_with_503() -> None:
    response = client(limits=RequestLimits(response_timeout_s=0.05)).get("/?30")
    assert (response.status_code, response.json()["detail"]) == (503, "no answer within 0 s: ask for less")


def test_a_response_that_has_started_is_not_started_again() -> None:
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
def test_a_connection_whose_request_head_never_ends_is_closed(begun: bytes) -> None:
    with served(echo) as listening:
        assert exchange(listening, begun) == b""


@pytest.mark.usefixtures("quick")
def test_a_second_request_on_the_connection_is_timed_as_well() -> None:
    with served(echo) as listening:
        response = exchange(listening, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", then=b"GET /sec")
    assert b"HTTP/1.1" not in response


@pytest.mark.usefixtures("quick")
def test_a_response_may_take_longer_than_a_request_head() -> None:
    with served(echo) as listening:
        response = exchange(listening, b"GET /?0.6 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 200")


def test_a_body_that_never_arrives_is_answered_with_408() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 10\r\n\r\nhalf"
    with served(echo, RequestLimits(body_timeout_s=0.2)) as listening:
        response = exchange(listening, head)
    assert response.startswith(b"HTTP/1.1 408")
    assert json.loads(response.partition(b"\r\n\r\n")[2])["detail"].startswith("the body is incomplete after")


def test_a_head_over_the_limit_is_not_kept_in_memory() -> None:
    with served(echo) as listening:
        response = exchange(
            listening, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (server.MAX_HEAD_BYTES + 70_000)
        )
    assert response.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")) or response == b""


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://localhost:"), ("localhost", "http://127.0.0.1:")],
)
def test_the_url_to_open_is_reachable_from_this_machine(host: str, address: str) -> None:
    with closing(server.listen(host, 0)) as listening:
        assert server.browser_url(listening) == f"{address}{listening.getsockname()[1]}/"


def test_responses_are_sent_without_delay() -> None:
    """Held back until the client has acknowledged what came before, each would take 40 ms longer."""
    with closing(server.listen("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_a_clear_error() -> None:
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
def test_loopback_hosts_are_recognised(host: str, inside: bool) -> None:
    assert server.is_loopback(host) == inside
