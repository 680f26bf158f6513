"""Read-only sessions whose text output is the same whatever the server's settings are, and errors in words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg

from cutoverd.daemon.postgres.session.reach import Connection, primary_message
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, StepError

# Everything that changes how a value looks as text: two sessions with these print equal content equally.
TEXT = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
}
SNAPSHOT = {"default_transaction_isolation": "repeatable read", "default_transaction_read_only": "on", "work_mem": "64MB"}
# Here too: the database's own could end even the statement that lifts it.
PATIENT = {"statement_timeout": "0"}
# With presorting (16 and later), DISTINCT sorts whole rows instead of bare hashes: docs/decisions/0003-comparison.md.
NOT_PRESORTED = "SELECT set_config(name, 'off', false) FROM pg_catalog.pg_settings WHERE name = 'enable_presorted_aggregate'"
LOST = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04")
NO_RIGHT = "42501"
NO_RIGHT_HINT = (
    "our role has to see all of it: ALTER ROLE … BYPASSRLS where row level security is in the way, else GRANT what is missing"
)
WRONG_QUERY = ("0A", "22", "42")


@asynccontextmanager
async def reading(server: Server, database: str) -> AsyncIterator[Connection]:
    """A session that reads one snapshot of `database` and can write nothing."""
    async with session(server, database, settings={**TEXT, **SNAPSHOT, **PATIENT}) as connection:
        await connection.execute(NOT_PRESORTED)
        async with connection.transaction():
            yield connection


@contextmanager
def explained(what: str) -> Iterator[None]:
    """A PostgreSQL error inside becomes a StepError that says what was being done."""
    try:
        yield
    except psycopg.Error as error:
        raise _step_error(error, what) from error


def _step_error(error: psycopg.Error, what: str) -> StepError:
    state = error.sqlstate or ""
    if state.startswith(LOST) or (not state and isinstance(error, psycopg.OperationalError)):
        return OutcomeUnknown(
            f"{what}: the connection was lost: {primary_message(error)}", hint="nothing was judged; do it again"
        )
    if state == NO_RIGHT:
        return CheckFailed(f"{what}: {primary_message(error)}", hint=NO_RIGHT_HINT)
    if state.startswith(WRONG_QUERY):
        return CheckFailed(f"{what}: {str(error).strip()}", hint="correct the query in the plan")
    return StepError(f"{what}: {primary_message(error)} (SQLSTATE {state})")
