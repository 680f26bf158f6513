"""Whoever could log in to production can after the exchange: seen in the catalog, and tried where the plan gives a login."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.production import attempt_id, furnish, lead
from support.servers import Cluster

from cutoverd.daemon.systems.login import LoginCheck
from cutoverd.states.errors import CheckFailed, StepError
from cutoverd.states.ports import AttemptId, Direction

pytestmark = pytest.mark.both_versions
FORWARD = ("make_placeholder", "fence", "build_new", "open_old", "close_old", "exchange")
ATTEMPT_ID = AttemptId("r1", 1, "smoke.smoke_test:login", Direction.FORWARD, "e1")
on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


async def exchanged(cluster: Cluster) -> Any:
    furnish(cluster)
    cluster.execute("CREATE ROLE by_group LOGIN; GRANT lender TO by_group; REVOKE CONNECT ON DATABASE app FROM PUBLIC")
    cluster.execute("CREATE ROLE stranger LOGIN")
    databases = await lead(cluster)
    for operation in FORWARD:
        await getattr(databases, operation)(attempt_id(operation))
    return databases


async def test_who_could_log_in_before_and_cannot_after_the_exchange_is_named(cluster: Cluster) -> None:
    databases = await exchanged(cluster)
    evidence = await databases.check_logins(attempt_id("check_logins"))
    assert evidence["roles"] == 3  # app_user, cutover, by_group
    only_by_a_superuser = ["statement_timeout=20s of app_user", "app.tenant (its value: pg_db_role_setting)"]
    assert evidence["warnings"] == [f"not set any more: {setting}" for setting in only_by_a_superuser]
    cluster.execute("REVOKE CONNECT ON DATABASE app FROM lender CASCADE; ALTER DATABASE app SET work_mem = '7MB'")
    with pytest.raises(CheckFailed, match=r"could log in to app before the fence and cannot now: by_group$") as failed:
        await databases.check_logins(attempt_id("check_logins"))
    assert failed.value.evidence == {"shut_out": ["by_group"]}
    cluster.execute("GRANT CONNECT ON DATABASE app TO by_group")
    warned = (await databases.check_logins(attempt_id("check_logins")))["warnings"]
    assert [each for each in warned if "work_mem" in each] == ["not set any more: work_mem=5MB", "newly set: work_mem=7MB"]


@on_18
async def test_logins_are_not_judged_before_the_exchange(cluster: Cluster) -> None:
    furnish(cluster)
    with pytest.raises(StepError, match="app is not the new database yet"):
        await (await lead(cluster)).check_logins(attempt_id("check_logins"))


def as_app_user(cluster: Cluster, dbname: str = "app") -> str:
    return cluster.url(dbname, user="app_user")


@on_18
async def test_a_login_of_the_plan_is_tried_for_real(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = await LoginCheck(as_app_user(cluster), "app").prove(ATTEMPT_ID)
    assert (evidence["user"], evidence["database"], evidence["attempts"]) == ("app_user", "app", 1)
    lines = "".join(f"{name}={value}\n" for name, value in conninfo_to_dict(as_app_user(cluster)).items())
    (tmp_path / "services.conf").write_text(f"[api]\n{lines}")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services.conf"))
    assert (await LoginCheck("service=api", "app").prove(ATTEMPT_ID))["user"] == "app_user"


@on_18
async def test_a_login_that_fails_is_told_in_the_servers_words_and_without_its_password(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.execute("CREATE DATABASE app_previous OWNER app_owner")
    with pytest.raises(CheckFailed, match=r"saw a session in app_previous, not in app, expected a session in app; tried 1 times"):
        await LoginCheck(as_app_user(cluster, "app_previous"), "app", within_seconds=0).prove(ATTEMPT_ID)
    cluster.execute("REVOKE CONNECT ON DATABASE app FROM PUBLIC")
    with pytest.raises(CheckFailed, match="permission denied for database") as refused:
        await LoginCheck(as_app_user(cluster), "app", within_seconds=0.6).prove(ATTEMPT_ID)
    assert refused.value.evidence["attempts"] > 1
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    url = {name: value for name, value in conninfo_to_dict(as_app_user(cluster)).items() if name != "passfile"}
    with pytest.raises(CheckFailed, match="password authentication failed for user") as wrong:
        await LoginCheck(make_conninfo(**url), "app", within_seconds=0).prove(ATTEMPT_ID)
    assert "hunter2" not in f"{wrong.value} {wrong.value.hint} {wrong.value.evidence}"


@on_18
async def test_a_login_is_tried_again_while_production_still_changes_hands(cluster: Cluster) -> None:
    cluster.execute("ALTER DATABASE app ALLOW_CONNECTIONS false")
    check = LoginCheck(as_app_user(cluster), "app", within_seconds=20)
    with psycopg.connect(cluster.superuser_url(), autocommit=True) as conn:
        first = await check._log_in()
        assert "not currently accepting connections" in first["seen"]
        conn.execute("ALTER DATABASE app ALLOW_CONNECTIONS true")
    assert (await check.prove(ATTEMPT_ID))["user"] == "app_user"
