"""How every session of ours reaches the server: who it is, and what it must never leave behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cutoverd.daemon.postgres.names import LEDGER, Names

# client_connection_check_interval: the server ends what a killed client had begun; row_security=off: a hidden row is an
# error, not a smaller count; synchronous_commit=on: an acknowledged ledger row survives a crash.
SESSION = {"client_connection_check_interval": "500", "row_security": "off", "synchronous_commit": "on"}
CONNECT_SECONDS = 10


@dataclass(frozen=True)
class Server:
    """One cluster as the daemon of one run and epoch sees it."""

    url: str  # of production; libpq adds what it leaves out (PGPASSFILE, PGSERVICEFILE, …); never a password
    run: str
    epoch: int
    folder: Path  # of this run, in state_dir: wrapper scripts, dumps, differing keys
    bin_dir: Path | None = None  # of psql, pg_dump, pg_restore; None: the PATH's

    @property
    def names(self) -> Names:
        return Names(str(conninfo_to_dict(self.url)["dbname"]))

    @property
    def application_name(self) -> str:
        return f"cutoverd/{self.run}/{self.epoch}"

    def tool(self, name: str) -> str:
        return str(self.bin_dir / name) if self.bin_dir else name

    async def connect(
        self, database: str = LEDGER, *, settings: Mapping[str, str] | None = None, autocommit: bool = True
    ) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """A session on `database`, in autocommit unless said otherwise; raises psycopg.OperationalError."""
        conninfo = make_conninfo(
            self.url,
            dbname=database,
            application_name=self.application_name,
            connect_timeout=CONNECT_SECONDS,
            options=options({**SESSION, **(settings or {})}),
        )
        return await psycopg.AsyncConnection.connect(conninfo, autocommit=autocommit)

    def environment(self, database: str, settings: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a libpq child (psql, pg_dump); secrets stay where libpq finds them, never in argv."""
        given = {f"PG{_ENV.get(k, k.upper())}": str(v) for k, v in conninfo_to_dict(self.url).items() if k != "dbname"}
        ours = {
            "PGDATABASE": database,
            "PGAPPNAME": self.application_name,
            "PGCLIENTENCODING": "UTF8",
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
            "PGOPTIONS": options({**SESSION, **(settings or {})}),
        }
        return {**os.environ, **given, **ours}


_ENV = {"sslmode": "SSLMODE", "connect_timeout": "CONNECT_TIMEOUT", "service": "SERVICE", "passfile": "PASSFILE"}


def options(settings: Mapping[str, str]) -> str:
    """`-c name=value …` as libpq's options want it, blanks and backslashes escaped."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
