"""The sessions of one step: errors come out in the words of states/errors.py, and a cancelled one is proven gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg

from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.kept import kept_for
from cutoverd.daemon.postgres.session.lock_waits import LockWatch, lock_held
from cutoverd.daemon.postgres.session.reach import Connection, connect_with_retry, helps_on_copy, to_step_error
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import StepError

END_SECONDS = 3.0
LEAVE_SECONDS = 2.0  # psycopg is slow to leave a server that stands still


@asynccontextmanager
async def session(
    server: Server, database: str = "", *, settings: Mapping[str, str] | None = None, of_plan: bool = False
) -> AsyncIterator[Connection]:
    """A session in autocommit; when its task is cancelled, its backend is gone before the cancellation goes on.

    A statement in it that waits for somebody's lock is ended after a while: `LockHeld`, which names who holds it.

    `of_plan`: for SQL of the plan. PostgreSQL's errors come out of it as a `StepError`, or as an `OutcomeUnknown` where nobody
    knows what became of it.
    """
    kept = None if settings or of_plan else kept_for(server, database)
    conn = await kept.take(server) if kept else None
    if conn is None:
        conn = await connect_with_retry(server, database, settings=settings, of_plan=of_plan)
        if kept:
            kept.begin(conn)
    pid, is_kept = conn.info.backend_pid, False
    try:
        async with _watched(server, conn):
            yield conn
        is_kept = bool(kept and kept.keep(server, conn))
    except asyncio.CancelledError:
        await conn.close()
        await asyncio.shield(end_backends(server, pids=[pid]))
        raise
    except psycopg.Error as error:
        await _end_lost(server, conn, pid)
        refused = to_step_error(conn, error)
        refused.hint = helps_on_copy(server, database, error) or refused.hint
        raise refused from error
    except StepError as error:
        await _end_lost(server, conn, pid)
        error.hint = helps_on_copy(server, database, error.__cause__) or error.hint
        raise
    finally:
        if not is_kept:
            await conn.close()


async def _end_lost(server: Server, conn: Connection, pid: int) -> None:
    """The server may not know that a connection is lost, and keep its locks.

    Found: our own next attempts waited for them, until a person ended the session. Of epoch 0 none changes anything.
    """
    if conn.closed and server.epoch:
        await asyncio.shield(_end_soon(server, pid))


async def _end_soon(server: Server, pid: int) -> None:
    """If it is reached at once; what went wrong is told by what comes next there."""
    ending = asyncio.create_task(end_backends(replace(server, reach_seconds=0), pids=[pid]))
    ending.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.wait([ending], timeout=END_SECONDS)
    ending.cancel()
    await asyncio.wait([ending], timeout=LEAVE_SECONDS)


@asynccontextmanager
async def _watched(server: Server, conn: Connection) -> AsyncIterator[None]:
    """Errors that come of a wait for a lock say who held it, whatever became of them on their way here."""
    watch = LockWatch(server, conn)
    watching = asyncio.create_task(watch.watch())
    try:
        yield
    except (psycopg.Error, StepError) as error:
        if watch.error and not conn.closed:  # else it was ended by somebody else, and what became of it is not known
            raise watch.error from error
        if isinstance(error, psycopg.errors.LockNotAvailable) and watch.last:
            raise lock_held(watch.last) from error
        raise
    finally:
        watching.cancel()
        await asyncio.wait([watching], timeout=LEAVE_SECONDS)
    if watch.error:  # a statement was ended, and the block went on as if it had failed by itself
        raise watch.error
