"""Makes the old database of the printoptim example: roles, database, tables as they grew, and fifteen years of rows.

python legacy/load.py postgresql://postgres@127.0.0.1:5432/postgres printoptim --rows 1000000 --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path
from string import Template

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

HERE = Path(__file__).parent
OWNER, APPLICATION = "printoptim_owner", "printoptim_app"
ROWS, LEAST_ROWS = 1_000_000, 10_000
FIXED = {"model": 60, "technician": 25, "part": 40, "supply": 120}
LISTS = 5 + 5 + 54 + 8  # country, settings, label, manufacturer: as fill.sql spells them out
PER_THOUSAND = {
    "customer": 4, "contact": 10, "location": 8, "app_user": 5, "session": 5, "import_2014": 5, "printer": 20, "status_log": 80,
    "supply_level": 18, "supply_order": 30, "ticket": 40, "ticket_note": 60, "visit": 25, "part_used": 20, "contract": 4,
    "contract_printer": 15, "invoice": 30, "invoice_line": 120, "payment": 30,
}  # fmt: skip


def counts(rows: int) -> dict[str, int]:
    """Rows by table; the readings are what is left."""
    shares = FIXED | {table: rows * share // 1000 for table, share in PER_THOUSAND.items()}
    return shares | {"reading": rows - LISTS - sum(shares.values())}


def create(superuser_conninfo: str, database: str = "printoptim") -> None:
    """The roles, and an empty database with settings, grants and a comment of its own: what a clone loses."""
    name, owner, application = (sql.Identifier(n) for n in (database, OWNER, APPLICATION))
    with psycopg.connect(superuser_conninfo, autocommit=True) as conn:
        conn.execute((HERE / "roles.sql").read_text())
        for statement in (
            "CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'",
            "REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC",
            "GRANT CONNECT ON DATABASE {name} TO {application}",
            "ALTER DATABASE {name} SET timezone TO 'Europe/Paris'",
            "COMMENT ON DATABASE {name} IS 'PrintOptim, since 2010'",
        ):
            conn.execute(sql.SQL(statement).format(name=name, owner=owner, application=application))


def load(conninfo: str, rows: int = ROWS, seed: int = 1) -> dict[str, int]:
    """The tables and their rows, made as the owner (the login must be able to take that role); rows by table."""
    if rows < LEAST_ROWS:
        raise ValueError(f"{rows} rows are too few for every oddity to be there: {LEAST_ROWS} at least")
    made = counts(rows)
    fill = Template((HERE / "fill.sql").read_text()).substitute(
        made, seed=seed, machines_a_contract=max(1, made["contract_printer"] // made["contract"])
    )
    with psycopg.connect(conninfo) as conn:
        conn.execute(f"SET LOCAL ROLE {OWNER}")
        conn.execute("SET LOCAL synchronous_commit = off")
        for script in ((HERE / "schema.sql").read_text(), fill, (HERE / "finish.sql").read_text()):
            conn.execute(script)
    return made


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("superuser_url", help="of any database of the server, such as postgres")
    arguments.add_argument("database", nargs="?", default="printoptim", help="the one to make (default: printoptim)")
    arguments.add_argument("--rows", type=int, default=ROWS, help=f"of all tables together (default: {ROWS:,})")
    arguments.add_argument("--seed", type=int, default=1, help="another one makes other rows (default: 1)")
    given = arguments.parse_args()
    create(given.superuser_url, given.database)
    for table, rows in load(make_conninfo(given.superuser_url, dbname=given.database), given.rows, given.seed).items():
        print(f"{table:17} {rows:>10,}")


if __name__ == "__main__":
    main()
