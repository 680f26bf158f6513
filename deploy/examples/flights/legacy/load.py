"""Makes the old database of the flights example: roles, database, flat tables, and the year 2013 in them.

python legacy/load.py postgresql://postgres@127.0.0.1:5432/postgres flights
"""

from __future__ import annotations

import argparse
import lzma
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

HERE = Path(__file__).parent
FILES = HERE.parent / "data"
OWNER, APPLICATION = "flights_owner", "flights_app"
TABLES = ("airlines", "airports", "planes", "flights", "weather")
BLOCK_BYTES = 1 << 20


def create(superuser_conninfo: str, database: str = "flights") -> None:
    """The roles, and an empty database with settings, a limit, grants and a comment of its own: what a clone loses."""
    name, owner, application = (sql.Identifier(n) for n in (database, OWNER, APPLICATION))
    with psycopg.connect(superuser_conninfo, autocommit=True) as conn:
        conn.execute((HERE / "roles.sql").read_text())
        for statement in (
            "CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' CONNECTION LIMIT 90",
            "REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC",
            "GRANT CONNECT ON DATABASE {name} TO {application}",
            "ALTER DATABASE {name} SET timezone TO 'America/New_York'",
            "COMMENT ON DATABASE {name} IS 'Departures of New York City, 2013'",
        ):
            conn.execute(sql.SQL(statement).format(name=name, owner=owner, application=application))


def load(conninfo: str) -> dict[str, int]:
    """The flat tables and their rows, made as the owner (the login must be able to take that role); rows by table."""
    with psycopg.connect(conninfo) as conn:
        conn.execute(f"SET LOCAL ROLE {OWNER}")
        conn.execute((HERE / "schema.sql").read_text())
        return {table: _copy(conn, table) for table in TABLES}


def _copy(conn: psycopg.Connection[tuple[object, ...]], table: str) -> int:
    query = sql.SQL("COPY public.{} FROM STDIN (FORMAT csv, HEADER match, NULL 'NA')").format(sql.Identifier(table))
    with conn.cursor() as cursor, lzma.open(FILES / f"{table}.csv.xz") as rows:
        with cursor.copy(query) as copy:
            while block := rows.read(BLOCK_BYTES):
                copy.write(block)
        rows = cursor.rowcount
        cursor.execute(sql.SQL("ANALYZE public.{}").format(sql.Identifier(table)))
        return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("superuser_url", help="of any database of the server, such as postgres")
    arguments.add_argument("database", nargs="?", default="flights", help="the one to make (default: flights)")
    given = arguments.parse_args()
    create(given.superuser_url, given.database)
    for table, rows in load(make_conninfo(given.superuser_url, dbname=given.database)).items():
        print(f"{table:10} {rows:>8,}")


if __name__ == "__main__":
    main()
