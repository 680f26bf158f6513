"""What a plan's draft has to know of a live database; read-only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from cutoverd.daemon.host.environment import set_aside_for_libpq
from cutoverd.daemon.postgres.session import pins

SESSION = {**pins.OURS, pins.READ_ONLY: "on", "statement_timeout": "60000", "lock_timeout": "5000"}
TABLES = Path(__file__).with_name("introspect.sql").read_bytes()
DATABASE = "SELECT current_database(), current_setting('server_version'), pg_database_size(current_database())"


@dataclass(frozen=True)
class TableShape:
    """`name` and `columns` quoted as SQL wants them; `key` as the plan does, empty if nothing tells one row from another."""

    name: str
    shown: str
    rows: int  # as the planner thinks; -1 if it was never analysed
    columns: list[str]
    key: list[str]


@dataclass(frozen=True)
class DatabaseShape:
    """A database."""

    name: str
    version: str
    size_bytes: int
    tables: list[TableShape]


def introspect(url: str) -> DatabaseShape:
    """Raises psycopg.Error."""
    conninfo = make_conninfo(url, application_name="cutoverd-plan", connect_timeout=10, options=pins.at_start(SESSION))
    set_aside_for_libpq()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(*pins.afterwards({**pins.since(conn.info.server_version), **SESSION}))
        tables = [
            TableShape(name, shown, rows, columns or [], key or []) for name, shown, rows, columns, key in conn.execute(TABLES)
        ]
        name, version, size = conn.execute(DATABASE).fetchone() or ("", "", 0)
    return DatabaseShape(name, version, size, tables)
