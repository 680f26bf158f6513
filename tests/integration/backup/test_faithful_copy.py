"""The copy that PreCheck tries is the copy of the window as far as our rights go, and what is not is named, with what helps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.new_database import Site, make_site
from support.servers import Cluster

from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.precheck.dumpable import ProofPlan
from cutoverd.states.errors import CheckFailed, StepError, Unfit
from cutoverd.states.ports import AttemptId, Evidence

pytestmark = pytest.mark.both_versions
PROVE, CHECK_ONLY = "precheck.prove_backup", "precheck.check_dumpable"
PRODUCTION = """
CREATE ROLE app_other; GRANT app_other TO cutover;
SET ROLE app_owner;
CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO app_user;
CREATE TABLE shop.item (id int PRIMARY KEY, name text);
INSERT INTO shop.item SELECT n, 'x' FROM generate_series(1, 10) n;
ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT (name) ON shop.item TO app_user;
CREATE PUBLICATION feed FOR TABLE shop.item;
CREATE TYPE shop.colour AS ENUM ('red');
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO app_user;
RESET ROLE;
CREATE TABLE note (id serial PRIMARY KEY, "Text" text); INSERT INTO note VALUES (1, 'x');
GRANT SELECT, REFERENCES ON note TO app_owner;
CREATE TABLE shop.partly (id int); ALTER TABLE shop.partly OWNER TO app_other;
CREATE FUNCTION foreign_one(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT lo_from_bytea(4711, 'of app_other'); ALTER LARGE OBJECT 4711 OWNER TO app_other;
ALTER ROLE cutover BYPASSRLS;
"""
COPY = """
SELECT 'table', c.oid::regclass::text, pg_get_userbyid(relowner)::text, c.relforcerowsecurity FROM pg_class c
 WHERE relkind = 'r' AND relnamespace IN ('public'::regnamespace, 'shop'::regnamespace)
UNION ALL SELECT 'function', oid::regprocedure::text, pg_get_userbyid(proowner)::text, false FROM pg_proc
 WHERE proname = 'foreign_one'
UNION ALL SELECT 'publication', pubname::text, pg_get_userbyid(pubowner)::text, false FROM pg_publication
UNION ALL SELECT 'large object', oid::text, pg_get_userbyid(lomowner)::text, false FROM pg_largeobject_metadata
UNION ALL SELECT 'event trigger', evtname::text, pg_get_userbyid(evtowner)::text, false FROM pg_event_trigger
 ORDER BY 1, 2
"""
RIGHTS = """
SELECT has_column_privilege('app_user', 'shop.item', 'name', 'SELECT'), has_table_privilege('app_owner', 'note', 'REFERENCES'),
       has_table_privilege('app_owner', 'note', 'INSERT'), (SELECT count(*) FROM pg_default_acl),
       has_schema_privilege('app_other', 'shop', 'CREATE')
"""


@dataclass
class Rig:
    site: Site
    cluster: Cluster
    directory: Path

    def dumps(self, schema: Any, **proof: Any) -> PgDump:
        server = self.cluster.server(folder=self.site.server.folder)
        plan = ProofPlan(proof.get("leave_out", {}), proof.get("restore", ()), self.directory.parent)
        return PgDump(server, self.directory, 2, schema, proof=plan)

    async def prove(self, schema: Any = None, **proof: Any) -> Evidence:
        return await self.dumps(schema or self.site.scripts([]), **proof).prove(self.site.attempt_id(PROVE))

    async def check(self, *schema: Path, **proof: Any) -> Evidence:
        return await self.dumps(self.site.scripts(schema), **proof).check_dumpable(self.site.attempt_id(CHECK_ONLY))

    async def apply_on_the_copy(self, schema: Path) -> None:
        """By the operations of the window."""
        trial = replace(self.cluster.server(folder=self.site.server.folder), on_trial=True)
        databases = PostgresDatabases(trial, evict_seconds=20)
        for name in ("make_placeholder", "fence", "build_new"):
            await getattr(databases, name)(self._of_copy(name))
        await self.site.scripts([schema], server=trial).apply_schema(self._of_copy("apply_schema"))

    def _of_copy(self, step: str) -> AttemptId:
        return replace(self.site.attempt_id(step), run="r1/try")

    async def refused(self, *schema: Path, **proof: Any) -> list[str]:
        with pytest.raises(Unfit) as raised:
            await self.check(*schema, **proof)
        return list(raised.value.evidence["reasons"])


@pytest.fixture
async def rig(cluster: Cluster, tmp_path: Path) -> Rig:
    return Rig(await make_site(cluster, tmp_path), cluster, tmp_path / "backups")


async def test_owners_grants_publications_and_forced_security_are_as_in_production(rig: Rig) -> None:
    """Found: all of the copy belonged to the database's owner, so a schema file could do there what it cannot in the window."""
    rig.cluster.execute(PRODUCTION, "app")
    proof = await rig.prove()
    # postgres, whom we cannot be, is our own role in the copy: app_owner may act for neither
    assert rig.cluster.execute(COPY, "app_try") == [
        ("function", "foreign_one(integer)", "cutover", False),
        ("large object", "4711", "app_other", False),
        ("publication", "feed", "app_owner", False),
        ("table", "note", "cutover", False),
        ("table", "shop.item", "app_owner", True),
        ("table", "shop.partly", "app_other", False),
    ]
    assert rig.cluster.execute(RIGHTS, "app_try") == [(True, True, False, 1, False)]
    assert [warning for warning in proof["warnings"] if "in the copy" in warning] == []


async def test_what_fails_on_a_table_of_another_owner_fails_before_the_window(rig: Rig) -> None:
    rig.cluster.execute(PRODUCTION, "app")
    schema = rig.site.file("001.sql", """CREATE TABLE fine (id int REFERENCES note);\nALTER TABLE note ADD lang text;""")
    await rig.prove()
    with pytest.raises(StepError, match=r"001.sql:2: must be owner of table note") as raised:
        await rig.apply_on_the_copy(schema)
    assert "OWNER TO app_owner" in raised.value.hint
    [reason] = await rig.refused(schema)
    assert reason.startswith("001.sql:2: public.note belongs to postgres, and the files run as app_owner")
    assert reason.endswith("ALTER TABLE public.note OWNER TO app_owner")
    aside = rig.site.file("002.sql", 'CREATE TABLE x (note text); SELECT note FROM x; INSERT INTO x SELECT "Text" FROM note;')
    warnings = (await rig.check(aside))["warnings"]
    assert any("table public.note belongs to postgres" in warning for warning in warnings)
    assert any("ALTER TABLE shop.partly OWNER TO app_owner" in warning for warning in warnings)


async def test_a_superuser_as_our_role_restores_all_of_it(rig: Rig) -> None:
    """Found: it restored as the database's owner, who may create no event trigger, and no extension."""
    rig.cluster.execute(PRODUCTION, "app")
    rig.cluster.execute(SUPERUSERS, "app")
    rig.cluster.execute("ALTER ROLE cutover SUPERUSER")
    proof = await rig.prove()
    assert proof["left_out"] == []
    copy = set(rig.cluster.execute(COPY, "app_try"))
    assert {("event trigger", "watch", "postgres", False), ("table", "note", "postgres", False)} <= copy
    assert (await rig.check())["left_out"] == []


SUPERUSERS = """
CREATE FUNCTION public.ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION public.ddl();
CREATE EXTENSION pageinspect;
CREATE VIEW pages AS SELECT * FROM page_header(NULL);
CREATE VIEW pages_above AS TABLE pages;
COMMENT ON VIEW pages_above IS 'by name';
GRANT SELECT ON pages_above TO app_user;
CREATE FUNCTION leak(int) RETURNS bool LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT $1 > 0';
CREATE TABLE indexed (id int); CREATE INDEX ON indexed (leak(id)) ;
CREATE PUBLICATION everything FOR ALL TABLES;
"""


async def test_what_only_a_superuser_restores_is_left_out_with_all_that_needs_it_and_named(rig: Rig) -> None:
    """Found: an extension was left out and a view on it was not, so the proof failed with advice about pg_dump's version."""
    rig.cluster.execute(SUPERUSERS, "app")
    checked = await rig.check()
    text = "\n".join(checked["warnings"])
    for words in (
        "extension pageinspect, and with it view public.pages, view public.pages_above is not in the copy",
        "function public.leak(integer), and with it index public.indexed_leak_idx",
        "ALTER ROUTINE public.leak(integer) NOT LEAKPROOF",
        "event trigger watch is not in the copy that PreCheck tries: only a superuser may create an event trigger",
        "ALTER EVENT TRIGGER watch DISABLE",
        "publication everything is not in the copy",
    ):
        assert words in text, (words, text)
    assert (await rig.prove())["tables"] == 1


MANY = """
DO $$ BEGIN FOR n IN 1 .. 30 LOOP
    EXECUTE format('CREATE PUBLICATION everything_%s FOR ALL TABLES', n);
    EXECUTE format('CREATE SCHEMA aside_%s', n);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA aside_%s GRANT SELECT ON TABLES TO app_user', n);
END LOOP; END $$;
"""


async def test_how_much_is_not_in_the_copy_beyond_what_is_named_is_said(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: warnings ended after the twentieth, and nobody knew that there was more."""
    rig.cluster.execute(MANY, "app")
    left_out = [each for each in (await rig.check())["warnings"] if "not in the copy" in each]
    assert (len(left_out), left_out[-1]) == (25, "and 6 more: not in the copy that PreCheck tries")
    warnings = (await rig.prove())["warnings"]
    named = [each for each in warnings if "(ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA aside_" in each]
    assert warnings == [*named, f"not granted in the copy: and {30 - len(named)} more"]
    monkeypatch.setattr("cutoverd.daemon.postgres.backup.backups._WARNINGS_MAX", 5)
    few = (await rig.prove())["warnings"]
    assert few == [*named[:5], f"and {len(warnings) - 5} more: of the backup, or of what is in production and not in the copy"]


BARRED = """
CREATE FUNCTION leak(int) RETURNS bool LANGUAGE sql IMMUTABLE LEAKPROOF AS 'SELECT $1 > 0';
CREATE TABLE checked (id int CHECK (leak(id))); INSERT INTO checked VALUES (1);
CREATE VIEW on_it AS TABLE checked;
CREATE TABLE kept (id int); INSERT INTO kept VALUES (1), (2);
"""


async def test_a_table_that_no_role_of_ours_restores_is_left_out_by_name_or_restored_by_a_command(rig: Rig) -> None:
    rig.cluster.execute(BARRED, "app")
    [reason] = await rig.refused()
    for words in ("table public.checked", "ALTER ROUTINE public.leak(integer) NOT LEAKPROOF", "backup.restore", "leave_out"):
        assert words in reason
    named = {"leave_out": {"public.checked": "derived from kept"}}
    assert "public.checked is left out of the backup's proof: derived from kept" in (await rig.check(**named))["warnings"]
    proof = await rig.prove(**named)
    assert (proof["tables"], proof["rows"]) == (1, 2)
    assert "TABLE DATA public checked postgres" in proof["left_out"]
    url = rig.cluster.superuser_url("NAME")
    script = f'exec {rig.cluster.bin_dir}/pg_restore -d "$(echo "{url}" | sed "s/NAME/$CUTOVERD_DATABASE/")" "$CUTOVERD_DUMP"'
    command = {"restore": ["sh", "-c", script]}
    await rig.check(**command)
    assert (await rig.prove(**command))["rows"] == 3
    with pytest.raises(CheckFailed, match=r"sh ended with 7"):
        await rig.prove(restore=["sh", "-c", "exit 7"])
    with pytest.raises(Unfit, match=r"backup.leave_out names public.nowhere, and there is no table"):
        await rig.check(leave_out={"public.nowhere": "?", "public.checked": "?"})


MATERIALIZED = "its query on public.mv calls public.is_known(integer)"


async def test_a_function_that_finds_nothing_without_a_search_path_is_named_by_check_and_by_the_restores_error(rig: Rig) -> None:
    """Found: the hint was about pg_dump's version."""
    rig.cluster.execute(
        "SET ROLE app_owner; CREATE TABLE known (id int); INSERT INTO known VALUES (1);"
        # true whatever the other table holds: which is filled first, a restore by two jobs does not say
        "CREATE FUNCTION is_known(int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT count(*) >= 0 FROM known WHERE id = $1';"
        "CREATE TABLE uses (id int CHECK (is_known(id))); INSERT INTO uses VALUES (1);"
        "CREATE FUNCTION plain(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';"
        "CREATE INDEX ON uses (plain(id));"
        # 17 and later do not let one be made that a restore could not fill
        + "CREATE MATERIALIZED VIEW mv AS SELECT is_known(id) FROM uses;"
        * (rig.cluster.major < 17),
        "app",
    )
    check, *query = sorted(await rig.refused())
    assert check.startswith("constraint uses_id_check on public.uses calls public.is_known(integer)")
    assert [q.partition(", which")[0] for q in query] == [MATERIALIZED] * (rig.cluster.major < 17)
    with pytest.raises(CheckFailed) as raised:
        await rig.prove()
    assert "function is_known" in raised.value.hint
    assert "SET search_path" in raised.value.hint
    rig.cluster.execute(check.rpartition(": ")[2], "app")
    await rig.check()
    assert (await rig.prove())["tables"] == 2


async def test_a_domain_whose_check_finds_nothing_without_a_search_path_is_named_by_check(rig: Rig) -> None:
    """Found: a value that is cast to the type that it has is not checked again, and so nothing was seen before the restore."""
    rig.cluster.execute(
        "SET ROLE app_owner; CREATE TABLE known (id int);"
        "CREATE FUNCTION is_known(numeric) RETURNS bool LANGUAGE sql STABLE AS 'SELECT count(*) >= 0 FROM known WHERE id = $1';"
        "CREATE DOMAIN code AS numeric(5, 1) CHECK (is_known(VALUE)); CREATE TABLE uses (c code); INSERT INTO uses VALUES (1.5)",
        "app",
    )
    [check] = await rig.refused()
    assert check.startswith("constraint code_check of domain code on public.uses calls public.is_known(numeric)")
    rig.cluster.execute(check.rpartition(": ")[2], "app")
    await rig.check()


async def test_what_our_role_may_not_read_is_named_with_the_statement_and_then_read(rig: Rig) -> None:
    """Found: pg_dump failed on it, with advice about its version."""
    rig.cluster.execute(
        "CREATE ROLE stranger; CREATE TABLE theirs (id int); INSERT INTO theirs VALUES (1); ALTER TABLE theirs OWNER TO stranger;"
        "ALTER TABLE theirs ENABLE ROW LEVEL SECURITY; SET ROLE app_owner; CREATE TABLE ours (id int);"
        "ALTER TABLE ours ENABLE ROW LEVEL SECURITY; CREATE TABLE hard (id int);"
        "ALTER TABLE hard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "RESET ROLE; SELECT lo_from_bytea(1, 'x'), lo_from_bytea(2, 'x'), lo_from_bytea(3, 'x');"
        "GRANT SELECT ON LARGE OBJECT 2 TO cutover; ALTER LARGE OBJECT 3 OWNER TO app_owner",
        "app",
    )
    secured, objects = await rig.refused()
    assert "public.hard (forced on app_owner), public.theirs (of stranger)" in secured
    assert "public.ours" not in secured
    assert objects.startswith("large object 1 (of postgres) may not be read")
    for reason in (secured, objects):
        rig.cluster.execute(reason.rpartition(": ")[2].partition(", or ")[0])
    await rig.check()
    assert (await rig.prove())["rows"] == 1


async def test_rows_that_are_hidden_from_a_data_script_are_found_before_the_window(rig: Rig) -> None:
    rig.cluster.execute(PRODUCTION, "app")
    reads = rig.site.file("a.sql", "CREATE TABLE copied AS SELECT * FROM shop.item;")
    [reason] = await rig.refused(reads)
    assert reason.startswith("a.sql:1: row level security hides rows of shop.item from app_owner")
    assert "ALTER ROLE app_owner BYPASSRLS" in reason
    await rig.check(rig.site.file("b.sql", "ALTER TABLE shop.item NO FORCE ROW LEVEL SECURITY;\nSELECT * FROM shop.item;"))


NEEDED = """CREATE EXTENSION file_fdw;
COPY shop.part FROM '/nowhere.csv';
UPDATE shop.bare SET a = 2;
DELETE FROM shop.part;
UPDATE shop.keyed SET a = 2;
"""
PUBLISHED = """
CREATE SCHEMA shop AUTHORIZATION app_owner;
SET ROLE app_owner;
CREATE TABLE shop.bare (a int); CREATE TABLE shop.keyed (a int PRIMARY KEY);
CREATE TABLE shop.part (a int) PARTITION BY RANGE (a); CREATE TABLE shop.part_1 PARTITION OF shop.part DEFAULT;
RESET ROLE;
CREATE PUBLICATION all_of_it FOR ALL TABLES;
"""


async def test_what_a_data_script_has_no_right_to_is_found_by_the_catalog(rig: Rig) -> None:
    """Found: in a data script each was met in the window alone."""
    rig.cluster.execute(PUBLISHED, "app")
    reasons = await rig.refused(rig.site.file("a.sql", NEEDED))
    assert [reason.partition(": ")[2].partition(" ")[0] for reason in reasons] == [
        "extension",
        "COPY",
        "shop.bare",
        "shop.part_1",
    ]
    assert [reason.partition(": ")[0] for reason in reasons] == ["a.sql:1", "a.sql:2", "a.sql:3", "a.sql:4"]
    rig.cluster.execute("GRANT pg_read_server_files TO app_owner")
    mended = NEEDED.replace("EXTENSION file_fdw", "EXTENSION IF NOT EXISTS plpgsql").replace("DELETE FROM", "SELECT * FROM")
    await rig.check(rig.site.file("b.sql", f"ALTER TABLE shop.bare REPLICA IDENTITY FULL;\n{mended}"))


BY_PATH = """
SET ROLE app_owner;
CREATE SCHEMA audit; CREATE TABLE audit.log (a int); CREATE SCHEMA app_owner; CREATE TABLE app_owner.orders (a int);
CREATE TABLE public.log (a int PRIMARY KEY); CREATE TABLE public.orders (a int PRIMARY KEY);
RESET ROLE;
CREATE SCHEMA barred; CREATE TABLE barred.log (a int PRIMARY KEY); ALTER TABLE barred.log OWNER TO app_owner;
GRANT USAGE ON SCHEMA barred TO cutover;
CREATE PUBLICATION all_of_it FOR ALL TABLES;
"""


async def test_an_unqualified_name_is_the_one_of_the_path_that_database_or_owner_have_set(rig: Rig) -> None:
    """Found: only public was thought of, and the UPDATE failed in the window; by the owner's own path it was refused falsely."""
    rig.cluster.execute(BY_PATH, "app")
    file = rig.site.file("a.sql", "UPDATE log SET a = 2;\nUPDATE orders SET a = 2;\nSET ROLE NONE;\nCOPY log FROM '/nowhere';\n")
    of_ours = "a.sql:4: COPY with a file or a program of the server needs pg_read_server_files, which cutover has not"
    for setting, tables in {
        "ALTER ROLE app_owner RESET search_path": ["a.sql:2: app_owner.orders"],  # as the server has it
        "ALTER DATABASE app SET search_path = barred, audit, public": ["a.sql:1: audit.log"],
        'ALTER ROLE app_owner SET search_path = "$user", audit': ["a.sql:1: audit.log", "a.sql:2: app_owner.orders"],
        "ALTER ROLE app_owner IN DATABASE app SET search_path = public": [],
    }.items():
        rig.cluster.execute(setting)
        *found, copy = await rig.refused(file)
        assert [reason.partition(" has no replica identity")[0] for reason in found] == tables, setting
        assert copy.startswith(of_ours)
