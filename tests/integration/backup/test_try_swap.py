"""The way back is executed in PreCheck, by the night's own code, on the scratch database; it leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.new_database import Site, make_site
from support.production import ATTRIBUTES, CONTENT, attempt_id, names, photograph
from support.servers import Cluster

from cutoverd.daemon.postgres.backup import scratch, try_swap
from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown, StepError, TimedOut
from cutoverd.states.ports import AttemptId, Evidence

pytestmark = pytest.mark.both_versions
on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)
STEP = "precheck.prove_backup"
OURS = "SELECT pid, query FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%'"
ROWS = "SELECT run, 'fence' FROM cutoverd.fence " + "".join(
    f"UNION ALL SELECT run, '{table}' FROM cutoverd.{table} " for table in ("step_log", "database_oids", "announced", "counters")
)


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Site]:
    made = await make_site(cluster, tmp_path)
    cluster.execute("DROP DATABASE app_next")
    cluster.execute(CONTENT, "app")
    cluster.execute(ATTRIBUTES)
    return made


def proof(site: Site, *, epoch: int = 1, **how: float) -> PgDump:
    server = site.cluster.server(epoch=epoch, folder=site.server.folder)
    return PgDump(server, site.folder / "backups", 2, site.scripts([]), **how)


def trials(cluster: Cluster) -> list[tuple[str, ...]]:
    """What is on record of trials."""
    return [row for row in cluster.execute(ROWS, "cutoverd") if row[0] != "r1"]


async def test_the_way_back_is_executed_in_precheck_while_somebody_connects_in_a_loop(site: Site) -> None:
    before = photograph(site.cluster)
    proven = await proof(site).prove(attempt_id(STEP))
    tried = proven["way_back"]
    assert list(tried["seconds"]) == [*try_swap.THERE, *try_swap.BACK]
    assert 0 < tried["exchange_seconds"] == tried["seconds"]["exchange"]
    assert tried["way_back_seconds"] == pytest.approx(sum(tried["seconds"][name] for name in try_swap.BACK), abs=0.002)
    assert tried["sessions_ended"] >= 1, "the visitor was inside"
    assert tried["connections"] >= 2, "he was let in before and after"
    assert set(proven["parts"]) == {"dump", "restore", "schema"}
    assert names(site.cluster) == {"app"}
    assert trials(site.cluster) == []
    assert site.cluster.execute(OURS) == []
    assert photograph(site.cluster) == before


@on_18
async def test_the_trial_is_no_part_of_the_run_that_follows(site: Site) -> None:
    """Its ledger rows are not the night's: the same operations do their work after it, and are not "already done"."""
    before = photograph(site.cluster)
    await proof(site).prove(attempt_id(STEP))
    databases = PostgresDatabases(site.cluster.server(folder=site.server.folder), evict_seconds=20)
    for name in try_swap.THERE:
        await getattr(databases, name)(attempt_id(name))
    assert names(site.cluster) == {"app", "app_previous", "app_closed"}
    await proof(site).clear(attempt_id(STEP))
    assert names(site.cluster) == {"app", "app_previous", "app_closed"}
    for name, step in try_swap.BACK.items():
        await getattr(databases, name)(attempt_id(step, try_swap.Direction.BACK))
    assert names(site.cluster) == {"app", "app_next", "app_closed"}
    assert photograph(site.cluster) == before


@pytest.mark.parametrize("operation", ["build_new", "exchange"])
@on_18
async def test_a_trial_that_ends_in_the_middle_is_cleared_by_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """As after a kill: nothing is cleared by the one that ended."""
    real = getattr(PostgresDatabases, operation)

    async def nothing(*_: object) -> list[str]:
        return []

    async def ends(self: PostgresDatabases, its: AttemptId) -> Evidence:
        await real(self, its)
        monkeypatch.setattr("cutoverd.daemon.postgres.backup.scratch.drop", nothing)
        raise StepError("the lights went out")

    monkeypatch.setattr(PostgresDatabases, operation, ends)
    with pytest.raises(StepError, match="the lights went out"):
        await proof(site).prove(attempt_id(STEP))
    monkeypatch.undo()
    assert trials(site.cluster)
    assert names(site.cluster) > {"app"}
    await ledger.acquire_fence(site.cluster.server(epoch=2))
    await proof(site, epoch=2).prove(attempt_id(STEP, epoch=2))
    assert names(site.cluster) == {"app"}
    assert trials(site.cluster) == []


@on_18
async def test_who_may_not_act_for_the_run_may_not_try_it_either(site: Site) -> None:
    await ledger.acquire_fence(site.cluster.server(epoch=2))
    stale = PostgresDatabases(replace(site.cluster.server(epoch=1), on_trial=True))
    with pytest.raises(NotLeader):
        await stale.make_placeholder(replace(attempt_id("make_placeholder"), run="r1/try"))
    assert names(site.cluster) == {"app"}


@on_18
async def test_a_stale_daemon_drops_no_scratch_database_of_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: a paused daemon that came back dropped what the next one tried with, and learned only then that it was stale."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    real = PostgresDatabases.exchange

    async def exchange(self: PostgresDatabases, its: AttemptId) -> Evidence:
        reached.set()
        await go_on.wait()
        return await real(self, its)

    monkeypatch.setattr(PostgresDatabases, "exchange", exchange)
    await ledger.acquire_fence(site.cluster.server(epoch=2))
    proving = asyncio.create_task(proof(site, epoch=2).prove(attempt_id(STEP, epoch=2)))
    await asyncio.wait_for(reached.wait(), 60)
    there = names(site.cluster)
    with pytest.raises(NotLeader):
        await scratch.drop(site.cluster.server(epoch=1), attempt_id(STEP))
    assert names(site.cluster) == there > {"app", "app_try"}
    go_on.set()
    assert (await proving)["way_back"]["exchange_seconds"] > 0


@on_18
async def test_a_daemon_that_turns_stale_between_two_drops_makes_the_first_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def then_stale(server: Server, its: AttemptId) -> list[str]:
        dropped = await try_swap.drop_all(server, its)
        await ledger.acquire_fence(site.cluster.server(epoch=2))
        return dropped

    with pytest.raises(NotLeader):
        async with scratch.scratch(site.server, attempt_id(STEP)):
            monkeypatch.setattr(scratch, "drop_all", then_stale)
    assert names(site.cluster) == {"app", "app_try"}


@on_18
async def test_what_a_stale_daemon_fails_with_in_its_trial_does_not_hide_that_it_is_stale(site: Site) -> None:
    """Found: its lost session was told, and that another daemon has the run was not."""

    async def until_stale() -> None:
        async with scratch.scratch(site.server, attempt_id(STEP)):
            await ledger.acquire_fence(site.cluster.server(epoch=2))
            raise OutcomeUnknown("the connection was lost")

    with pytest.raises(NotLeader, match="epoch 1 of run r1 may not act"):
        await until_stale()
    assert names(site.cluster) == {"app", "app_try"}


@on_18
async def test_a_cancelled_trial_leaves_no_database_session_or_record(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = asyncio.Event()
    real = PostgresDatabases.exchange

    async def exchange(self: PostgresDatabases, its: AttemptId) -> Evidence:
        evidence = await real(self, its)
        reached.set()
        await asyncio.Event().wait()
        return evidence

    monkeypatch.setattr(PostgresDatabases, "exchange", exchange)
    proving = asyncio.create_task(proof(site).prove(attempt_id(STEP)))
    await asyncio.wait_for(reached.wait(), 60)
    assert names(site.cluster) == {"app", "app_try", "app_try_p", "app_try_c"}
    proving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await proving
    assert names(site.cluster) == {"app"}
    assert trials(site.cluster) == []
    assert site.cluster.execute(OURS) == []


@on_18
async def test_a_way_back_that_cannot_be_executed_fails_before_the_window(site: Site) -> None:
    """A superuser sits in the scratch database: at night he would sit in production."""
    proving = asyncio.create_task(proof(site, evict_seconds=1).prove(attempt_id(STEP)))
    query = "SELECT 1 FROM pg_database WHERE datname = 'app_try' AND datallowconn"
    async with asyncio.timeout(60):
        while not site.cluster.execute(query):
            await asyncio.sleep(0.005)
    with site.cluster.superuser("app_try"), pytest.raises(TimedOut, match="app_try is not empty after 1 s: client backend"):
        await proving
    assert await proof(site).clear(attempt_id(STEP)) == {"removed": ["app_try", "app_try_c"]}
    assert names(site.cluster) == {"app"}


@on_18
async def test_a_way_back_that_leaves_something_different_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lifted(self: PostgresDatabases, its: AttemptId) -> Evidence:
        evidence = await real(self, its)
        site.cluster.execute("ALTER DATABASE app_try SET work_mem = '7MB'")
        return evidence

    real = PostgresDatabases.lift_fence
    monkeypatch.setattr(PostgresDatabases, "lift_fence", lifted)
    with pytest.raises(CheckFailed, match=r"after the way back app_try is not as it was: settings was .*work_mem=7MB"):
        await proof(site).prove(attempt_id(STEP))
    assert names(site.cluster) == {"app"}


@on_18
async def test_the_names_of_the_trial_fit_where_productions_name_has_54_bytes(cluster: Cluster, tmp_path: Path) -> None:
    long = "app_" + "x" * 50
    cluster.execute(f"CREATE DATABASE {long} OWNER app_owner")
    server = cluster.server(dbname=long, folder=tmp_path)
    await ledger.prepare(server)
    await ledger.acquire_fence(server)
    site = Site(cluster, server, tmp_path)
    proven = await PgDump(server, tmp_path / "backups", 1, site.scripts([])).prove(attempt_id(STEP))
    assert proven["way_back"]["exchange_seconds"] > 0
    assert names(cluster) == {"app", long}


def test_no_name_of_the_trial_is_one_of_the_nights() -> None:
    night = Names("a" * 54)
    at_night = {*night.all, night.scratch, *(night.build(epoch) for epoch in range(1000))}
    trial_names = {night.of_trial.next, night.of_trial.previous, night.of_trial.closed, night.of_trial.build(7)}
    assert night.of_trial.production == night.scratch
    assert len(trial_names) == 4
    assert not trial_names & at_night
    assert max(len(name.encode()) for name in trial_names) <= 63
