"""A listening socket and a guarded uvicorn server on it, until Ctrl-C."""

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
HEAD_TIMEOUT_S = 10.0  # seconds until the head of a request must have arrived
MAX_HEAD_BYTES = 16 << 10
WILDCARD_HOSTS = ("0.0.0.0", "::")  # noqa: S104  # users may ask for these


class HeadTimeoutProtocol(H11Protocol):
    """HTTP protocol that closes a connection whose request head takes too long."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start waiting for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Keep waiting until the head of a request is complete."""
        super().data_received(data)
        if getattr(self.cycle, "response_complete", True):  # it is None before the first request
            self._start_head_timer()
        else:
            self._cancel_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
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
    """Whether a host name or address is reachable only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def own_host_names(host: str) -> Sequence[str]:
    """Return the host names of a server that listens on `host`, beside IP addresses and localhost."""
    return [socket.gethostname()] if host in WILDCARD_HOSTS else [host]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port; 0 is any free port. Raises NurieError if that is impossible."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
        # asyncio sets this only if the socket names its protocol; without it, answers wait 40 ms for a TCP ACK
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NurieError(f"cannot listen on port {port} of {host} ({reason}): give another --port or --host") from None


def browser_url(listening: socket.socket) -> str:
    """Return the URL to open in a browser on this machine."""
    host, port = listening.getsockname()[:2]
    shown = "localhost" if host in WILDCARD_HOSTS else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


def make_server(app: Application, host: str, limits: RequestLimits | None = None) -> uvicorn.Server:
    """Return a server that guards `app` and accepts requests to `host`, IP addresses and localhost."""
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
    """Serve requests on a socket until Ctrl-C."""
    try:
        make_server(app, host, limits).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises it again after its shutdown
        pass
    finally:
        listening.close()
