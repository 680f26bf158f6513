"""Who may connect: taken from everybody but us, and given back so that `datacl` is the same to the byte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg
from psycopg import sql

from cutoverd.daemon.postgres.catalog.pg_database import read_row
from cutoverd.daemon.postgres.ledger.databases import DatabaseRow, Grant
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection, primary_message
from cutoverd.states.errors import StepError

OTHERS = """
SELECT coalesce(string_agg(a.grantee::regrole::text, ', '), '')
FROM pg_database d, aclexplode(d.datacl) a
WHERE d.oid = %s AND a.privilege_type = 'CONNECT' AND a.grantee <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
"""


async def restrict(conn: Connection, oid: int, but_for: Sequence[str] = ()) -> None:
    """Nobody but our role, and `but_for`, may connect (superusers excepted); raises `StepError` if a grant of CONNECT stays."""
    row = await read_row(conn, oid)
    await _revoke(conn, row, "CONNECT")
    await conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO CURRENT_USER").format(sql.Identifier(row.name)))
    others = await fetch_one(conn, OTHERS, (oid,))
    if others is None or others[0]:  # a REVOKE by a role that may not do it is a warning, not an error
        raise StepError(
            f"CONNECT on {row.name} could not be taken from {others[0] if others else 'anybody'}",
            hint=f"our role must be a member of {row.owner}, the database's owner",
        )
    for role in but_for:
        await conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(row.name), sql.Identifier(role)))


async def restore(conn: Connection, oid: int, was: DatabaseRow) -> list[str]:
    """Grant what `was` granted, in its order; gives what differs after all, in words: empty if nothing does."""
    row = await read_row(conn, oid)
    await _revoke(conn, row, "ALL")
    complaints = [complaint for grant in _items(was.grants) if (complaint := await _grant(conn, row.name, grant))]
    now = await read_row(conn, oid)
    same = now.acl == was.acl if was.acl is not None else set(now.grants) == set(was.grants)
    return complaints if same else [*complaints, f"the ACL of {row.name} was {was.acl or 'the default'} and is {now.acl}"]


async def _revoke(conn: Connection, row: DatabaseRow, privilege: str) -> None:
    for grantee in dict.fromkeys(grant.grantee for grant in row.grants):
        if (name := await _role(conn, grantee)) is not None:
            revoke = sql.SQL("REVOKE {} ON DATABASE {} FROM {} CASCADE")
            await conn.execute(revoke.format(sql.SQL(privilege), sql.Identifier(row.name), name))


Item = tuple[int, int, bool, tuple[str, ...]]  # grantee, grantor, grantable, privileges


def _items(grants: Iterable[Grant]) -> list[Item]:
    """One GRANT each, in the order in which they build the same array again."""
    privileges: dict[tuple[int, int], dict[bool, list[str]]] = {}
    for grant in grants:
        pair = privileges.setdefault((grant.grantee, grant.grantor), {})
        pair.setdefault(grant.grantable, []).append(grant.privilege)
    return [(*pair, grantable, tuple(names)) for pair, by in privileges.items() for grantable, names in by.items()]


async def _grant(conn: Connection, database: str, item: Item) -> str | None:
    """Gives what went wrong, if something did: a role that was dropped meanwhile must not stop the way back."""
    grantee, grantor, grantable, privileges = item
    try:
        async with conn.transaction():
            await _as_grantor(conn, database, grantor)
            grant = sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
                sql.SQL(", ").join(map(sql.SQL, privileges)),
                sql.Identifier(database),
                await _role(conn, grantee) or sql.Identifier(f"role {grantee}, which is gone"),
                sql.SQL(" WITH GRANT OPTION" if grantable else ""),
            )
            await conn.execute(grant)
            await conn.execute("SET LOCAL ROLE NONE")
    except psycopg.DatabaseError as error:
        if conn.closed:
            raise
        return f"{', '.join(privileges)} on {database} could not be granted to role {grantee} again: {primary_message(error)}"
    return None


async def _as_grantor(conn: Connection, database: str, grantor: int) -> None:
    """As a member of the owner we grant in the owner's name; what others granted on can only be granted by them."""
    owner = "SELECT pg_get_userbyid(datdba), datdba = %s FROM pg_database WHERE datname = %s"
    row = await fetch_one(conn, owner, (grantor, database))
    if row and not row[1]:
        await conn.execute(sql.SQL("SET LOCAL ROLE {}").format(await _role(conn, grantor) or sql.SQL("NONE")))


async def _role(conn: Connection, oid: int) -> sql.Composable | None:
    """None if there is no such role any more."""
    if oid == 0:
        return sql.SQL("PUBLIC")
    row = await fetch_one(conn, "SELECT rolname FROM pg_roles WHERE oid = %s", (oid,))
    return sql.Identifier(row[0]) if row else None
