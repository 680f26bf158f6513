"""PreCheck says everything that stands in the way, at once, and touches nothing."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from support.production import attempt_id, back, furnish, lead, photograph
from support.servers import Cluster

from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.states.errors import Unfit

pytestmark = pytest.mark.both_versions


async def refused(databases: PostgresDatabases, run: str = "r1") -> list[str]:
    with pytest.raises(Unfit) as found:
        await databases.check_fit(attempt_id("check_server", run=run))
    return list(found.value.evidence["reasons"])


async def test_a_fit_server_is_told_what_a_clone_cannot_carry_and_nothing_is_touched(cluster: Cluster) -> None:
    furnish(cluster)
    before = photograph(cluster)
    databases = await lead(cluster)
    evidence = await databases.check_fit(attempt_id("check_server"))
    assert evidence["server_version"] // 10000 == cluster.major
    assert (evidence["role"], evidence["owner"]) == ("cutover", "app_owner")
    of_application, of_role = evidence["not_carried"]
    assert """'ALTER DATABASE "app" SET "app"."tenant" TO %L'""" in of_application
    assert of_role.startswith('ALTER ROLE "app_user" IN DATABASE "app" SET')
    assert photograph(cluster) == before
    assert cluster.execute(
        "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = 'cutoverd'"
    ) == [(0,)]


async def test_who_only_looks_is_told_of_settings_that_the_clone_loses_with_the_statement(cluster: Cluster) -> None:
    """Found: `check` said fit, and after the run the search_path that a role had in the database was gone."""
    furnish(cluster)
    cluster.execute(
        "ALTER ROLE app_user IN DATABASE app SET search_path = store, public; ALTER ROLE cutover IN DATABASE app SET jit = off"
    )
    tried = (await (await lead(cluster)).check_fit(attempt_id("check_server")))["not_carried"]
    looking = PostgresDatabases(replace(cluster.server(), read_only=True))
    warnings = [w for w in (await looking.check_fit(attempt_id("check_server")))["warnings"] if "after the swap" in w]
    assert [w.partition(": ")[2].partition(";  --")[0] for w in warnings] == [s.partition(";  --")[0] for s in tried]
    [path] = [warning for warning in warnings if "search_path" in warning]
    assert """ALTER ROLE "app_user" IN DATABASE "app" SET "search_path" TO 'store', 'public';""" in path
    for statement in path.partition("or beforehand: ")[2].split("; "):
        cluster.execute(statement)
    cluster.execute("GRANT SET ON PARAMETER app.tenant TO cutover")
    assert (await (await lead(cluster, 2)).check_fit(attempt_id("check_server")))["not_carried"] == []
    assert [w for w in (await looking.check_fit(attempt_id("check_server")))["warnings"] if "after the swap" in w] == []


async def test_the_check_may_be_done_again_once_the_placeholder_is_there(cluster: Cluster) -> None:
    databases = await lead(cluster)
    await databases.make_placeholder(attempt_id("make_placeholder"))
    await databases.check_fit(attempt_id("check_server"))


async def test_all_that_stands_in_the_way_is_named_at_once(cluster: Cluster) -> None:
    databases = await lead(cluster)
    for right in ("pg_checkpoint", "pg_signal_backend", "app_owner"):
        cluster.execute(f"REVOKE {right} FROM cutover")
    cluster.execute("ALTER ROLE cutover NOCREATEDB; ALTER DATABASE app IS_TEMPLATE true")
    cluster.execute("CREATE DATABASE app_next")
    cluster.execute("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", "app")
    cluster.execute(
        "CREATE SUBSCRIPTION news CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false); "
        "ALTER SUBSCRIPTION news SET (slot_name = NONE); UPDATE pg_subscription SET subenabled = true",
        "app",
    )
    cluster.execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'forgotten'", "app")
    with psycopg.connect(cluster.superuser_url("app")) as superuser:
        reasons = await refused(databases)
        pid = superuser.info.backend_pid
    cluster.execute("UPDATE pg_subscription SET subenabled = false", "app")
    cluster.execute("DROP SUBSCRIPTION news", "app")

    expected = (
        'ALTER ROLE "cutover" CREATEDB',
        'GRANT "app_owner" TO "cutover"',
        'GRANT pg_signal_backend TO "cutover"',
        'GRANT pg_checkpoint TO "cutover"',
        "app_next is in the way of run r1, and no run in the ledger made it",
        "ROLLBACK PREPARED 'forgotten'",
        "ALTER SUBSCRIPTION news DISABLE",
        "logical slot feed",
        f"client backend {pid} of superuser postgres",
        "IS_TEMPLATE false",
    )
    for what in expected:
        assert any(what in reason for reason in reasons), (what, reasons)


async def test_names_left_over_are_named_with_both_runs(cluster: Cluster) -> None:
    earlier = await lead(cluster, run="january")
    january = {"run": "january"}
    for operation in ("make_placeholder", "fence", "build_new"):
        await getattr(earlier, operation)(attempt_id(operation, **january))
    await earlier.lift_fence(attempt_id("lift", **january))
    later = await lead(cluster, run="february")
    reasons = await refused(later, "february")
    assert reasons == [
        f"{name} is left over from run january, and this is run february: `cutoverd finalize` with that run's plan drops it"
        for name in ("app_closed", "app_next")
    ]


async def test_names_that_postgresql_would_cut_are_refused(cluster: Cluster) -> None:
    long = "app_" + "ü" * 26  # 56 bytes in 30 characters
    cluster.execute(f"CREATE DATABASE {long} OWNER app_owner")
    server = cluster.server(run="r" * 60, dbname=long)
    await ledger.prepare(server)
    reasons = await refused(PostgresDatabases(server), "r" * 60)
    assert any("has 56 bytes" in reason for reason in reasons)
    assert any("choose a shorter run name" in reason for reason in reasons)


async def test_a_grant_that_we_could_not_restore_is_found_before_the_window(cluster: Cluster) -> None:
    furnish(cluster)
    cluster.execute("SET ROLE lender; GRANT CONNECT ON DATABASE app TO app_user")
    before = photograph(cluster)
    databases = await lead(cluster)
    reasons = await refused(databases)
    assert any("the way back could not restore the grants" in reason for reason in reasons)
    assert photograph(cluster) == before


async def test_a_grant_passed_on_comes_back_to_the_byte_when_we_may_become_who_gave_it(cluster: Cluster) -> None:
    furnish(cluster)
    cluster.execute("SET ROLE lender; GRANT CONNECT ON DATABASE app TO app_user")
    cluster.execute("GRANT lender TO cutover" + (" WITH INHERIT FALSE, SET TRUE" if cluster.major >= 16 else ""))
    before = photograph(cluster)
    databases = await lead(cluster)
    await databases.check_fit(attempt_id("check_server"))
    await databases.make_placeholder(attempt_id("make_placeholder"))
    await databases.fence(attempt_id("fence"))
    await databases.lift_fence(back("fence"))
    assert photograph(cluster) == before


async def test_a_production_of_a_superuser_is_no_reason_to_become_one(cluster: Cluster) -> None:
    cluster.execute("ALTER DATABASE app OWNER TO postgres")
    databases = await lead(cluster)
    [reason] = await refused(databases)
    assert reason == "app belongs to superuser postgres: ALTER DATABASE app OWNER TO a role that cutover may act for"


OFF = "SET standard_conforming_strings = off"
ON = "SET standard_conforming_strings = on"


@pytest.mark.parametrize(
    ("given", "source", "todo"),
    [
        (f"ALTER DATABASE app {OFF}", "database", f'ALTER ROLE "cutover" {ON}'),
        (f"ALTER ROLE cutover {OFF}", "user", f'ALTER ROLE "cutover" {ON}'),
        (f"ALTER ROLE cutover IN DATABASE app {OFF}", "database user", f'ALTER ROLE "cutover" IN DATABASE "app" {ON}'),
        (f"ALTER ROLE ALL {OFF}", "global", f'ALTER ROLE "cutover" {ON}'),
    ],
)
async def test_a_server_that_reads_quotes_otherwise_than_we_read_the_files_is_refused(
    cluster: Cluster, given: str, source: str, todo: str
) -> None:
    """Found: files were read as if it were on, whatever the sessions of psql would have."""
    databases = await lead(cluster)
    cluster.execute(given)
    try:
        [reason] = await refused(databases)
        assert f"standard_conforming_strings is off for sessions of cutover in app (it comes from: {source}), so" in reason
        assert reason.endswith(f"then {todo}")
        cluster.execute(reason.rpartition("then ")[2])
        await databases.check_fit(attempt_id("check_server"))
    finally:
        cluster.execute("ALTER ROLE ALL RESET ALL")  # the others' settings go with them


async def test_what_only_the_application_reads_otherwise_is_no_reason(cluster: Cluster) -> None:
    databases = await lead(cluster)
    cluster.execute(f"ALTER ROLE app_user {OFF}; ALTER ROLE app_owner {OFF}")
    await databases.check_fit(attempt_id("check_server"))
