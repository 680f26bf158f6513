"""What an application has set for its database may be a secret: PostgREST keeps its key in `app.jwt_secret`.

Every user of the machine reads the arguments of a process, and nobody deletes an event.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from support.new_database import Site, make_site
from support.production import attempt_id, lead
from support.servers import Cluster

from cutoverd.daemon.postgres.backup import dump, restore
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.session.server import Server

pytestmark = pytest.mark.both_versions
SECRET = "o'Hidden \\ %s $$ key"
SET = "ALTER {} SET app.jwt_secret = 'o''Hidden \\ %s $$ key'"
WHOSE = ["DATABASE app", "ROLE app_owner IN DATABASE app"]
TO_EXCHANGE = ("make_placeholder", "fence", "build_new", "open_old", "close_old", "exchange")


def recorded(server: Server, folder: Path) -> Server:
    """The same with the server's own programs, whose arguments are kept in `arguments`."""
    (folder / "bin").mkdir()
    for name in ("psql", "pg_dump", "pg_restore"):
        (folder / "bin" / name).write_text(f'#!/bin/sh\necho "$@" >>{folder}/arguments\nexec {server.tool(name)} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    return replace(server, bin_dir=folder / "bin")


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> Site:
    return await make_site(cluster, tmp_path)


@pytest.fixture(params=["by its address", "by a service that has options"])
def server(request: pytest.FixtureRequest, site: Site, monkeypatch: pytest.MonkeyPatch) -> Server:
    given = recorded(site.server, site.folder)
    if request.param == "by its address":
        return given
    known = {**conninfo_to_dict(given.url), "options": "-c work_mem=1MB", "connect_timeout": "7", "keepalives_idle": "11"}
    lines = "".join(f"{name}={value}\n" for name, value in known.items())
    (site.folder / "services.conf").write_text(f"[production]\n{lines}")
    monkeypatch.setenv("PGSERVICEFILE", str(site.folder / "services.conf"))
    return replace(given, url="service=production dbname=app")


@pytest.mark.parametrize("whose", WHOSE)
async def test_psql_has_a_setting_of_the_application_and_no_argument_says_it(site: Site, server: Server, whose: str) -> None:
    """Found: `-c app.jwt_secret=…` stood in its command line for as long as a script ran."""
    site.execute(SET.format(whose))
    names = ("app.jwt_secret", "row_security", "application_name")
    shown = ", ".join(f"current_setting('{name}') AS v{number}" for number, name in enumerate(names))
    files = [site.file("1.sql", "SELECT 1;"), site.file("2.sql", f"CREATE TABLE public.made AS SELECT {shown};")]
    await site.scripts(files, server=server).apply_schema(site.attempt_id("schema.apply_schema"))
    assert site.rows("SELECT * FROM public.made") == [(SECRET, "off", server.application_name)]
    assert "Hidden" not in (site.folder / "arguments").read_text()


async def test_pg_restore_has_it_for_what_a_constraint_computes_and_no_argument_says_it(site: Site, server: Server) -> None:
    site.execute(SET.format("DATABASE app"))
    site.execute("CREATE TABLE public.checked (x text CHECK (x = current_setting('app.jwt_secret')))", "app")
    site.execute("INSERT INTO public.checked SELECT current_setting('app.jwt_secret')", "app")
    taken = dump.new_dump(site.folder / "backups", "r1", "final", 1)
    await dump.take(server, "app", taken, jobs=1, step="schema.start_backup", timeout_seconds=60)
    site.execute(f"CREATE DATABASE {server.names.scratch} OWNER app_owner")
    await restore.restore(server, taken.part, "app_owner", [], is_superuser=False, jobs=1, step="s", timeout_seconds=60)
    assert site.execute("SELECT x FROM public.checked", server.names.scratch) == [(SECRET,)]
    assert "Hidden" not in (site.folder / "arguments").read_text()


@pytest.mark.parametrize("whose", WHOSE)
async def test_what_new_was_not_given_is_named_without_its_value_and_the_statement_finds_it(cluster: Cluster, whose: str) -> None:
    """Found: the value stood in events that nobody can delete, and on the terminal."""
    cluster.execute(SET.format(whose))
    databases = await lead(cluster)
    looking = PostgresDatabases(replace(cluster.server(), read_only=True))
    evidence = [await databases.check_fit(attempt_id("check_server")), await looking.check_fit(attempt_id("check_server"))]
    evidence += [await getattr(databases, operation)(attempt_id(operation)) for operation in TO_EXCHANGE]
    evidence += [await databases.check_logins(attempt_id("check_logins"))]
    of = " of app_owner" if "ROLE" in whose else ""
    assert evidence[-1]["warnings"] == [f"not set any more: app.jwt_secret (its value: pg_db_role_setting){of}"]
    assert "Hidden" not in str(evidence)
    [statement] = evidence[0]["not_carried"]
    cluster.execute(statement)
    assert (await databases.check_logins(attempt_id("check_logins")))["warnings"] == []


async def test_a_setting_of_our_role_for_the_application_is_named_without_its_value(cluster: Cluster) -> None:
    cluster.execute(SET.format("ROLE cutover IN DATABASE app"))
    assert "Hidden" not in str(await (await lead(cluster)).check_fit(attempt_id("check_server")))
