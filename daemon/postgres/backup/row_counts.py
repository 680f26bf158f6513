"""Rows of every table that a dump carries, counted in one snapshot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from psycopg import sql

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import CheckFailed

_NAMED_MAX = 20
# An extension's own tables come from the extension, not from the dump.
TABLES = r"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""

# A value of an enum is hashed by its oid, which a restore gives anew: its rows come back, and lie in other partitions.
SPREAD = """
WITH RECURSIVE below AS (
    SELECT p.partrelid AS root, p.partrelid AS oid FROM pg_partitioned_table p
     WHERE p.partstrat = 'h' AND EXISTS (
        SELECT FROM unnest(p.partattrs::int2[]) AS k(n) JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.n
          JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype WHERE 'e' IN (t.typtype, b.typtype))
    UNION ALL SELECT b.root, i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.oid
)
SELECT DISTINCT ON (c.oid) n.nspname || '.' || c.relname, b.root::regclass::text
  FROM below b JOIN pg_class c ON c.oid = b.oid AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY c.oid, (SELECT count(*) FROM pg_partition_ancestors(b.root))
"""


async def read_spread(conn: Connection) -> dict[str, str]:
    """The table to which each partition belongs whose rows a restore spreads anew."""
    return {str(partition): str(root) for partition, root in await fetch_all(conn, SPREAD)}


async def count_rows(conn: Connection) -> dict[str, int]:
    """{"schema.table": rows}; the partitions of a table, not the table itself."""
    tables = await fetch_all(conn, TABLES)
    return {f"{schema}.{table}": await _count(conn, schema, table) for schema, table in tables}


async def _count(conn: Connection, schema: str, table: str) -> int:
    row = await fetch_one(conn, sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(schema, table)))
    return int(row[0]) if row else 0


def compare(
    dumped: Mapping[str, int],
    restored: Mapping[str, int],
    says: str = "the dump does not restore",
    spread: Mapping[str, str] | None = None,
) -> None:
    """Raises `CheckFailed` with evidence {"tables": {name: [rows dumped, rows restored]}} (null: no such table).

    `spread`: partitions that are counted together, under the name of their table.
    """
    dumped, restored = _together(dumped, spread or {}), _together(restored, spread or {})
    names = sorted(dumped.keys() | restored.keys())
    differing = {name: [dumped.get(name), restored.get(name)] for name in names if dumped.get(name) != restored.get(name)}
    if differing:
        first = dict(list(differing.items())[:_NAMED_MAX])
        listed = ", ".join(f"{name}: {there} dumped, {back} restored" for name, (there, back) in first.items())
        raise CheckFailed(f"{says} {len(differing)} table(s) as they were: {listed}", evidence={"tables": first})


def digest(value: object) -> str:
    """Of what JSON can say: of rows by table, say."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _together(counts: Mapping[str, int], spread: Mapping[str, str]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for name, rows in counts.items():
        counted = f"all of {spread[name]}" if name in spread else name
        summed[counted] = summed.get(counted, 0) + rows
    return summed
