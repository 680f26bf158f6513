"""What a query gives: its columns, and which types can be compared with which."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.own_path import own_path
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import CheckFailed

# Types of one family print equal content equally. Domains arrive here as their base types. Everything else is a family
# of its own: json is not jsonb, timestamp is not timestamptz, and real prints fewer digits than double precision.
FAMILIES = """
WITH given AS (SELECT * FROM unnest(%s::oid[], %s::int[]) WITH ORDINALITY AS g(type, typmod, position)),
typed AS (
  SELECT g.*, e.oid AS element, coalesce(e.oid, t.oid) AS base
    FROM given g JOIN pg_catalog.pg_type t ON t.oid = g.type
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid)
SELECT pg_catalog.format_type(g.type, g.typmod),
       CASE WHEN b.oid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) THEN 'integer'
            WHEN b.oid IN ('pg_catalog.text'::regtype, 'pg_catalog.varchar'::regtype,
                           'pg_catalog.bpchar'::regtype, 'pg_catalog.name'::regtype)
              OR b.typtype = 'e' OR b.typname = 'citext' THEN 'text'
            WHEN b.typtype = 'c' OR b.oid = 'record'::regtype THEN 'composite'
            ELSE n.nspname || '.' || b.typname END || CASE WHEN g.element IS NULL THEN '' ELSE '[]' END,
       CASE WHEN b.oid = 'pg_catalog.bpchar'::regtype
            THEN CASE WHEN g.element IS NULL THEN '::pg_catalog.text' ELSE '::pg_catalog.text[]' END ELSE '' END,
       CASE WHEN b.oid = 'numeric'::regtype AND g.typmod >= 4 THEN ((g.typmod - 4) & 2047 # 1024) - 1024 END
  FROM typed g JOIN pg_catalog.pg_type b ON b.oid = g.base JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace
 ORDER BY g.position
"""


@dataclass(frozen=True)
class Column:
    """One column of a query's result."""

    name: str
    type: str  # as PostgreSQL writes it: numeric(12,2)
    family: str
    cast: str  # "::pg_catalog.text" where the type's own text holds what is not content: the padding of character(n)
    scale: int | None  # declared digits after the point; None: not declared, or not numeric

    def comparable(self, other: Column) -> bool:
        scales = {self.scale, other.scale} - {None}
        return self.family == other.family and len(scales) < 2

    def __str__(self) -> str:
        return f"{self.name} {self.type}"


def subquery(query: str) -> str:
    """The query as it may stand in FROM: alone, without its semicolon, its last line possibly a comment."""
    return "(\n" + re.sub(r"[;\s]+\Z", "", query) + "\n)"


async def columns(connection: Connection, query: str) -> tuple[Column, ...]:
    """What `query` gives on this connection; raises psycopg.Error where it is not one plain query."""
    # binary: the extended protocol, which refuses a second statement
    cursor = await connection.execute(f"SELECT * FROM {subquery(query)} AS q LIMIT 0".encode(), binary=True)  # noqa: S608
    described = cursor.description or []
    result = cursor.pgresult
    typmods = [result.fmod(i) for i in range(len(described))] if result else []
    async with own_path(connection):
        families = await fetch_all(connection, FAMILIES.encode(), ([c.type_code for c in described], typmods))
    return tuple(Column(c.name, *row) for c, row in zip(described, families, strict=True))


SAME_COLUMNS = "give both queries the same columns: AS for names, a cast (::text, ::numeric(12,2)) for types"
KEY_HINT = "name in `key` columns that both queries give, by the names that they have there"


def check_alike(name: str, old: Sequence[Column], new: Sequence[Column], key: Sequence[str]) -> None:
    """Raises CheckFailed where the two results cannot be compared column by column, or the key is none of them."""
    problems = []
    if [c.name for c in old] != [c.name for c in new]:
        problems.append("the columns are not the same, in the same order")
    else:
        problems += [f"{o.name}: {o.type} in old, {n.type} in new" for o, n in zip(old, new, strict=True) if not o.comparable(n)]
    problems += unnamed(old)
    hints = [SAME_COLUMNS] if problems else []
    if lost := without_key(old, key):
        problems, hints = [*problems, *lost], [*hints, KEY_HINT]
    if problems:
        raise CheckFailed(
            f"comparison {name}: {'; '.join(problems)} — old gives {_listed(old)}; new gives {_listed(new)}",
            hint="; ".join(hints),
        )


def check_key(name: str, old: Sequence[Column], key: Sequence[str]) -> str:
    """What of it is seen from old alone, in words that name the comparison; "" if nothing is wrong."""
    problems = [*unnamed(old), *without_key(old, key)]
    return f"comparison {name}: {'; '.join(problems)} — old gives {_listed(old)}" if problems else ""


def unnamed(given: Sequence[Column]) -> list[str]:
    names = {c.name for c in given}
    return ["each column needs a name of its own"] if len(names) < len(given) or not names else []


def without_key(given: Sequence[Column], key: Sequence[str]) -> list[str]:
    is_there = key and set(key) <= {c.name for c in given}
    return [] if is_there else [f"the key ({', '.join(key)}) is not among the columns"]


def _listed(given: Sequence[Column]) -> str:
    return "(" + ", ".join(map(str, given)) + ")"
