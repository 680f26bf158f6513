"""Named queries timed on old and on new: warm, in turns, so that what disturbs one side disturbs the other as well."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg

from cutoverd.daemon.postgres.compare.columns import columns, subquery
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import explained
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.validation.timings import Timings
from cutoverd.states.errors import CheckFailed, TimedOut
from cutoverd.states.ports import Evidence

WARM_UPS = 2  # the first reads from the disk, and sets on new what only a first reader sets


@dataclass(frozen=True)
class TimedQuery:
    """One question, asked of old and of new in the words of each."""

    name: str
    old: str
    new: str
    no_slower_than: float  # times as long as on old
    same_rows: bool = True  # both give as many rows


class OldIsLate(TimedOut):
    """the query did not end within its time on old: there is nothing to hold new against"""


@dataclass(frozen=True)
class Side:
    """A query on one database."""

    what: str  # "query fleet overview, on old"
    connection: Connection
    query: str
    seconds_max: float
    late: type[TimedOut] = TimedOut

    async def run(self) -> tuple[float, int]:
        """Seconds, and rows; all of them come here, as to a client, and none is kept. Raises `late` after `seconds_max`."""
        began = time.perf_counter()
        with explained(self.what):
            try:
                rows = await self._read()
            except psycopg.errors.QueryCanceled as error:
                if time.perf_counter() - began < self.seconds_max:  # somebody else ended it
                    raise
                raise self.late(f"{self.what} did not end within {self.seconds_max:g} s") from error
        return time.perf_counter() - began, rows

    async def _read(self) -> int:
        async with self.connection.cursor() as cursor:
            async with cursor.copy(f"COPY {subquery(self.query)} TO STDOUT".encode()) as rows:
                async for _ in rows:
                    pass
            return cursor.rowcount


async def check_query(server: Server, query: TimedQuery, *, old: str, seconds_max: float) -> Evidence:
    """{"columns": how many, "old_ms": asked once}, or a warning in its place where that takes longer than `seconds_max`.

    Raises `CheckFailed` where it is not one plain query that the database `old` can be asked.
    """
    async with _asking(server, old, seconds_max) as connection:
        side = Side(f"query {query.name}, on old", connection, query.old, seconds_max)
        with explained(side.what):
            asked = {"columns": len(await columns(connection, query.old))}
        try:
            seconds, _ = await side.run()
        except TimedOut as late:
            consequence = "Validate has new alone to judge, and only by that time; raise timeouts.query"
            return {**asked, "warnings": [f"{late}: {consequence}"]}
        return {**asked, "old_ms": round(seconds * 1000, 2)}


async def time_query(server: Server, query: TimedQuery, *, old: str, new: str, seconds_max: float) -> Evidence:
    """{"old_ms", "new_ms": {"median", "fastest", "slowest"}, "ratio", "rounds", "allowed", "rows_old", "rows_new"}.

    `old`, `new`: names of databases; `seconds_max`: of one repetition. Raises `CheckFailed` with the same evidence. Where old
    does not end in time, new has to: {"old": in words, "new_ms", "rows_new", "warnings"}.
    """
    async with _asking(server, old, seconds_max) as on_old, _asking(server, new, seconds_max) as on_new:
        of_old = Side(f"query {query.name}, on old", on_old, query.old, seconds_max, OldIsLate)
        of_new = Side(f"query {query.name}, on new", on_new, query.new, seconds_max)
        for side in (of_old, of_new):
            with explained(side.what):
                await columns(side.connection, side.query)  # one plain query
        try:
            rows = await _warm(query, of_old, of_new)
            timings = await _measured(of_old, of_new)
        except OldIsLate as late:
            return await _new_alone(of_new, late)
    evidence = {**timings.evidence, "allowed": query.no_slower_than, **rows}
    if timings.is_slower_than(query.no_slower_than):
        raise CheckFailed(
            f"query {query.name}: {timings}: {timings.ratio:.3g} times as long, the plan allows {query.no_slower_than:g}",
            hint=f"look at EXPLAIN (ANALYZE) of it on {new}: is an index missing, or was nothing vacuumed after the load?",
            evidence=evidence,
        )
    return evidence


@asynccontextmanager
async def _asking(server: Server, database: str, seconds_max: float) -> AsyncIterator[Connection]:
    """A session with the settings that a client of the database gets, read-only, in one snapshot."""
    async with session(server, database, of_plan=True) as connection, connection.transaction(force_rollback=True):
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await connection.execute(f"SET LOCAL statement_timeout = {int(seconds_max * 1000)}".encode())
        await connection.execute("SELECT 1")  # from here on the transaction cannot be made writable
        yield connection


async def _warm(query: TimedQuery, old: Side, new: Side) -> dict[str, int]:
    """{"rows_old", "rows_new"}; raises `CheckFailed` if they should be the same and are not."""
    for _ in range(WARM_UPS):
        seconds, rows_old = await old.run()
        try:
            _, rows_new = await new.run()
        except TimedOut as late:
            evidence = {"old_ms": round(seconds * 1000, 2), "rows_old": rows_old}
            raise CheckFailed(f"{late}; on old it took {seconds * 1000:.1f} ms", hint=late.hint, evidence=evidence) from late
    rows = {"rows_old": rows_old, "rows_new": rows_new}
    if query.same_rows and rows_old != rows_new:
        raise CheckFailed(
            f"query {query.name}: {rows_old} rows on old, {rows_new} on new; what finds less is no answer, however fast it is",
            hint="correct the query, or say `same_rows: false` if they are to differ",
            evidence=rows,
        )
    return rows


async def _new_alone(new: Side, late: OldIsLate) -> Evidence:
    old_late = {"old": f"not within {new.seconds_max:g} s"}
    try:
        seconds, rows = await new.run()
    except TimedOut as too:
        raise CheckFailed(f"{too}, and on old neither", hint=too.hint, evidence=old_late) from too
    warning = f"{late}: new was judged alone, and how many rows old has is not known"
    return {**old_late, "new_ms": round(seconds * 1000, 2), "rows_new": rows, "warnings": [warning]}


async def _measured(old: Side, new: Side) -> Timings:
    timings = Timings()
    sides = [(old, timings.old), (new, timings.new)]
    while timings.wants_more:
        for side, seconds in sides:
            seconds.append((await side.run())[0])
        sides.reverse()  # neither is always the second
    return timings
