"""Who wrote to new after the swap, past the traffic switch too: counted before anything is undone, whatever hides it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import psycopg
import pytest
from support.production import attempt_id, furnish, lead, log_in, photograph
from support.servers import Cluster

from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.postgres.databases import admission
from cutoverd.daemon.postgres.databases import count_writes as counting
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.databases.outsiders import POLL_SECONDS, watch_outsiders
from cutoverd.daemon.postgres.session.lock_waits import LockHeld
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, TimedOut

WAY = ("make_placeholder", "fence", "build_new", "open_old", "close_old", "exchange")
INSERT = "INSERT INTO store.machine (serial) VALUES ('of a stranger')"
ACL = "SELECT datacl::text FROM pg_database WHERE datname = 'app'"


@pytest.fixture
def furnished(cluster: Cluster) -> Cluster:
    furnish(cluster)
    cluster.execute("DROP ROLE IF EXISTS smoke; CREATE ROLE smoke LOGIN; GRANT app_user TO smoke")
    return cluster


async def exchanged(cluster: Cluster, **more: Any) -> PostgresDatabases:
    databases = await lead(cluster, evict_seconds=more.pop("evict_seconds", 10), **more)
    for operation in WAY:
        await getattr(databases, operation)(attempt_id(operation))
    return databases


@contextmanager
def client(cluster: Cluster, user: str = "app_user") -> Iterator[psycopg.Connection[Any]]:
    """A session on production that is not asked to leave."""
    conn = psycopg.connect(cluster.url("app", user=user), autocommit=True, connect_timeout=10)
    try:
        yield conn
    finally:
        conn.close()


def lets_in(cluster: Cluster, user: str = "app_user") -> bool:
    try:
        with client(cluster, user):
            return True
    except psycopg.OperationalError:
        return False


def may_connect(cluster: Cluster) -> tuple[bool, bool]:
    """The role of the smoke tests, and everybody's."""
    rights = [f"datallowconn AND has_database_privilege('{role}', oid, 'CONNECT')" for role in ("smoke", "app_user")]
    [row] = cluster.execute(f"SELECT {', '.join(rights)} FROM pg_database WHERE datname = 'app'")
    return row


class Killed(Exception):
    """the daemon is gone"""


@contextmanager
def killed_in(module: ModuleType, function: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, function, killed)
        with pytest.raises(Killed):
            yield


async def test_what_a_session_that_lives_has_not_told_yet_is_counted_all_the_same(furnished: Cluster) -> None:
    """Found: 581 acknowledged rows were rolled back, for counters lag while a session lives."""
    databases = await exchanged(furnished)
    with client(furnished) as conn:
        conn.execute("SELECT 1")
        conn.execute(INSERT)
        with conn.transaction():
            conn.execute("SELECT count(*) FROM store.machine")  # its counters wait for the end of the transaction
            counted = await databases.count_writes(attempt_id("count"))
            assert counted["writes"] == "some"
            assert counted["reason"] == "store.machine: 1 inserted"
            with pytest.raises(psycopg.OperationalError):
                conn.execute("SELECT 1")
            conn.close()
    assert log_in(furnished) == 501, "whoever could connect can again, and nothing is lost"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (f"BEGIN; {INSERT}; ROLLBACK", "store.machine: 1 inserted"),
        ("UPDATE store.machine SET serial = serial WHERE id = 1", "store.machine: 1 updated"),
        ("DELETE FROM store.machine WHERE id < 3", "store.machine: 2 deleted"),
        ("TRUNCATE store.log", "store.log: replaced"),
        ("CREATE TABLE store.made ()", "store.made: made"),
        ("DROP TABLE store.log", "store.log: dropped"),
        ("SELECT lo_from_bytea(0, 'x')", "pg_catalog.pg_largeobject: 1 inserted, pg_catalog.pg_largeobject_metadata: 1 inserted"),
    ],
)
async def test_whatever_was_written_is_seen_an_aborted_write_too(furnished: Cluster, written: str, reason: str) -> None:
    databases = await exchanged(furnished)
    furnished.execute(written, "app")
    counted = await databases.count_writes(attempt_id("count"))
    assert (counted["writes"], counted["reason"]) == ("some", reason)


@pytest.mark.parametrize("unknown", ["crash", "reset", "role", "database"])
async def test_counters_that_cannot_tell_are_never_taken_for_none(furnished: Cluster, unknown: str) -> None:
    databases = await exchanged(furnished)
    match unknown:
        case "crash":
            furnished.kill()
            furnished.start()
        case "reset":
            furnished.execute("SELECT pg_stat_reset()", "app")
        case "role":
            furnished.execute("ALTER ROLE app_user SET track_counts = off")
        case "database":
            furnished.execute("ALTER DATABASE app SET track_counts = off")
    counted = await databases.count_writes(attempt_id("count"))
    if unknown in ("role", "database"):
        furnished.execute("ALTER ROLE app_user RESET track_counts")
        assert "track_counts is off for" in counted["reason"]
    assert counted["writes"] == "unknown"
    assert lets_in(furnished)


async def test_who_does_not_leave_keeps_his_access_and_so_do_all(furnished: Cluster) -> None:
    databases = await exchanged(furnished, evict_seconds=1)
    acl = furnished.execute(ACL)
    with furnished.superuser("app") as superuser:
        superuser.execute("SELECT 1")
        with pytest.raises(TimedOut, match="postgres"):
            await databases.count_writes(attempt_id("count"))
    assert furnished.execute(ACL) == acl
    assert lets_in(furnished)


@pytest.mark.parametrize("default_acl", [True, False])
async def test_the_access_that_was_withheld_comes_back_whole(cluster: Cluster, default_acl: bool) -> None:
    if default_acl:
        cluster.execute("CREATE SCHEMA store; CREATE TABLE store.machine (serial text)", "app")
        cluster.execute("GRANT ALL ON SCHEMA store TO PUBLIC; GRANT ALL ON store.machine TO PUBLIC", "app")
    else:
        furnish(cluster)
    cluster.execute("DROP ROLE IF EXISTS smoke; CREATE ROLE smoke LOGIN")
    before = photograph(cluster).row
    databases = await exchanged(cluster, smoke_roles=["smoke"])
    assert may_connect(cluster) == (True, False)
    cluster.execute(INSERT, "app")
    shared = await databases.count_writes(attempt_id("count"), ["smoke"])
    assert shared["writes"] == "some"
    assert may_connect(cluster) == (True, False), "exactly what it had"
    admitted = await databases.admit_clients(attempt_id("admit"))
    assert (may_connect(cluster), admitted["differs"]) == ((True, True), [])
    now = photograph(cluster).row
    granted = "{=Tc/app_owner,app_owner=CTc/app_owner}"
    assert now["datacl"] == (granted.strip("{}").split(",") if before["datacl"] is None else before["datacl"])
    assert now["datconnlimit"] == before["datconnlimit"]


LETTING_IN = {
    "a member of a named role": "REVOKE app_user FROM smoke; GRANT smoke TO app_user",
    "whom the owner let in": "GRANT CONNECT ON DATABASE app TO app_user",
}


@pytest.mark.parametrize("why", LETTING_IN)
@pytest.mark.parametrize("admitted", [False, True], ids=["counted", "admitted, then counted"])
async def test_who_got_in_although_connect_was_withheld_and_left_makes_every_row_count(
    furnished: Cluster, why: str, admitted: bool
) -> None:
    """Found: only who was in at that instant was met, and rows of all others were rolled back as those of the smoke tests."""
    databases = await exchanged(furnished, smoke_roles=["smoke"])
    furnished.execute(LETTING_IN[why])
    with client(furnished) as conn:
        conn.execute(INSERT)
    if admitted:
        assert (await databases.admit_clients(attempt_id("admit")))["outsiders"] == ["app_user"]
    counted = await databases.count_writes(attempt_id("count"))
    furnished.execute("REVOKE smoke FROM app_user")
    assert (counted["writes"], counted["tables"]["store.machine"]["inserted"]) == ("some", 1)
    assert admitted or counted["outsiders"] == ["app_user"]


async def test_a_superuser_who_was_met_once_is_not_forgotten_when_he_leaves(furnished: Cluster) -> None:
    databases = await exchanged(furnished, smoke_roles=["smoke"], evict_seconds=1)
    with furnished.superuser("app") as superuser:
        superuser.execute(INSERT)
        with pytest.raises(TimedOut):  # nobody may end a superuser's session but he himself
            await databases.count_writes(attempt_id("count"))
    counted = await databases.count_writes(attempt_id("count.again"))
    assert (counted["writes"], counted["reason"]) == ("some", "store.machine: 1 inserted, by postgres, or by the smoke tests")


async def test_a_superuser_who_comes_and_goes_is_met_by_the_watch(furnished: Cluster) -> None:
    databases = await exchanged(furnished, smoke_roles=["smoke"])
    watching = asyncio.create_task(watch_outsiders(furnished.server(), lambda: True))
    with furnished.superuser("app") as superuser:
        superuser.execute(INSERT)
        await asyncio.sleep(8 * POLL_SECONDS)
    await end_tasks(watching)
    counted = await databases.count_writes(attempt_id("count"))
    assert (counted["writes"], counted["outsiders"]) == ("some", ["postgres"])


async def test_tables_that_are_disposable_are_named_and_do_not_hold(furnished: Cluster) -> None:
    databases = await exchanged(furnished, disposable={"store.log": "a service logs its start"})
    furnished.execute("INSERT INTO store.log (line) VALUES ('started')", "app")
    counted = await databases.count_writes(attempt_id("count"))
    assert (counted["writes"], counted["disposable"]) == ("none", {"store.log": "a service logs its start"})


async def test_nobody_is_let_in_who_would_find_somebody_shut_out(furnished: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    databases = await exchanged(furnished, smoke_roles=["smoke"])

    async def shut_out(*_: object) -> None:
        raise CheckFailed("could log in to app before the fence and cannot now: app_user")

    monkeypatch.setattr("cutoverd.daemon.postgres.databases.logins.prove_logins", shut_out)
    with pytest.raises(CheckFailed):
        await databases.admit_clients(attempt_id("admit"))
    assert not lets_in(furnished)
    assert (await databases.count_writes(attempt_id("count")))["writes"] == "none"


async def test_a_count_that_is_ended_by_hold_now_leaves_nobody_shut_out(
    furnished: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases, counts = await exchanged(furnished), asyncio.Event()

    async def for_ever(*_: object) -> None:
        counts.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(counting, "counted_inside", for_ever)
    task = asyncio.create_task(databases.count_writes(attempt_id("count")))
    await asyncio.wait_for(counts.wait(), 20)
    assert not lets_in(furnished)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lets_in(furnished)


async def test_a_count_that_cannot_give_the_access_back_is_of_unknown_outcome(
    furnished: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: it failed for certain, so `resume` went on, and the traffic was opened to a database that was closed to all."""
    databases = await exchanged(furnished)
    with client(furnished) as conn:
        conn.execute(INSERT)

    async def held(*_: object) -> None:
        raise LockHeld("waited 30 s for a lock, which pid 7 holds", hint="let it end")

    with monkeypatch.context() as patched:
        patched.setattr(counting, "give_access", held)
        with pytest.raises(OutcomeUnknown, match="app may be closed to all still: waited 30 s") as unknown:
            await databases.count_writes(attempt_id("count"))
    assert unknown.value.hint == "let it end"
    assert not lets_in(furnished)
    assert (await databases.count_writes(attempt_id("count")))["writes"] == "some"
    assert lets_in(furnished)


async def test_a_count_that_was_killed_half_way_is_made_again(furnished: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    databases = await exchanged(furnished)
    with client(furnished) as conn:
        conn.execute(INSERT)

    with killed_in(counting, "counted_inside", monkeypatch):
        await databases.count_writes(attempt_id("count"))
    assert not lets_in(furnished)
    counted = await (await lead(furnished, 2, evict_seconds=10)).count_writes(attempt_id("count", epoch=2))
    assert counted["reason"] == "store.machine: 1 inserted"
    assert lets_in(furnished)


async def test_an_admission_that_was_killed_half_way_is_made_again(furnished: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    databases = await exchanged(furnished, smoke_roles=["smoke"])
    furnished.execute(INSERT, "app")

    with killed_in(admission, "_admit", monkeypatch):
        await databases.admit_clients(attempt_id("admit"))
    assert not lets_in(furnished)
    databases = await lead(furnished, 2, evict_seconds=10, smoke_roles=["smoke"])
    admitted = await databases.admit_clients(attempt_id("admit", epoch=2))
    assert admitted["written"]["store.machine"]["inserted"] == 1
    assert lets_in(furnished)
    assert (await databases.count_writes(attempt_id("count", epoch=2)))["writes"] == "none", "those were the tests' rows"
