"""The daemon's memory does not grow with the tables that it compares."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison, compare
from cutoverd.states.errors import CheckFailed

T = "SELECT * FROM {}"
MADE = """
CREATE TABLE o AS SELECT i AS id, 'customer ' || i AS name, (i * 7919::bigint % 1000000) / 100.0 AS amount,
       timestamptz '2020-01-01' + i * interval '37 s' AS at FROM generate_series(1, {rows}) i;
CREATE TABLE n AS SELECT {id} AS id, name, {amount} AS amount, at FROM o
"""
SAME = {"id": "id", "amount": "amount"}
ALL_CHANGED = {"id": "id", "amount": "amount + 0.01"}


async def compared(cluster: Cluster) -> int:
    """How many rows were found to be changed."""
    comparison = Comparison("rows", T.format("o"), T.format("n"), ("id",))
    try:
        await compare(cluster.server(), comparison, old="app", new="app", folder=cluster.folder)
    except CheckFailed as failed:
        return int(failed.evidence["changed"])
    return 0


async def compared_and_grown(cluster: Cluster) -> tuple[int, int]:
    """Rows found to be changed, and by how many bytes this process was larger meanwhile, at most."""
    before = resident_bytes()
    task = asyncio.create_task(compared(cluster))
    largest = before
    while not task.done():
        await asyncio.wait([task], timeout=0.05)
        largest = max(largest, resident_bytes())
    return await task, largest - before


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.long
@pytest.mark.parametrize("made", [SAME, ALL_CHANGED], ids=["same", "all changed"])
async def test_many_rows_take_no_more_memory_than_a_few(cluster: Cluster, made: dict[str, str]) -> None:
    cluster.execute(MADE.format(rows=120_000, **made), "app")
    changed, grown_bytes = await compared_and_grown(cluster)
    assert changed == (0 if made is SAME else 120_000)
    assert grown_bytes < 40_000_000  # the buckets are most of it; the rows themselves would be more than 100 MB


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("made", [SAME, ALL_CHANGED], ids=["same", "all changed"])
async def test_ten_million_rows_take_no_more_memory_than_a_few(cluster: Cluster, made: dict[str, str]) -> None:
    cluster.execute(MADE.format(rows=10_000_000, **made), "app")
    changed, grown_bytes = await compared_and_grown(cluster)
    assert changed == (0 if made is SAME else 10_000_000)
    assert grown_bytes < 60_000_000
