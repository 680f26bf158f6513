"""Nobody slips through the fence, and no acknowledged write is lost, with twenty-three clients that never let go."""

from __future__ import annotations

import asyncio

import pytest
from support.clients import crowd
from support.production import attempt_id, back, furnish, lead
from support.servers import Cluster

from cutoverd.states.errors import TimedOut


def lines(cluster: Cluster, database: str) -> set[str]:
    cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    return {row[0] for row in cluster.execute("SELECT line FROM store.log WHERE line ~ '^(fast|slow|pooled)'", database)}


async def test_no_acknowledged_write_is_lost_there_and_back(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster, evict_seconds=60)
    await databases.make_placeholder(attempt_id("make_placeholder"))
    with crowd(cluster) as clients:
        await asyncio.to_thread(clients.wait_until_all_write, 30)
        fenced = await databases.fence(attempt_id("fence"))
        position = await databases.record_position(attempt_id("record_position"))
        await databases.build_new(attempt_id("build_new"))
        before_fence = clients.acknowledged
        await databases.check_unchanged(attempt_id("check_unchanged"), position)

        await databases.exchange(attempt_id("exchange"))
        await asyncio.to_thread(clients.wait_until_all_write, 30)
        await databases.exchange_back(back("exchange"))
        assert set(before_fence) < set(clients.acknowledged)
        await databases.lift_fence(back("fence"))
        await asyncio.to_thread(clients.wait_until_all_write, 30)
    on_old, on_new = lines(cluster, "app"), lines(cluster, "app_next")
    assert fenced["sessions_ended"] >= 10  # the others were between two sessions
    assert fenced["sessions_refused"] == []
    assert set(before_fence) <= on_new, "a write acknowledged before the fence is not in the clone"
    assert set(before_fence) <= on_old, "a write acknowledged before the fence is not in old"
    assert set(clients.acknowledged) <= on_old | on_new
    written = await databases.written(attempt_id("written"))
    assert written["tables"]["store.log"]["inserted"] >= len(on_new - on_old)


async def test_a_superuser_who_stays_is_named_and_production_opens_again(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster, evict_seconds=2)
    await databases.make_placeholder(attempt_id("make_placeholder"))
    with crowd(cluster) as clients, cluster.superuser("app") as superuser:
        await asyncio.to_thread(clients.wait_until_all_write, 30)
        with pytest.raises(TimedOut) as failed:
            await databases.fence(attempt_id("fence"))
        await asyncio.to_thread(clients.wait_until_all_write, 30)
        pid = superuser.info.backend_pid
    [refused] = failed.value.evidence["sessions_refused"]
    assert (refused["pid"], refused["user"]) == (pid, "postgres")
    assert f"client backend {pid} of postgres" in str(failed.value)
    assert set(clients.acknowledged) <= lines(cluster, "app")


async def test_a_prepared_transaction_is_named_and_can_be_ended_afterwards(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster, evict_seconds=1)
    await databases.make_placeholder(attempt_id("make_placeholder"))
    with cluster.superuser("app") as conn:
        conn.execute("BEGIN; CREATE TABLE public.t (); PREPARE TRANSACTION 'forgotten'")
    with pytest.raises(TimedOut, match="prepared transaction forgotten of postgres"):
        await databases.fence(attempt_id("fence"))
    cluster.execute("ROLLBACK PREPARED 'forgotten'", "app")
    await databases.fence(attempt_id("fence"))
