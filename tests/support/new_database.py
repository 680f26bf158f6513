"""A new database as build_new leaves it, for tests of what runs in it: the ledger beside it, fence and step_log inside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from support.servers import Cluster

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.scripts.scripts import DataScript, PsqlScripts
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.ports import AttemptId, Direction

SETUP = """
SET ROLE app_owner;
CREATE TABLE public.witness (name text);  -- without a key: whoever runs twice is counted twice
INSERT INTO cutoverd.fence VALUES ('r1', 1);
"""


@dataclass
class Site:
    """Production, new, and a folder with SQL files."""

    cluster: Cluster
    server: Server
    folder: Path

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def attempt_id(self, step: str, epoch: int = 1) -> AttemptId:
        return AttemptId("r1", epoch, step, Direction.FORWARD, f"event of {step}")

    def scripts(
        self, schema: Sequence[Path], data: Sequence[DataScript] = (), *, step: str = "", server: Server | None = None, **how: Any
    ) -> PsqlScripts:
        """`step`: a data script of that name, to be probed."""
        probed = [DataScript(step, self.folder / "none.sql")] if step else []
        return PsqlScripts(server or self.server, schema, [*data, *probed], cwd=self.folder, **how)

    def execute(self, query: str, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        return self.cluster.execute(query, dbname)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.cluster.execute(query, "app_next")

    def witness(self, name: str) -> str:
        return f"INSERT INTO public.witness VALUES ('{name}');\n"

    def witnessed(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT name FROM public.witness ORDER BY name")]

    def backends(self) -> list[tuple[Any, ...]]:
        """What our sessions on new do."""
        return self.execute(
            "SELECT pid, query FROM pg_stat_activity WHERE datname = 'app_next' AND application_name LIKE 'cutoverd/%'"
        )

    async def until_running(self, text: str) -> int:
        """The pid of our session on new that runs a query with that text in it."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                for pid, query in self.backends():
                    if text in query:
                        return int(pid)
            except psycopg.OperationalError:
                pass
            await asyncio.sleep(0.02)
        raise AssertionError(f"no session of ours ran {text!r}")


async def make_site(cluster: Cluster, folder: Path) -> Site:
    server = cluster.server(folder=folder / "state")
    await ledger.prepare(server)
    await ledger.acquire_fence(server)
    cluster.execute("CREATE DATABASE app_next OWNER app_owner")
    tables = ledger.STEP_TABLES.read_text()
    cluster.execute(f"SET ROLE app_owner; {tables} {SETUP}", "app_next")
    return Site(cluster, server, folder)
