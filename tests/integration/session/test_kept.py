"""Sessions in the ledger's database are used again while a daemon drives, and nobody can tell one from a new one."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace

import pytest
from support.servers import Cluster
from support.silent_network import SilentNetwork

from cutoverd.daemon.postgres.ledger import claims, ledger
from cutoverd.daemon.postgres.precheck import server_state
from cutoverd.daemon.postgres.session import kept
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.kept import sessions_kept
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.runtime.leadership import check_leads
from cutoverd.states.errors import NotLeader, StepError

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)  # a session is a session on each version

HERE = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cutoverd' AND application_name LIKE 'cutoverd/%'"


@pytest.fixture
async def server(cluster: Cluster) -> Server:
    server = cluster.server()
    await ledger.prepare(server)
    return server


async def pid_of(server: Server, database: str = "", **how: object) -> int:
    async with session(server, database, **how) as conn:  # type: ignore[arg-type]
        return conn.info.backend_pid


async def have(cluster: Cluster, number: int) -> bool:
    """Whether so many sessions of ours are at home, as soon as the server has ended those that left."""
    until = time.monotonic() + 10
    while (there := cluster.execute(HERE)[0][0]) != number and time.monotonic() < until:
        await asyncio.sleep(0.02)
    return bool(there == number)


async def test_the_next_who_asks_at_home_gets_the_same_session(cluster: Cluster, server: Server) -> None:
    async with sessions_kept():
        assert await pid_of(server) == await pid_of(server) == await pid_of(server, "cutoverd")
    assert await have(cluster, 0)


async def test_outside_a_daemon_none_is_kept(cluster: Cluster, server: Server) -> None:
    assert await pid_of(server) != await pid_of(server)
    assert await have(cluster, 0)


async def test_two_at_once_are_two(server: Server) -> None:
    async with sessions_kept(), session(server) as one, session(server) as other:
        assert one.info.backend_pid != other.info.backend_pid


async def test_no_more_are_kept_than_are_of_use(cluster: Cluster, server: Server) -> None:
    async with sessions_kept():
        together = asyncio.Barrier(6)

        async def ask() -> None:
            async with session(server):
                await together.wait()

        await asyncio.gather(*(ask() for _ in range(together.parties)))
        assert await have(cluster, kept.MOST_KEPT)


@pytest.mark.parametrize("how", [{"database": "app"}, {"settings": {"work_mem": "1MB"}}, {"of_plan": True}], ids=str)
async def test_what_is_not_a_plain_session_at_home_is_never_kept(server: Server, how: dict[str, object]) -> None:
    async with sessions_kept():
        plain = await pid_of(server)
        assert await pid_of(server, **how) not in (plain, await pid_of(server, **how))  # type: ignore[arg-type]
        assert await pid_of(server) == plain


async def test_another_epoch_has_its_own(cluster: Cluster, server: Server) -> None:
    """Its name is what a takeover ends it by."""
    async with sessions_kept():
        assert await pid_of(server) != await pid_of(cluster.server(epoch=server.epoch + 1))


async def test_the_window_and_its_rehearsal_share_them(server: Server) -> None:
    async with sessions_kept():
        assert await pid_of(server) == await pid_of(replace(server, on_trial=True))


async def test_what_one_has_set_the_next_does_not_find(server: Server) -> None:
    async with sessions_kept():
        async with session(server) as conn:
            await conn.execute("SET search_path = nowhere")
            await conn.execute("SET lock_timeout = '1s'")
            await conn.execute("SET default_transaction_read_only = on")
            pid = conn.info.backend_pid
        async with session(server) as conn:
            assert conn.info.backend_pid == pid
            for name, value in {
                "search_path": "pg_catalog, pg_temp",
                "lock_timeout": "0",
                "transaction_read_only": "off",
            }.items():
                assert await fetch_one(conn, "SELECT current_setting(%s)", (name,)) == (value,)


async def test_one_that_failed_is_not_kept(cluster: Cluster, server: Server) -> None:
    async with sessions_kept():
        with pytest.raises(StepError, match="division by zero"):
            async with session(server) as conn:
                await conn.execute("SELECT 1/0")
        assert await have(cluster, 0)


async def test_one_in_a_transaction_is_not_kept(cluster: Cluster, server: Server) -> None:
    async with sessions_kept():
        async with session(server) as conn:
            await conn.execute("BEGIN")
        assert await have(cluster, 0)


async def test_one_that_was_cancelled_is_not_kept(cluster: Cluster, server: Server) -> None:
    async def ask() -> None:
        async with session(server) as conn:
            await conn.execute("SELECT pg_sleep(60)")

    async with sessions_kept():
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.3)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert await have(cluster, 0)


async def test_one_that_was_ended_is_made_anew_and_with_it_the_others(cluster: Cluster, server: Server) -> None:
    """By a takeover, or with its server: nobody is told of it."""
    async with sessions_kept():
        async with session(server), session(server):
            pass
        assert await have(cluster, 2)
        cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%'")
        async with session(server) as conn:
            assert await fetch_one(conn, "SELECT 1") == (1,)
            assert await have(cluster, 1)


async def test_one_that_stands_still_is_given_up(cluster: Cluster, server: Server) -> None:
    async with sessions_kept():
        pid = await pid_of(server)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert await pid_of(server) != pid
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_one_that_nobody_asks_in_is_closed(cluster: Cluster, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "IDLE_SECONDS", 0.1)
    async with sessions_kept():
        await pid_of(server)
        assert await have(cluster, 0)


async def test_who_leads_is_asked_in_one_session(cluster: Cluster, server: Server) -> None:
    """Before each step, twenty times a night."""
    async with sessions_kept():
        for _ in range(3):
            assert await claims.newest(server) is not None
        assert await have(cluster, 1)


async def test_a_silent_one_does_not_hide_who_leads(cluster: Cluster, server: Server) -> None:
    """Found: psycopg waited 5 s for the answer to a cancel, so nobody could say who leads, and a daemon acted unasked."""
    await ledger.acquire_fence(server)
    async with SilentNetwork(cluster.port) as network, sessions_kept():
        mine = network.before(server)
        assert await check_leads(mine)
        network.silence()
        await claims.claim(cluster.server(epoch=0), above=5)
        with pytest.raises(NotLeader):
            await check_leads(mine)


async def test_one_that_was_idle_too_long_is_not_taken(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: idle ones were looked for each 30 s alone, and a daemon that had stood still looked for none."""
    async with sessions_kept():
        pid = await pid_of(server)
        monkeypatch.setattr(kept, "IDLE_SECONDS", 0.1)
        await asyncio.sleep(0.2)
        assert await pid_of(server) != pid


async def test_one_that_is_too_old_is_not_taken(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: behind a proxy that keeps what is open, a daemon asked the server of before the failover for ever who leads."""
    async with sessions_kept():
        pid = await pid_of(server)
        assert await pid_of(server) == pid
        monkeypatch.setattr(kept, "OLDEST_SECONDS", 0.0)
        assert await pid_of(server) != pid


async def test_those_kept_make_room_for_one_that_is_needed(cluster: Cluster, server: Server) -> None:
    """Found: with idle ones of ours, role or server had no connection left, and the step that needed one failed."""
    cluster.execute("ALTER ROLE cutover CONNECTION LIMIT 2")
    async with sessions_kept():
        async with session(server), session(server):
            pass
        await pid_of(replace(server, reach_seconds=0), "app")


async def test_those_kept_are_not_counted_as_those_of_others(cluster: Cluster, server: Server) -> None:
    """Found: PreCheck refused a server for the sake of our own: "only 9 connections are free"."""

    async def refusals() -> list[str]:
        async with session(server) as conn:
            return [each async for each in server_state.found(conn, server_state.IMPOSSIBLE, 0) if "are free" in each]

    with ExitStack() as others:
        while not await refusals():
            last = others.enter_context(cluster.superuser())
        last.close()
        while await refusals():
            await asyncio.sleep(0.1)
        async with sessions_kept():
            async with session(server), session(server), session(replace(server, epoch=0)):
                pass
            assert await refusals() == []


async def test_a_table_that_changes_does_not_disturb_one_that_is_kept(cluster: Cluster, server: Server) -> None:
    """Found: "cached plan must not change result type", from the fifth question on."""
    async with sessions_kept():
        for times in range(8):
            if times == 7:
                cluster.execute("ALTER TABLE cutoverd.fence ADD COLUMN later text", "cutoverd")
            async with session(server) as conn:
                await fetch_one(conn, "SELECT * FROM cutoverd.fence WHERE run = %s", ("r1",))


async def test_a_use_that_outlives_the_daemon_leaves_no_session(cluster: Cluster, server: Server) -> None:
    """Found: it was kept by nobody, and stayed on the server."""
    async with AsyncExitStack() as use, sessions_kept():
        conn = await use.enter_async_context(session(server))
    assert conn.closed
