"""Who writes to production while a run is disturbed: few ask the traffic switch, most go in directly, by several roles."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psycopg
from support.clients import INSERT, Client, Crowd, Reconnecting, crowd
from support.night import Night
from support.production import Photograph, photograph
from support.quick_logins import make_quick
from support.servers import Cluster

OWNER, CRON, SMOKE = "app_dba", "app_cron", "app_smoke"
WRITTEN = ("store.log", "store.log_id_seq")
PAUSE_SECONDS = 0.05  # a daemon has to have its share of a small machine
PER_KIND = {"reconnecting": 2, "connecting_slowly": 1, "pooled": 2}
GRANTS = f"""
GRANT USAGE ON SCHEMA store TO {CRON};
GRANT INSERT ON store.log TO {CRON};
GRANT USAGE ON SEQUENCE store.log_id_seq TO {CRON};
"""


def add_logins(cluster: Cluster) -> None:
    """A member of the owner, a job with a role of its own, and the role of the smoke tests."""
    for role in (OWNER, CRON, SMOKE):
        cluster.postgres.add_login(role)
    make_quick(cluster.postgres, (OWNER, CRON, SMOKE))
    cluster.execute(f"GRANT app_owner TO {OWNER}")


def admit(night: Night, *, written: bool) -> None:
    """Before the run: what the night is compared with afterwards has their grants."""
    night.cluster.execute(GRANTS, "app")
    night.before = photograph_without_lines(night, written=written)


def photograph_without_lines(night: Night, *, written: bool) -> Photograph:
    """Where somebody writes, without what is written."""
    return photograph(night.cluster, without_rows_of=WRITTEN if written else ())


class ThroughTheSwitch(Reconnecting):
    """Writes only while the traffic switch is open, and keeps no session beyond it."""

    def __init__(self, url: str, door: Path) -> None:
        super().__init__(url)
        self._door = door

    def __call__(self, line: str) -> None:
        if not self._door.exists():
            self.close()
            raise ConnectionError("the door is closed")
        super().__call__(line)


class Holding(Reconnecting):
    """Commits only after it has held a lock for a while: a batch job, or somebody at a console."""

    def __init__(self, url: str, lock: str, seconds: float) -> None:
        super().__init__(url, writes=3)
        self._lock, self._seconds = lock, seconds

    def _insert(self, conn: psycopg.Connection, line: str) -> None:
        with conn.transaction():
            conn.execute(INSERT, (line,))
            conn.execute(f"LOCK TABLE {self._lock} MODE".encode())
            time.sleep(self._seconds)


def _others(night: Night, chance: random.Random) -> list[Client]:
    door, url = night.folder / "systems" / "door.door", night.cluster.url
    return [
        *(Client(f"switch-{n}", ThroughTheSwitch(url(user="app_user"), door)) for n in range(2)),
        Client("holding-0", Holding(url(user="app_user"), "store.machine IN ROW EXCLUSIVE", chance.uniform(0.1, 1.5))),
        Client("owner-0", Holding(url(user=OWNER), "store.machine IN ACCESS EXCLUSIVE", chance.uniform(0.0, 0.5))),
        Client("owner-1", Reconnecting(url(user=OWNER))),
        Client("cron-0", Reconnecting(url(user=CRON), writes=1)),
        Client("cron-1", Reconnecting(url(user=CRON))),
    ]


@contextmanager
def writing(night: Night, seed: int) -> Iterator[Crowd]:
    """All kinds at once."""
    with crowd(night.cluster, **PER_KIND, others=_others(night, random.Random(seed))) as everybody:
        for client in everybody.clients:
            client.pause_seconds = PAUSE_SECONDS
        everybody.wait_until_all_write(30)
        yield everybody


def nobody_writes() -> nullcontext[Crowd]:
    return nullcontext(Crowd([]))


def lines_in(cluster: Cluster, database: str) -> set[str]:
    """What clients wrote there; the database may be closed."""
    cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    return {line for (line,) in cluster.execute("SELECT line FROM store.log WHERE line !~ '^x'", database)}
