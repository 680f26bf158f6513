"""Owners in the restored copy as in production, as far as our rights go: what may not be touched in the window may not be here.

What belongs to a role that we may not become goes to our own role, for which the database's owner may act as little.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from cutoverd.daemon.postgres.catalog.owned import OwnedObject
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection, primary_message

MAY_CREATE = "SELECT has_schema_privilege(%s, %s, 'CREATE')"
GONE = ("42P01", "42704", "42883", "3F000")  # left out of the restore


async def copy_owners(conn: Connection, owned: Iterable[OwnedObject]) -> list[str]:
    """Give each object its owner, in one transaction; warnings, each an object that stays the database owner's."""
    warnings, lent = [], dict[tuple[str, str], None]()
    async with conn.transaction():
        for each in owned:
            target = each.owner if each.by_us else conn.info.user
            try:
                async with conn.transaction():
                    if each.schema and await _lend(conn, each.schema, target):
                        lent[each.schema, target] = None
                    await conn.execute(each.given_to(target))
            except psycopg.DatabaseError as error:
                if conn.closed:
                    raise
                if error.sqlstate not in GONE:
                    warnings.append(
                        f"{each.type} {each.identity} belongs to {each.owner}, in the copy not: {primary_message(error)}"
                    )
        for schema, role in lent:
            await conn.execute(_create(schema, role, "REVOKE", "FROM"))
    return warnings


async def _lend(conn: Connection, schema: str, role: str) -> bool:
    """CREATE on the schema, without which nobody can be given what is in it; whether it had to be."""
    row = await fetch_one(conn, MAY_CREATE, (role, schema))
    if row and row[0]:
        return False
    await conn.execute(_create(schema, role, "GRANT", "TO"))
    return True


def _create(schema: str, role: str, verb: str, way: str) -> sql.Composed:
    return sql.SQL(f"{verb} CREATE ON SCHEMA {{}} {way} {{}}").format(sql.Identifier(schema), sql.Identifier(role))
