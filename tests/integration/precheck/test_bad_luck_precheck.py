"""Bad luck that PreCheck finds, one test each, named after it: what was seen, and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from support.new_database import Site
from support.production import attempt_id, lead, names
from support.servers import Cluster

from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.precheck import clock_skew, disk_space, wal_space
from cutoverd.daemon.postgres.precheck.server_state import AtOnce
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import Unfit

pytestmark = pytest.mark.both_versions
on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


async def refused(databases: PostgresDatabases) -> list[str]:
    with pytest.raises(Unfit) as found:
        await databases.check_fit(attempt_id("check_server"))
    return list(found.value.evidence["reasons"])


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ("REVOKE app_owner FROM cutover", 'role cutover may not act for app_owner, who owns app: GRANT "app_owner" TO "cutover"'),
        ("REVOKE pg_signal_backend FROM cutover", 'role cutover lacks pg_signal_backend: GRANT pg_signal_backend TO "cutover"'),
        (
            "REVOKE pg_monitor FROM cutover",
            "role cutover lacks pg_monitor, and what other sessions do cannot be seen without it: GRANT pg_monitor",
        ),
        ("REVOKE pg_read_all_data FROM cutover", "role cutover lacks pg_read_all_data: GRANT pg_read_all_data"),
        ("REVOKE pg_checkpoint FROM cutover", "role cutover lacks pg_checkpoint: GRANT pg_checkpoint"),
        ("ALTER ROLE cutover NOCREATEDB", 'role cutover may not create databases: ALTER ROLE "cutover" CREATEDB'),
        (
            "ALTER DATABASE app CONNECTION LIMIT 1",
            "app may have 1 connections, others have 0 of them, and a run needs 5, for its dump and the checks beside it: ALTER",
        ),
        ("ALTER ROLE cutover CONNECTION LIMIT 5", "role cutover may have 5 connections and a run needs up to 12: ALTER ROLE"),
    ],
)
@on_18
async def test_a_role_that_lacks_a_right_is_told_which_one(cluster: Cluster, taken: str, expected: str) -> None:
    databases = await lead(cluster)
    cluster.execute(taken)
    [reason] = await refused(databases)
    assert reason.startswith(expected), reason


@on_18
async def test_checks_side_by_side_want_connections_for_each(cluster: Cluster) -> None:
    databases = await lead(cluster, at_once=AtOnce(checks=3))
    cluster.execute("ALTER ROLE cutover CONNECTION LIMIT 19")
    [reason] = await refused(databases)
    assert reason.startswith("role cutover may have 19 connections and a run needs up to 20: ALTER ROLE"), reason
    await (await lead(cluster, 2, at_once=AtOnce(checks=2))).check_fit(attempt_id("check_server"))


@on_18
async def test_a_prepared_transaction_left_open_is_named(cluster: Cluster) -> None:
    databases = await lead(cluster)
    cluster.execute("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'forgotten'", "app")
    [reason] = await refused(databases)
    assert reason == (
        "prepared transaction forgotten of postgres is open in app: COMMIT PREPARED or ROLLBACK PREPARED 'forgotten' there"
    )


@on_18
async def test_a_superusers_console_is_named_with_its_pid(cluster: Cluster) -> None:
    databases = await lead(cluster)
    with cluster.superuser("app") as console:
        [reason] = await refused(databases)
        assert f"client backend {console.info.backend_pid} of superuser postgres" in reason
        assert reason.endswith("only a superuser can end it: close it")


@on_18
async def test_a_logical_slot_is_named(cluster: Cluster) -> None:
    databases = await lead(cluster)
    cluster.execute("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", "app")
    [reason] = await refused(databases)
    assert reason == ("logical slot feed in app (not read now) would miss what comes after the fence: end its reader and drop it")


@on_18
async def test_a_subscription_is_named(cluster: Cluster) -> None:
    databases = await lead(cluster)
    cluster.execute(
        "CREATE SUBSCRIPTION news CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false); "
        "ALTER SUBSCRIPTION news SET (slot_name = NONE); UPDATE pg_subscription SET subenabled = true",
        "app",
    )
    reasons = await refused(databases)
    cluster.execute("UPDATE pg_subscription SET subenabled = false", "app")
    cluster.execute("DROP SUBSCRIPTION news", "app")
    assert "subscription news in app goes on writing whatever is fenced: ALTER SUBSCRIPTION news DISABLE" in reasons


async def test_a_transaction_that_is_open_for_long_is_a_warning(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutoverd.daemon.postgres.precheck.server_state.LONG_MINUTES", 0)
    databases = await lead(cluster)
    with psycopg.connect(cluster.url(user="app_user")) as report:
        report.execute("SELECT 1")
        await asyncio.sleep(0.01)
        [warning] = [
            each for each in (await databases.check_fit(attempt_id("check_server")))["warnings"] if "transaction" in each
        ]
        assert warning.startswith(f"a transaction of app_user (, pid {report.info.backend_pid}) is open for 0 minutes: the fence")


@on_18
async def test_settings_that_hurt_are_named(cluster: Cluster) -> None:
    databases = await lead(cluster)
    for statement in ("ALTER SYSTEM SET track_counts = off", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"):
        cluster.execute(statement)
    cluster.execute("SELECT pg_reload_conf()")
    await until(cluster, "SELECT 1 FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = 'nobody'")
    with pytest.raises(Unfit, match="track_counts is off, so nothing could prove that old is unchanged") as found:
        await databases.check_fit(attempt_id("check_server"))
    cluster.execute("ALTER SYSTEM RESET ALL")
    cluster.execute("SELECT pg_reload_conf()")
    warnings = found.value.evidence["warnings"]
    assert any(warning.startswith("fsync is off: ") for warning in warnings)
    assert any(warning.startswith("synchronous_standby_names is nobody and no standby is synchronous") for warning in warnings)


async def test_a_standby_is_a_warning(cluster: Cluster) -> None:
    """A session that may replicate counts as one from its beginning."""
    databases = await lead(cluster)
    with psycopg.connect(make_conninfo(cluster.superuser_url(), replication="true", application_name="reports"), autocommit=True):
        warnings = (await databases.check_fit(attempt_id("check_server")))["warnings"]
    assert any(each.startswith("standby reports (127.0.0.1) follows: its readers are not fenced") for each in warnings), warnings


async def until(cluster: Cluster, query: str) -> None:
    async with asyncio.timeout(20):
        while not cluster.execute(query):
            await asyncio.sleep(0.02)


@on_18
async def test_a_security_label_is_told_as_what_a_clone_cannot_carry(cluster: Cluster) -> None:
    databases = await lead(cluster)
    label = "SELECT oid, 'pg_database'::regclass, 'selinux', 'system_u' FROM pg_database WHERE datname = 'app'"
    cluster.execute(f"SET allow_system_table_mods = on; INSERT INTO pg_shseclabel {label}")
    try:
        evidence = await databases.check_fit(attempt_id("check_server"))
    finally:
        cluster.execute("SET allow_system_table_mods = on; DELETE FROM pg_shseclabel")
    assert evidence["not_carried"] == ["""SECURITY LABEL FOR selinux ON DATABASE "app" IS 'system_u';"""]


@pytest.mark.parametrize(("hours", "word"), [(1, "behind"), (-1, "ahead of")])
@on_18
async def test_a_clock_that_was_set_back_or_ahead_is_found_before_the_window(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, hours: int, word: str
) -> None:
    databases = await lead(cluster)
    monkeypatch.setattr(clock_skew, "now", lambda: datetime.now(UTC) + timedelta(hours=hours))
    [reason] = await refused(databases)
    assert reason.startswith("the server's clock is 3")
    assert f"s {word} this machine's (tolerated: 5 s): set both by NTP" in reason


# --- disk


def proof(cluster: Cluster, folder: Path, directory: Path) -> PgDump:
    server = cluster.server(folder=folder)
    return PgDump(server, directory, 1, Site(cluster, server, folder).scripts([]))


async def test_what_room_there_is_and_what_is_needed_goes_on_record(cluster: Cluster, tmp_path: Path) -> None:
    await lead(cluster)
    evidence = await proof(cluster, tmp_path, tmp_path / "not" / "yet").check_room(attempt_id("check_room"), None)
    [(size,)] = cluster.execute("SELECT pg_database_size('app')")
    assert evidence["production_bytes"] == size
    assert (evidence["backup"]["folder"], evidence["backup"]["needed_bytes"]) == (str(tmp_path), size)
    assert evidence["data"]["needed_bytes"] == 2 * size
    [(data,)] = cluster.execute("SHOW data_directory")
    assert evidence["data"]["folder"] == data
    again = await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), 17, rehearses=True)
    assert (again["backup"]["needed_bytes"], again["data"]["needed_bytes"]) == (17, 3 * size)
    assert (evidence["wal"]["needed_bytes"], again["wal"]["needed_bytes"]) == (size, 2 * size), "of the clone there is none"
    assert again["warnings"] == []


async def test_too_little_disk_for_clone_dump_and_new_tables_is_refused_before_anything_is_made(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The free bytes are pretended: all three are on one file system here, and add up."""
    await lead(cluster)
    [(size,)] = cluster.execute("SELECT pg_database_size('app')")
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 4 * size - 1)
    with pytest.raises(
        Unfit, match=r"too little disk: .* are free and .* are needed: .* for backup.directory in .* and .* for the"
    ):
        await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None)
    assert names(cluster) == {"app"}
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 4 * size)
    await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None)


@on_18
async def test_room_for_the_rehearsal_is_asked_for_and_that_the_window_alone_would_have_it_is_said(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lead(cluster)
    [(size,)] = cluster.execute("SELECT pg_database_size('app')")
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 6 * size - 1)
    needs = r"for the server's data \(the restored copy, the clone, its new tables\) in .* and .* for its WAL in "
    with pytest.raises(Unfit, match=needs) as unfit:
        await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None, rehearses=True)
    assert unfit.value.hint == "make room (for the window alone there is enough; the rehearsal takes a copy more), then `retry`"
    await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None)
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 6 * size)
    await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None, rehearses=True)


@on_18
async def test_a_copy_that_lies_on_another_disk_than_production_has_a_need_of_its_own(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where template0 lies it is made: asked for as two disks here, of which only one is pretended."""
    await lead(cluster)
    [(size,)] = cluster.execute("SELECT pg_database_size('app')")
    there = Path("/dev")
    monkeypatch.setattr(
        disk_space, "LOCATION", disk_space.LOCATION.replace("nullif(pg_tablespace_location(t.dattablespace), '')", "'/dev'")
    )
    found = await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None, rehearses=True)
    assert (found["copy"]["folder"], found["copy"]["needed_bytes"], found["data"]["needed_bytes"]) == ("/dev", 3 * size, 2 * size)
    found = await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None)
    assert found["copy"]["needed_bytes"] == size, "the proof of the backup"
    assert "copy" not in await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), 17), "after the proof"
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 2 * size if folder == there else 1 << 40)
    with pytest.raises(Unfit, match=r"for the copy \(the restored copy, the clone, its new tables\) in /dev"):
        await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None, rehearses=True)


@on_18
async def test_wal_is_counted_up_to_its_limit_and_what_may_keep_more_of_it_is_a_warning(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where old files are used again nothing grows; a slot that nobody reads keeps them all."""
    await lead(cluster)
    [(size,)] = cluster.execute("SELECT pg_database_size('app')")
    [(there,)] = cluster.execute("SELECT sum(size) FROM pg_ls_waldir()")
    async with session(cluster.server()) as conn:
        for limit, expected in ((int(there) + 5, 5), (int(there) - 5, 0), (1 << 40, 1000)):
            monkeypatch.setattr(wal_space, "LIMIT", f"SELECT {limit}, '', true".encode())
            assert await wal_space.read_need(conn, 1000) == wal_space.WalNeed(expected, expected)
        monkeypatch.setattr(wal_space, "LIMIT", f"SELECT {there}, 'replication slots', true".encode())
        assert (await wal_space.read_need(conn, 1000)).at_worst_bytes == 1000
    monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 4 * size - 1)
    evidence = await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None)
    [warning] = evidence["warnings"]
    assert warning.startswith("replication slots may keep all WAL until it is archived or read: too little disk: ")


@contextlib.contextmanager
def small_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One MiB; really, where we may mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False, capture_output=True)
    if mounted.returncode != 0:
        monkeypatch.setattr(disk_space, "free_bytes", lambda folder: 1024 * 1024)
    try:
        yield folder
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


@on_18
async def test_a_disk_that_is_too_small_for_the_backup_is_named(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lead(cluster)
    reason = r"too little disk: 1\.0 MB are free and [\d.]+ MB are needed: [\d.]+ MB for backup.directory in"
    with small_disk(tmp_path / "disk", monkeypatch) as disk, pytest.raises(Unfit, match=reason):
        await proof(cluster, tmp_path, disk).check_room(attempt_id("check_room"), None)


@on_18
async def test_a_data_directory_that_cannot_be_seen_is_said_and_no_failure(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lead(cluster)
    monkeypatch.setattr(disk_space, "_is_folder", lambda location: False)
    evidence = await proof(cluster, tmp_path, tmp_path).check_room(attempt_id("check_room"), None)
    assert "cannot be read from here: look there that 2 times" in evidence["data"]["cannot_be_seen"]


@on_18
async def test_a_backup_directory_that_is_a_file_is_named(cluster: Cluster, tmp_path: Path) -> None:
    await lead(cluster)
    (tmp_path / "backups").write_text("")
    with pytest.raises(Unfit, match="backups is no folder that we may write to"):
        await proof(cluster, tmp_path, tmp_path / "backups").check_room(attempt_id("check_room"), None)


@on_18
async def test_a_production_that_lets_nobody_in_hides_no_other_reason(cluster: Cluster) -> None:
    """Found: with CONNECTION LIMIT 0 the step ended after 30 s as an unknown outcome, and its reasons were lost."""
    databases = await lead(cluster)
    cluster.execute("ALTER DATABASE app CONNECTION LIMIT 0")
    cluster.execute("REVOKE pg_checkpoint FROM cutover")
    with pytest.raises(Unfit) as found:
        await databases.check_fit(attempt_id("check_server"))
    lacks, limit = sorted(found.value.evidence["reasons"], reverse=True)
    assert lacks.startswith("role cutover lacks pg_checkpoint")
    assert limit.startswith("app may have 0 connections")
    [warning] = [each for each in found.value.evidence["warnings"] if "backslash" in each]
    assert warning.startswith("how sessions in app read a backslash could not be asked, and a backup could not be taken: ")
    assert "database app was not reached for 3 s" in warning
    assert warning.endswith('too many connections for database "app"')


@on_18
async def test_a_superuser_as_our_role_is_good_to_know(cluster: Cluster) -> None:
    """Found: README wants a role that is no superuser, and nobody said so to who gave one."""
    await lead(cluster)
    superuser = PostgresDatabases(replace(cluster.server(), url=cluster.superuser_url("app")))
    [warning] = [each for each in (await superuser.check_fit(attempt_id("check_server")))["warnings"] if "superuser" in each]
    assert warning.startswith("role postgres is a superuser, whom no fence keeps out and no missing right stops: ")


@on_18
async def test_a_login_that_could_not_be_is_found_before_the_window(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: a smoke test's role did not exist, and only Smoke said so, after 30 s of downtime."""
    await lead(cluster)
    service = conninfo_to_dict(cluster.url(user="nobdy"))
    (tmp_path / "services").write_text("\n".join(["[api]", *(f"{key}={value}" for key, value in service.items()), ""]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    cluster.execute("CREATE ROLE group_of_many; CREATE ROLE stranger LOGIN; REVOKE CONNECT ON DATABASE app FROM PUBLIC")
    logins = {
        "smoke.fine": cluster.url(user="cutover"),
        "smoke.gone": cluster.url(user="app_usr"),
        "smoke.group": cluster.url(user="group_of_many"),
        "smoke.stranger": cluster.url(user="stranger"),
        "smoke.elsewhere": cluster.url("postgres"),
        "smoke.service": "service=api",
        "smoke.lost": "service=apy",
        "smoke.pooler": "postgresql://pooled@pooler.example:6432/app",
    }
    with pytest.raises(Unfit) as found:
        await PostgresDatabases(cluster.server(), logins=logins).check_fit(attempt_id("check_server"))
    reasons = {each.partition(":")[0]: each for each in found.value.evidence["reasons"]}
    assert {key: each.partition(f"{logins[key]}: ")[2] for key, each in reasons.items()} == {
        "smoke.gone": "there is no role app_usr on the server: name one that is there, or make it",
        "smoke.group": "role group_of_many may not log in: ALTER ROLE … LOGIN",
        "smoke.stranger": "role stranger may not connect to app: GRANT CONNECT ON DATABASE …",
        "smoke.elsewhere": "it leads to database postgres, not to app",
        "smoke.service": "there is no role nobdy on the server: name one that is there, or make it",
        "smoke.lost": 'definition of service "apy" not found',
    }
    [warning] = [each for each in found.value.evidence["warnings"] if "login" in each]
    assert warning.startswith(f"smoke.pooler: login {logins['smoke.pooler']}: there is no role pooled on the server")
