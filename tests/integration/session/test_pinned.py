"""A session of ours is the same whatever is set for role, database or server; one for the plan's SQL has what its owner has."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.session import pins
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.pins import OF_PLAN, OURS
from cutoverd.daemon.postgres.session.refusal import Refused
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import OutcomeUnknown, StepError

pytestmark = pytest.mark.both_versions
on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)

OTHERWISE = {
    "role": "app_user",
    "search_path": "nowhere",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Chatham",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "xmloption": "document",
    "array_nulls": "off",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "quote_all_identifiers": "on",
    "default_tablespace": "pg_default",
    "temp_tablespaces": "pg_default",
    "client_min_messages": "debug5",
    "row_security": "on",
    "default_transaction_read_only": "on",
    "client_encoding": "LATIN1",
    "client_connection_check_interval": "7s",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "stats_fetch_consistency": "snapshot",
    "transaction_timeout": "1ms",
    "default_table_access_method": "heap",
}
WHERE = ["ROLE cutover", "ROLE cutover IN DATABASE app", "DATABASE app", "ROLE ALL"]


async def shown(cluster: Cluster, name: str, *, of_plan: bool = False) -> str:
    async with session(cluster.server(), "app", of_plan=of_plan) as conn:
        row = await fetch_one(conn, "SELECT pg_catalog.current_setting(%s)", (name,))
    assert row
    return str(row[0])


def pinned(cluster: Cluster) -> dict[str, str]:
    return {**OURS, **pins.since(cluster.major * 10000)}


def test_every_pin_has_a_value_to_be_tried_against() -> None:
    assert {*OURS, *pins.since(180000)} == OTHERWISE.keys()


@pytest.mark.parametrize("whose", WHERE)
async def test_whatever_is_set_our_own_sessions_are_the_same(cluster: Cluster, whose: str) -> None:
    """Found: the ledger's dates could not be read in a German database."""
    cluster.execute("GRANT app_user TO cutover")
    wanted = pinned(cluster)
    before = {name: await shown(cluster, name) for name in wanted}
    with cluster.superuser() as superuser:  # whose session began before
        try:
            for name in wanted:
                superuser.execute(f"ALTER {whose} SET {name} TO '{OTHERWISE[name]}'".encode())
            assert {name: await shown(cluster, name) for name in wanted} == before
        finally:
            superuser.execute("ALTER ROLE ALL RESET ALL")
    assert (before["DateStyle"], before["role"], before["search_path"]) == ("ISO, MDY", "none", "pg_catalog, pg_temp")


async def test_sql_of_the_plan_keeps_what_owner_and_database_have_set(cluster: Cluster) -> None:
    """Found: pinning the date order turned 01/02/2026 of a German database into another day."""
    cluster.execute("ALTER DATABASE app SET datestyle = 'SQL, DMY'")
    cluster.execute("ALTER DATABASE app SET timezone = 'Europe/Berlin'")
    cluster.execute("ALTER ROLE cutover SET datestyle = 'ISO, MDY'")
    cluster.execute('ALTER ROLE app_owner SET search_path = shop, "odd, name"')
    cluster.execute("ALTER ROLE app_owner IN DATABASE app SET timezone = 'Asia/Tokyo'")
    cluster.execute("ALTER ROLE app_owner SET \"app.tenant\" = E'o''neill\\\\ \\t x'")
    cluster.execute("ALTER ROLE app_owner SET log_statement = 'all'")  # which our role may not
    assert await shown(cluster, "DateStyle", of_plan=True) == "SQL, DMY"
    assert await shown(cluster, "search_path", of_plan=True) == 'shop, "odd, name"'
    assert await shown(cluster, "TimeZone", of_plan=True) == "Asia/Tokyo"
    assert await shown(cluster, "app.tenant", of_plan=True) == "o'neill\\ \t x"
    async with session(cluster.server(), "app", of_plan=True) as conn:
        assert await fetch_one(conn, "SELECT '01/02/2026'::date") == ("01/02/2026",), "any style is read"
        assert await fetch_one(conn, "SELECT extract(month FROM '01/02/2026'::date)::int") == (2,)


@pytest.mark.parametrize("name", OF_PLAN)
async def test_what_is_pinned_for_the_plan_the_owner_does_not_change(cluster: Cluster, name: str) -> None:
    before = await shown(cluster, name, of_plan=True)
    cluster.execute(f"ALTER ROLE app_owner SET {name} TO '{OTHERWISE[name]}'")
    assert await shown(cluster, name, of_plan=True) == before


@pytest.mark.parametrize(
    ("given", "used"), [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
async def test_durability_is_raised_and_never_lowered(cluster: Cluster, given: str, used: str) -> None:
    """Found: `remote_apply` was lowered to `on`."""
    cluster.execute(f"ALTER ROLE cutover SET synchronous_commit = '{given}'")
    assert await shown(cluster, "synchronous_commit") == used
    assert await shown(cluster, "synchronous_commit", of_plan=True) == used


async def test_a_time_out_of_a_millisecond_strikes_no_session(cluster: Cluster) -> None:
    names = [name for name in pinned(cluster) if name.endswith("_timeout")]
    for name in names:
        cluster.execute(f"ALTER ROLE cutover SET {name} = '1ms'")
    for of_plan in (False, True):
        async with session(cluster.server(), "app", of_plan=of_plan) as conn, conn.transaction():
            await conn.execute("SELECT pg_sleep(0.05)")


@on_18
async def test_a_time_out_that_ends_the_session_before_it_is_lifted_is_lifted_from_the_start(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: on a busy machine the first statement took longer than a transaction_timeout of a millisecond."""
    cluster.execute("ALTER ROLE cutover SET transaction_timeout = '1ms'")
    plain = pins.afterwards

    def slow(settings: Mapping[str, str]) -> pins.Statement:
        query, values = plain(settings)
        return b"SELECT pg_catalog.pg_sleep(0.05)::pg_catalog.text UNION ALL " + query, values

    monkeypatch.setattr(pins, "afterwards", slow)
    assert await shown(cluster, "transaction_timeout") == "0"
    assert await shown(cluster, "transaction_timeout", of_plan=True) == "0"


async def test_who_only_looks_writes_nothing_though_the_session_did_not_start_so(cluster: Cluster) -> None:
    looking = replace(cluster.server(), read_only=True)
    with pytest.raises(StepError, match="25006"):
        async with session(looking, "app") as conn:
            await conn.execute("CREATE TABLE public.t ()")


async def test_the_host_that_can_be_written_to_is_found_though_our_role_starts_read_only(cluster: Cluster) -> None:
    """Found: libpq refused it, for it looks before any SET."""
    cluster.execute("ALTER ROLE cutover SET default_transaction_read_only = on")
    url = cluster.url().replace(f"127.0.0.1:{cluster.port}", f"127.0.0.1:1,127.0.0.1:{cluster.port}")
    server = replace(cluster.server(), url=f"{url}&target_session_attrs=read-write", read_only=True)
    async with session(server, "app") as conn:
        assert await fetch_one(conn, "SELECT current_database()") == ("app",)


LOGIN = """
CREATE FUNCTION public.at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {does}; END $$;
CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION public.at_login();
"""


@on_18
async def test_what_a_login_trigger_sets_is_set_again(cluster: Cluster) -> None:
    names = [name for name in pinned(cluster) if name not in ("role", "default_table_access_method")]
    before = {name: await shown(cluster, name) for name in names}
    does = "; ".join(f"SET {name} TO '{OTHERWISE[name]}'" for name in names if not name.endswith("_timeout"))
    cluster.execute(LOGIN.format(does=does), "app")
    assert {name: await shown(cluster, name) for name in names} == before


@on_18
async def test_a_time_out_of_a_login_trigger_that_strikes_what_lifts_it_is_lifted(cluster: Cluster) -> None:
    cluster.execute(LOGIN.format(does="SET statement_timeout TO '1ms'"), "app")
    assert {await shown(cluster, "statement_timeout") for _ in range(30)} == {"0"}


@on_18
async def test_a_login_trigger_that_lets_nobody_in_is_named_at_once(cluster: Cluster) -> None:
    does = "IF session_user = 'cutover' THEN RAISE EXCEPTION 'heute nicht'; END IF"
    cluster.execute(LOGIN.format(does=does), "app")
    with pytest.raises(Refused, match=r"login event trigger.*heute nicht"):
        await at_once(cluster, "app")


async def test_that_there_is_no_such_database_is_certain(cluster: Cluster) -> None:
    """Found: it was asked for again for 30 s, and then held as unknown."""
    with pytest.raises(Refused, match="there is no database shop on the server") as refused:
        await at_once(cluster, "shop")
    assert "app" in refused.value.hint


async def test_that_our_role_may_not_connect_is_certain(cluster: Cluster) -> None:
    cluster.execute("REVOKE CONNECT ON DATABASE app FROM PUBLIC; REVOKE app_owner FROM cutover")
    with pytest.raises(Refused, match="role cutover may not connect to app, which belongs to app_owner") as refused:
        await at_once(cluster, "app")
    assert refused.value.hint == 'GRANT CONNECT ON DATABASE "app" TO "cutover"'


async def test_a_database_that_is_closed_may_be_opened_again_so_it_is_waited_for(cluster: Cluster) -> None:
    cluster.execute("ALTER DATABASE app ALLOW_CONNECTIONS false")
    with pytest.raises(OutcomeUnknown) as unknown:
        async with session(replace(cluster.server(), reach_seconds=0.1), "app"):
            pass
    assert "datallowconn" in unknown.value.hint


async def test_a_server_that_is_away_is_no_certain_answer(cluster: Cluster) -> None:
    cluster.stop()
    with pytest.raises(OutcomeUnknown, match="was not reached"):
        async with session(replace(cluster.server(), reach_seconds=0.1), "app"):
            pass


async def at_once(cluster: Cluster, database: str) -> None:
    began = time.monotonic()
    try:
        async with session(cluster.server(), database):
            pass
    finally:
        assert time.monotonic() - began < 5, "it was asked for again"
