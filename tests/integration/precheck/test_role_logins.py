"""PreCheck logs in as the roles of the smoke tests, where it can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from support.servers import Cluster

from cutoverd.daemon.embedded.passfile import Passfile
from cutoverd.daemon.postgres.precheck.requirements import check_fit
from cutoverd.daemon.postgres.precheck.role_logins import try_logins
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import AttemptId, Direction

pytestmark = pytest.mark.both_versions
ATTEMPT = AttemptId("r1", 1, "precheck.check_server", Direction.FORWARD, "e1")


async def test_a_role_that_libpq_finds_a_password_for_gets_in(cluster: Cluster, tmp_path: Path) -> None:
    logged_in = await try_logins(cluster.server(folder=tmp_path), ["app_user"], {})
    assert (logged_in.connected, logged_in.no_password, logged_in.warnings) == (["app_user"], [], [])


async def test_our_own_password_is_never_sent_for_another_role(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The administrator would see logins that fail, and a server may shut the role out for them."""
    cluster.execute("CREATE ROLE smoke LOGIN PASSWORD 'unknown'")
    monkeypatch.setenv("PGPASSWORD", Passfile(cluster.postgres.folder / "passfile").passwords()["cutover"])
    logged_in = await try_logins(cluster.server(folder=tmp_path), ["smoke"], {})
    monkeypatch.undo()
    assert (logged_in.connected, logged_in.no_password, logged_in.warnings) == ([], ["smoke"], [])
    assert 'password authentication failed for user "smoke"' not in cluster.log


async def test_one_that_is_not_let_in_is_a_warning_with_the_servers_words(cluster: Cluster, tmp_path: Path) -> None:
    """Found: a role that pg_hba.conf or a limit keeps out was met by the smoke tests, in the window."""
    cluster.execute("ALTER ROLE app_user CONNECTION LIMIT 0")
    server = replace(cluster.server(folder=tmp_path), home="postgres")
    evidence = await check_fit(server, ATTEMPT, {}, ["app_user"])
    (warning,) = [each for each in evidence["warnings"] if "from here app_user does not get into production" in each]
    assert 'too many connections for role "app_user"' in warning
    assert evidence["smoke_roles"] == {"connected": [], "no_password_here": []}


async def test_the_address_that_the_plan_has_for_a_role_is_the_one_that_is_tried(cluster: Cluster, tmp_path: Path) -> None:
    away = cluster.url(user="app_user").replace(f":{cluster.port}", ":1")
    logged_in = await try_logins(cluster.server(folder=tmp_path), ["app_user"], {"smoke.login": away})
    assert "Connection refused" in logged_in.warnings[0]


async def test_a_group_among_the_roles_of_the_tests_is_told_who_of_it_logs_in(cluster: Cluster, tmp_path: Path) -> None:
    """Found: the advice was `ALTER ROLE … LOGIN`, without a name, and a group has members that log in."""
    cluster.execute('CREATE ROLE "smoke testers"; GRANT "smoke testers" TO app_user')
    with pytest.raises(Unfit, match=r'name its members that do \(app_user\), or ALTER ROLE "smoke testers" LOGIN'):
        await check_fit(replace(cluster.server(folder=tmp_path), home="postgres"), ATTEMPT, {}, ["smoke testers"])


async def test_who_is_connected_and_cannot_be_kept_out_shares_what_the_tests_write(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute("CREATE ROLE smoke LOGIN; GRANT app_owner TO app_user")
    server = replace(cluster.server(folder=tmp_path), home="postgres")
    with psycopg.connect(cluster.url(user="app_user")) as conn:
        conn.execute("SELECT 1")
        evidence = await check_fit(server, ATTEMPT, {}, ["smoke"])
    assert evidence["shared_roles"] == ["app_user"]
    (warning,) = [each for each in evidence["warnings"] if "get in besides smoke.roles" in each]
    assert "app_user (can grant it to himself as the owner, connected now)" in warning
    assert (await check_fit(server, ATTEMPT, {}, ["smoke"]))["shared_roles"] == []
