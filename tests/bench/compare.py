"""The comparison: equal rows against a bare scan that hashes them, rows that differ against equal ones. Ratios, same run.

    python -m tests.bench compare
    python tests/bench/compare.py [postgresql://postgres@127.0.0.1:5432/postgres] [--rows 1000000] [--times 3] [--only few]

Makes tables `cutoverd_bench…` in that database, and drops them at the end; those that are there already are used and kept.
The bare scans run alone, one table; the comparison reads the table twice, two sides at once. Each repetition takes every
case once, so that what else the machine does falls on all alike; a ratio is of one repetition, and the median of them is given.
On a server of its own the CPU seconds of server and daemon are counted, too: what others do changes them little.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from cutoverd.daemon.embedded.postgres import Postgres
from cutoverd.daemon.postgres.compare.compare import Comparison, compare
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed

NARROW, WIDE = "cutoverd_bench", "cutoverd_bench_wide"
ENDING_SECONDS = 0.5  # until the postmaster knows what a session took
WIDE_SHARE = 10  # the wide table has one row for so many of the other
TEXTS = [f"text_{n}" for n in range(20)]  # 32 bytes each
MADE = {
    NARROW: """'customer ' || i AS name, timestamptz '2020-01-01' + i * interval '37 s' AS at, md5(i::text)::uuid AS ref,
               i % 7 = 0 AS flag, i % 1000 AS n""",
    WIDE: ", ".join(f"md5('{name}' || i) AS {name}" for name in TEXTS),
}
COLUMNS = {NARROW: "name, at, ref, flag, n", WIDE: ", ".join(TEXTS)}
# A join and an aggregate: what reads the query more than once pays for it more than once.
JOINED = f"""
SELECT a.id, a.name, a.amount, a.at, a.ref, a.flag, b.rows FROM {NARROW} a JOIN
       (SELECT n, count(*) AS rows, max(md5(ref::text)) FROM {NARROW} GROUP BY n) b USING (n)"""

Run = Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Case:
    """What is timed, and the case whose seconds are 1."""

    name: str
    run: Run
    against: str


def scan(url: str, expression: str) -> Run:
    async def run() -> str:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("SET max_parallel_workers_per_gather = 0")
            await connection.execute(f"SELECT count(*), {expression} FROM {NARROW} t".encode())
        return "one table"

    return run


def comparing(url: str, folder: Path, old: str, new: str) -> Run:
    async def run() -> str:
        server, database = Server(url, "bench", 1, folder), str(conninfo_to_dict(url)["dbname"])
        comparison = Comparison("bench", old, new, ("id",))
        try:
            return str(await compare(server, comparison, old=database, new=database, folder=folder))
        except CheckFailed as failed:
            return ", ".join(f"{count:,} {kind}" for kind in ("missing", "extra", "changed") if (count := failed.evidence[kind]))

    return run


def of(table: str, every: int | None = None) -> str:
    """All rows of a table; where `every` is given, each so many-th row has another amount."""
    amount = f"CASE WHEN id % {every} = 0 THEN amount + 0.01 ELSE amount END AS amount" if every else "amount"
    return f"SELECT id, {amount}, {COLUMNS[table]} FROM {table}"


def cases(url: str, rows: int, folder: Path) -> Iterator[Case]:
    def comparison(old: str, new: str) -> Run:
        return comparing(url, folder, old, new)

    some, joined = f"id % {rows // 10} = 7", JOINED
    yield Case("hash_record_extended", scan(url, "sum(hash_record_extended(t, 0))"), "hash_record_extended")
    yield Case("md5(text)", scan(url, "max(md5(t::text))"), "hash_record_extended")
    yield Case("equal", comparison(of(NARROW), of(NARROW)), "hash_record_extended")
    for how_many in (1, 10, 1000, rows):
        yield Case(f"{how_many:,} differ", comparison(of(NARROW), of(NARROW, rows // how_many)), "equal")
    yield Case("10 in old alone", comparison(of(NARROW), f"{of(NARROW)} WHERE NOT {some}"), "equal")
    yield Case("10 in new alone", comparison(f"{of(NARROW)} WHERE NOT {some}", of(NARROW)), "equal")
    yield Case("a tenth in old alone", comparison(of(NARROW), f"{of(NARROW)} WHERE id > {rows // 10}"), "equal")
    yield Case("wide, equal", comparison(of(WIDE), of(WIDE)), "wide, equal")
    yield Case("wide, 10 differ", comparison(of(WIDE), of(WIDE, rows // WIDE_SHARE // 10)), "wide, equal")
    yield Case("join, equal", comparison(joined, joined), "join, equal")
    yield Case("join, 10 differ", comparison(joined, f"{joined} WHERE NOT a.{some}"), "join, equal")


@dataclass(frozen=True)
class Taken:
    """One repetition of one case."""

    seconds: float
    cpu_seconds: float


async def measure(chosen: Sequence[Case], times: int, postmaster: int | None) -> None:
    taken: dict[str, list[Taken]] = {case.name: [] for case in chosen}
    results: dict[str, str] = {}
    for _ in range(times):
        for case in chosen:
            began, cpu = time.monotonic(), _cpu_seconds(postmaster)
            results[case.name] = await case.run()
            seconds = time.monotonic() - began
            await asyncio.sleep(ENDING_SECONDS)
            taken[case.name].append(Taken(seconds, _cpu_seconds(postmaster) - cpu))
    for case in chosen:
        mine, other = taken[case.name], taken[case.against]
        every = " ".join(f"{each.seconds:.2f}" for each in mine)
        ratio = median(each.seconds / base.seconds for each, base in zip(mine, other, strict=True))
        print(f"{case.name:21} {every}   median {median(each.seconds for each in mine):.2f} s", end="")
        if postmaster:
            cpu_ratio = median(each.cpu_seconds / base.cpu_seconds for each, base in zip(mine, other, strict=True))
            print(f", CPU {median(each.cpu_seconds for each in mine):.2f} s: {cpu_ratio:.2f}", end="")
        print(f"; {ratio:.2f} × {case.against}   {results[case.name]}", flush=True)


def _cpu_seconds(postmaster: int | None) -> float:
    """Of this process and of all sessions of the server that have ended."""
    return time.process_time() + (sum(psutil.Process(postmaster).cpu_times()[:4]) if postmaster else 0)


def main(arguments: Sequence[str] = ()) -> None:
    """Without an address on a PostgreSQL of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[], help="names of cases; what they are measured against is added")
    given = parser.parse_args(arguments)
    if given.url:
        _on(given.url, given)
        return
    with tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder:
        postgres = Postgres(Path(folder) / "postgres")
        try:
            postgres.start()
            [pid_file] = Path(folder).rglob("postmaster.pid")
            _on(postgres.url("postgres"), given, int(pid_file.read_text().split()[0]))
        finally:
            postgres.remove()


def _on(url: str, given: argparse.Namespace, postmaster: int | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder, _tables(url, given.rows):
        asyncio.run(measure(_chosen(list(cases(url, given.rows, Path(folder))), given.only), given.times, postmaster))


def _chosen(every: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Those of these names, and what they are measured against; all if none is named."""
    wanted = {name for case in every if not names or case.name in names for name in (case.name, case.against)}
    wanted |= {case.against for case in every if case.name in wanted}
    return [case for case in every if case.name in wanted]


@contextmanager
def _tables(url: str, rows: int) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as connection:
        made = [table for table in MADE if not _is_there(connection, table)]
        for table in made:
            count = rows // (WIDE_SHARE if table == WIDE else 1)
            amount = "(i * 7919::bigint % 1000000) / 100.0::numeric(12,2) AS amount"
            rows_of = f"SELECT i AS id, {amount}, {MADE[table]} FROM generate_series(1, {count}) i"
            connection.execute(f"CREATE TABLE {table} AS {rows_of}".encode())
            connection.execute(f"VACUUM ANALYZE {table}".encode())
        try:
            yield
        finally:
            for table in made:
                connection.execute(f"DROP TABLE {table}".encode())


def _is_there(connection: psycopg.Connection[Any], table: str) -> bool:
    [there] = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone() or (False,)
    return bool(there)


if __name__ == "__main__":
    main(sys.argv[1:])
