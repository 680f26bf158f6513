"""Read-only sessions, each in one snapshot, and errors in words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import psycopg

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.pins import READ_ONLY
from cutoverd.daemon.postgres.session.reach import NO_RIGHT, Connection, primary_message
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.session.sqlstates import is_certain, is_of_the_server
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, ServerFailed, StepError

SNAPSHOT = {"default_transaction_isolation": "repeatable read", READ_ONLY: "on", "work_mem": "64MB"}
# How a value looks as text and no more: what the plan's SQL means by '01/02/2026' or by an hour stays the database's own.
PRINTED = {"bytea_output": "hex", "extra_float_digits": "3"}
IN_ISO = "SET DateStyle = ISO"  # the order of input stays as it is, which a start-up option would reset
# And what changes both: two sessions that have these in common print equal content equally.
IN_COMMON = (
    "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.unnest("
    "ARRAY['DateStyle', 'IntervalStyle', 'TimeZone', 'lc_monetary']::pg_catalog.text[]) AS name"
)
# With presorting (16 and later), DISTINCT sorts whole rows instead of bare hashes: docs/decisions/0003-comparison.md.
NOT_PRESORTED = (
    "SELECT pg_catalog.set_config(name, 'off', false) FROM pg_catalog.pg_settings"
    " WHERE name OPERATOR(pg_catalog.=) 'enable_presorted_aggregate'"
)
NO_RIGHT_HINT = (
    "our role has to see all of it: ALTER ROLE … BYPASSRLS where row level security is in the way, else GRANT what is missing"
)
WRONG_QUERY = ("0A", "22", "42")


@asynccontextmanager
async def reading(
    server: Server, database: str, *, of_plan: bool = False, in_common: Mapping[str, str] | None = None
) -> AsyncIterator[Connection]:
    """A session that reads one snapshot of `database` and can write nothing.

    `of_plan`: for queries of the plan; `in_common`: what another session printed with, as `common_settings` gives it.
    """
    settings = {**SNAPSHOT, **(PRINTED if of_plan else {}), **(in_common or {})}
    async with session(server, database, settings=settings, of_plan=of_plan) as connection:
        await connection.execute(NOT_PRESORTED)
        if of_plan:
            await connection.execute(IN_ISO)
        async with connection.transaction():
            yield connection


async def common_settings(connection: Connection) -> Mapping[str, str]:
    """Of a session that reads for the plan: what the other side of a comparison has to have, too."""
    return dict(await fetch_all(connection, IN_COMMON))


@contextmanager
def explained(what: str) -> Iterator[None]:
    """A PostgreSQL error inside becomes a StepError that says what was being done."""
    try:
        yield
    except psycopg.Error as error:
        raise _step_error(error, what) from error


def _step_error(error: psycopg.Error, what: str) -> StepError:
    if not is_certain(error.sqlstate):
        return OutcomeUnknown(
            f"{what}: the connection was lost: {primary_message(error)}", hint="nothing was judged; do it again"
        )
    if error.sqlstate == NO_RIGHT:
        return CheckFailed(f"{what}: {primary_message(error)}", hint=NO_RIGHT_HINT)
    if (error.sqlstate or "").startswith(WRONG_QUERY):
        return CheckFailed(f"{what}: {str(error).strip()}", hint="correct the query in the plan")
    kind = ServerFailed if is_of_the_server(error.sqlstate) else StepError
    return kind(f"{what}: {primary_message(error)} (SQLSTATE {error.sqlstate})")
