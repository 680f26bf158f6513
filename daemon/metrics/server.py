"""`/metrics` over HTTP, and who asks: the last state of a run is worth nothing if the daemon is gone before anybody saw it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Condition, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

LONGEST_LINGER_SECONDS = 60.0
FAVICON = "/favicon.ico"


class Scrapes:
    """How often the metrics were asked for, and when; told by the server's threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._condition = Condition()
        self._at: list[float] = []  # the last two, oldest first
        self.count = 0

    def note(self) -> None:
        with self._condition:
            self.count += 1
            self._at = [*self._at[-1:], self._clock()]
            self._condition.notify_all()

    @property
    def seconds_ago(self) -> float | None:
        """Since the last one; None if there was none."""
        return self._clock() - self._at[-1] if self._at else None

    @property
    def linger_seconds(self) -> float:
        """How long the next scrape may take: twice the interval seen, a minute at most; 0 if nobody asks regularly."""
        if len(self._at) < 2:
            return 0.0
        return min(2 * (self._at[1] - self._at[0]), LONGEST_LINGER_SECONDS)

    def wait_for_one_more(self) -> bool:
        """Whether one came in that time."""
        with self._condition:
            before = self.count
            return self._condition.wait_for(lambda: self.count > before, timeout=self.linger_seconds)


@contextmanager
def served(registry: CollectorRegistry, listen: str | None) -> Iterator[Scrapes]:
    """On host:port for as long as the block lasts; without an address nothing is served. Raises OSError, OverflowError."""
    scrapes = Scrapes()
    if listen is None:
        yield scrapes
        return
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    server = make_server(host, int(port), _counted(make_wsgi_app(registry), scrapes), _server_for(host), _Quiet)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield scrapes
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def _counted(app: Callable[..., Any], scrapes: Scrapes) -> Callable[..., Any]:
    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        answered = app(environ, start_response)
        if environ.get("PATH_INFO") != FAVICON:
            scrapes.note()
        return answered

    return answer


def _server_for(host: str) -> type[WSGIServer]:
    class Server(ThreadingMixIn, WSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True  # a scrape that hangs keeps nobody

    return Server


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is no news."""
