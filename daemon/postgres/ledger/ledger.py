"""The ledger: who may act (the fence row), what was done (step_log), and which database is which (database_oids).

A transactional step is one transaction: lock `fence` for our epoch, insert into `step_log`, do the work, mark it finished.
A stale daemon is refused, and a redo finds "already done".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.reach import Connection, to_step_error
from cutoverd.daemon.postgres.session.refusal import foreign_ledger
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import NotLeader, OutcomeUnknown, Unfit
from cutoverd.states.ports import AttemptId, Direction, Evidence

MAINTENANCE = "postgres"  # where CREATE DATABASE is given from while there is no ledger
STEP_TABLES = Path(__file__).with_name("ledger.sql")  # in the ledger and in new
NAME_TABLES = Path(__file__).with_name("names.sql")  # in the ledger alone
TAKE_SECONDS = 60.0
LOCK_SECONDS = 1.0


@dataclass
class OpenRecord:
    """A step's row while its transaction is open; `evidence` is written with it."""

    already_done: bool
    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True)
class StepRecord:
    """A step's row as it was committed."""

    epoch: int
    event_id: str
    at: datetime
    finished: bool
    evidence: Evidence


async def prepare(server: Server) -> None:
    """Make the ledger database and its tables where they are missing; two daemons may do it at once."""
    await _create_database(server)
    async with session(server) as conn, conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(hashtext('cutoverd.prepare'))")
        await conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(LEDGER)))
        for file in (STEP_TABLES, NAME_TABLES):
            await conn.execute(file.read_bytes())


WHOSE = "SELECT pg_get_userbyid(datdba), pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = %s"


async def _create_database(server: Server) -> None:
    async with session(server, MAINTENANCE) as conn:
        if found := await fetch_one(conn, WHOSE, (LEDGER,)):
            owner, is_ours = found
            if not is_ours:
                raise foreign_ledger(conn, owner)
            return
        try:
            await conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(LEDGER)))
        except (errors.DuplicateDatabase, errors.UniqueViolation):
            return
        except errors.InsufficientPrivilege as error:
            role = sql.Identifier(conn.info.user).as_string(conn)
            raise Unfit(
                f"role {conn.info.user} may not create databases, and its ledger {LEDGER} is missing",
                hint=f"ALTER ROLE {role} CREATEDB; README, `What it needs`, has all rights",
            ) from error


async def acquire_fence(server: Server) -> None:
    """Make our epoch the only one that may act, here and in new; sessions of older epochs are ended first.

    Raises `NotLeader` if a higher epoch has it, `OutcomeUnknown` if an older one holds on to it for 60 s.
    """
    await _raise_epoch(server, LEDGER, server.run)
    for new, run in await _new(server):
        await _raise_epoch(server, new, run)
    await end_backends(server, older_than_epoch=server.epoch)


async def leave(server: Server, attempt_id: AttemptId) -> None:
    """Nobody acts for the run any more, on a server where it has nothing left, until it is taken there anew."""
    async with session(server) as conn:
        await conn.execute("DELETE FROM cutoverd.fence WHERE run = %s AND epoch = %s", (server.run, attempt_id.epoch))


async def current_epoch(server: Server) -> int:
    """Of the last daemon that took the run in the ledger; 0 if none has."""
    async with session(server) as conn:
        row = await fetch_one(conn, "SELECT epoch FROM cutoverd.fence WHERE run = %s", (server.run,))
    return int(row[0]) if row else 0


RAISE = """
INSERT INTO cutoverd.fence AS held (run, epoch) VALUES (%(run)s, %(epoch)s)
ON CONFLICT (run) DO UPDATE SET epoch = excluded.epoch WHERE held.epoch OPERATOR(pg_catalog.<) excluded.epoch
"""


async def _raise_epoch(server: Server, database: str, run: str) -> None:
    polling = Polling(TAKE_SECONDS, pause_seconds=0)  # a lock is waited for instead
    async with session(server, database) as conn:
        await conn.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        while True:
            # an older session holds the row FOR SHARE for as long as its step runs: docs/measured.md, "A client that was killed"
            await end_backends(server, older_than_epoch=server.epoch)
            try:
                await conn.execute(RAISE, {"run": run, "epoch": server.epoch})
                break
            except errors.LockNotAvailable as error:
                if polling.is_over:
                    raise OutcomeUnknown(f"the fence row of run {run} stays locked for {TAKE_SECONDS:.0f} s") from error
        await _lock_row(conn, run, server.epoch)  # in new of a copy it is the trial's


NEW = """
SELECT d.datname, o.run FROM cutoverd.database_oids o JOIN pg_database d ON d.oid = o.oid
WHERE (o.run = %s OR o.run = %s) AND d.datname = o.row ->> 'name' AND o.role = 'new' AND d.datallowconn
"""


async def _new(server: Server) -> list[tuple[str, str]]:
    """New and that of a rehearsal, while scripts may run in it: (name, run as its fence has it), each."""
    async with session(server) as conn:
        return [(row[0], row[1]) for row in await fetch_all(conn, NEW, (server.run, f"{server.run}{TRIAL}"))]


LOCK = "SELECT epoch FROM cutoverd.fence WHERE run = %s FOR SHARE"
IS_OLDER = "the ledger was made anew, or put back from an older backup: the next `cutoverd run` says what helps"
TRIAL = "/try"  # no run's name has a slash, so the rows of a run's trial are never taken for its own


async def _lock(conn: Connection, run: str, epoch: int) -> None:
    """A trial has no fence of its own: who may not act for the run may not try it either."""
    await _lock_row(conn, run.removesuffix(TRIAL), epoch)


async def _lock_row(conn: Connection, run: str, epoch: int) -> None:
    row = await fetch_one(conn, LOCK, (run,))
    if row is None or row[0] != epoch:
        is_older = row is None or row[0] < epoch
        raise NotLeader(
            f"epoch {epoch} of run {run} may not act: the ledger's fence has {'no row' if row is None else f'epoch {row[0]}'}",
            hint=IS_OLDER if is_older else "another daemon has this run; this one stops",
        )


@asynccontextmanager
async def recorded_step(conn: Connection, attempt_id: AttemptId) -> AsyncIterator[OpenRecord]:
    """One transaction that is the step's effect and its record; rolled back on any error.

    Raises `NotLeader` for a stale epoch, `OutcomeUnknown` if the connection is lost.
    """
    async with fenced_transaction(conn, attempt_id):
        entry = await _enter(conn, attempt_id)
        yield entry
        if not entry.already_done:
            await conn.execute(FINISH, {**key_of(attempt_id), "evidence": Jsonb(dict(entry.evidence))})


@asynccontextmanager
async def fenced_transaction(conn: Connection, attempt_id: AttemptId) -> AsyncIterator[None]:
    """One transaction that only the current epoch may commit, without a record of its own; errors as `recorded_step`."""
    try:
        async with conn.transaction():
            await _lock(conn, attempt_id.run, attempt_id.epoch)
            yield
    except psycopg.OperationalError as error:
        if conn.closed:
            raise to_step_error(conn, error) from error
        raise


ENTER = """
INSERT INTO cutoverd.step_log AS done (run, step, direction, epoch, event_id)
VALUES (%(run)s, %(step)s, %(direction)s, %(epoch)s, %(event_id)s)
ON CONFLICT (run, step, direction) DO UPDATE
SET epoch = excluded.epoch, event_id = excluded.event_id, at = clock_timestamp()
WHERE NOT done.finished
RETURNING 1
"""
EVIDENCE = "SELECT evidence FROM cutoverd.step_log WHERE run = %(run)s AND step = %(step)s AND direction = %(direction)s"
FINISH = """
UPDATE cutoverd.step_log SET finished = true, evidence = %(evidence)s
WHERE run = %(run)s AND step = %(step)s AND direction = %(direction)s
"""


async def _enter(conn: Connection, attempt_id: AttemptId) -> OpenRecord:
    if await fetch_one(conn, ENTER, key_of(attempt_id)):
        return OpenRecord(already_done=False)
    row = await fetch_one(conn, EVIDENCE, key_of(attempt_id))
    return OpenRecord(already_done=True, evidence=(row[0] if row else None) or {})


async def replay_evidence(conn: Connection, attempt_id: AttemptId, evidence: Evidence | None = None) -> Evidence:
    """The evidence on record of a step whose effect is there already; without a record, `evidence` is recorded."""
    async with recorded_step(conn, attempt_id) as entry:
        if not entry.already_done:
            entry.evidence = evidence or {}
    return entry.evidence


def key_of(attempt_id: AttemptId) -> dict[str, Any]:
    """Which row of step_log, and by whom: the parameters of `ENTER` and `FINISH`."""
    return {
        "run": attempt_id.run,
        "step": attempt_id.step,
        "direction": attempt_id.direction.value,
        "epoch": attempt_id.epoch,
        "event_id": attempt_id.event_id,
    }


@asynccontextmanager
async def hold_fence(server: Server, attempt_id: AttemptId, database: str = LEDGER) -> AsyncIterator[None]:
    """Hold the fence row in a second session while work runs that can be in no transaction; raises `NotLeader`."""
    async with session(server, database) as conn, conn.transaction(force_rollback=True):
        await _lock(conn, attempt_id.run, attempt_id.epoch)
        yield


READ = """
SELECT epoch, event_id, at, finished, evidence FROM cutoverd.step_log
WHERE run = %s AND step = %s AND direction = %s
"""


async def read(server: Server, step: str, direction: Direction, *, database: str = LEDGER, run: str = "") -> StepRecord | None:
    """A step's row, read on a fresh connection; None if there is none. `run`: of a rehearsal, else the server's."""
    async with session(server, database) as conn:
        row = await fetch_one(conn, READ, (run or server.run, step, direction.value))
    return StepRecord(row[0], row[1], row[2], row[3], row[4] or {}) if row else None
