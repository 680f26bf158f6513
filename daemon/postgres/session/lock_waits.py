"""A statement of ours that waits for somebody's lock says so, names who holds it, and does not wait for ever.

A `lock_timeout` alone would not do: once it has struck, nobody waits any more, and so the server cannot tell for whom. So a look
is taken beside the statement, by a short session of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.postgres.session.connect import Connection
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.pins import READ_ONLY
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.progress import report_progress
from cutoverd.states.errors import StepError

log = Logger(__name__)

LOCK_SECONDS = 30.0  # nothing that we touch is locked for long by anybody who knows of the night
CHECK_SECONDS = 10.0  # of `cutoverd check`, where somebody waits for the answer
FIRST_POLL_SECONDS, PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 1.0, 5.0
ANSWER_SECONDS = 3.0
SESSION = {READ_ONLY: "on", "statement_timeout": "2000", "lock_timeout": "500"}
WAITS = Path(__file__).with_suffix(".sql").read_bytes()
TROUBLE = (psycopg.Error, OSError, TimeoutError)
PREPARED = "a prepared transaction (pg_prepared_xacts)"


class LockHeld(StepError):
    """a statement waited too long for a lock that somebody else holds"""


@dataclass(frozen=True)
class Holder:
    """A session that has, or was first to ask for, what we wait for."""

    pid: int | None  # None: of a prepared transaction
    user: str
    application: str
    state: str
    since: str | None  # its transaction began, in UTC; None where our role may not see it

    def __str__(self) -> str:
        if self.pid is None:
            return PREPARED
        since = [f"in a transaction since {self.since} UTC"] if self.since else []
        known = [self.user, self.application or "no application_name", *since, *filter(None, [self.state])]
        return f"pid {self.pid} ({', '.join(known)})"


@dataclass(frozen=True)
class Wait:
    """For whom a session waits, and for how long it has."""

    holders: tuple[Holder, ...]
    relation: int | None  # its oid, where it is the lock of one
    seconds: float

    @property
    def hint(self) -> str:
        pids = [str(each.pid) for each in self.holders if each.pid is not None]
        ends = "; ".join(f"SELECT pg_terminate_backend({pid})" for pid in pids) or "COMMIT PREPARED or ROLLBACK PREPARED"
        return f"let it end, or end it ({ends}), then `retry`"


class LockWatch:
    """Of one session, beside it: its waits are told, and one that is too long is ended."""

    def __init__(self, server: Server, connection: Connection) -> None:
        self._server, self._connection = server, connection
        self._longest = CHECK_SECONDS if server.read_only else LOCK_SECONDS
        self._pid = connection.info.backend_pid
        self.last: Wait | None = None  # the one that was seen by the last look
        self.error: LockHeld | None = None  # once it has ended a statement

    async def watch(self) -> None:
        """Until it is cancelled, or has ended a statement. It raises nothing: what it cannot see, it does not tell."""
        await asyncio.sleep(FIRST_POLL_SECONDS)
        pause = PAUSE_SECONDS
        while self.error is None:
            if self._connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
                with suppress(*TROUBLE):
                    await self._poll()
                pause = PAUSE_SECONDS if self.last else min(pause * 1.5, PAUSE_SECONDS_MAX)
            await asyncio.sleep(pause)

    async def _poll(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS), await self._connect_anywhere() as looking:
            before, self.last = self.last, await find_wait(looking, self._pid)
            if self.last is None:
                return
            words = f"waits for a lock that {', '.join(map(str, self.last.holders))} has"
            report_progress(words)
            if before is None or before.holders != self.last.holders:
                log.warning("waits_for_lock", holders=[str(each) for each in self.last.holders], longest_seconds=self._longest)
            if self.last.seconds >= self._longest:
                self.error = await self._held(self.last)
                await looking.execute("SELECT pg_cancel_backend(%s)", (self._pid,))

    async def _held(self, wait: Wait) -> LockHeld:
        return lock_held(wait, await self._name(wait.relation))

    async def _name(self, relation: int | None) -> str:
        """In its own database, where the statement that waits is."""
        with suppress(*TROUBLE):
            async with asyncio.timeout(ANSWER_SECONDS), await self._connect(self._connection.info.dbname) as there:
                row = await fetch_one(there, "SELECT %s::oid::regclass::text", (relation,)) if relation else None
                return str(row[0]) if row else ""
        return ""

    async def _connect_anywhere(self) -> Connection:
        """At home, or where the session is: while the ledger is being made there is no home yet."""
        try:
            return await self._connect(self._server.home)
        except psycopg.Error:
            return await self._connect(self._connection.info.dbname)

    async def _connect(self, database: str) -> Connection:
        return await connect_beside(self._server, database)


class ProgramWatch:
    """Of the sessions of a program; its own time-out ends them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.last: Wait | None = None  # that was seen

    async def watch(self) -> None:
        """Until it is cancelled; what it cannot see, it does not tell."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            with suppress(*TROUBLE):
                async with asyncio.timeout(ANSWER_SECONDS), await connect_beside(self._server, self._server.home) as looking:
                    self.last = await find_wait(looking, None, self._server.application_name) or self.last


async def connect_beside(server: Server, database: str) -> Connection:
    """A short session that no step takes for its own."""
    name = f"cutoverd-watch/{server.run}"
    return await server.connect(database, settings=SESSION, application_name=name, connect_seconds=2)


@asynccontextmanager
async def watched_program(server: Server) -> AsyncIterator[ProgramWatch]:
    """A program of PostgreSQL that has sessions of its own under our name: for whom they wait."""
    watch = ProgramWatch(server)
    watching = asyncio.create_task(watch.watch())
    try:
        yield watch
    finally:
        watching.cancel()
        await asyncio.wait([watching], timeout=ANSWER_SECONDS)


async def find_wait(looking: Connection, pid: int | None, application_name: str | None = None) -> Wait | None:
    """For whom the session of that pid waits, or, of a program, one of that name; None if none does."""
    rows = await fetch_all(looking, WAITS, {"pid": pid, "application_name": application_name})
    return Wait(tuple(Holder(*row[:5]) for row in rows), rows[0][5], float(rows[0][6] or 0)) if rows else None


def lock_held(wait: Wait, relation: str = "") -> LockHeld:
    """In words: what, for how long, who."""
    what = f"a lock on {relation}" if relation else "a lock"
    who = ", ".join(map(str, wait.holders))
    evidence: dict[str, Any] = {"holders": [vars(each) for each in wait.holders], **({"relation": relation} if relation else {})}
    return LockHeld(f"waited {wait.seconds:.0f} s for {what}, which {who} holds", hint=wait.hint, evidence=evidence)
