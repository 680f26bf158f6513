"""The sessions of one step: errors come out in the words of states/errors.py, and a cancelled one is proven gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psycopg

from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.reach import Connection, connect_with_retry, to_step_error
from cutoverd.daemon.postgres.session.server import Server


@asynccontextmanager
async def session(
    server: Server, database: str = "", *, settings: Mapping[str, str] | None = None, of_plan: bool = False
) -> AsyncIterator[Connection]:
    """A session in autocommit; when its task is cancelled, its backend is gone before the cancellation goes on.

    `of_plan`: for SQL of the plan. PostgreSQL's errors come out of it as a `StepError`, or as an `OutcomeUnknown` where nobody
    knows what became of it.
    """
    conn = await connect_with_retry(server, database, settings=settings, of_plan=of_plan)
    pid = conn.info.backend_pid
    try:
        yield conn
    except asyncio.CancelledError:
        await conn.close()
        await asyncio.shield(end_backends(server, pids=[pid]))
        raise
    except psycopg.Error as error:
        raise to_step_error(conn, error) from error
    finally:
        await conn.close()
