"""Why a database does not let us in: errors of connecting carry no SQLSTATE, and their words are in the server's language.

So pg_database is asked, from another database of the same server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from cutoverd.daemon.postgres.session.connect import Connection
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import StepError, Unfit

ELSEWHERE = ("postgres", LEDGER, "template1")
ASK_SECONDS = 2  # of one connection; libpq takes no less
SHOWN = 20
ROW = """
SELECT pg_get_userbyid(datdba), has_database_privilege(oid, 'CONNECT'), datallowconn,
    coalesce(to_jsonb(d) ->> 'dathasloginevt', '') = 'true'
    AND (datconnlimit < 0 OR datconnlimit > (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid))
FROM pg_database d WHERE datname = %s
"""
OTHERS = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datallowconn ORDER BY datname LIMIT %s"


class Refused(Unfit):
    """the database does not let our role in, and will not if it is asked again"""


@dataclass(frozen=True)
class Refusal:
    """What pg_database says of a database that was not reached; without `error`, nothing that would explain it."""

    error: StepError | None = None
    hint: str = ""  # what may be the reason
    has_login_trigger: bool = False


async def why_refused(server: Server, database: str) -> Refusal:
    """Nothing if no other database lets us in either: then the server is away, or our role is shut out of it."""
    for elsewhere in dict.fromkeys((*ELSEWHERE, server.names.production)):
        if elsewhere == database:
            continue
        try:
            async with await replace(server, read_only=True).connect(elsewhere, connect_seconds=ASK_SECONDS) as conn:
                return await _ask(conn, database)
        except psycopg.errors.ConnectionTimeout:
            break  # the next one would take as long
        except psycopg.Error:
            continue
    return Refusal()


async def _ask(conn: Connection, database: str) -> Refusal:
    row = await fetch_one(conn, ROW, (database,))
    if row is None:
        return Refusal(await _not_there(conn, database))
    owner, may_connect, accepts, login_trigger = row
    if not may_connect:
        return Refusal(_shut_out(conn, database, owner))
    if not accepts:
        return Refusal(hint=f"{database} accepts no connections (pg_database.datallowconn): look who closed it")
    return Refusal(has_login_trigger=login_trigger)


async def _not_there(conn: Connection, database: str) -> Refused:
    others = [name for (name,) in await fetch_all(conn, OTHERS, (SHOWN,))]
    hint = f"it was dropped or has another name: the server has {', '.join(others)}"
    return Refused(f"there is no database {database} on the server", hint=hint)


def _shut_out(conn: Connection, database: str, owner: str) -> Refused:
    me, name = sql.Identifier(conn.info.user).as_string(conn), sql.Identifier(database).as_string(conn)
    if database == LEDGER:
        return foreign_ledger(conn, owner)
    return Refused(
        f"role {conn.info.user} may not connect to {database}, which belongs to {owner}",
        hint=f"GRANT CONNECT ON DATABASE {name} TO {me}",
    )


def foreign_ledger(conn: Connection, owner: str) -> Refused:
    """Another role made it, and ours may not act for that one."""
    me, whose = (sql.Identifier(role).as_string(conn) for role in (conn.info.user, owner))
    options = " WITH INHERIT TRUE, SET TRUE" if conn.info.server_version >= 160000 else ""
    return Refused(
        f"the ledger {LEDGER} belongs to {owner}, and role {conn.info.user} may not act for it",
        hint=f"GRANT {whose} TO {me}{options}; or give database.url the role that made the ledger",
    )


def by_login_trigger(database: str, words: str) -> Refused:
    """It runs as part of every login, and cannot be seen from outside; said once it has refused us twice."""
    return Refused(
        f"database {database} has a login event trigger, and no session of ours begins there: {words}",
        hint=f"let its function return for application_name like 'cutoverd/%', or, as superuser with"
        f" PGOPTIONS='-c event_triggers=off', ALTER EVENT TRIGGER … DISABLE in {database} (pg_event_trigger names it)",
    )
