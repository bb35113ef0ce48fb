"""ASGI middleware that refuses requests of other sites and sets security headers.

Any site that the user has open can send requests to a server on this machine. Therefore the Host must be one of ours,
which stops DNS rebinding; a request must not come from another site's page; and a request that changes anything must
have our own Origin.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

READ_METHODS = frozenset({"GET", "HEAD"})
MAX_URL_BYTES = 4096  # path and query together
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class RequestLimits:
    """Limits of one request."""

    max_body_bytes: int = 64 << 10
    body_timeout_s: float = 10.0
    """Seconds until the whole body must have arrived."""
    response_timeout_s: float = 60.0
    """Seconds until the application must have answered."""


class RequestRefusedError(Exception):
    """A request is refused, with an HTTP status and one line that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.message = status, line


class RequestGuard:
    """Passes allowed requests to `app` and answers the others itself."""

    def __init__(self, app: Application, extra_hosts: Iterable[str] = (), limits: RequestLimits | None = None) -> None:
        self.app, self.limits = app, limits or RequestLimits()
        self.own_hosts = {"localhost", *(name.lower() for name in extra_hosts)}
        """Accepted host names. IP addresses are always accepted: DNS rebinding needs a name."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse a request."""
        if scope["type"] != "http":  # pragma: no cover  # the server offers neither websockets nor lifespan
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = _add_security_headers(message.get("headers", ()))
            await send(message)

        try:
            self._check_request(scope)
            body = await self._read_body(scope, receive)
            async with asyncio.timeout(self.limits.response_timeout_s):
                await self.app(scope, _replay_body(body, receive), guarded)
        except RequestRefusedError as refused:
            await _refuse(guarded, refused.status, refused.message)
        except TimeoutError:
            if not started:
                await _refuse(guarded, 503, f"no answer within {self.limits.response_timeout_s:.0f} s: ask for less")

    def _check_request(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._is_own_host(host):
            raise RequestRefusedError(421, "this Host is not ours: open the address that the command printed")
        if len(scope["path"]) + len(scope["query_string"]) > MAX_URL_BYTES:
            raise RequestRefusedError(414, f"the address has more than {MAX_URL_BYTES} bytes: shorten it")
        own = headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
        opening = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if not (own or (opening and scope["method"] in READ_METHODS)):
            raise RequestRefusedError(403, "this request comes from another site: only our own page may send it")
        origin = headers.get("origin")
        if scope["method"] not in READ_METHODS and origin not in {f"http://{host}", f"https://{host}"}:
            raise RequestRefusedError(403, f"a request that changes anything needs the header Origin: http://{host}")

    def _is_own_host(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name.lower() in self.own_hosts
        return True

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] in READ_METHODS:
            return b""
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.body_timeout_s):
                while True:
                    message = await receive()
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.limits.max_body_bytes:
                        raise RequestRefusedError(413, f"more than {self.limits.max_body_bytes} bytes: send less")
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise RequestRefusedError(
                408, f"the body is incomplete after {self.limits.body_timeout_s:.0f} s: send it faster"
            ) from None


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that first gives the body that was already read, then further messages."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay


def _add_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    added = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
    headers = list(headers)
    if not any(name == b"cache-control" for name, _ in headers):
        added.append((b"cache-control", b"no-store"))
    return headers + added


async def _refuse(send: Send, status: int, line: str) -> None:
    body = json.dumps({"detail": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # close: the rest of a refused request was not read
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
