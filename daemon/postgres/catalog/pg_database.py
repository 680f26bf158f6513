"""What pg_database says of a database, by oid, and which oid plays which role in a run.

Names change hands all the time here; an oid never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import StepError

Role = Literal["old", "new", "placeholder"]


class Grant(BaseModel):
    """One privilege of an ACL, roles by oid (0: PUBLIC)."""

    model_config = ConfigDict(frozen=True)
    grantee: int
    grantor: int
    privilege: Literal["CONNECT", "CREATE", "TEMPORARY"]
    grantable: bool


class Settings(BaseModel):
    """One row of pg_db_role_setting: `name=value` in their order; without a role, the database's own."""

    model_config = ConfigDict(frozen=True)
    role: str | None
    config: tuple[str, ...]


class DatabaseRow(BaseModel):
    """A row of pg_database and all that hangs on it and that a clone loses."""

    model_config = ConfigDict(frozen=True)
    oid: int
    name: str
    owner: str
    accepts_connections: bool
    connection_limit: int
    acl: str | None  # as pg_database has it; None stands for the default
    grants: tuple[Grant, ...]  # of the ACL, or of the default, in its order
    settings: tuple[Settings, ...]
    comment: str | None


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
    row = await (await conn.execute(ROW, (oid,))).fetchone()
    if row is None:
        raise StepError(f"there is no database with oid {oid}: somebody dropped it")
    return DatabaseRow.model_validate(row[0])


async def oid_of(conn: Connection, name: str) -> int | None:
    row = await (await conn.execute("SELECT oid::bigint FROM pg_database WHERE datname = %s", (name,))).fetchone()
    return row[0] if row else None


@dataclass(frozen=True)
class TrackedDatabase:
    """A database of this run, as it is called now and as it was when it was recorded."""

    oid: int
    name: str | None  # None: it is gone
    accepts_connections: bool
    row: DatabaseRow


KNOWN = """
SELECT o.role, o.oid::bigint, d.datname, coalesce(d.datallowconn, false), o.row
FROM cutoverd.database_oids o LEFT JOIN pg_database d ON d.oid = o.oid WHERE o.run = %s
"""


async def tracked(conn: Connection, run: str) -> Mapping[str, TrackedDatabase]:
    """Role → database, of those that this run has recorded."""
    rows = await (await conn.execute(KNOWN, (run,))).fetchall()
    return {role: TrackedDatabase(oid, name, accepts, DatabaseRow.model_validate(row)) for role, oid, name, accepts, row in rows}


RECORD = """
INSERT INTO cutoverd.database_oids (run, role, oid, row) VALUES (%s, %s, %s, %s)
ON CONFLICT (run, role) DO UPDATE SET oid = excluded.oid, row = excluded.row
"""


async def track(conn: Connection, run: str, role: Role, row: DatabaseRow) -> None:
    await conn.execute(RECORD, (run, role, row.oid, Jsonb(row.model_dump())))


async def rename(conn: Connection, oid: int, name: str) -> None:
    """Give the database this name, unless it has it; needs nobody to be in it."""
    row = await (await conn.execute("SELECT datname FROM pg_database WHERE oid = %s", (oid,))).fetchone()
    if row is None:
        raise StepError(f"the database that should be called {name} (oid {oid}) is gone: somebody dropped it")
    if row[0] != name:
        await alter(conn, row[0], sql.SQL("RENAME TO {}").format(sql.Identifier(name)))


async def accept_connections(conn: Connection, oid: int, accept: bool) -> None:
    """Only where it differs: a row that is not written is a row nobody waits for."""
    query = "SELECT datname FROM pg_database WHERE oid = %s AND datallowconn <> %s"
    if row := await (await conn.execute(query, (oid, accept))).fetchone():
        await alter(conn, row[0], sql.SQL("ALLOW_CONNECTIONS {}").format(sql.Literal(accept)))


async def alter(conn: Connection, name: str, change: sql.Composable) -> None:
    await conn.execute(sql.SQL("ALTER DATABASE {} {}").format(sql.Identifier(name), change))
