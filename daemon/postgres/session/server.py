"""How every session of ours reaches the server: who it is, and what it must never leave behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cutoverd.daemon.postgres.session.connect import connect
from cutoverd.daemon.postgres.session.names import LEDGER, Names

# client_connection_check_interval: the server ends what a killed client had begun; row_security=off: a hidden row is an
# error, not a smaller count; synchronous_commit=on: an acknowledged ledger row survives a crash.
# docs/measured.md, "A client that was killed"; docs/measured.md, "Row security"; docs/measured.md, "Acknowledged by the ledger"
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
    home: str = LEDGER  # where sessions go that are about no database in particular
    read_only: bool = False  # its sessions can write nothing
    reach_seconds: float = 30.0  # a server that crashed recovers meanwhile; the way back must not fail because of it
    on_trial: bool = False  # its four names are those around the scratch database

    @property
    def names(self) -> Names:
        names = Names(str(conninfo_to_dict(self.url)["dbname"]))
        return names.of_trial if self.on_trial else names

    @property
    def application_name(self) -> str:
        return f"cutoverd/{self.run}/{self.epoch}"

    def tool(self, name: str) -> str:
        return str(self.bin_dir / name) if self.bin_dir else name

    async def connect(
        self, database: str = "", *, settings: Mapping[str, str] | None = None, autocommit: bool = True
    ) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """A session on `database`, at home without one, in autocommit unless said otherwise; raises psycopg.OperationalError."""
        return await connect(self.conninfo(database or self.home, settings), autocommit=autocommit)

    def conninfo(self, database: str, settings: Mapping[str, str] | None = None) -> str:
        """Also for `-d` of psql and its like: a libpq service would beat what only their environment says, the database too."""
        return make_conninfo(
            self.url,
            dbname=database,
            application_name=self.application_name,
            connect_timeout=CONNECT_SECONDS,
            options=options({**SESSION, **(settings or {})}),
        )

    def environment(self) -> dict[str, str]:
        """Of a libpq child: secrets stay where libpq finds them."""
        return {**os.environ, "PGCLIENTENCODING": "UTF8"}


def options(settings: Mapping[str, str]) -> str:
    """`-c name=value …` as libpq's options want it, blanks and backslashes escaped."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
