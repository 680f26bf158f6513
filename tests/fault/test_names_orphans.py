"""What an earlier attempt left running on the server is ended before anything is probed or done again."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import pytest
from psycopg.conninfo import make_conninfo
from support.daemons import BACK, CLONING, FORWARD, RENAMING, daemon, locked, mark_of, stopped_while_renaming
from support.production import furnish, lead, log_in, names
from support.servers import Cluster

from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.states.errors import NotLeader, TimedOut

pytestmark = pytest.mark.both_versions
ORPHAN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cutoverd/r1/1'"


def psql_that_creates(cluster: Cluster) -> subprocess.Popen[bytes]:
    # without client_connection_check_interval the server does not notice that its client is gone
    conninfo = make_conninfo(cluster.server().conninfo("postgres", {}), options="")
    command = [str(cluster.bin_dir / "psql"), "-X", "-d", conninfo, "-c", "CREATE DATABASE app_orphan TEMPLATE template0"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


async def test_a_killed_psql_that_still_creates_a_database_is_ended(cluster: Cluster) -> None:
    await lead(cluster)
    with locked(cluster, "pg_database", "SHARE", "postgres"):
        psql = psql_that_creates(cluster)
        async with asyncio.timeout(20):
            while cluster.execute(f"{ORPHAN} AND wait_event_type = 'Lock'") == [(0,)]:
                await asyncio.sleep(0.02)
        psql.kill()
        psql.wait(10)
        assert cluster.execute(ORPHAN) == [(1,)]
        await ledger.acquire_fence(cluster.server(epoch=2))
        assert cluster.execute(ORPHAN) == [(0,)]
    assert names(cluster) == {"app"}


async def test_a_paused_daemon_that_clones_is_ended_and_wakes_up_as_nobody(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    for operation in FORWARD[:2]:
        await getattr(databases, operation.name)(mark_of(operation, 1))
    with daemon(cluster, FORWARD[2], 2) as paused:
        with locked(cluster, "pg_database", "SHARE", "postgres"):
            paused.leads()
            paused.wait_for(CLONING)
            paused.send(signal.SIGSTOP)
            await ledger.acquire_fence(cluster.server(epoch=3))
        databases = await lead(cluster, 3)
        await databases.build_new(mark_of(FORWARD[2], 3))
        paused.send(signal.SIGCONT)
        code, output = paused.end()
    assert code == 1
    assert output.startswith(("NotLeader", "OutcomeUnknown")), output
    assert names(cluster) == {"app", "app_previous", "app_next"}


async def test_a_paused_daemon_that_fences_is_ended_and_wakes_up_as_nobody(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    await databases.make_placeholder(mark_of(FORWARD[0], 1))
    with stopped_while_renaming(cluster, FORWARD[1], 2) as paused:
        paused.send(signal.SIGSTOP)
        databases = await lead(cluster, 3)
        await databases.lift_fence(mark_of(FORWARD[1], 3))
        assert log_in(cluster) == 500
        paused.send(signal.SIGCONT)
        code, output = paused.end()
    assert code == 1
    assert output.startswith(("NotLeader", "OutcomeUnknown")), output
    assert log_in(cluster) == 500


async def test_a_cancelled_clone_leaves_nothing_on_the_server(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    for operation in FORWARD[:2]:
        await getattr(databases, operation.name)(mark_of(operation, 1))
    with locked(cluster, "pg_database", "SHARE", "postgres"):
        task = asyncio.create_task(databases.build_new(mark_of(FORWARD[2], 1)))
        async with asyncio.timeout(20):
            while cluster.execute(f"{ORPHAN} AND {CLONING}") == [(0,)]:
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await all_gone(cluster)
    assert names(cluster) == {"app", "app_previous"}
    await databases.build_new(mark_of(FORWARD[2], 1))
    with pytest.raises(NotLeader):
        await databases.build_new(mark_of(FORWARD[2], 2))


async def test_a_clone_that_takes_too_long_is_ended_and_leaves_nothing(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    for operation in FORWARD[:2]:
        await getattr(databases, operation.name)(mark_of(operation, 1))
    hasty = PostgresDatabases(cluster.server(), clone_seconds=0.5)
    with locked(cluster, "pg_database", "SHARE", "postgres"):
        with pytest.raises(TimedOut, match=r"app_b1 was not cloned from app_previous within 0\.5 s"):
            await hasty.build_new(mark_of(FORWARD[2], 1))
        await all_gone(cluster)
    assert names(cluster) == {"app", "app_previous"}


async def test_a_cancelled_fence_is_gone_and_can_be_lifted(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    await databases.make_placeholder(mark_of(FORWARD[0], 1))
    with cluster.superuser("app"):
        task = asyncio.create_task(databases.fence(mark_of(FORWARD[1], 1)))
        async with asyncio.timeout(20):
            while cluster.execute(f"{ORPHAN} AND {RENAMING}") == [(0,)]:
                await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await all_gone(cluster)
        await databases.lift_fence(mark_of(BACK[3], 1))
    assert log_in(cluster) == 500


async def all_gone(cluster: Cluster) -> None:
    """No statement of ours at once; the session that has ended the others leaves by itself, one that was left behind stays."""
    assert cluster.execute(f"{ORPHAN} AND state <> 'idle'") == [(0,)]
    async with asyncio.timeout(5):
        while cluster.execute(ORPHAN) != [(0,)]:
            await asyncio.sleep(0.02)
