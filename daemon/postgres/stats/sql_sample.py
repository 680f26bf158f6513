"""A check of Monitor by SQL: one number, or one boolean, from production, in a transaction that can write nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.errors import DataError, IntegrityError

from cutoverd.daemon.postgres.session.pins import READ_ONLY
from cutoverd.daemon.postgres.session.reach import primary_message
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.check_rules import Sample
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import AttemptId


@dataclass(frozen=True)
class SqlSample:
    """As the daemon's role; a session of its own each time, so that a server that came back is seen at once."""

    server: Server
    query: str
    wants_number: bool

    async def sample(self, attempt_id: AttemptId, seconds: float) -> Sample:
        """The one value that the query gives; raises `CheckFailed` in words without the query."""
        try:
            row = await self._row(seconds)
        except psycopg.Error as error:
            raise CheckFailed(_format_error(error)) from error
        return _number(row) if self.wants_number else _boolean(row)

    async def _row(self, seconds: float) -> list[tuple[Any, ...]]:
        limits = {READ_ONLY: "on", "statement_timeout": f"{max(1, round(seconds * 1000))}"}
        conn = await self.server.connect(self.server.names.production, settings=limits, of_plan=True)
        try:
            # prepared: that can only be one statement, so none before it lifts the limits
            return await (await conn.execute(self.query.encode(), prepare=True)).fetchmany(2)
        finally:
            await conn.close()


def _format_error(error: psycopg.Error) -> str:
    """Errors about data quote the data, which is nobody's business."""
    if isinstance(error, (DataError, IntegrityError)):
        return f"SQLSTATE {error.sqlstate} ({type(error).__name__})"
    return f"PostgreSQL says: {primary_message(error)}"


def _only(rows: list[tuple[Any, ...]], expected: str) -> Any:
    if len(rows) != 1 or len(rows[0]) != 1:
        columns = f" of {len(rows[0])} columns" if rows else ""
        raise CheckFailed(
            f"saw {'no' if not rows else 'more than one' if len(rows) > 1 else 'one'} row{columns}, expected {expected}"
        )
    return rows[0][0]


def _number(rows: list[tuple[Any, ...]]) -> Sample:
    value = _only(rows, "one number")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not math.isfinite(value):
        raise CheckFailed(f"saw {_kind(value)}, expected one number")
    return Sample(True, float(value), f"{float(value):g}")


def _boolean(rows: list[tuple[Any, ...]]) -> Sample:
    value = _only(rows, "one boolean")
    if not isinstance(value, bool):
        raise CheckFailed(f"saw {_kind(value)}, expected one boolean; a number needs `above` or `below`")
    return Sample(value, None, str(value).lower())


def _kind(value: Any) -> str:
    return "NULL" if value is None else "a number that is none" if isinstance(value, (float, Decimal)) else type(value).__name__
