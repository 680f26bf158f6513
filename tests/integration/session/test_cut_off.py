"""What of ours the network cuts off within a transaction does not stand in the way of what we do next."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.servers import Cluster
from support.silent_network import SilentNetwork

from cutoverd.daemon.engine.copies import CopiedEvent
from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.postgres.databases import outsiders
from cutoverd.daemon.postgres.ledger import journal_copy, ledger
from cutoverd.daemon.postgres.ledger.journal_copy import LedgerCopy
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import OutcomeUnknown
from cutoverd.states.ports import AttemptId, Direction

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)


@pytest.fixture
async def server(cluster: Cluster) -> Server:
    server = cluster.server()
    await ledger.prepare(server)
    await ledger.acquire_fence(server)
    return server


async def test_a_copy_that_was_cut_does_not_lock_out_the_next(
    cluster: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: its backend waited for hours with the row that each new attempt wanted, and no window and no rollback went on."""
    monkeypatch.setattr(journal_copy, "STATEMENT_SECONDS", 2.0)
    monkeypatch.setattr(journal_copy, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(journal_copy, "PAUSE_SECONDS", 0.2)
    async with SilentNetwork(cluster.port) as network:
        copy = LedgerCopy()
        copy.lead(network.before(server))
        network.silent_after = b"AND n = ANY"
        copy.add(CopiedEvent(1, 1, "a", b"1"))
        try:
            await asyncio.wait_for(copy.settled(), 15)
        finally:
            await copy.aclose()
    assert cluster.execute("SELECT n, seq, hash FROM cutoverd.journal_copy", "cutoverd") == [(1, 1, "a")]


async def test_a_step_whose_connection_is_lost_does_not_lock_out_its_next_attempt(cluster: Cluster, server: Server) -> None:
    """Found: the server was not told of it, and our own session was named as the one that held the lock, for ever."""
    async with SilentNetwork(cluster.port, silent_after=b"step_log AS done", resets=True) as network:
        with pytest.raises(OutcomeUnknown, match="the connection was lost"):
            await _step(network.before(server), "first")
        await asyncio.wait_for(_step(network.before(server), "second"), 10)


async def test_a_watch_that_was_cut_goes_on(cluster: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: who came into new was not noted any more, though the server was reached."""
    monkeypatch.setattr(outsiders, "STATEMENT_SECONDS", 1.0)
    monkeypatch.setattr(outsiders, "PAUSE_SECONDS", 0.1)
    async with SilentNetwork(cluster.port) as network:
        watching = asyncio.create_task(outsiders.watch_outsiders(network.before(server), lambda: True))
        try:
            first = await _watcher(cluster)
            network.silence()
            while await _watcher(cluster) == first:
                await asyncio.sleep(0.1)
        finally:
            await end_tasks(watching)


async def _watcher(cluster: Cluster) -> int:
    """The pid of the session that noted last who is in."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if found := cluster.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%INSERT INTO cutoverd.outsiders%' AND pid <> pg_backend_pid()"
            " AND state_change > now() - interval '3 s' ORDER BY backend_start DESC"
        ):
            return int(found[0][0])
        await asyncio.sleep(0.1)
    raise AssertionError("nobody watches")


async def _step(server: Server, event_id: str) -> None:
    attempt_id = AttemptId(server.run, server.epoch, "smoke.exchange_names", Direction.FORWARD, event_id)
    async with session(server) as conn, ledger.recorded_step(conn, attempt_id) as entry:
        entry.evidence = {}
