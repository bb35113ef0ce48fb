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

READS = frozenset({"GET", "HEAD"})
ADDRESS = 4096  # bytes of path and query
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


@dataclass(frozen=True)
class Limits:
    """Of one request."""

    body: int = 64 << 10
    """Bytes."""
    sending: float = 10.0
    """Seconds in which its body must have come."""
    answering: float = 60.0
    """Seconds in which it must be answered."""


class RefusedError(Exception):
    """A request that is not let through: a status and a line."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


class Guard:
    """Lets through to `app` only what may come."""

    def __init__(self, app: Application, names: Iterable[str] = (), limits: Limits | None = None) -> None:
        self.app, self.limits = app, limits or Limits()
        self.names = {"localhost", *(name.lower() for name in names)}
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
                message["headers"] = _with_ours(message.get("headers", ()))
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
            async with asyncio.timeout(self.limits.answering):
                await self.app(scope, _again(body, receive), guarded)
        except RefusedError as refused:
            await _refuse(guarded, refused.status, refused.line)
        except TimeoutError:
            if not started:
                await _refuse(guarded, 503, f"no answer within {self.limits.answering:.0f} s: ask for less")

    def _check(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not self._ours(host):
            raise RefusedError(421, "this Host is not ours: open the address that the command told")
        if len(scope["path"]) + len(scope["query_string"]) > ADDRESS:
            raise RefusedError(414, f"an address of more than {ADDRESS} bytes: ask for less")
        own = headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
        opening = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if not (own or (opening and scope["method"] in READS)):
            raise RefusedError(403, "another site's page asks: only our own may")
        origin = headers.get("origin")
        if scope["method"] not in READS and origin not in {f"http://{host}", f"https://{host}"}:
            raise RefusedError(403, f"what changes anything must have the header Origin: http://{host}")

    def _ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name.lower() in self.names
        return True

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] in READS:
            return b""
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.sending):
                while True:
                    message = await receive()
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.limits.body:
                        raise RefusedError(413, f"more than {self.limits.body} bytes: send less")
                    if message["type"] == "http.disconnect" or not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise RefusedError(408, f"not all there after {self.limits.sending:.0f} s: send it faster") from None


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def call() -> Message:
        return left.pop() if left else await receive()

    return call


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
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
