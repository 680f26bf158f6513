"""What settings and login triggers do to our sessions, as far as no session can pin it: asked in production itself.

What only a superuser sets stays as it is in every session of ours, and what our own role has set holds for the plan's files where
neither owner nor database says otherwise (docs/decisions/0012-sessions.md).
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from cutoverd.daemon.postgres.catalog.settings import without_value
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.of_owner import NOT_THEIRS, settings_of_owner
from cutoverd.daemon.postgres.session.reach import Connection

OF_BOTH = "database user"
# where it comes from, as pg_settings says, and the statement that takes it away there
RESET = {
    "user": "ALTER ROLE {role} RESET {name}",
    "database": "ALTER DATABASE {database} RESET {name}",
    OF_BOTH: "ALTER ROLE {role} IN DATABASE {database} RESET {name}",
    "global": "ALTER ROLE ALL RESET {name}",
}
ELSEWHERE = "ALTER SYSTEM RESET {name}, take it out of postgresql.conf, and reload"
UNCHECKED = "SELECT setting, source FROM pg_settings WHERE name = 'session_replication_role' AND setting <> 'origin'"
OF_OUR_ROLE = """
SELECT entry, s.setdatabase <> 0 FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS entry
WHERE s.setrole = (SELECT oid FROM pg_roles WHERE rolname = session_user)
  AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND EXISTS (SELECT FROM pg_settings k WHERE lower(k.name) = lower(split_part(entry, '=', 1)) AND k.context = 'user')
"""
LOGIN_TRIGGERS = "SELECT evtname FROM pg_event_trigger WHERE evtevent = 'login' AND evtenabled NOT IN ('D', 'R') ORDER BY 1"


async def unchecked_rows(inside: Connection) -> list[str]:
    """Why rows would come in unchecked: foreign keys and triggers are passed over, and no validation of ours sees it later."""
    return [
        f"session_replication_role is {setting} for sessions of {inside.info.user} in {inside.info.dbname}, so no foreign key is"
        f" checked and no trigger fires: {_reset(inside, 'session_replication_role', source)}; a file that wants it says SET"
        for setting, source in await fetch_all(inside, UNCHECKED)
    ]


async def to_know(inside: Connection) -> list[str]:
    """Login triggers, and what of our role's own settings the plan's files are run with."""
    triggers = [
        f"login event trigger {name} runs in each session of ours in {inside.info.dbname}: let it return for application_name"
        " like 'cutoverd/%', or every step waits for it and may fail in it"
        for (name,) in await fetch_all(inside, LOGIN_TRIGGERS)
    ]
    of_owner = await settings_of_owner(inside, [inside.info.dbname])
    return [*triggers, *_of_our_role(inside, await fetch_all(inside, OF_OUR_ROLE), {name.lower() for name in of_owner})]


def _of_our_role(inside: Connection, rows: list[tuple[str, bool]], of_owner: set[str]) -> Iterator[str]:
    """One warning for all of them."""
    left = [row for row in rows if row[0].partition("=")[0].lower() not in {*of_owner, *NOT_THEIRS}]
    if left:
        shown = ", ".join(without_value(entry) for entry, _ in left)
        resets = "; ".join(_reset(inside, entry.partition("=")[0], OF_BOTH if there else "user") for entry, there in left)
        yield f"{shown} of role {inside.info.user} hold for the plan's SQL, which the owner would run without: {resets}"


def _reset(inside: Connection, name: str, source: str) -> str:
    role, database = (sql.Identifier(each).as_string(inside) for each in (inside.info.user, inside.info.dbname))
    return RESET.get(source, ELSEWHERE).format(role=role, database=database, name=name)
