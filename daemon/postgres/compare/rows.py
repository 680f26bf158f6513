"""The rows of one query on one connection, as text: equal content is equal text (docs/decisions/0003-comparison.md)."""

from __future__ import annotations

# ruff: noqa: S608 - the plan's own queries are the subject here; the session can write nothing
import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from cutoverd.daemon.postgres.compare.columns import Column, subquery
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection

# Why these hashes: docs/measured.md, "Hashes of rows"
MOST_BUCKETS = 65536  # a power of two, as every number of them
ROWS_IN_BUCKET = 32  # meant, until there are too many buckets: docs/measured.md, "Hashes of rows"
LINES_AT_ONCE = 1000  # between two turns of the event loop
# OFFSET 0 keeps the planner from merging the subquery into the outer one, which would print each row once per hash.
FENCE = "OFFSET 0"
# By their full names: a search_path of theirs may have others of the same name first.
COUNT, SUM, XOR, HASH = "pg_catalog.count", "pg_catalog.sum", "pg_catalog.bit_xor", "pg_catalog.hashtextextended"
TEXT, BYTES = "pg_catalog.text", 'pg_catalog."C"'
AND, MINUS, EQUAL, ABOVE = (f"OPERATOR(pg_catalog.{sign})" for sign in ("&", "-", "=", ">"))
KEY_HASH = f"{HASH}(k, 0)"
FINGERPRINT = f"{COUNT}(*), {SUM}({HASH}(r, 1))::{TEXT}, {SUM}({HASH}(r, 2))::{TEXT}"
# A database without an encoding may hold bytes that no conversion to UTF-8 lets through.
RAW = "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', true) WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII'"


@dataclass(frozen=True)
class Fingerprint:
    """Rows counted, and two 64-bit hashes of each row summed without overflow: a multiset, whatever its order."""

    rows: int
    first: str
    second: str


@dataclass(frozen=True)
class Buckets:
    """Some of `of` buckets into which rows fall by their keys."""

    of: int
    numbers: frozenset[int]

    @property
    def condition(self) -> str:
        """SQL, where `h` is the hash of the key."""
        if len(self.numbers) > self.of // 2:
            return "true"
        listed = ",".join(map(str, sorted(self.numbers)))
        return f"h {AND} {self.of - 1} {EQUAL} ANY ('{{{listed}}}'::bigint[])"


def number_of(bucket: str) -> int:
    return int(bucket.partition(":")[0])


def rows_of(bucket: str) -> int:
    return int(bucket.split(":", 2)[1])


def buckets_for(rows: int) -> int:
    return min(MOST_BUCKETS, 1 << (rows // ROWS_IN_BUCKET).bit_length())


@dataclass(frozen=True)
class Rows:
    """What `query` gives in the snapshot of `connection`."""

    connection: Connection
    query: str
    columns: Sequence[Column]
    key: Sequence[str]

    async def fingerprint(self) -> Fingerprint:
        [row] = await self._fetch(f"SELECT {FINGERPRINT} FROM (SELECT {self._row} AS r FROM {self._source} {FENCE}) AS printed")
        return Fingerprint(*row)

    async def fingerprint_and_repeated(self) -> tuple[Fingerprint, int]:
        """And the number of rows beyond the first of their key."""
        statement = f"""
            SELECT {FINGERPRINT}, {COUNT}(*) {MINUS} {COUNT}(DISTINCT {KEY_HASH})
              FROM (SELECT {self._hashed} AS k, {self._row} AS r FROM {self._source} {FENCE}) AS printed"""
        [[*fingerprint, repeated]] = await self._fetch(statement)
        return Fingerprint(*fingerprint), repeated

    async def buckets(self, of: int) -> frozenset[str]:
        """Each bucket as `number:rows:hash:hash`, where two 64-bit hashes of each row became one by XOR.

        Rows that come twice cancel out, so one side has to be known to have none in the bucket: see `repeated`.
        """
        statement = f"""
            SELECT pg_catalog.string_agg(pg_catalog.concat_ws(':', n, rows, a, b), ' ')
              FROM (SELECT h {AND} {of - 1} AS n, {COUNT}(*) AS rows, {XOR}(a) AS a, {XOR}(b) AS b
                      FROM (SELECT {KEY_HASH} AS h, {HASH}(r, 1) AS a, {HASH}(r, 2) AS b
                              FROM (SELECT {self._hashed} AS k, {self._row} AS r FROM {self._source} {FENCE}) AS printed) AS keyed
                     GROUP BY 1) AS bucket"""
        [[words]] = await self._fetch(statement)
        return frozenset((words or "").split())

    async def repeated(self, of: int) -> set[int]:
        """The buckets in which a key comes more than once."""
        statement = f"""
            SELECT DISTINCT h {AND} {of - 1}
              FROM (SELECT {KEY_HASH} AS h FROM (SELECT {self._hashed} AS k FROM {self._source} {FENCE}) AS printed
                     GROUP BY 1 HAVING {COUNT}(*) {ABOVE} 1) AS twice"""
        return {n for (n,) in await self._fetch(statement)}

    async def lines(self, wanted: Buckets) -> AsyncIterator[bytes]:
        """The rows of these buckets as lines of COPY: key in hexadecimal, hash of the row, columns; in the order of bytes."""
        statement = f"""
            COPY (SELECT pg_catalog.encode(pg_catalog.convert_to({self._key}, pg_catalog.getdatabaseencoding()), 'hex')
                         COLLATE {BYTES},
                         pg_catalog.lpad(pg_catalog.to_hex({HASH}({self._row}, 1)), 16, '0') COLLATE {BYTES}, {self._names}
                    FROM (SELECT {KEY_HASH} AS h, {self._names}
                            FROM (SELECT {self._hashed} AS k, {self._values} FROM {self._source} {FENCE}) AS keyed) AS hashed
                   WHERE {wanted.condition} ORDER BY 1, 2) TO STDOUT"""
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

    @property
    def _hashed(self) -> str:
        """The key as its hash is made of it: of one column without the quotes of a row, which are half of the work."""
        return f"pg_catalog.concat({self._given([*self.key])}) COLLATE {BYTES}" if len(self.key) == 1 else self._key

    def _text(self, names: Sequence[str]) -> str:
        return f"ROW({self._given(names)})::{TEXT} COLLATE {BYTES}"

    def _given(self, names: Sequence[str]) -> str:
        at = {c.name: f"c{i}{c.cast}" for i, c in enumerate(self.columns)}
        return ", ".join(at[name] for name in names)
