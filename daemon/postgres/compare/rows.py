"""The rows of one query on one connection, as text: equal content is equal text (docs/decisions/0003-comparison.md)."""

from __future__ import annotations

# ruff: noqa: S608 - the plan's own queries are the subject here; the session can write nothing
import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from cutoverd.daemon.postgres.compare.columns import Column, subquery
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

# Why these hashes: docs/measured.md, "Hashes of rows"
BUCKETS = 65536  # a power of two; of 10 M rows each holds about 150
LINES_AT_ONCE = 1000  # between two turns of the event loop
# OFFSET 0 keeps the planner from merging the subquery into the outer one, which would print each row once per hash.
FENCE = "OFFSET 0"
# By their full names: a search_path of theirs may have others of the same name first.
COUNT, SUM, HASH = "pg_catalog.count", "pg_catalog.sum", "pg_catalog.hashtextextended"
TEXT, BYTES = "pg_catalog.text", 'pg_catalog."C"'
AND, EQUAL, ABOVE = "OPERATOR(pg_catalog.&)", "OPERATOR(pg_catalog.=)", "OPERATOR(pg_catalog.>)"
KEY_HASH = f"{HASH}(k, 0)"
# A database without an encoding may hold bytes that no conversion to UTF-8 lets through.
RAW = "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', true) WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'"


class Half(IntEnum):
    """Of all buckets: what is the same on both sides needs a search for repeated keys on one of them."""

    EVEN = 0
    ODD = 1


@dataclass(frozen=True)
class Hashed:
    """One side's rows: for each bucket of keys how many, and two 64-bit hashes of each row summed without overflow.

    Two that are equal hold the same multiset of rows, whatever its order.
    """

    rows: int
    buckets: frozenset[str]  # "bucket:rows:first sum:second sum"
    repeated: frozenset[int]  # buckets, of one half, in which a key came more than once

    def rows_in(self, wanted: Collection[int]) -> int:
        return sum(int(word.split(":", 2)[1]) for word in self.buckets if bucket_of(word) in wanted)


def bucket_of(word: str) -> int:
    return int(word.partition(":")[0])


@dataclass(frozen=True)
class Rows:
    """What `query` gives in the snapshot of `connection`."""

    connection: Connection
    query: str
    columns: Sequence[Column]
    key: Sequence[str]

    async def hashed(self, half: Half) -> Hashed:
        """All rows, in one execution of the query; keys that come twice are looked for in that half of the buckets."""
        statement = f"""
            WITH hashed AS MATERIALIZED (
              SELECT {KEY_HASH} AS k, {HASH}(r, 1) AS a, {HASH}(r, 2) AS b
                FROM (SELECT {self._key} AS k, {self._row} AS r FROM {self._source} {FENCE}) AS printed),
            bucket AS (
              SELECT k {AND} {BUCKETS - 1} AS n, {COUNT}(*) AS rows, {SUM}(a) AS a, {SUM}(b) AS b FROM hashed GROUP BY 1),
            half AS NOT MATERIALIZED (SELECT k FROM hashed WHERE k {AND} 1 {EQUAL} {half:d})
            SELECT coalesce({SUM}(rows)::bigint, 0),
                   coalesce(pg_catalog.string_agg(pg_catalog.concat_ws(':', n, rows, a, b), ' '), ''),
                   CASE WHEN (SELECT {COUNT}(*) {ABOVE} {COUNT}(DISTINCT k) FROM half)
                        THEN ARRAY(SELECT k {AND} {BUCKETS - 1} FROM half GROUP BY k HAVING {COUNT}(*) {ABOVE} 1) ELSE '{{}}' END
              FROM bucket"""
        [[rows, buckets, repeated]] = await self._fetch(statement)
        return Hashed(rows, frozenset(buckets.split()), frozenset(repeated))

    async def lines(self, buckets: Collection[int]) -> AsyncIterator[bytes]:
        """The rows of these buckets as lines of COPY: key in hexadecimal, hash of the row, columns; in the order of bytes."""
        wanted = "true" if len(buckets) > BUCKETS // 2 else f"{KEY_HASH} {AND} {BUCKETS - 1} {EQUAL} ANY ({_array(buckets)})"
        statement = f"""
            COPY (SELECT pg_catalog.encode(pg_catalog.convert_to(k, pg_catalog.getdatabaseencoding()), 'hex') COLLATE {BYTES},
                         pg_catalog.lpad(pg_catalog.to_hex({HASH}({self._row}, 1)), 16, '0') COLLATE {BYTES}, {self._names}
                    FROM (SELECT {self._key} AS k, {self._values} FROM {self._source} {FENCE}) AS keyed
                   WHERE {wanted} ORDER BY 1, 2) TO STDOUT"""
        await self.connection.execute(RAW)
        async with self.connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            read = 0
            async for line in copy:
                yield bytes(line)
                read += 1
                if read % LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _fetch(self, statement: str) -> list[tuple[Any, ...]]:
        return await fetch_all(self.connection, statement.encode())

    @property
    def _source(self) -> str:
        return f"{subquery(self.query)} AS q({self._names})"

    @property
    def _names(self) -> str:
        return ", ".join(f"c{i}" for i in range(len(self.columns)))

    @property
    def _values(self) -> str:
        return ", ".join(f"c{i}{c.cast} AS c{i}" for i, c in enumerate(self.columns))

    @property
    def _row(self) -> str:
        return self._text([c.name for c in self.columns])

    @property
    def _key(self) -> str:
        return self._text(self.key)

    def _text(self, names: Sequence[str]) -> str:
        at = {c.name: f"c{i}{c.cast}" for i, c in enumerate(self.columns)}
        return f"ROW({', '.join(at[name] for name in names)})::{TEXT} COLLATE {BYTES}"


def _array(buckets: Collection[int]) -> str:
    return "'{" + ",".join(map(str, sorted(buckets))) + "}'::bigint[]"
