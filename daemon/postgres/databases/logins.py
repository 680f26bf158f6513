"""Who can log in to production: all that could before the fence, as far as it is seen without their passwords."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cutoverd.daemon.postgres.catalog import pg_database
from cutoverd.daemon.postgres.catalog.settings import without_value
from cutoverd.daemon.postgres.ledger.databases import DatabaseRow, Settings, tracked_databases
from cutoverd.daemon.postgres.ledger.withheld import withheld_but_for
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import CheckFailed, StepError
from cutoverd.states.ports import AttemptId, Evidence

# old's own ACL is closed now, so it is asked of the grants that were on record before the fence
ROLES = """
SELECT r.rolname::text, has_database_privilege(r.oid, %(now)s::oid, 'CONNECT')
  FROM pg_catalog.pg_roles r
 WHERE r.rolcanlogin AND NOT r.rolsuper
   AND EXISTS (SELECT FROM unnest(%(then)s::oid[]) AS g(role) LEFT JOIN pg_catalog.pg_roles k ON k.oid = g.role
                WHERE g.role = 0 OR (k.oid IS NOT NULL AND pg_has_role(r.oid, k.oid, 'USAGE')))
 ORDER BY 1
"""
SHOWN = 10


async def check_logins(server: Server, attempt_id: AttemptId) -> Evidence:
    """{"roles": how many, "warnings": settings that are not as they were}; after the exchange.

    Passwords and pg_hba.conf are not seen. Raises `CheckFailed` with evidence {"shut_out": [roles]}, and
    `StepError` before the exchange.
    """
    async with session(server) as conn:
        known = await tracked_databases(conn, attempt_id.run)
        if not {"old", "new"} <= known.keys() or known["new"].name != server.names.production:
            raise StepError(f"{server.names.production} is not the new database yet", hint="the exchange comes first")
        if (but_for := await withheld_but_for(conn, attempt_id.run)) is not None:
            return {"withheld_but_for": but_for}  # asked when clients are admitted
        return await prove_logins(conn, known["old"].row, known["new"].oid)


async def prove_logins(conn: Connection, was: DatabaseRow, oid: int) -> Evidence:
    """As `check_logins`, of the database with that oid as this transaction sees it."""
    now = await pg_database.read_row(conn, oid)
    then = [grant.grantee for grant in was.grants if grant.privilege == "CONNECT"]
    roles = await fetch_all(conn, ROLES, {"now": now.oid, "then": then})
    _check(now, [role for role, may_connect in roles if not may_connect])
    return {"roles": len(roles), "warnings": list(differing(was.settings, now.settings))}


def _check(now: DatabaseRow, shut_out: list[str]) -> None:
    if not now.accepts_connections:
        raise CheckFailed(f"{now.name} accepts no connections", hint="somebody closed it after the exchange")
    if shut_out:
        listed = ", ".join(shut_out[:SHOWN]) + (", …" if len(shut_out) > SHOWN else "")
        raise CheckFailed(
            f"could log in to {now.name} before the fence and cannot now: {listed}",
            hint=f"GRANT CONNECT ON DATABASE {now.name}; see what the exchange could not grant again",
            evidence={"shut_out": shut_out},
        )


def differing(was: Iterable[Settings], now: Iterable[Settings]) -> Iterator[str]:
    """Settings of the database, and of roles in it, that are not as they were, in words."""
    before, after = ({(s.role, entry) for s in settings for entry in s.config} for settings in (was, now))
    for role, entry in sorted(before - after, key=str):
        yield f"not set any more: {without_value(entry)}" + (f" of {role}" if role else "")
    for role, entry in sorted(after - before, key=str):
        yield f"newly set: {without_value(entry)}" + (f" of {role}" if role else "")
