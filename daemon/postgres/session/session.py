"""The sessions of one step: errors come out in the words of states/errors.py, and a cancelled one is proven gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import psycopg

from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.reach import Connection, connect_with_retry, to_step_error
from cutoverd.daemon.postgres.session.server import Server

# A time-out that the role, the database or postgresql.conf brings along must not end a long step; 15 has no transaction_timeout.
UNHURRIED = """
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout',
               'idle_in_transaction_session_timeout', 'transaction_timeout')
"""


@asynccontextmanager
async def session(server: Server, database: str = "", *, settings: Mapping[str, str] | None = None) -> AsyncIterator[Connection]:
    """A session in autocommit; when its task is cancelled, its backend is gone before the cancellation goes on.

    PostgreSQL's errors come out of it as a `StepError`, or as an `OutcomeUnknown` where the connection was lost.
    """
    conn = await connect_with_retry(server, database, settings=settings)
    pid = conn.info.backend_pid
    try:
        await conn.execute(UNHURRIED)
        if server.read_only:
            await conn.execute("SET default_transaction_read_only = on")
        yield conn
    except asyncio.CancelledError:
        await conn.close()
        await asyncio.shield(end_backends(server, pids=[pid]))
        raise
    except psycopg.Error as error:
        raise to_step_error(conn, error) from error
    finally:
        await conn.close()
