"""A libpq service says where the server is and who we are; never which database, and never who a session belongs to.

A variable of libpq's says none of it: the plan alone does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from support.new_database import make_site
from support.servers import Cluster

from cutoverd.daemon.postgres.backup import dump
from cutoverd.daemon.postgres.session.server import Server

pytestmark = pytest.mark.both_versions


@pytest.fixture
def by_service(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """As an administrator's service file has it: with a database, options and a name of its own."""
    given = {**conninfo_to_dict(cluster.url(user="app_user")), "application_name": "house", "options": "-c work_mem=1MB"}
    lines = "".join(f"{name}={value}\n" for name, value in given.items())
    (tmp_path / "services.conf").write_text(f"[production]\n{lines}")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services.conf"))
    return replace(cluster.server(folder=tmp_path / "state"), url="service=production user=cutover dbname=app")


async def test_a_service_that_names_production_does_not_take_the_schema_files_there(
    cluster: Cluster, tmp_path: Path, by_service: Server
) -> None:
    site = await make_site(cluster, tmp_path)
    query = "SELECT current_setting('application_name') || ' ' || current_setting('row_security') AS who"
    files = [site.file("a.sql", f"CREATE TABLE public.made AS {query};")]
    await site.scripts(files, server=by_service).apply_schema(site.attempt_id("schema.apply_schema"))
    assert cluster.execute("SELECT to_regclass('public.made')", "app") == [(None,)], "production was written to"
    assert site.rows("SELECT who FROM made") == [(f"{by_service.application_name} off",)]


async def test_a_service_in_the_environment_does_not_either(
    cluster: Cluster, tmp_path: Path, by_service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await make_site(cluster, tmp_path)
    monkeypatch.setenv("PGSERVICE", "production")
    files = [site.file("a.sql", "CREATE TABLE public.made (x int);")]
    await site.scripts(files, server=site.server).apply_schema(site.attempt_id("schema.apply_schema"))
    assert cluster.execute("SELECT to_regclass('public.made')", "app") == [(None,)], "production was written to"
    assert site.rows("SELECT count(*) FROM made") == [(0,)]


async def test_a_dump_is_of_the_database_that_was_asked_for(cluster: Cluster, tmp_path: Path, by_service: Server) -> None:
    site = await make_site(cluster, tmp_path)
    site.execute("CREATE TABLE public.only_in_new (x int)", "app_next")
    taken = dump.new_dump(tmp_path / "backups", "r1", "final", 1)
    await dump.take(by_service, "app_next", taken, jobs=1, step="schema.start_backup", timeout_seconds=60)
    assert b"only_in_new" in (taken.part / "toc.dat").read_bytes()


ELSEWHERE = {
    "PGHOSTADDR": "203.0.113.1",
    "PGSERVICE": "nope",
    "PGTARGETSESSIONATTRS": "standby",
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Kolkata",
    "PGUSER": "nobody",
}


async def test_no_variable_of_libpq_says_where_a_session_goes_or_how_its_values_are_read(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: PGHOSTADDR took `check` to 203.0.113.1, though `database.url` names 127.0.0.1; psql went there too."""
    site = await make_site(cluster, tmp_path)
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    query = "SELECT current_setting('DateStyle') || ' ' || current_setting('TimeZone') AS read"
    async with await site.server.connect("app_next", of_plan=True) as conn:
        ours = await (await conn.execute(f"{query}")).fetchone()
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    await site.scripts([site.file("a.sql", f"CREATE TABLE public.made AS {query};")]).apply_schema(
        site.attempt_id("schema.apply_schema")
    )
    assert [ours] == site.rows("SELECT read FROM made")
    assert not str(ours).startswith(("('German", "('SQL"))
