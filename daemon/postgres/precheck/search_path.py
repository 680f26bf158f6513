"""Checks, indexes and generated columns that call a function without a search_path of its own: a restore has an empty one.

Whether they work then is tried, not guessed: on one row of their table, read-only, as the owner of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection, primary_message

SECONDS = 5
NOT_FOUND = ("42P01", "42883", "42704", "3F000", "42P02")
CALLERS = Path(__file__).with_suffix(".sql").read_bytes()


@dataclass(frozen=True)
class Caller:
    """What calls such functions, where."""

    what: str
    relation: str
    expression: str
    owner: str
    functions: list[str]
    schema: str
    query: str  # of a materialized view
    by_us: bool  # our role may become the owner

    @property
    def probe(self) -> str:
        if self.query:
            return f"SELECT * FROM ({self.query.rstrip('; ')}) AS q LIMIT 1"  # noqa: S608 - as the catalog has it
        return f"SELECT {self.expression} FROM ONLY {self.relation} LIMIT 1"  # noqa: S608

    def says(self, error: psycopg.Error) -> str:
        path = f"SET search_path = {self.schema}, pg_temp"
        remedies = "; ".join(f"ALTER FUNCTION {function} {path}" for function in self.functions)
        return (
            f"{self.what} on {self.relation} calls {', '.join(self.functions)}, which finds nothing under the empty search_path "
            f"of a restore ({primary_message(error)}), so the dump would not restore: {remedies}"
        )


async def fail_without_path(conn: Connection) -> list[str]:
    """Reasons; `conn` is in production, in a transaction that is read-only and will be rolled back."""
    await conn.execute("SET LOCAL search_path = ''")
    await conn.execute(f"SET LOCAL statement_timeout = '{SECONDS}s'")
    callers = [Caller(*row) for row in await fetch_all(conn, CALLERS)]
    return [reason for caller in callers if caller.by_us and (reason := await _tried(conn, caller))]


async def _tried(conn: Connection, caller: Caller) -> str:
    """Why it does not work; "" if it does, or where that does not show by it."""
    try:
        async with conn.transaction(force_rollback=True):
            await conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(caller.owner)))
            await conn.execute(caller.probe.encode())
    except psycopg.Error as error:
        if conn.closed:
            raise
        return caller.says(error) if error.sqlstate in NOT_FOUND else ""
    return ""
