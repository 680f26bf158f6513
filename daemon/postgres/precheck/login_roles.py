"""Whether the roles that the plan logs in as could: asked of the catalog, so no password is needed.

What libpq makes of an address, a service or the environment it is asked itself, without connecting to anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn

from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

NO_SUCH_SSLMODE = "-"  # refused once all is known, and before anything is sent
LOCAL = ("localhost", "127.0.0.1", "::1", "")
ROLE = "SELECT rolcanlogin, has_database_privilege(oid, %s::oid, 'CONNECT') FROM pg_roles WHERE rolname = %s"


@dataclass(frozen=True)
class LoginAddress:
    """Where a login goes, as libpq takes it."""

    user: str
    host: str
    port: int
    database: str

    def is_of(self, conn: Connection) -> bool:
        """Whether this is surely the server of ours: a pooler elsewhere may log in as somebody else."""
        host, port = conn.info.host, conn.info.port
        return self.port == port and (self.host == host or (_is_local(self.host) and _is_local(host)))


def _is_local(host: str) -> bool:
    return host in LOCAL or host.startswith("/")


def resolved(url: str) -> LoginAddress | str:
    """Or what libpq says where it can make nothing of it: a service that it does not find."""
    pgconn = PGconn.connect_start(make_conninfo(url, sslmode=NO_SUCH_SSLMODE).encode())
    try:
        if not pgconn.user:
            return pgconn.error_message.decode(errors="replace").strip()
        user, host, database = (word.decode(errors="replace") for word in (pgconn.user, pgconn.host, pgconn.db))
        return LoginAddress(user, host, int(pgconn.port.split(b",")[0] or 5432), database)
    finally:
        pgconn.finish()


async def cannot_log_in(conn: Connection, row: DatabaseRow, logins: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Reasons, and warnings where the login goes to another address, in words; `logins`: addresses by the plan's key."""
    reasons, warnings = list[str](), list[str]()
    for key, url in logins.items():
        address = resolved(url)
        if isinstance(address, str):
            reasons.append(f"{key}: login {url}: {address}")
        elif wrong := await _wrong(conn, row, address):
            (reasons if address.is_of(conn) else warnings).append(f"{key}: login {url}: {wrong}")
    return reasons, warnings


async def _wrong(conn: Connection, row: DatabaseRow, address: LoginAddress) -> str:
    if address.is_of(conn) and address.database != row.name:
        return f"it leads to database {address.database}, not to {row.name}"
    found = await fetch_one(conn, ROLE, (row.oid, address.user))
    if not found:
        return f"there is no role {address.user} on the server: name one that is there, or make it"
    if not found[0]:
        return f"role {address.user} may not log in: ALTER ROLE … LOGIN"
    return "" if found[1] else f"role {address.user} may not connect to {row.name}: GRANT CONNECT ON DATABASE …"
