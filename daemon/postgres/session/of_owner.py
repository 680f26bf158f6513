"""What a session of the database's owner has set there: a session of ours that runs the plan's SQL as the owner has none of it.

`SET ROLE` brings no settings along, and those of our own role would stand in for the database's.
"""

from __future__ import annotations

from collections.abc import Sequence

from cutoverd.daemon.postgres.session import pins
from cutoverd.daemon.postgres.session.connect import Connection
from cutoverd.daemon.postgres.session.fetch import fetch_all

# What goes before comes last; only what every role may set, or what is of an extension that is not there. pg_settings hides from
# most roles what a superuser alone may set.
SET_FOR_OWNER = r"""
SELECT entry FROM (
    SELECT oid, datdba FROM pg_catalog.pg_database WHERE datname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%(names)s)
    ORDER BY pg_catalog.array_position(%(names)s, datname::pg_catalog.text) LIMIT 1) d
JOIN pg_catalog.pg_db_role_setting s
  ON s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0, d.oid]) AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0, d.datdba])
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry
WHERE EXISTS (
    SELECT FROM pg_catalog.pg_settings known
    WHERE pg_catalog.lower(known.name) OPERATOR(pg_catalog.=) pg_catalog.lower(pg_catalog.split_part(entry, '=', 1))
      AND known.context OPERATOR(pg_catalog.=) 'user')
   OR pg_catalog.strpos(pg_catalog.split_part(entry, '=', 1), '.') OPERATOR(pg_catalog.>) 0 AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_settings known
    WHERE pg_catalog.lower(known.name) OPERATOR(pg_catalog.=) pg_catalog.lower(pg_catalog.split_part(entry, '=', 1)))
ORDER BY s.setrole OPERATOR(pg_catalog.<>) 0, s.setdatabase OPERATOR(pg_catalog.<>) 0
"""
# ours, whatever the owner has: who we are, what is pinned, durability, which is only raised, and how files are read, which only
# the setting of our own role may tell us otherwise (precheck/string_literals.py)
OF_ROLES = ("session_authorization", "standard_conforming_strings")
NOT_THEIRS = frozenset(name.lower() for name in (*pins.OF_PLAN, *pins.SINCE[170000], pins.DURABILITY, *OF_ROLES))


async def settings_of_owner(conn: Connection, databases: Sequence[str]) -> dict[str, str]:
    """By name, what counts for the owner in the first of these databases that is there; asked on any session."""
    rows = await fetch_all(conn, SET_FOR_OWNER.encode(), {"names": list(databases)})
    entries = [entry.split("=", 1) for (entry,) in rows]
    return {name: value for name, value in entries if name.lower() not in NOT_THEIRS}
