"""Who gets into new between the swap and the opening: the roles that the plan names, and who cannot be kept out.

Whose rows a failure finds then decides whether going back is free, so what is known of it is said before the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

SHOWN = 5
NOBODY_NAMED = (
    "smoke.roles is not given: whoever may connect to production can write from the swap on, and a failure before clients are "
    "let in then holds the run if any row was written"
)
# with those that log in with its rights, of one that does not
ROLES = """
SELECT rolname::text, rolcanlogin, format('%%I', rolname), array(SELECT m.rolname::text FROM pg_catalog.pg_roles m
        WHERE m.rolcanlogin AND NOT m.rolsuper AND m.oid <> r.oid AND pg_has_role(m.oid, r.oid, 'USAGE') ORDER BY 1)
  FROM pg_catalog.pg_roles r WHERE rolname = ANY(%s)
"""
# who connects to production today, and not as us
CONNECTED = """
SELECT usename::text, count(*) FROM pg_catalog.pg_stat_activity
 WHERE datid = %s AND usename IS NOT NULL AND usename <> current_user AND backend_type = 'client backend'
   AND NOT starts_with(application_name, 'cutoverd/')
 GROUP BY 1 ORDER BY 1
"""
# who gets in although CONNECT is withheld: as a member of a role that has it, as a superuser, or as the owner, who can grant it
OTHERS = """
SELECT r.rolname::text,
       CASE WHEN r.rolsuper THEN 'a superuser'
            WHEN EXISTS (SELECT FROM pg_catalog.pg_roles n WHERE n.rolname = ANY(%(named)s)
                          AND pg_has_role(r.oid, n.oid, 'USAGE')) THEN 'a member of a role of smoke.roles'
            ELSE 'can grant it to himself as the owner' END
  FROM pg_catalog.pg_roles r
 WHERE r.rolcanlogin AND r.rolname <> ALL(%(named)s) AND r.rolname <> current_user
   AND (r.rolsuper OR pg_has_role(r.oid, %(owner)s::name, 'MEMBER') OR EXISTS (
        SELECT FROM pg_catalog.pg_roles n WHERE n.rolname = ANY(%(named)s) AND pg_has_role(r.oid, n.oid, 'USAGE')))
 ORDER BY 1
"""


class NamedRole(NamedTuple):
    """A role as the server has it."""

    can_log_in: bool
    quoted: str
    members: Sequence[str]  # that log in


@dataclass
class SmokeRoles:
    """What PreCheck knows of them; `shared`: roles by which others write, or can't be kept from it, so that each row counts."""

    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    may_log_in: list[str] = field(default_factory=list)


async def read_smoke_roles(conn: Connection, row: DatabaseRow, named: Sequence[str] | None) -> SmokeRoles:
    """Of production as it is now; `named`: smoke.roles, None if it is left out."""
    found = SmokeRoles()
    if named is None:
        found.warnings.append(NOBODY_NAMED)
        return found
    there = {name: NamedRole(*row) for name, *row in await fetch_all(conn, ROLES, (list(named),))}
    found.reasons = [reason for name in named if (reason := _wrong(name, there.get(name)))]
    found.may_log_in = [name for name in named if name in there and there[name].can_log_in]
    connected = dict(await fetch_all(conn, CONNECTED, (row.oid,)))
    found.shared = [name for name in named if name in connected]
    found.warnings += [
        f"smoke.roles: others connect as {name}, too ({connected[name]} sessions now): a failure after the swap then counts "
        "every row as somebody else's, also those of the smoke tests; give the tests a role of their own"
        for name in found.shared
    ]
    if others := await fetch_all(conn, OTHERS, {"named": list(named), "owner": row.owner}):
        found.shared += [name for name, _ in others if name in connected]
        found.warnings.append(_others(others, connected))
    return found


def _wrong(name: str, role: NamedRole | None) -> str:
    if role is None:
        return f"smoke.roles: there is no role {name} on the server: name one that is there, or make it"
    if role.can_log_in:
        return ""
    members = f"name its members that do ({', '.join(role.members[:SHOWN])}), or " if role.members else ""
    return f"smoke.roles: role {name} may not log in: {members}ALTER ROLE {role.quoted} LOGIN"


def _others(others: Sequence[tuple[str, str]], connected: dict[str, int]) -> str:
    listed = [f"{name} ({why}{', connected now' if name in connected else ''})" for name, why in others[:SHOWN]]
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return (
        f"between the swap and the opening these get in besides smoke.roles: {', '.join(listed)}{more}; if one is connected now, "
        "is a member, or is met there, a failure counts every row as his"
    )
