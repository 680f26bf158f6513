"""The comparison against one bare scan that hashes every row, and against md5 of every row's text: as ratios, same run.

    python tests/bench/compare.py [postgresql://postgres@127.0.0.1:5432/postgres] [--rows 2000000] [--times 3]

Makes a table `cutoverd_bench` in that database, and drops it at the end; if it is there already it is used and kept.
The bare scans run alone, one table; the comparison reads the table twice, two sides at once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cutoverd.daemon.embedded.postgres import Postgres
from cutoverd.daemon.postgres.compare.compare import Comparison, compare
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed

TABLE = """
CREATE TABLE cutoverd_bench AS
SELECT i AS id, 'customer ' || i AS name, (i * 7919::bigint % 1000000) / 100.0::numeric(12,2) AS amount,
       timestamptz '2020-01-01' + i * interval '37 s' AS at, md5(i::text)::uuid AS ref, i % 7 = 0 AS flag, i % 1000 AS n
  FROM generate_series(1, {rows}) i
"""
ROWS = "SELECT * FROM cutoverd_bench"
FEW_CHANGED = """
SELECT id, name, CASE WHEN id % 1000000 = 7 THEN amount + 0.01 ELSE amount END AS amount, at, ref, flag, n FROM cutoverd_bench
"""


def scan(url: str, expression: str) -> Callable[[], Awaitable[str]]:
    async def run() -> str:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("SET max_parallel_workers_per_gather = 0")
            await connection.execute(f"SELECT count(*), {expression} FROM cutoverd_bench t".encode())
        return "one table"

    return run


def comparing(url: str, new: str, folder: Path) -> Callable[[], Awaitable[str]]:
    async def run() -> str:
        server, database = Server(url, "bench", 1, folder), str(conninfo_to_dict(url)["dbname"])
        comparison = Comparison("bench", ROWS, new, ("id",))
        try:
            return str(await compare(server, comparison, old=database, new=database, folder=folder))
        except CheckFailed as failed:
            return f"{failed.evidence['changed']} changed"

    return run


async def seconds(run: Callable[[], Awaitable[str]], times: int) -> tuple[list[float], str]:
    taken, result = [], ""
    for _ in range(times):
        began = time.monotonic()
        result = await run()
        taken.append(time.monotonic() - began)
    return taken, result


async def measure(url: str, times: int, folder: Path) -> None:
    runs = {
        "hash_record_extended": scan(url, "sum(hash_record_extended(t, 0))"),
        "md5(text)": scan(url, "max(md5(t::text))"),
        "comparison, equal": comparing(url, ROWS, folder),
        "comparison, few differ": comparing(url, FEW_CHANGED, folder),
    }
    bare = 0.0
    for name, run in runs.items():
        taken, result = await seconds(run, times)
        bare = bare or median(taken)
        every = " ".join(f"{each:.1f}" for each in taken)
        print(f"{name:25} {every:>24} s   median {median(taken) / bare:.2f} × the bare scan   {result}")


def main(arguments: Sequence[str] = ()) -> None:
    """Without an address on a PostgreSQL of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args(arguments)
    if given.url:
        _on(given.url, given.rows, given.times)
        return
    with tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder:
        postgres = Postgres(Path(folder) / "postgres")
        try:
            postgres.start()
            _on(postgres.url("postgres"), given.rows, given.times)
        finally:
            postgres.remove()


def _on(url: str, rows: int, times: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection, tempfile.TemporaryDirectory() as folder:
        [there] = connection.execute("SELECT to_regclass('cutoverd_bench') IS NOT NULL").fetchone() or (False,)
        if not there:
            connection.execute(TABLE.format(rows=rows).encode())
        try:
            connection.execute("VACUUM ANALYZE cutoverd_bench")
            asyncio.run(measure(url, times, Path(folder)))
        finally:
            if not there:
                connection.execute("DROP TABLE cutoverd_bench")


if __name__ == "__main__":
    main(sys.argv[1:])
