"""Clients that write to production whatever happens to it, and remember which writes were acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg_pool import ConnectionPool
from support.servers import Cluster

INSERT = "INSERT INTO store.log (line) VALUES (%s)"
PAUSE_SECONDS = 0.01
JOIN_SECONDS = 15.0


@dataclass
class Client:
    """One thread; `acknowledged` holds the lines whose INSERT returned."""

    name: str
    write: Callable[[str], None]
    acknowledged: list[str] = field(default_factory=list)
    attempts: int = 0
    pause_seconds: float = PAUSE_SECONDS

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            line = f"{self.name}-{self.attempts}"
            self.attempts += 1
            with suppress(psycopg.Error, OSError):
                self.write(line)
                self.acknowledged.append(line)
            time.sleep(self.pause_seconds)


class Reconnecting:
    """Keeps a session for twenty writes, then takes a new one; and a new one after each error."""

    def __init__(self, url: str, options: str = "", writes: int = 20) -> None:
        self._url, self._options, self._writes = url, options, writes
        self._conn: psycopg.Connection | None = None
        self._left = 0

    def __call__(self, line: str) -> None:
        try:
            if self._conn is None or self._left == 0:
                self.close()
                self._conn = psycopg.connect(self._url, autocommit=True, connect_timeout=10, options=self._options)
                self._left = self._writes
            self._left -= 1
            self._insert(self._conn, line)
        except psycopg.Error:
            self.close()
            raise

    def _insert(self, conn: psycopg.Connection, line: str) -> None:
        conn.execute(INSERT, (line,))

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
        self._conn = None


class Pooled:
    """Borrows from a pool that fills itself up again for ever."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def __call__(self, line: str) -> None:
        with self._pool.connection(timeout=1) as conn:
            conn.execute(INSERT, (line,))


@dataclass
class Crowd:
    clients: list[Client]

    @property
    def acknowledged(self) -> list[str]:
        return [line for client in self.clients for line in client.acknowledged]

    def wait_until_all_write(self, seconds: float) -> None:
        """Each has another write acknowledged."""
        before = [len(client.acknowledged) for client in self.clients]
        deadline = time.monotonic() + seconds
        while silent := [c.name for c, n in zip(self.clients, before, strict=True) if len(c.acknowledged) == n]:
            assert time.monotonic() < deadline, f"no write acknowledged for {silent}"
            time.sleep(0.02)


@contextmanager
def crowd(
    cluster: Cluster, *, reconnecting: int = 16, connecting_slowly: int = 3, pooled: int = 4, others: Sequence[Client] = ()
) -> Iterator[Crowd]:
    """Some reconnect in a loop, some are slow to connect, some are on a pool that never lets go; and whoever else is named."""
    url = cluster.url(user="app_user")
    pool = ConnectionPool(
        url, min_size=pooled, max_size=pooled, kwargs={"autocommit": True}, reconnect_timeout=3600, timeout=1, open=True
    )
    fast = [Reconnecting(url) for _ in range(reconnecting)]
    slow = [Reconnecting(url, "-c post_auth_delay=1", writes=1) for _ in range(connecting_slowly)]
    everybody = Crowd(
        [Client(f"fast-{n}", write) for n, write in enumerate(fast)]
        + [Client(f"slow-{n}", write) for n, write in enumerate(slow)]
        + [Client(f"pooled-{n}", Pooled(pool)) for n in range(pooled)]
        + list(others)
    )
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(stop,), name=client.name) for client in everybody.clients]
    for thread in threads:
        thread.start()
    try:
        yield everybody
    finally:
        stop.set()
        for thread in threads:
            thread.join(JOIN_SECONDS)
        pool.close()
        for writer in (*fast, *slow, *(other.write for other in others)):
            if isinstance(writer, Reconnecting):
                writer.close()
        assert not any(thread.is_alive() for thread in threads)
