"""Who may act, and what is on record of it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from support.production import attempt_id, back, lead
from support.servers import Cluster

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session import backends
from cutoverd.states.errors import NotLeader, OutcomeUnknown, Unfit
from cutoverd.states.ports import Direction

pytestmark = pytest.mark.both_versions


async def epoch_of(cluster: Cluster) -> int:
    return int(cluster.execute("SELECT epoch FROM cutoverd.fence WHERE run = 'r1'", "cutoverd")[0][0])


async def test_four_daemons_that_prepare_at_once_make_one_ledger(cluster: Cluster) -> None:
    await asyncio.gather(*(ledger.prepare(cluster.server(epoch=n)) for n in range(4)))
    assert cluster.execute("SELECT count(*) FROM cutoverd.step_log", "cutoverd") == [(0,)]
    assert cluster.execute("SELECT has_database_privilege('app_user', 'cutoverd', 'CONNECT')") == [(False,)]


async def test_a_step_is_recorded_with_its_effect_and_found_done_again(cluster: Cluster) -> None:
    await lead(cluster)
    server = cluster.server()
    async with await server.connect() as conn:
        async with ledger.recorded_step(conn, attempt_id("s")) as entry:
            await conn.execute("CREATE TABLE public.effect (x int)")
            entry.evidence = {"rows": 3}
        async with ledger.recorded_step(conn, attempt_id("s")) as entry:
            assert (entry.already_done, entry.evidence) == (True, {"rows": 3})
        async with ledger.recorded_step(conn, back("s")) as entry:
            assert not entry.already_done
    row = await ledger.read(server, "s", Direction.FORWARD)
    assert row
    assert (row.epoch, row.event_id, row.finished, row.evidence) == (1, "s-1", True, {"rows": 3})
    assert await ledger.read(server, "other", Direction.FORWARD) is None


async def test_a_failed_step_leaves_neither_effect_nor_record(cluster: Cluster) -> None:
    await lead(cluster)
    server = cluster.server()
    async with await server.connect() as conn:
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with ledger.recorded_step(conn, attempt_id("s")):
                await conn.execute("CREATE TABLE public.effect (x int); SELECT 1 / 0")
        assert await ledger.read(server, "s", Direction.FORWARD) is None
        assert await (await conn.execute("SELECT to_regclass('effect')")).fetchone() == (None,)


async def test_a_row_that_was_committed_unfinished_is_not_taken_for_done(cluster: Cluster) -> None:
    await lead(cluster)
    cluster.execute(
        "INSERT INTO cutoverd.step_log (run, step, direction, epoch, event_id) VALUES ('r1', 's', 'forward', 0, 'lost')",
        "cutoverd",
    )
    async with await cluster.server().connect() as conn, ledger.recorded_step(conn, attempt_id("s")) as entry:
        assert not entry.already_done
    row = await ledger.read(cluster.server(), "s", Direction.FORWARD)
    assert row
    assert (row.finished, row.event_id) == (True, "s-1")


async def test_a_stale_epoch_is_refused_inside_the_transaction(cluster: Cluster) -> None:
    await lead(cluster)
    async with await cluster.server().connect() as conn:
        await lead(cluster, epoch=2)
        await conn.close()
    async with await cluster.server(epoch=1).connect() as conn:
        with pytest.raises(NotLeader, match="epoch 1 of run r1 may not act: the ledger's fence has epoch 2"):
            async with ledger.recorded_step(conn, attempt_id("s")):
                pytest.fail("a stale daemon came in")
    with pytest.raises(NotLeader):
        await ledger.acquire_fence(cluster.server(epoch=1))
    assert await epoch_of(cluster) == 2


async def test_a_stale_daemon_changes_no_name(cluster: Cluster) -> None:
    state = "SELECT oid, datname, datallowconn, datacl::text FROM pg_database ORDER BY 1"
    stale = await lead(cluster)
    forward = ("make_placeholder", "fence", "build_new", "open_old", "close_old", "exchange")
    for epoch, operation in enumerate((*forward, "exchange_back", "keep_new", "lift_fence"), start=1):
        leader = await lead(cluster, epoch + 1)
        before = cluster.execute(state)
        with pytest.raises(NotLeader):
            await getattr(stale, operation)(attempt_id(operation, epoch=epoch))
        assert cluster.execute(state) == before, operation
        await getattr(leader, operation)(attempt_id(operation, epoch=epoch + 1))
        stale = leader


async def test_a_new_leader_ends_an_older_one_that_holds_the_fence(cluster: Cluster) -> None:
    await lead(cluster)
    entered = asyncio.Event()

    async def hold() -> None:
        async with ledger.hold_fence(cluster.server(), attempt_id("clone")):
            entered.set()
            await asyncio.sleep(60)

    holder = asyncio.create_task(hold())
    await asyncio.wait_for(entered.wait(), 10)
    await asyncio.wait_for(lead(cluster, epoch=2), 20)
    assert await epoch_of(cluster) == 2
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder


async def test_a_new_leader_fences_scripts_in_new_as_well(cluster: Cluster) -> None:
    databases = await lead(cluster)
    for operation in ("make_placeholder", "fence", "build_new"):
        await getattr(databases, operation)(attempt_id(operation))
    await lead(cluster, epoch=2)
    async with await cluster.server().connect("app_next") as conn:
        with pytest.raises(NotLeader):
            async with ledger.recorded_step(conn, attempt_id("script")):
                pytest.fail("a stale daemon came in")


async def test_only_the_backends_that_were_asked_for_are_ended(cluster: Cluster) -> None:
    await ledger.prepare(cluster.server())
    who = (("r1", 1), ("r1", 2), ("r1", 10), ("r1/9", 1))
    older, ours, later, other_run = [await cluster.server(run=run, epoch=epoch).connect() for run, epoch in who]
    assert await backends.end_backends(cluster.server(epoch=2), older_than_epoch=2) == 1
    assert await backends.end_backends(cluster.server(epoch=2), pids=[ours.info.backend_pid, other_run.info.backend_pid]) == 1
    assert await backends.end_backends(cluster.server(epoch=2), epoch=10) == 1
    await other_run.execute("SELECT 1")
    for conn in (older, ours, later, other_run):
        await conn.close()


async def test_a_cancelled_step_is_gone_from_the_server(cluster: Cluster) -> None:
    await lead(cluster)
    blocker = cluster.superuser("cutoverd")
    with blocker, blocker.transaction():
        blocker.execute("LOCK TABLE cutoverd.step_log IN EXCLUSIVE MODE")
        databases = await lead(cluster)
        task = asyncio.create_task(databases.make_placeholder(attempt_id("make_placeholder")))
        pid = await backend_that_waits(cluster, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cluster.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {pid}") == []


async def backend_that_waits(cluster: Cluster, epoch: int) -> int:
    query = f"SELECT pid FROM pg_stat_activity WHERE application_name = 'cutoverd/r1/{epoch}' AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not (waiting := cluster.execute(query)):
            await asyncio.sleep(0.02)
    return int(waiting[0][0])


async def test_a_lost_connection_leaves_the_outcome_unknown(cluster: Cluster) -> None:
    await lead(cluster)
    async with await cluster.server().connect() as conn:
        with pytest.raises(OutcomeUnknown, match="the connection was lost"):
            async with ledger.recorded_step(conn, attempt_id("s")):
                cluster.execute(f"SELECT pg_terminate_backend({conn.info.backend_pid}, 5000)")
    assert await ledger.read(cluster.server(), "s", Direction.FORWARD) is None


async def test_a_role_that_may_create_no_ledger_is_told_what_it_lacks(cluster):
    cluster.execute("ALTER ROLE cutover NOCREATEDB")
    with pytest.raises(Unfit, match="role cutover may not create databases") as raised:
        await ledger.prepare(cluster.server())
    assert 'ALTER ROLE "cutover" CREATEDB' in raised.value.hint
