"""What pg_database says of a database, by oid: names change hands all the time here, an oid never does."""

from __future__ import annotations

from psycopg import sql

from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import StepError

ROW = """
SELECT jsonb_build_object(
    'oid', d.oid::bigint, 'name', d.datname, 'owner', pg_get_userbyid(d.datdba),
    'accepts_connections', d.datallowconn, 'connection_limit', d.datconnlimit, 'acl', d.datacl::text,
    'grants', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('grantee', grantee::bigint, 'grantor', grantor::bigint,
                                                     'privilege', privilege_type, 'grantable', is_grantable) ORDER BY n), '[]')
        FROM ROWS FROM (aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))))
             WITH ORDINALITY AS a(grantor, grantee, privilege_type, is_grantable, n)),
    'settings', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('role', r.rolname, 'config', to_jsonb(s.setconfig))
                                  ORDER BY s.setrole), '[]')
        FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid),
    'comment', shobj_description(d.oid, 'pg_database'))
FROM pg_database d WHERE d.oid = %s
"""


async def read_row(conn: Connection, oid: int) -> DatabaseRow:
    """Raises `StepError` if there is no such database."""
    row = await fetch_one(conn, ROW, (oid,))
    if row is None:
        raise StepError(f"there is no database with oid {oid}: somebody dropped it")
    return DatabaseRow.model_validate(row[0])


async def oid_of(conn: Connection, name: str) -> int | None:
    row = await fetch_one(conn, "SELECT oid::bigint FROM pg_database WHERE datname = %s", (name,))
    return row[0] if row else None


async def rename(conn: Connection, oid: int, name: str) -> None:
    """Give the database this name, unless it has it; needs nobody to be in it. Raises `StepError` if it is gone."""
    row = await fetch_one(conn, "SELECT datname FROM pg_database WHERE oid = %s", (oid,))
    if row is None:
        raise StepError(f"the database that should be called {name} (oid {oid}) is gone: somebody dropped it")
    if row[0] != name:
        await alter(conn, row[0], sql.SQL("RENAME TO {}").format(sql.Identifier(name)))


async def accept_connections(conn: Connection, oid: int, accept: bool) -> None:
    """Only where it differs: a row that is not written is a row nobody waits for."""
    query = "SELECT datname FROM pg_database WHERE oid = %s AND datallowconn <> %s"
    if row := await fetch_one(conn, query, (oid, accept)):
        await alter(conn, row[0], sql.SQL("ALLOW_CONNECTIONS {}").format(sql.Literal(accept)))


async def alter(conn: Connection, name: str, change: sql.Composable) -> None:
    await conn.execute(sql.SQL("ALTER DATABASE {} {}").format(sql.Identifier(name), change))
