"""Reaching a server that may be coming up, and telling a failure from an outcome nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import psycopg

from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.postgres.session import connect, refusal
from cutoverd.daemon.postgres.session.kept import give_up_kept
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.sqlstates import is_certain, is_of_the_server
from cutoverd.daemon.postgres.session.unreached import hint_for
from cutoverd.states.errors import OutcomeUnknown, ServerFailed, StepError

Connection: TypeAlias = connect.Connection

PAUSE_SECONDS = 0.2
NO_RIGHT = "42501"
BYPASS = "or ALTER ROLE … BYPASSRLS where row level security is in the way"
HINTS = {
    "53100": "make room on the disk that it names, then `retry`",
    NO_RIGHT: f"GRANT what is missing, {BYPASS}, then `retry`",
    "42P04": "see whose database has that name by now, and rename or drop it, then `retry`",
}
IN_COPY = (
    f"GRANT what is missing in production, whose next backup gives it to the copy, {BYPASS}, "
    "then `abort` and start a run with a name of its own"
)
IN_GIVEN_COPY = f"GRANT what is missing, in production and in the copy, {BYPASS}, then `retry`"
CONNECTION_LOST = (psycopg.OperationalError,)  # it says nothing of what happened at the other end


async def connect_with_retry(
    server: Server,
    database: str = "",
    *,
    settings: Mapping[str, str] | None = None,
    of_plan: bool = False,
    reach_seconds: float | None = None,
) -> Connection:
    """A session in autocommit.

    Raises `Refused` or `StepError` as soon as it is certain why not, `OutcomeUnknown` if nobody knows after `reach_seconds`.
    """
    database = database or server.home
    reach_seconds = server.reach_seconds if reach_seconds is None else reach_seconds
    polling = Polling(reach_seconds, pause_seconds=PAUSE_SECONDS)
    login_triggers = 0
    while True:
        try:
            return await server.connect(database, settings=settings, of_plan=of_plan)
        except psycopg.Error as error:
            if is_certain(error.sqlstate):
                kind = ServerFailed if is_of_the_server(error.sqlstate) else StepError
                raise kind(f"no session could begin in {database}: {primary_message(error)}{_state(error)}") from error
            if not isinstance(error, psycopg.errors.ConnectionTimeout) and await give_up_kept():
                await polling.pause()  # until the server has ended them
                continue
            why = await refusal.why_refused(server, database)
            login_triggers += why.has_login_trigger
            if why.error or login_triggers > 1:
                raise (why.error or refusal.by_login_trigger(database, primary_message(error))) from error
            if polling.is_over:
                raise OutcomeUnknown(
                    f"database {database} was not reached for {reach_seconds:.0f} s: {primary_message(error)}",
                    hint=server.worded(why.hint or hint_for([str(error)], server.url)),
                ) from error
        await polling.pause()


def to_step_error(conn: Connection, error: psycopg.Error) -> StepError:
    """A lost connection leaves the outcome unknown, and so does what is no answer; any other error is a failure."""
    if conn.closed:
        return OutcomeUnknown(
            f"the connection was lost: {primary_message(error)}", hint="the next attempt finds out what became of it"
        )
    if not is_certain(error.sqlstate):
        return OutcomeUnknown(
            f"what became of it is not known: {primary_message(error)}{_state(error)}", hint="the next attempt finds out"
        )
    kind = ServerFailed if is_of_the_server(error.sqlstate) else StepError
    return kind(f"PostgreSQL says: {primary_message(error)}{_state(error)}", hint=_hint(error))


def helps_on_copy(server: Server, database: str, error: BaseException | None) -> str:
    """Where our role lacks a right in the copy of production; "" elsewhere, and of any other error.

    Found: a GRANT in production is not in a copy that was restored before, so that `retry` failed with the same words for ever.
    """
    is_copy = server.on_trial and database in (*server.names.all, *server.names.made)
    if not is_copy or getattr(error, "sqlstate", None) != NO_RIGHT:
        return ""
    return IN_GIVEN_COPY if server.is_given else IN_COPY


def _hint(error: psycopg.Error) -> str:
    """PostgreSQL's own, in its language, unless we know better."""
    return HINTS.get(error.sqlstate or "") or error.diag.message_hint or ""


def _state(error: psycopg.Error) -> str:
    return f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""


def primary_message(error: psycopg.Error) -> str:
    """The one line of an error that a person wants to read."""
    return error.diag.message_primary or (str(error).strip().splitlines() or [type(error).__name__])[0]
