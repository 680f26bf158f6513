"""Every table of old is read by a comparison, or waived by name: asked of the server, not of the text of the queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutoverd.daemon.postgres.compare.columns import KEY_HINT, check_key, columns, subquery
from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.own_path import own_path
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import explained, reading
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

TABLES = Path(__file__).with_name("coverage.sql").read_bytes()

HINT = (
    "compare each table of old, or waive it as schema.table with the reason; "
    "a partition that a query leaves out is a table of its own"
)


@dataclass(frozen=True)
class CoveredTable:
    """A table with rows of its own; a partition goes by its own name and by those of the tables above it."""

    name: str  # schema.table
    ancestors: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.ancestors)


async def check_coverage(server: Server, comparisons: Sequence[Comparison], waive: Mapping[str, str], *, old: str) -> Evidence:
    """{"tables": n, "compared": {table: [comparisons]}, "waived": {table: reason}} of the database `old`.

    A partition that the planner prunes, and a table that it proves not to be needed, is not read. Raises CheckFailed
    with evidence {"unread": [tables], "unknown": [waived names that are no table]}, also for a key that is no column.
    """
    async with reading(server, old, of_plan=True) as connection:
        async with own_path(connection):
            tables = [CoveredTable(*row) for row in await fetch_all(connection, TABLES)]
        read, keyless, wrong = await _asked(connection, comparisons)
    compared = {t.name: [name for name, found in read.items() if t.name in found] for t in tables}
    waived = {t.name: reason for t in tables if (reason := _waived(t, waive)) is not None}
    # what a wrong query would have read is unknown, and so is whether anything reads a table
    unread = [] if wrong else [name for name, by in compared.items() if not by and name not in waived]
    unknown = sorted(set(waive) - {name for t in tables for name in t.names})
    unexplained = sorted(name for name, reason in waive.items() if not reason.strip())
    _check(unread, unknown, unexplained, keyless, wrong)
    return {"tables": len(tables), "compared": {name: by for name, by in compared.items() if by}, "waived": waived}


def _check(
    unread: Sequence[str],
    unknown: Sequence[str],
    unexplained: Sequence[str],
    keyless: Sequence[str],
    wrong: Sequence[CheckFailed],
) -> None:
    """`wrong`: queries that cannot be asked; the rest is said as well, not one thing an attempt."""
    problems = []
    if unread:
        problems.append(f"no comparison reads {', '.join(unread)}")
    if unknown:
        problems.append(f"waived but no table of old: {', '.join(unknown)}")
    if unexplained:
        problems.append(f"waived without a reason: {', '.join(unexplained)}")
    hints = [each.hint for each in wrong[:1]] + [HINT] * bool(problems) + [KEY_HINT] * bool(keyless)
    if problems := [*map(str, wrong), *problems, *keyless]:
        raise CheckFailed(
            "; ".join(problems),
            hint="; ".join(hints),
            evidence={"unread": list(unread), "unknown": list(unknown), "unexplained": list(unexplained)},
        )


def _waived(table: CoveredTable, waive: Mapping[str, str]) -> str | None:
    return next((waive[name] for name in table.names if name in waive), None)


async def _asked(
    connection: Connection, comparisons: Sequence[Comparison]
) -> tuple[dict[str, set[str]], list[str], list[CheckFailed]]:
    """What each query of old reads, by comparison, why a key is none, and which queries cannot be asked."""
    read, keyless, wrong = dict[str, set[str]](), list[str](), list[CheckFailed]()
    for each in comparisons:
        try:
            async with connection.transaction():
                read[each.name] = await tables_read(connection, each.name, each.old)
                keyless += filter(None, [await _without_key(connection, each)])
        except CheckFailed as error:
            wrong.append(error)
    return read, keyless, wrong


async def tables_read(connection: Connection, comparison: str, query: str, *, side: str = "old") -> set[str]:
    """The names of the tables that a query of a comparison scans, views and partitions expanded; raises `CheckFailed`."""
    statement = f"EXPLAIN (VERBOSE, FORMAT JSON) SELECT * FROM {subquery(query)} AS q"  # noqa: S608
    with explained(f"comparison {comparison}, the query of {side}"):
        cursor = await connection.execute(statement.encode())
    [[plan]] = await cursor.fetchall()
    return {f"{node['Schema']}.{node['Relation Name']}" for node in _nodes(plan) if "Relation Name" in node}


async def _without_key(connection: Connection, comparison: Comparison) -> str:
    """Why the rows that old gives cannot be told apart by the key, or ""."""
    with explained(f"comparison {comparison.name}, the query of old"):
        return check_key(comparison.name, await columns(connection, comparison.old), comparison.key)


def _nodes(plan: Any) -> Iterator[Mapping[str, Any]]:
    """All nodes, those of subplans and of modified parts too."""
    if isinstance(plan, list):
        for each in plan:
            yield from _nodes(each)
    elif isinstance(plan, dict):
        yield plan
        for each in plan.values():
            yield from _nodes(each)
