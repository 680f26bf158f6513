"""Every operation on the four names: there, back, and again."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from support.production import attempt_id, back, furnish, lead, log_in, names, photograph
from support.servers import Cluster

from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.states.errors import StepError, Unfit
from cutoverd.states.ports import Direction

pytestmark = pytest.mark.both_versions
FORWARD = ("make_placeholder", "fence", "build_new", "open_old", "close_old", "exchange")
BACK = {
    "fence": "lift_fence",
    "build_new": "keep_new",
    "open_old": "close_old",
    "close_old": None,
    "exchange": "exchange_back",
}


async def go(databases: PostgresDatabases, operation: str, epoch: int = 1) -> Any:
    return await getattr(databases, operation)(attempt_id(operation, epoch=epoch))


async def go_to(databases: PostgresDatabases, last: str, epoch: int = 1) -> None:
    for operation in FORWARD[: FORWARD.index(last) + 1]:
        await go(databases, operation, epoch)


async def go_back(databases: PostgresDatabases, last: str, epoch: int = 1) -> dict[str, Any]:
    """As Rollback does: what was begun, newest first."""
    begun = [operation for operation in reversed(FORWARD[: FORWARD.index(last) + 1]) if BACK.get(operation)]
    return {name: await getattr(databases, str(BACK[name]))(back(name, epoch=epoch)) for name in begun}


@pytest.mark.parametrize("last", ["fence", "open_old", "exchange"])
async def test_the_way_back_gives_production_back_as_it_was(cluster: Cluster, last: str) -> None:
    furnish(cluster)
    before = photograph(cluster)
    databases = await lead(cluster)
    await go_to(databases, last)
    assert photograph_name(cluster) != before.row["oid"]

    evidence = await go_back(databases, last)

    assert evidence["fence"]["differs"] == []
    assert photograph(cluster) == before
    assert log_in(cluster) == 500
    built = last != "fence"
    assert names(cluster) == {"app", "app_closed"} | ({"app_next"} if built else set())
    assert (await databases.leftovers())["databases"] == ["app_closed", *(["app_next"] if built else [])]


def photograph_name(cluster: Cluster) -> Any:
    return cluster.execute("SELECT oid::text FROM pg_database WHERE datname = 'app'")[0][0]


async def test_each_operation_done_twice_has_the_effect_of_once(cluster: Cluster) -> None:
    furnish(cluster)
    before = photograph(cluster)
    databases = await lead(cluster)
    for operation in FORWARD:
        first = await go(databases, operation)
        oids = cluster.execute("SELECT datname, oid, datallowconn, datacl::text FROM pg_database ORDER BY 1")
        assert await go(databases, operation) == first, operation
        assert cluster.execute("SELECT datname, oid, datallowconn, datacl::text FROM pg_database ORDER BY 1") == oids
    first_back = await go_back(databases, "exchange")
    assert photograph(cluster) == before
    assert await go_back(databases, "exchange") == first_back
    assert photograph(cluster) == before


async def test_new_carries_what_a_clone_loses(cluster: Cluster) -> None:
    furnish(cluster)
    before = photograph(cluster)
    databases = await lead(cluster)
    await go_to(databases, "fence")
    built = await go(databases, "build_new")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        log_in(cluster, "app_next")
    await databases.exchange(attempt_id("exchange"))

    after = photograph(cluster)

    assert after.comment == before.comment
    own = ("datdba", "datacl", "datconnlimit", "datallowconn", "encoding", "datcollate", "datctype", "dattablespace")
    assert {key: after.row[key] for key in own} == {key: before.row[key] for key in own}
    assert ("-", ["work_mem=5MB", 'search_path="$user", store, "odd, name", public']) in after.settings
    unknown, of_a_role = built["not_carried"]
    assert ("""'ALTER DATABASE "app" SET "app"."tenant" TO %L'""" in unknown, "neill" in unknown) == (True, False)
    assert of_a_role.startswith("""ALTER ROLE "app_user" IN DATABASE "app" SET "statement_timeout" TO '20s';""")
    for statement in (unknown, of_a_role):
        cluster.execute(statement)
    assert photograph(cluster).settings == before.settings
    assert log_in(cluster) == 500


async def test_new_holds_fence_and_step_log_that_the_owner_can_write(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    await go_to(databases, "build_new")
    server = cluster.server(epoch=1)
    conn = await server.connect("app_next", settings={"role": "app_owner"})
    async with conn, ledger.recorded_step(conn, attempt_id("script")) as entry:
        assert not entry.already_done
    done = await ledger.read(server, "script", Direction.FORWARD, database="app_next")
    assert done
    assert done.finished


async def test_old_can_be_read_by_us_alone_and_not_written(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    await go_to(databases, "build_new")
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        await cluster.server().connect("app_previous")
    await go(databases, "open_old")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        log_in(cluster, "app_previous")
    async with await cluster.server().connect("app_previous") as conn:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await conn.execute("CREATE TABLE public.t (x int)")
    await go(databases, "close_old")
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        await cluster.server().connect("app_previous")


async def test_clients_are_told_that_production_is_closed_while_it_is_fenced(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    await go_to(databases, "build_new")
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        log_in(cluster)


async def test_a_default_acl_comes_back_spelled_out_but_equal(cluster: Cluster) -> None:
    default = "SELECT datacl::text, acldefault('d', datdba)::text FROM pg_database WHERE datname = 'app'"
    assert cluster.execute(default)[0][0] is None
    databases = await lead(cluster)
    await go_to(databases, "fence")
    evidence = await go_back(databases, "fence")
    [(acl, spelled_out)] = cluster.execute(default)
    assert acl == spelled_out
    assert evidence["fence"]["differs"] == []


async def test_a_role_dropped_meanwhile_does_not_stop_the_way_back(cluster: Cluster) -> None:
    furnish(cluster)
    databases = await lead(cluster)
    await go_to(databases, "fence")
    cluster.execute("DROP ROLE reader")
    evidence = await go_back(databases, "fence")
    assert any("could not be granted" in what for what in evidence["fence"]["differs"])
    assert log_in(cluster) == 500


async def test_read_only_by_default_before_the_fence_stays_so(cluster: Cluster) -> None:
    furnish(cluster)
    cluster.execute("ALTER DATABASE app SET default_transaction_read_only = off; ALTER DATABASE app SET jit = off")
    before = photograph(cluster)
    databases = await lead(cluster)
    await go_to(databases, "exchange")
    [(_, own), *_] = photograph(cluster).settings
    assert own[-2:] == ["default_transaction_read_only=off", "jit=off"]
    await go_back(databases, "exchange")
    assert photograph(cluster) == before


async def test_the_placeholder_is_dropped_by_abort_and_only_while_it_is_one(cluster: Cluster) -> None:
    databases = await lead(cluster)
    assert await databases.drop_placeholder(back("make_placeholder")) == {"dropped": []}
    await go_to(databases, "fence")
    with pytest.raises(StepError, match="in use"):
        await databases.drop_placeholder(back("again"))
    await go_back(databases, "fence")
    assert await databases.drop_placeholder(back("at last")) == {"dropped": ["app_closed"]}
    assert names(cluster) == {"app"}


async def test_a_database_of_somebody_else_is_not_taken_for_ours(cluster: Cluster) -> None:
    cluster.execute("CREATE DATABASE app_closed ALLOW_CONNECTIONS false")
    databases = await lead(cluster)
    with pytest.raises(Unfit, match="app_closed already"):
        await go(databases, "make_placeholder")
    assert names(cluster) == {"app", "app_closed"}
    cluster.execute("DROP DATABASE app_closed")
    cluster.execute("CREATE DATABASE app_b1")
    await go_to(databases, "fence")
    with pytest.raises(Unfit, match="app_b1 already"):
        await go(databases, "build_new")
    assert "app_b1" in names(cluster)


async def test_a_name_taken_by_somebody_else_opens_production_again(cluster: Cluster) -> None:
    furnish(cluster)
    before = photograph(cluster)
    databases = await lead(cluster)
    await go(databases, "make_placeholder")
    cluster.execute("CREATE DATABASE app_previous")
    with pytest.raises(StepError, match="app_previous"):
        await go(databases, "fence")
    assert photograph(cluster) == before
    assert log_in(cluster) == 500


async def test_the_fence_is_not_lifted_while_new_is_production(cluster: Cluster) -> None:
    databases = await lead(cluster)
    await go_to(databases, "exchange")
    with pytest.raises(StepError, match="new database still"):
        await databases.lift_fence(back("fence"))
    with pytest.raises(StepError, match="new database still"):
        await databases.keep_new(back("build_new"))


async def test_nothing_begun_is_nothing_to_undo(cluster: Cluster) -> None:
    furnish(cluster)
    before = photograph(cluster)
    databases = await lead(cluster)
    await go_back(databases, "exchange")
    assert await databases.written(back("exchange")) == {"tables": {}, "complete": True}
    assert photograph(cluster) == before
    assert await databases.leftovers() == {"databases": []}
