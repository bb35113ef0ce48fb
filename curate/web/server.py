"""A socket, and uvicorn on it, until somebody presses Ctrl-C."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from curate.system.errors import NurieError
from curate.web.guard import Application, RequestGuard, RequestLimits

MAX_CONNECTIONS = 64
HEAD_TIMEOUT_S = 10.0  # s in which a request's first lines must have come
MAX_HEAD_BYTES = 16 << 10
WILDCARD_HOSTS = ("0.0.0.0", "::")  # noqa: S104  # what people may ask for


class HeadTimeoutProtocol(H11Protocol):
    """Closes a connection that begins a request and does not come to its point."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request's first lines."""
        super().data_received(data)
        if getattr(self.cycle, "response_complete", True):  # it is None before the first request
            self._start_head_timer()
        else:
            self._cancel_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._cancel_head_timer()
        super().connection_lost(exc)

    def _start_head_timer(self) -> None:
        self._head_timer = self._head_timer or asyncio.get_running_loop().call_later(
            HEAD_TIMEOUT_S, self.transport.close
        )

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def own_host_names(host: str) -> Sequence[str]:
    """Host names by which a server that listens on `host` may be asked for, beside addresses and localhost."""
    return [socket.gethostname()] if host in WILDCARD_HOSTS else [host]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on a host and port; port 0 takes a free one. Raises NurieError if it cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
        # asyncio does it for sockets alone that tell their protocol; else each answer waits 40 ms for the client's word
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NurieError(f"cannot listen on port {port} of {host} ({reason}): give another --port or --host") from None


def browser_url(listening: socket.socket) -> str:
    """What to open in a browser on this machine."""
    host, port = listening.getsockname()[:2]
    shown = "localhost" if host in WILDCARD_HOSTS else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


def make_server(app: Application, host: str, limits: RequestLimits | None = None) -> uvicorn.Server:
    """A server of guarded requests, for who asks it by `host`, an address or localhost."""
    config = uvicorn.Config(
        RequestGuard(app, own_host_names(host), limits),
        http=HeadTimeoutProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def serve(app: Application, listening: socket.socket, host: str, limits: RequestLimits | None = None) -> None:
    """Answer requests until Ctrl-C."""
    try:
        make_server(app, host, limits).run(sockets=[listening])
    except KeyboardInterrupt:  # how uvicorn passes Ctrl-C on, once it has ended
        pass
    finally:
        listening.close()
