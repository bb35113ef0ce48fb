"""What every request must pass, and what every answer says: an ASGI application around another.

A page on this machine can be asked for by any site that its visitor has open. So the Host must be one of ours, which
keeps out names that a stranger's DNS points here; a request must not come from another site's page; and what changes
anything must say that it comes from our own.
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
MAX_URL_BYTES = 4096  # bytes of path and query
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
    """Of one request."""

    max_body_bytes: int = 64 << 10
    """Bytes."""
    body_timeout_s: float = 10.0
    """Seconds in which its body must have come."""
    response_timeout_s: float = 60.0
    """Seconds in which it must be answered."""


class RequestRefusedError(Exception):
    """A request that is not let through: a status and a line."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.message = status, line


class RequestGuard:
    """Lets through to `app` only what may come."""

    def __init__(self, app: Application, extra_hosts: Iterable[str] = (), limits: RequestLimits | None = None) -> None:
        self.app, self.limits = app, limits or RequestLimits()
        self.own_hosts = {"localhost", *(name.lower() for name in extra_hosts)}
        """Host names that are ours. An address is always: no stranger's name stands in such a Host."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
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
            raise RequestRefusedError(421, "this Host is not ours: open the address that the command told")
        if len(scope["path"]) + len(scope["query_string"]) > MAX_URL_BYTES:
            raise RequestRefusedError(414, f"an address of more than {MAX_URL_BYTES} bytes: ask for less")
        own = headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
        opening = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if not (own or (opening and scope["method"] in READ_METHODS)):
            raise RequestRefusedError(403, "another site's page asks: only our own may")
        origin = headers.get("origin")
        if scope["method"] not in READ_METHODS and origin not in {f"http://{host}", f"https://{host}"}:
            raise RequestRefusedError(403, f"what changes anything must have the header Origin: http://{host}")

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
                408, f"not all there after {self.limits.body_timeout_s:.0f} s: send it faster"
            ) from None


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def call() -> Message:
        return left.pop() if left else await receive()

    return call


def _add_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    ours = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
    told = list(headers)
    if not any(name == b"cache-control" for name, _ in told):
        ours.append((b"cache-control", b"no-store"))
    return told + ours


async def _refuse(send: Send, status: int, line: str) -> None:
    body = json.dumps({"detail": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # what was refused may not have been read to its end
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
