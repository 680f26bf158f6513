"""What in a database belongs to others than its owner, as whom schema files and data scripts run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

OWNED = Path(__file__).with_name("owned.sql").read_bytes()
KEYWORDS = {"statistics object": "STATISTICS", "foreign-data wrapper": "FOREIGN DATA WRAPPER"}  # the others are ALTER's own
OWNER = "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()"


@dataclass(frozen=True)
class OwnedObject:
    """One object, by what `pg_identify_object` calls it."""

    class_oid: int
    oid: int
    type: str
    schema: str
    identity: str  # quoted as SQL wants it
    owner: str
    by_owner: bool  # the database's owner may act for its owner
    by_us: bool  # our role may become its owner
    is_usable: bool  # by the database's owner: a table to be read, a schema to create in

    def given_to(self, owner: str) -> sql.Composed:
        """The statement that makes it somebody's."""
        keyword = KEYWORDS.get(self.type, self.type.upper())
        return sql.SQL(f"ALTER {keyword} {self.identity} OWNER TO {{}}").format(sql.Identifier(owner))

    def remedy(self, owner: str) -> str:
        """As a person reads it."""
        plain = owner if owner.isidentifier() and owner.islower() else f'"{owner}"'
        return f"ALTER {KEYWORDS.get(self.type, self.type.upper())} {self.identity} OWNER TO {plain}"


async def read_owned(conn: Connection) -> list[OwnedObject]:
    """Of the database that `conn` is in; schemas last."""
    return [OwnedObject(*row) for row in await fetch_all(conn, OWNED)]


async def database_owner(conn: Connection) -> str:
    row = await fetch_one(conn, OWNER)
    return str(row[0]) if row else ""


async def is_superuser(conn: Connection) -> bool:
    """Whether our role is one."""
    row = await fetch_one(conn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    return bool(row and row[0])
