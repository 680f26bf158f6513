"""What psql's session has, file by file: time-outs, durability and hidden rows are ours, the rest is the owner's."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.new_database import Site, make_site
from support.servers import Cluster

STEP = "schema.apply_schema"
# a deferred trigger runs with the commit, after all that files have set
AT_COMMIT = """
CREATE TABLE seen (setting text);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.seen VALUES (pg_catalog.current_setting('synchronous_commit')); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER look AFTER INSERT ON public.witness INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION look();
"""


@pytest.fixture
async def site(cluster: Cluster, tmp_path: Path) -> Site:
    return await make_site(cluster, tmp_path)


async def apply(site: Site, *texts: str) -> None:
    files = [site.file(f"{number}.sql", text) for number, text in enumerate(texts)]
    await site.scripts(files).apply_schema(site.attempt_id(STEP))


@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
async def test_a_commit_of_files_is_durable_whatever_they_and_the_database_set(site: Site, given: str, used: str) -> None:
    """Found: with synchronous_commit = off in a file a crash lost what was acknowledged, and remote_apply was lowered."""
    site.execute(f"ALTER DATABASE app_next SET synchronous_commit = '{given}'")
    await apply(site, AT_COMMIT, f"SET synchronous_commit = '{given}';\n{site.witness('one')}")
    assert site.rows("SELECT DISTINCT setting FROM seen") == [(used,)]


async def test_files_have_what_a_session_of_the_owner_has(site: Site) -> None:
    site.execute("ALTER DATABASE app SET datestyle = 'German, DMY'; ALTER ROLE cutover SET datestyle = 'ISO, YMD'")
    site.execute("ALTER ROLE app_owner SET search_path = made, public; ALTER ROLE app_owner SET statement_timeout = '1ms'")
    shown = ", ".join(f"current_setting('{name}') AS {name}" for name in ("search_path", "datestyle", "statement_timeout"))
    await apply(site, "CREATE SCHEMA made; SET search_path = public;", f"CREATE TABLE seen AS SELECT {shown};")
    assert site.rows("SELECT * FROM made.seen") == [("made, public", "German, DMY", "0")]


async def test_functions_in_the_search_path_do_not_stand_in_for_those_of_the_ledger(site: Site) -> None:
    site.execute(
        "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;"
        "CREATE FUNCTION evil.count() RETURNS bigint LANGUAGE sql AS 'SELECT 4711::bigint';"
        "CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'evil'$$;",
        "app_next",
    )
    site.execute("ALTER DATABASE app_next SET search_path = evil, pg_catalog, public")
    await apply(site, "CREATE TABLE public.seen AS SELECT current_setting('search_path') AS path;")
    assert site.rows("SELECT path FROM public.seen") == [("evil, pg_catalog, public",)]
