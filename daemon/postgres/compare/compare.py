"""Old and new compared by content: first by fingerprint, then, where that differs, row by row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cutoverd.daemon.postgres.compare.columns import check_alike, columns
from cutoverd.daemon.postgres.compare.merge import Kind, differences
from cutoverd.daemon.postgres.compare.record import Record, file_of, recording
from cutoverd.daemon.postgres.compare.rows import LINES_AT_ONCE, Buckets, Fingerprint, Rows, buckets_for, number_of, rows_of
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import common_settings, explained, reading
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.progress import report_progress
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

T = TypeVar("T")
U = TypeVar("U")
SHOWN_KEYS = 5  # in the message; the evidence has more, the file all


@dataclass(frozen=True)
class Comparison:
    """Two queries that must give the same rows, and the columns that tell one row from another."""

    name: str
    old: str
    new: str
    key: tuple[str, ...]


async def compare(server: Server, comparison: Comparison, *, old: str, new: str, folder: Path) -> Evidence:
    """Compares what the two queries give on the databases `old` and `new`, each in one snapshot.

    Gives {"rows_old", "rows_new", "differing": 0}. Raises CheckFailed with evidence {"missing", "extra", "changed",
    "repeated_old", "repeated_new", "rows_old", "rows_new", "keys", "file", "sha256"}; the file in `folder` has a line of
    JSON for each difference. A key that occurs more than once is a difference too, even when both sides have it.
    """
    async with _reading_both(server, old, new) as (old_connection, new_connection):
        with explained(f"comparison {comparison.name}"):
            old_rows, new_rows = await _described(comparison, old_connection, new_connection)
            report_progress("hashing every row of old and new")
            prints = await _fingerprints(old_rows, new_rows)
            if prints.same and not prints.repeated:
                return prints.equal
            report_progress(f"{prints.old.rows:,} rows of old and {prints.new.rows:,} of new differ, looking where")
            with recording(folder, [c.name for c in old_rows.columns], comparison.key) as record:
                await _record_differences(old_rows, new_rows, prints, record)
            if prints.same and not record.counts and await _fingerprints(old_rows, new_rows) == prints:
                file_of(folder, record).unlink(missing_ok=True)  # of no differences another comparison has the same one
                return prints.equal  # two keys have the same hash: no key came twice
    raise _failure(comparison, record, prints, file_of(folder, record))


@dataclass(frozen=True)
class Prints:
    """Both sides, and how many rows of new come after the first of their key."""

    old: Fingerprint
    new: Fingerprint
    repeated: int

    @property
    def same(self) -> bool:
        return self.old == self.new

    @property
    def equal(self) -> Evidence:
        return {"rows_old": self.old.rows, "rows_new": self.new.rows, "differing": 0}


async def _fingerprints(old: Rows, new: Rows) -> Prints:
    of_old, (of_new, repeated) = await _both(old.fingerprint(), new.fingerprint_and_repeated())
    return Prints(of_old, of_new, repeated)


@asynccontextmanager
async def _reading_both(server: Server, old: str, new: str) -> AsyncIterator[tuple[Connection, Connection]]:
    """With old's settings on both sides, where they say how a value is read and printed."""
    async with reading(server, old, of_plan=True) as on_old:
        in_common = await common_settings(on_old)
        async with reading(server, new, of_plan=True, in_common=in_common) as on_new:
            yield on_old, on_new


async def _described(comparison: Comparison, old: Connection, new: Connection) -> tuple[Rows, Rows]:
    with explained(f"comparison {comparison.name}, the query of old"):
        old_columns = await columns(old, comparison.old)
    with explained(f"comparison {comparison.name}, the query of new"):
        new_columns = await columns(new, comparison.new)
    check_alike(comparison.name, old_columns, new_columns, comparison.key)
    return Rows(old, comparison.old, old_columns, comparison.key), Rows(new, comparison.new, new_columns, comparison.key)


async def _record_differences(old: Rows, new: Rows, prints: Prints, record: Record) -> None:
    suspects, rows = await _suspects(old, new, prints)
    async for difference in differences(old.lines(suspects), _counted(new.lines(suspects), rows)):
        record.add(difference)


async def _suspects(old: Rows, new: Rows, prints: Prints) -> tuple[Buckets, int]:
    """The buckets that differ, or in which a key comes twice, and how many rows new has there."""
    of = buckets_for(max(prints.old.rows, prints.new.rows))
    old_buckets, new_buckets = await _both(old.buckets(of), new.buckets(of))
    differing = {number_of(bucket) for bucket in old_buckets ^ new_buckets}
    suspects = Buckets(of, frozenset(differing | (await new.repeated(of) if prints.repeated else set())))
    return suspects, sum(rows_of(bucket) for bucket in new_buckets if number_of(bucket) in suspects.numbers)


async def _counted(lines: AsyncIterator[bytes], total: int) -> AsyncIterator[bytes]:
    read = 0
    async for line in lines:
        if read % LINES_AT_ONCE == 0:
            report_progress("reading what differs", read, total, "rows of new")
        read += 1
        yield line


def _failure(comparison: Comparison, record: Record, prints: Prints, file: Path) -> CheckFailed:
    counts = {kind.value.replace(" in ", "_"): record.counts[kind] for kind in Kind}
    evidence = {
        **counts,
        "rows_old": prints.old.rows,
        "rows_new": prints.new.rows,
        "keys": record.first,
        "file": str(file),
        "sha256": record.sha256.hexdigest(),
    }
    if not record.counts:
        return CheckFailed(
            f"comparison {comparison.name}: the rows differed when counted and were the same when looked at one by one",
            hint="a query gives other rows each time it is asked (random(), LIMIT without ORDER BY): make it give the same",
            evidence=evidence,
        )
    return CheckFailed(
        f"comparison {comparison.name}: {_format_counts(counts)}"
        f" ({prints.old.rows} rows in old, {prints.new.rows} in new); {_keys(record)}",
        hint=f"all differing keys are in {file}",
        evidence=evidence,
    )


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' in ')}" for kind, count in counts.items() if count)


def _keys(record: Record) -> str:
    shown = [f"{_key(entry['key'])} {entry['kind']}" for entry in record.first[:SHOWN_KEYS]]
    return ", ".join(shown) + (", …" if record.counts.total() > len(shown) else "")


def _key(key: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name}={'NULL' if value is None else value}" for name, value in key.items())


async def _both(old: Coroutine[Any, Any, T], new: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Both at once; when one fails the other is ended too."""
    on_old, on_new = asyncio.ensure_future(old), asyncio.ensure_future(new)
    try:
        return await asyncio.gather(on_old, on_new)
    except BaseException:
        for task in (on_old, on_new):
            task.cancel()
        await asyncio.gather(on_old, on_new, return_exceptions=True)
        raise
