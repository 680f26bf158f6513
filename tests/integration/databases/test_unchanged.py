"""Whether old was written to since the fence, and what was written to new since the exchange."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from support.production import attempt_id, back, furnish, lead, log_in
from support.servers import Cluster

from cutoverd.daemon.postgres.databases import counters, old_access
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.errors import CheckFailed, StepError, TimedOut, Unproven
from cutoverd.states.ports import Evidence

pytestmark = pytest.mark.both_versions
TO_CLOSED = ("build_new", "open_old", "close_old")


async def fenced(cluster: Cluster, content: str = "SELECT") -> tuple[PostgresDatabases, Evidence]:
    furnish(cluster)
    cluster.execute(content, "app")
    databases = await lead(cluster)
    await databases.make_placeholder(attempt_id("make_placeholder"))
    await databases.fence(attempt_id("fence"))
    return databases, await databases.record_position(attempt_id("record_position"))


async def test_old_that_was_only_read_is_unchanged(cluster: Cluster) -> None:
    databases, position = await fenced(cluster)
    assert position["counters"]["inserted"] > 0
    await databases.check_unchanged(attempt_id("check"), position)
    for operation in TO_CLOSED:
        await getattr(databases, operation)(attempt_id(operation))
        assert await databases.check_unchanged(attempt_id("check"), position) == {
            "counters": position["counters"],
            "autovacuum": False,
        }


@pytest.mark.parametrize("moment", ["before", "open", "after"])
async def test_a_write_by_a_superuser_is_found(cluster: Cluster, moment: str) -> None:
    databases, position = await fenced(cluster)
    for operation in TO_CLOSED[: {"before": 0, "open": 2, "after": 3}[moment]]:
        await getattr(databases, operation)(attempt_id(operation))
    if moment != "open":
        cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS true")
    cluster.execute("SET transaction_read_only = off; DELETE FROM store.machine WHERE id = 7", "app_previous")
    if moment != "open":
        cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS false")
    await counted(cluster, position)
    with pytest.raises(CheckFailed, match="app_previous was written to"):
        await databases.check_unchanged(attempt_id("check"), position)


def sneaked_in(cluster: Cluster) -> psycopg.Connection[Any]:
    """A superuser's session in closed old; the door is closed behind him."""
    cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS true")
    session = psycopg.connect(cluster.superuser_url("app_previous"), autocommit=True)
    cluster.execute("ALTER DATABASE app_previous ALLOW_CONNECTIONS false")
    session.execute("SET default_transaction_read_only = off")
    return session


async def closed_again(cluster: Cluster) -> tuple[PostgresDatabases, Evidence]:
    databases, position = await fenced(cluster)
    for operation in TO_CLOSED:
        await getattr(databases, operation)(attempt_id(operation))
    databases._evict_seconds = 1
    return databases, position


async def test_a_writer_who_stays_in_old_has_told_nothing_yet_and_no_names_change_hands(cluster: Cluster) -> None:
    """Found: what an idle session wrote is counted seconds later; what he had written to old was missing in production."""
    databases, position = await closed_again(cluster)
    with sneaked_in(cluster) as stranger:
        stranger.execute("DELETE FROM store.machine WHERE id = 7")
        await databases.check_unchanged(attempt_id("check"), position)
        with pytest.raises(TimedOut, match="app_previous is not empty after 1 s: client backend"):
            await databases.exchange(attempt_id("exchange"))
    with pytest.raises(CheckFailed, match="app_previous was written to after it was closed"):
        await databases.exchange(attempt_id("exchange"))


async def test_what_is_committed_after_the_check_is_found_when_names_change_hands(cluster: Cluster) -> None:
    databases, position = await closed_again(cluster)
    with sneaked_in(cluster) as stranger:
        stranger.execute("BEGIN; DELETE FROM store.machine WHERE id = 7")
        await databases.check_unchanged(attempt_id("check"), position)
        stranger.execute("COMMIT")
    with pytest.raises(CheckFailed, match="app_previous was written to after it was closed"):
        await databases.exchange(attempt_id("exchange"))


async def test_a_write_that_is_prepared_in_old_lets_no_names_change_hands(cluster: Cluster) -> None:
    databases, position = await closed_again(cluster)
    with sneaked_in(cluster) as stranger:
        stranger.execute("BEGIN; DELETE FROM store.machine WHERE id = 7; PREPARE TRANSACTION 'later'")
    await databases.check_unchanged(attempt_id("check"), position)
    with pytest.raises(TimedOut, match="app_previous is not empty after 1 s: prepared transaction later of postgres"):
        await databases.exchange(attempt_id("exchange"))


async def test_a_writer_who_is_in_before_old_is_opened_is_not_taken_for_autovacuum(cluster: Cluster) -> None:
    """Found: his write was counted between the opening and the first look, as an autovacuum's might be."""
    databases, position = await fenced(cluster)
    databases._evict_seconds = 1
    await databases.build_new(attempt_id("build_new"))
    with sneaked_in(cluster) as stranger:
        stranger.execute("DELETE FROM store.machine WHERE id = 7")
        with pytest.raises(TimedOut, match="app_previous is not empty"):
            await databases.open_old(attempt_id("open_old"))
    await databases.open_old(attempt_id("open_old"))
    with pytest.raises(CheckFailed, match="between the fence and its opening to us"):
        await databases.check_unchanged(attempt_id("check"), position)


async def test_names_do_not_change_hands_while_old_is_open_to_us(cluster: Cluster) -> None:
    databases, _ = await fenced(cluster)
    for operation in TO_CLOSED[:2]:
        await getattr(databases, operation)(attempt_id(operation))
    with pytest.raises(StepError, match="app_previous is open to us still"):
        await databases.exchange(attempt_id("exchange"))


async def test_what_is_written_while_content_is_compared_again_is_found(cluster: Cluster) -> None:
    """Found: once the content had been compared nobody looked at the counters any more."""
    databases, _ = await closed_again(cluster)
    cluster.kill()
    cluster.start()
    with pytest.raises(Unproven, match="reset"):
        await databases.exchange(attempt_id("exchange"))
    await databases.open_old(attempt_id("again.open"), again=True)
    cluster.execute("SET transaction_read_only = off; DELETE FROM store.machine WHERE id = 7", "app_previous")
    await databases.close_old(attempt_id("again.close"))
    with pytest.raises(CheckFailed, match=r"while it was open to us \(store.machine\)"):
        await databases.exchange(attempt_id("exchange"))


async def test_a_comparison_that_was_not_finished_leaves_the_doubt_that_it_was_to_settle(cluster: Cluster) -> None:
    """Found: the next attempt took our own sessions for a writer's, and the night went back for nothing."""
    databases, position = await closed_again(cluster)
    await databases.open_old(attempt_id("again.open"), again=True)
    with pytest.raises(Unproven, match="not finished"):
        await databases.check_unchanged(attempt_id("check"), position)
    await databases.close_old(attempt_id("again.close"))
    with pytest.raises(Unproven, match="not finished"):
        await databases.check_unchanged(attempt_id("check"), position)
    await databases.exchange(attempt_id("exchange"))


async def test_an_analyze_by_autovacuum_is_no_write(cluster: Cluster) -> None:
    cluster.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'; ")
    cluster.execute("SELECT pg_reload_conf()")
    furnish(cluster)
    databases = await lead(cluster)
    await databases.make_placeholder(attempt_id("make_placeholder"))
    cluster.execute("INSERT INTO store.machine (serial) SELECT 'N-' || n FROM generate_series(1, 5000) n", "app")
    await databases.fence(attempt_id("fence"))
    position = await databases.record_position(attempt_id("record_position"))
    await databases.build_new(attempt_id("build_new"))
    await counted(cluster, position, 30)
    evidence = await databases.check_unchanged(attempt_id("check"), position)
    assert evidence["autovacuum"]
    await databases.open_old(attempt_id("open_old"))
    await databases.check_unchanged(attempt_id("check"), position)


ZEALOUS = """
SET ROLE app_owner;
CREATE TABLE store.zealous (id bigint);
INSERT INTO store.zealous SELECT n FROM generate_series(1, 200) n;
CREATE FUNCTION store.slow(id bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN id; END $$;
CREATE INDEX ON store.zealous (store.slow(id));
CREATE OR REPLACE FUNCTION store.slow(id bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN id; END $$;
"""


async def test_an_analyze_that_ends_because_old_is_closed_is_no_write(cluster: Cluster) -> None:
    """Found: a rename ends an autovacuum worker, which then counts what it wrote: the night went back for nothing."""
    databases, position = await fenced(cluster, ZEALOUS)
    cluster.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    cluster.execute("SELECT pg_reload_conf()")
    await databases.open_old(attempt_id("open_old"))
    analyzing = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = 'app_previous' AND query LIKE 'autovacuum: ANALYZE store.zealous%'"
    )
    async with asyncio.timeout(30):
        while not cluster.execute(analyzing):
            await asyncio.sleep(0.02)
    await databases.close_old(attempt_id("close_old"))
    await counted(cluster, position)
    assert (await databases.check_unchanged(attempt_id("check"), position))["autovacuum"]


async def test_a_daemon_killed_while_it_opens_old_is_not_taken_for_a_writer(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: its session was counted and autovacuum moved the counters meanwhile: the night went back for nothing."""
    cluster.execute("ALTER SYSTEM SET autovacuum = off")
    cluster.execute("SELECT pg_reload_conf()")
    databases, position = await fenced(
        cluster, "INSERT INTO store.machine (serial) SELECT 'N-' || n FROM generate_series(1, 5000) n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(old_access.ledger, "recorded_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            await databases.open_old(attempt_id("open_old"))
    cluster.execute("ALTER SYSTEM RESET autovacuum")
    cluster.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    cluster.execute("SELECT pg_reload_conf()")
    await counted(cluster, position, 30)
    await databases.open_old(attempt_id("open_old"))
    assert (await databases.check_unchanged(attempt_id("check"), position))["autovacuum"]


def killed(*_: object) -> None:
    raise RuntimeError("killed")


async def test_nobody_vouches_for_what_moved_while_old_was_being_opened(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: a write between the opening and the first look at the tables was seen by no counter that was kept."""
    databases, position = await fenced(cluster)
    read_tables = counters.tables

    async def write_then_read_tables(inside: Connection) -> counters.Tables:
        cluster.execute("SET transaction_read_only = off; DELETE FROM store.machine WHERE id = 7", "app_previous")
        await counted(cluster, position)
        return await read_tables(inside)

    with monkeypatch.context() as patch:
        patch.setattr(counters, "tables", write_then_read_tables)
        await databases.open_old(attempt_id("open_old"))
    with pytest.raises(Unproven, match="while old was being opened"):
        await databases.check_unchanged(attempt_id("check"), position)


async def test_a_database_made_meanwhile_is_no_write_to_old(cluster: Cluster) -> None:
    """The shared catalogs seem to be old's own; they only matter once something else, an analyze, moved its counters."""
    cluster.execute("ALTER SYSTEM SET autovacuum = off")
    cluster.execute("SELECT pg_reload_conf()")
    furnish(cluster)
    databases = await lead(cluster)
    await databases.make_placeholder(attempt_id("make_placeholder"))
    cluster.execute("INSERT INTO store.machine (serial) SELECT 'N-' || n FROM generate_series(1, 5000) n", "app")
    await databases.fence(attempt_id("fence"))
    position = await databases.record_position(attempt_id("record_position"))
    await databases.build_new(attempt_id("build_new"))
    await databases.open_old(attempt_id("open_old"))
    cluster.execute("CREATE DATABASE another")
    cluster.execute("SET transaction_read_only = off; ANALYZE store.machine", "app_previous")
    await counted(cluster, position, 30)
    await databases.check_unchanged(attempt_id("check"), position)
    await databases.close_old(attempt_id("close_old"))
    await databases.check_unchanged(attempt_id("check"), position)


async def counted(cluster: Cluster, position: Evidence, seconds: float = 10) -> None:
    """Wait until the counters of old have moved."""
    query = (
        "SELECT tup_inserted, tup_updated, tup_deleted FROM pg_stat_database s JOIN pg_database d ON d.oid = s.datid "
        "WHERE d.datname = 'app_previous'"
    )
    async with asyncio.timeout(seconds):
        while cluster.execute(query) == [tuple(position["counters"][kind] for kind in ("inserted", "updated", "deleted"))]:
            await asyncio.sleep(0.05)


async def test_counters_that_a_crash_reset_prove_nothing(cluster: Cluster) -> None:
    databases, position = await fenced(cluster)
    cluster.kill()
    cluster.start()
    with pytest.raises(Unproven, match="reset"):
        await databases.check_unchanged(attempt_id("check"), position)


async def test_counters_survive_an_orderly_restart(cluster: Cluster) -> None:
    databases, position = await fenced(cluster)
    cluster.restart()
    await databases.check_unchanged(attempt_id("check"), position)


async def exchanged(cluster: Cluster) -> PostgresDatabases:
    databases, _ = await fenced(cluster)
    await databases.build_new(attempt_id("build_new"))
    cluster.execute("INSERT INTO store.machine (serial) VALUES ('by a script')", "app_next")
    await databases.exchange(attempt_id("exchange"))
    return databases


async def test_what_clients_wrote_since_the_exchange_is_named(cluster: Cluster) -> None:
    databases = await exchanged(cluster)
    assert await databases.written(attempt_id("written")) == {"tables": {}, "complete": True}
    cluster.execute(
        "INSERT INTO store.machine (serial) VALUES ('a'), ('b'); UPDATE store.machine SET serial = 'c' WHERE id = 1;"
        "TRUNCATE store.log; CREATE TABLE public.fresh AS SELECT 1",
        "app",
    )
    expected = {
        "store.machine": {"inserted": 2, "updated": 1, "deleted": 0, "replaced": False},
        "store.log": {"inserted": 0, "updated": 0, "deleted": 0, "replaced": True},
        "public.fresh": {"inserted": 1, "updated": 0, "deleted": 0, "replaced": False},
    }
    async with asyncio.timeout(10):
        while (await databases.written(attempt_id("written")))["tables"] != expected:
            await asyncio.sleep(0.1)
    await databases.exchange_back(back("exchange"))
    assert (await databases.written(back("exchange")))["tables"] == expected
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        log_in(cluster, "app_next")


async def test_after_a_crash_the_written_tables_are_not_called_complete(cluster: Cluster) -> None:
    databases = await exchanged(cluster)
    cluster.kill()
    cluster.start()
    cluster.execute("INSERT INTO store.machine (serial) VALUES ('after the crash')", "app")
    async with asyncio.timeout(10):
        while not (evidence := await databases.written(attempt_id("written")))["tables"]:
            await asyncio.sleep(0.1)
    assert evidence["complete"] is False
    assert evidence["tables"]["store.machine"]["inserted"] == 1
