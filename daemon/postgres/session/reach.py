"""Reaching a server that may be coming up, and telling a failure from an outcome nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import psycopg

from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import OutcomeUnknown, StepError

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

PAUSE_SECONDS = 0.2
CONNECTION_LOST = (psycopg.OperationalError,)  # it says nothing of what happened at the other end


async def connect_with_retry(
    server: Server,
    database: str = "",
    *,
    settings: Mapping[str, str] | None = None,
    reach_seconds: float | None = None,
) -> Connection:
    """A session in autocommit; raises `OutcomeUnknown` if the server was not reached in `reach_seconds`."""
    reach_seconds = server.reach_seconds if reach_seconds is None else reach_seconds
    polling = Polling(reach_seconds, pause_seconds=PAUSE_SECONDS)
    while True:
        try:
            return await server.connect(database, settings=settings)
        except psycopg.OperationalError as error:
            if polling.is_over:
                raise OutcomeUnknown(
                    f"database {database or server.home} was not reached for {reach_seconds:.0f} s: {primary_message(error)}",
                    hint="look whether the server runs and lets our role in",
                ) from error
        await polling.pause()


def to_step_error(conn: Connection, error: psycopg.Error) -> StepError:
    """A lost connection leaves the outcome unknown; any other error is a failure."""
    if conn.closed:
        return OutcomeUnknown(
            f"the connection was lost: {primary_message(error)}", hint="the next attempt finds out what became of it"
        )
    return StepError(f"PostgreSQL says: {primary_message(error)} (SQLSTATE {error.sqlstate})")


def primary_message(error: psycopg.Error) -> str:
    """The one line of an error that a person wants to read."""
    return error.diag.message_primary or (str(error).strip().splitlines() or [type(error).__name__])[0]
