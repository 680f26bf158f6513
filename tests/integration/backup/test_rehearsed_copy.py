"""The copy that the window is rehearsed on: taken there and back by the window's own operations, and dropped whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.new_database import Site, make_site
from support.production import ATTRIBUTES, CONTENT, attempt_id, names, photograph
from support.servers import Cluster

from cutoverd.daemon.postgres.backup import scratch
from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.backup.rehearsed_copy import drop_all
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed, NotLeader, OutcomeUnknown, TimedOut, Unfit
from cutoverd.states.ports import AttemptId, Direction, Evidence

pytestmark = [pytest.mark.both_versions, pytest.mark.parametrize("cluster", ["18"], indirect=True)]
STEP = "precheck.prove_backup"
OURS = "SELECT pid, query FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%'"
ROWS = "SELECT run, 'fence' FROM cutoverd.fence " + "".join(
    f"UNION ALL SELECT run, '{table}' FROM cutoverd.{table} " for table in ("step_log", "database_oids", "announced", "counters")
)
THERE = ("make_placeholder", "fence", "build_new", "exchange")
BACK = {"exchange_back": "exchange", "keep_new": "build_new", "lift_fence": "fence"}  # by the step that it undoes


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


def on_copy(server: Server, **how: float) -> PostgresDatabases:
    return PostgresDatabases(replace(server, on_trial=True), evict_seconds=how.get("evict_seconds", 20))


def of_copy(name: str, direction: Direction = Direction.FORWARD) -> AttemptId:
    return replace(attempt_id(name, direction), run="r1/try")


async def go_there(databases: PostgresDatabases) -> None:
    for name in THERE:
        await getattr(databases, name)(of_copy(name))


async def go_back(databases: PostgresDatabases) -> list[Evidence]:
    return [await getattr(databases, name)(of_copy(step, Direction.BACK)) for name, step in BACK.items()]


def rehearsed(cluster: Cluster) -> list[tuple[str, ...]]:
    """What is on record of rehearsals."""
    return [row for row in cluster.execute(ROWS, "cutoverd") if row[0] != "r1"]


async def test_the_copy_is_taken_there_and_back_and_is_as_it_was(site: Site) -> None:
    before = photograph(site.cluster)
    proven = await proof(site).prove(attempt_id(STEP))
    await go_there(on_copy(site.server))
    assert names(site.cluster) == {"app", "app_try", "app_try_p", "app_try_c"}
    back = await go_back(on_copy(site.server))
    assert back[-1]["differs"] == []
    assert (await proof(site).check_copy(attempt_id("check_copy"), proven))["rows"] == proven["rows"]
    assert photograph(site.cluster) == before
    await proof(site).clear(attempt_id(STEP))
    assert names(site.cluster) == {"app"}
    assert rehearsed(site.cluster) == []
    assert site.cluster.execute(OURS) == []


async def test_the_rehearsal_is_no_part_of_the_run_that_follows(site: Site) -> None:
    """Its ledger rows are not the window's: the same operations do their work after it, and are not "already done"."""
    before = photograph(site.cluster)
    await proof(site).prove(attempt_id(STEP))
    await go_there(on_copy(site.server))
    databases = PostgresDatabases(site.server, evict_seconds=20)
    for name in THERE:
        await getattr(databases, name)(attempt_id(name))
    await proof(site).clear(attempt_id(STEP))
    assert names(site.cluster) == {"app", "app_previous", "app_closed"}
    for name, step in BACK.items():
        await getattr(databases, name)(attempt_id(step, Direction.BACK))
    assert names(site.cluster) == {"app", "app_next", "app_closed"}
    assert photograph(site.cluster) == before


@pytest.mark.parametrize("last", THERE)
async def test_a_rehearsal_that_ended_in_the_middle_is_reset_to_the_copy_alone(site: Site, last: str) -> None:
    """As after a kill: the next attempt rehearses on the same copy."""
    proven = await proof(site).prove(attempt_id(STEP))
    for name in THERE[: THERE.index(last) + 1]:
        await getattr(on_copy(site.server), name)(of_copy(name))
    await proof(site).reset_copy(attempt_id("precheck.reset_copy"))
    assert names(site.cluster) == {"app", "app_try"}
    await proof(site).check_copy(attempt_id("check_copy"), proven)


async def test_a_copy_whose_catalog_is_another_is_not_what_it_was(site: Site) -> None:
    """Found: it was read, and never compared: rows alone counted."""
    proven = await proof(site).prove(attempt_id(STEP))
    site.cluster.execute("CREATE VIEW public.beside AS SELECT 1", "app_try")
    with pytest.raises(CheckFailed, match="its catalog is another"):
        await proof(site).check_copy(attempt_id("check_copy"), proven)


async def test_who_is_in_the_copy_and_may_not_be_ended_by_us_is_named(site: Site) -> None:
    """Found: "permission denied to terminate process", with the advice to GRANT what is missing."""
    await proof(site).prove(attempt_id(STEP))
    with site.cluster.superuser("app_try") as somebody:
        pid = somebody.info.backend_pid
        with pytest.raises(Unfit, match=f"app_try is not dropped, .*: client backend {pid} of postgres") as refused:
            await proof(site).clear(attempt_id("precheck.drop_copy"))
    assert refused.value.hint == "a superuser ends a superuser's session"
    assert await proof(site).clear(attempt_id("precheck.drop_copy")) is not None
    assert names(site.cluster) == {"app"}


async def test_who_may_not_act_for_the_run_may_not_rehearse_it_either(site: Site) -> None:
    await ledger.acquire_fence(site.cluster.server(epoch=2))
    with pytest.raises(NotLeader):
        await on_copy(site.cluster.server(epoch=1)).make_placeholder(of_copy("make_placeholder"))
    assert names(site.cluster) == {"app"}


async def test_a_stale_daemon_drops_no_copy_of_the_next(site: Site) -> None:
    """Found: a paused daemon that came back dropped what the next one tried with, and learned only then that it was stale."""
    await ledger.acquire_fence(site.cluster.server(epoch=2))
    await proof(site, epoch=2).prove(attempt_id(STEP, epoch=2))
    for stale in (scratch.drop(site.cluster.server(epoch=1), attempt_id(STEP)), proof(site).reset_copy(attempt_id("reset_copy"))):
        with pytest.raises(NotLeader):
            await stale
    assert names(site.cluster) == {"app", "app_try"}


async def test_a_daemon_that_turns_stale_between_two_drops_makes_the_first_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def then_stale(server: Server, its: AttemptId) -> list[str]:
        dropped = await drop_all(server, its)
        await ledger.acquire_fence(site.cluster.server(epoch=2))
        return dropped

    async def fails_meanwhile() -> None:
        async with scratch.scratch(site.server, attempt_id(STEP)):
            monkeypatch.setattr(scratch, "drop_all", then_stale)
            raise OutcomeUnknown("the connection was lost")

    with pytest.raises(NotLeader):
        await fails_meanwhile()
    assert names(site.cluster) == {"app", "app_try"}


async def test_what_a_stale_daemon_fails_with_in_its_proof_does_not_hide_that_it_is_stale(site: Site) -> None:
    """Found: its lost session was told, and that another daemon has the run was not."""

    async def until_stale() -> None:
        async with scratch.scratch(site.server, attempt_id(STEP)):
            await ledger.acquire_fence(site.cluster.server(epoch=2))
            raise OutcomeUnknown("the connection was lost")

    with pytest.raises(NotLeader, match="epoch 1 of run r1 may not act"):
        await until_stale()
    assert names(site.cluster) == {"app", "app_try"}


async def test_a_rollback_that_cannot_be_executed_fails_before_the_window(site: Site) -> None:
    """A superuser sits in the copy: in the window he would sit in production."""
    await proof(site).prove(attempt_id(STEP))
    databases = on_copy(site.server, evict_seconds=1)
    await databases.make_placeholder(of_copy("make_placeholder"))
    with site.cluster.superuser("app_try"), pytest.raises(TimedOut, match="app_try is not empty after 1 s: client backend"):
        await databases.fence(of_copy("fence"))
    assert await proof(site).clear(attempt_id(STEP)) == {"removed": ["app_try", "app_try_c"]}


async def test_a_rollback_that_leaves_something_different_is_found(site: Site) -> None:
    proven = await proof(site).prove(attempt_id(STEP))
    site.cluster.execute("ALTER DATABASE app_try SET work_mem = '7MB'")
    with pytest.raises(CheckFailed, match=r"after the rollback app_try is not as it was: its settings is another"):
        await proof(site).check_copy(attempt_id("check_copy"), proven)


async def test_the_names_of_the_copy_fit_where_productions_name_has_54_bytes(cluster: Cluster, tmp_path: Path) -> None:
    long = "app_" + "x" * 50
    cluster.execute(f"CREATE DATABASE {long} OWNER app_owner")
    server = cluster.server(dbname=long, folder=tmp_path)
    await ledger.prepare(server)
    await ledger.acquire_fence(server)
    backups = PgDump(server, tmp_path / "backups", 1, Site(cluster, server, tmp_path).scripts([]))
    await backups.prove(attempt_id(STEP))
    await go_there(on_copy(server))
    await go_back(on_copy(server))
    await backups.clear(attempt_id(STEP))
    assert names(cluster) == {"app", long}
