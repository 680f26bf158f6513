"""A connection that notices a dead server in 3 s, comes back by itself and says why it could not."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import nats.aio.client
import nats.errors
from nats.js import JetStreamContext

from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.bus.outage_log import Outage
from cutoverd.daemon.bus.wire import TolerantClient
from cutoverd.daemon.host.cancellation import cancel_all, deadline, run_to_completion
from cutoverd.daemon.host.log import Logger

log = Logger(__name__)

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 2.0
REQUEST_SECONDS = 2.0
# docs/measured.md, "A dead server"
SETTINGS: dict[str, Any] = {
    "connect_timeout": 2,
    "pending_size": 0,  # a publish while disconnected is an error now, not a message later
    "ping_interval": 1,
    "max_outstanding_pings": 2,
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.25,
}
REFUSES = "authorization violation"
# What nats-py raises when the server is away, slow or unsure. A publish that ended so may still be stored later.
DOUBT = (nats.errors.Error, TimeoutError, OSError)


@dataclass
class Client:
    """A NATS connection, its JetStream context, and what the server complained about."""

    nc: nats.aio.client.Client
    js: JetStreamContext
    complaints: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=20))  # (monotonic seconds, text)
    closing: bool = False  # by us: then a lost connection is no news
    outage: Outage = field(default_factory=lambda: Outage("nats_error", "nats_answers"))

    def forbidden(self, subject: str, since: float = 0.0) -> str:
        """The last permission violation that names `subject` (or starts with it, if it ends with a dot) since then.

        `since` is of the monotonic clock. To the caller a violation looks like a time-out: the server tells the
        connection, not the request.
        """
        quoted = f'"{subject}' if subject.endswith(".") else f'"{subject}"'
        texts = (text for at, text in reversed(self.complaints) if at >= since)
        return next((text for text in texts if quoted.lower() in text.lower()), "")

    def explain(self, error: BaseException, since: float) -> str:
        """The error in words, with what the server said about the API subjects it may come from."""
        violation = self.forbidden("$JS.API.", since)
        return f"{str(error) or repr(error)}{f' ({violation})' if violation else ''}"

    @property
    def has_jetstream(self) -> bool:
        """Whether the server that we are connected to says so; another of its cluster may have it all the same."""
        return bool(self.nc._server_info.get("jetstream"))

    @property
    def asks_for_login(self) -> bool:
        """Whether the server wants to know of everybody who he is."""
        return bool(self.nc._server_info.get("auth_required"))

    @property
    def server_name(self) -> str:
        """Its address, without a password."""
        url = self.nc.connected_url
        return _bare(url.geturl()) if url else "that we are connected to"

    async def close(self) -> None:
        """Close, even if the server does not read any more; nothing of it goes on afterwards."""
        self.closing = True
        await run_to_completion(self._close())

    async def _close(self) -> None:
        closing = asyncio.create_task(self.nc.close())  # apart from us: the cancel of a reconnection may come out of it
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        if closing.done() and not closing.cancelled():
            closing.exception()  # where it was given up before it began, an assertion: say a file that is not there
        await cancel_all(lambda: [closing, *self._tasks()])
        if writer := getattr(self.nc._transport, "_io_writer", None):
            writer.transport.abort()
            await asyncio.sleep(0)  # the transport closes its socket now

    def _tasks(self) -> list[asyncio.Task[Any] | None]:
        """All that nats-py has begun for this connection: docs/measured.md, "What nats-py leaves undone"."""
        nc = self.nc
        readers = [subscription._wait_for_msgs_task for subscription in nc._subs.values()]
        return [nc._reconnection_task, nc._reading_task, nc._ping_interval_task, nc._flusher_task, *readers]


async def connect(
    servers: str | Sequence[str],
    *,
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    credentials_file: str | None = None,
    tls: ssl.SSLContext | None = None,
    inbox_prefix: str = "_INBOX",
    name: str = "cutoverd",
    timeout_seconds: float = CONNECT_SECONDS,
) -> Client:
    """Connect to one server of a cluster, or to the only one; raises `Unreachable` with the last error seen."""
    urls = [servers] if isinstance(servers, str) else list(servers)
    nc = TolerantClient()
    client = Client(nc, nc.jetstream(timeout=REQUEST_SECONDS))
    login: dict[str, Any] = {"user": user, "password": password, "token": token, "user_credentials": credentials_file, "tls": tls}
    # apart from us: it tries for ever, and a cancel that it lost would be heard by nobody
    connecting = asyncio.create_task(
        nc.connect(urls, name=name, inbox_prefix=inbox_prefix, **login, **SETTINGS, **_callbacks(client))
    )
    try:
        async with deadline(timeout_seconds):
            await asyncio.shield(connecting)
    except BaseException as reason:
        await run_to_completion(cancel_all(lambda: [connecting]))
        await client.close()
        if isinstance(reason, DOUBT):
            raise Unreachable(_unreachable(urls, timeout_seconds, client, reason)) from None
        raise
    client.outage.is_over()
    return client


def _callbacks(client: Client) -> dict[str, Any]:
    """All that nats-py tells, by the names of its options."""
    listener = Listener(client)
    return {
        "error_cb": listener.error,
        "disconnected_cb": listener.disconnected,
        "reconnected_cb": listener.reconnected,
        "closed_cb": listener.closed,
        "discovered_server_cb": listener.discovered,
        "lame_duck_mode_cb": listener.shuts_down,
    }


class Listener:
    """What nats-py tells of a connection as log lines; and its errors kept, to explain a later time-out."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def error(self, reason: Exception) -> None:
        client, message = self._client, str(reason) or repr(reason)
        client.complaints.append((time.monotonic(), str(reason)))
        if client.closing and isinstance(reason, nats.errors.UnexpectedEOF):
            return  # the server went: no news
        if client.nc.is_connected:
            log.warning("nats_error", error=message)
        elif not client.closing:
            client.outage.goes_on(error=message)

    async def disconnected(self) -> None:
        if not self._client.closing:
            log.warning("nats_disconnected")

    async def reconnected(self) -> None:
        self._client.outage.is_over()
        url = self._client.nc.connected_url
        if not self._client.closing:
            log.info("nats_reconnected", server=_bare(url.geturl()) if url else "")

    async def closed(self) -> None:
        if not self._client.closing:
            log.warning("nats_closed")

    async def discovered(self) -> None:
        log.info("nats_discovered_server")

    async def shuts_down(self) -> None:
        log.warning("nats_server_shuts_down")


def _unreachable(urls: Sequence[str], seconds: float, client: Client, reason: BaseException) -> str:
    """The last that was said. A server that refuses us says why, and then closes: that it was closed may come instead."""
    complaints = [text for _, text in reversed(client.complaints)]
    nothing = "no answer" if isinstance(reason, TimeoutError) else str(reason)
    last = next((text for text in complaints if REFUSES in text.lower()), complaints[0] if complaints else nothing)
    return f"no NATS server of {', '.join(map(_bare, urls))} answered within {seconds:g} s: {last}"


def _bare(url: str) -> str:
    """The address without its password."""
    return urlsplit(url if "://" in url else f"nats://{url}").netloc.rpartition("@")[2]
