"""What SQL files need of the server, before the window finds that it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoverd.daemon.postgres.precheck.script_needs import Published, Rights, ScriptNeeds
from cutoverd.daemon.postgres.scripts import right_errors
from cutoverd.daemon.postgres.scripts.scripts import DataScript, PsqlScripts
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.sqltext.lint import ScriptLint
from cutoverd.daemon.sqltext.relations import Relations
from cutoverd.daemon.sqltext.role_and_path import FileSession
from cutoverd.daemon.sqltext.splitter import Statement, split

LOG = Published("public", "log", "public.log", "pall", update=True, delete=True)
AUDIT = Published("audit", "orders", "audit.orders", "pall", update=True, delete=True)
INSERTED = Published("public", "rest", "public.rest", "pall", update=False, delete=True)
PART = Published("public", "part", "public.part_1", "pall", update=True, delete=True, is_own=False)
PART_1 = Published("public", "part_1", "public.part_1", "pall", update=True, delete=True)
PATH = '"$user", public'
PUBLISHED = [LOG, INSERTED, AUDIT, PART, PART_1]


def needs_of(roles: set[str] | None = None, path: str = PATH) -> ScriptNeeds:
    """The daemon's own role is `cutover`; `barred` is a schema that the owner may not use, and `hist.log` has a key."""
    extensions = {"pg_trgm": True, "postgres_fdw": False}
    rights = {"app_owner": Rights(extensions, frozenset(roles or ())), "cutover": Rights(extensions)}
    barred = {"app_owner": "barred"}
    schemas = {
        each: frozenset(role for role in barred if barred[role] == each) for each in ("public", "audit", "hist", "barred", "shop")
    }
    names = {*(each.relation for each in PUBLISHED), ("hist", "log"), ("barred", "log")}
    return ScriptNeeds(FileSession("app_owner", "cutover", path), rights, list(PUBLISHED), Relations(schemas, names))


def wrong(text: str, roles: set[str] | None = None, path: str = PATH, *, in_transaction: bool = True) -> list[tuple[str, str]]:
    needs = needs_of(roles, path)
    needs.begin_file(in_transaction=in_transaction)
    return [found for piece in split(text) if isinstance(piece, Statement) for found in needs(piece)]


NEEDS = {
    "CREATE EXTENSION IF NOT EXISTS postgres_fdw": "extension postgres_fdw is not trusted: only a superuser may create it",
    'CREATE EXTENSION "postgres_fdw" SCHEMA x': "extension postgres_fdw is not trusted",
    "CREATE EXTENSION postgis": "the server has no extension postgis",
    "COPY public.item (a, b) FROM '/tmp/x.csv' CSV": "needs pg_read_server_files, which app_owner has not",
    "COPY (SELECT a FROM t) TO '/tmp/x.csv'": "needs pg_write_server_files",
    "COPY t FROM PROGRAM 'cat x'": "needs pg_execute_server_program",
    "UPDATE ONLY public.log SET a = 2": "public.log has no replica identity, and publication pall publishes each update",
    'DELETE FROM "log"': "publishes each delete",
    "SET ROLE x; RESET ROLE; COPY t FROM '/x'": "pg_read_server_files",
}
NEEDS_NOTHING = [
    "CREATE EXTENSION pg_trgm",
    "SET ROLE admin; CREATE EXTENSION postgres_fdw",
    "COPY t FROM stdin; COPY (SELECT 'x' FROM t WHERE a = 'y') TO stdout",
    "UPDATE shop.log SET a = 2; UPDATE rest SET a = 2; INSERT INTO public.log VALUES (1)",
    "ALTER TABLE public.log ADD PRIMARY KEY (a); UPDATE log SET a = 2",
    "UPDATE orders SET a = 2",  # found by another path
    "CREATE TEMP TABLE log AS SELECT 1 AS a; UPDATE log SET a = 2",
    "ALTER TABLE log REPLICA IDENTITY FULL; DELETE FROM log",
    "DROP TABLE public.log; CREATE TABLE public.log (a int); ALTER PUBLICATION pall SET (publish = insert); DELETE FROM rest",
]


@pytest.mark.parametrize("text", NEEDS)
def test_what_the_owner_has_no_right_to_is_found_before_the_window(text: str) -> None:
    """Found: each of these in a data script was first seen in the window, and the run went back."""
    [(problem, advice)] = wrong(text)
    assert NEEDS[text] in problem
    assert advice


@pytest.mark.parametrize("text", NEEDS_NOTHING)
def test_what_he_may_do_is_not(text: str) -> None:
    assert wrong(text) == []


def test_what_a_file_sets_its_role_to_hides_nothing_of_the_next(tmp_path: Path) -> None:
    """Found: the role is reset between files, and a COPY of the next one was taken for another role's."""
    reading = ScriptLint(tmp_path, judge=needs_of())
    for name, text in {"a.sql": "SET ROLE admin;\nCOPY t FROM '/x';", "b.sql": "COPY t FROM '/x';"}.items():
        (tmp_path / name).write_text(text)
        reading.read(tmp_path / name)
    assert [(found.file.name, found.line) for found in reading.findings] == [("b.sql", 1)]


OTHERS_OF_THE_NAME = [
    "CREATE TABLE shop.log_copy AS SELECT * FROM public.log; UPDATE public.log SET a = 2",
    "CREATE TABLE log_copy AS SELECT * FROM log; UPDATE log SET a = 2",
    "CREATE TABLE x (id int, log text); UPDATE public.log SET a = 2",
    "CREATE TABLE x (LIKE public.log); DELETE FROM public.log",
    "CREATE TABLE x (id int REFERENCES log); DELETE FROM log",
    "CREATE TABLE log_2026 PARTITION OF log FOR VALUES IN (1); UPDATE log SET a = 2",
    "CREATE TABLE shop.log (a int); UPDATE log SET a = 2",
    "CREATE TABLE IF NOT EXISTS public.log (a int); UPDATE public.log SET a = 2",
    "CREATE TABLE IF NOT EXISTS log (a int); UPDATE log SET a = 2",
    "CREATE TEMP TABLE log AS SELECT 1 AS a; UPDATE public.log SET a = 2",
    "SELECT 1 AS a INTO TEMPORARY TABLE log; UPDATE public.log SET a = 2",
    "CREATE TEMP TABLE log (a int); DROP TABLE log; UPDATE log SET a = 2",
    "INSERT INTO log SELECT 1; WITH x AS (SELECT 1) INSERT INTO log TABLE x; UPDATE log SET a = 2",
    "ALTER TABLE log ADD id int GENERATED ALWAYS AS IDENTITY; UPDATE log SET a = 2",
    "ALTER TABLE x ADD PRIMARY KEY (log); UPDATE log SET a = 2",
    "ALTER TABLE log REPLICA IDENTITY NOTHING; UPDATE log SET a = 2",
    "DROP TABLE shop.log; UPDATE log SET a = 2",
    "DROP INDEX log; UPDATE log SET a = 2",
    "CREATE PUBLICATION other FOR TABLE log; ALTER PUBLICATION other SET (publish = insert); DELETE FROM log",
    "ALTER PUBLICATION pall ADD TABLE shop.x; DELETE FROM log",
    "ALTER TABLE log RENAME TO log_old; CREATE TABLE log (a int PRIMARY KEY); UPDATE log_old SET a = 2",
    "ALTER TABLE log SET SCHEMA shop; UPDATE shop.log SET a = 2",
    "ALTER SCHEMA audit RENAME TO watch; UPDATE watch.orders SET a = 1",
]
GONE_OR_MENDED = [
    "CREATE TABLE shop.x (a int); DROP TABLE IF EXISTS shop.x, public.log CASCADE; UPDATE public.log SET a = 2",
    "SELECT 1 AS a INTO TEMP log; UPDATE log SET a = 2",
    "WITH x AS (SELECT 1 AS a) SELECT a INTO TEMP log FROM x; DELETE FROM log",
    "ALTER TABLE IF EXISTS ONLY public.log ADD CONSTRAINT log_key PRIMARY KEY (a); UPDATE log SET a = 2",
    "ALTER TABLE log RENAME TO log_old; CREATE TABLE log (a int PRIMARY KEY); UPDATE log SET a = 1",
    "ALTER TABLE log SET SCHEMA shop; UPDATE log SET a = 1",
    "DROP SCHEMA shop, audit CASCADE; UPDATE audit.orders SET a = 2",
    "DROP PUBLICATION IF EXISTS other, pall; UPDATE log SET a = 2",
    "ALTER TABLE part_1 REPLICA IDENTITY FULL; UPDATE part SET a = 2",
    "ALTER TABLE part ADD PRIMARY KEY (a); UPDATE part_1 SET a = 2",
    "DROP TABLE part; CREATE TABLE part_1 (a int PRIMARY KEY); UPDATE part_1 SET a = 2",
]


@pytest.mark.parametrize("text", OTHERS_OF_THE_NAME)
def test_what_only_names_a_table_neither_takes_it_away_nor_mends_it(text: str) -> None:
    """Found: any CREATE TABLE that mentions a name, a column too, forgot the table, and the window failed with 55000."""
    [(problem, _)] = wrong(text)
    assert "has no replica identity" in problem


@pytest.mark.parametrize("text", GONE_OR_MENDED)
def test_what_takes_it_away_or_mends_it_counts_by_whichever_name_it_goes(text: str) -> None:
    """Found: SELECT … INTO was no table, and the advice for a partition was not seen where the whole is written to."""
    assert wrong(text) == []


def test_replica_identity_of_the_whole_is_not_its_partitions() -> None:
    assert len(wrong("ALTER TABLE part REPLICA IDENTITY FULL; UPDATE part SET a = 2")) == 1


BY_PATH = {
    "SET search_path = audit, public; UPDATE orders SET a = 2": "audit.orders",
    "SET search_path TO 'audit'; UPDATE orders SET a = 2": "audit.orders",
    "SET LOCAL search_path TO audit; DELETE FROM orders": "audit.orders",
    "SET SCHEMA 'audit'; UPDATE orders SET a = 2": "audit.orders",
    "SELECT pg_catalog.set_config('search_path', 'Audit, public', false); UPDATE orders SET a = 2": "audit.orders",
    "SET search_path = hist, public; RESET search_path; UPDATE log SET a = 2": "public.log",
    "SET search_path = hist, public; SET search_path TO DEFAULT; UPDATE log SET a = 2": "public.log",
    "SET search_path = hist; RESET ALL; UPDATE log SET a = 2": "public.log",
    "SET search_path = nowhere, barred, public; UPDATE log SET a = 2": "public.log",
    "CREATE SCHEMA app_owner; CREATE TABLE app_owner.x (a int); UPDATE log SET a = 2": "public.log",
    "SET search_path = hist, public; DROP TABLE log; UPDATE log SET a = 2": "public.log",
    "SET search_path = public, pg_temp; CREATE TEMP TABLE log (a int); UPDATE log SET a = 2": "public.log",
}
BY_ANOTHER_PATH = [
    "SET search_path = hist, public; UPDATE log SET a = 2",
    "SET search_path = 'hist, public'; UPDATE log SET a = 2",  # one name, of no schema
    "SELECT set_config('search_path', '', false); UPDATE log SET a = 2",
    "SELECT set_config('search_path', a || ', public', false) FROM x; UPDATE log SET a = 2",
    "SET search_path = :path, public; UPDATE log SET a = 2",
    "DO $$BEGIN PERFORM set_config('search_path', 'hist', false); END$$; UPDATE log SET a = 2",
    "CREATE SCHEMA AUTHORIZATION app_owner; CREATE TABLE log (a int PRIMARY KEY); UPDATE log SET a = 2",
    "SET search_path = hist; CREATE TABLE orders (a int); SET search_path = hist, audit; UPDATE orders SET a = 2",
    "SET search_path = :path; CREATE TABLE log (a int); RESET search_path; UPDATE log SET a = 2",
    "SET search_path = :path; ALTER TABLE log ADD PRIMARY KEY (a); UPDATE public.log SET a = 2",
    "SET search_path = :path; DROP TABLE log; UPDATE public.log SET a = 2",
]


@pytest.mark.parametrize("text", BY_PATH)
def test_an_unqualified_name_is_that_of_the_search_path(text: str) -> None:
    """Found: without a schema only public counted, and the UPDATE of audit.orders failed in the window."""
    [(problem, _)] = wrong(text)
    assert problem.startswith(f"{BY_PATH[text]} has no replica identity")


@pytest.mark.parametrize("text", BY_ANOTHER_PATH)
def test_one_that_is_found_elsewhere_or_nobody_knows_where_is_not_refused(text: str) -> None:
    """Found: hist.log, which has a key, stands in front, and public.log was refused."""
    assert wrong(text) == []


def test_the_path_that_a_file_begins_with_is_of_the_database_or_the_role() -> None:
    """Found: ALTER DATABASE … SET search_path = audit, public was not asked for."""
    assert len(wrong("UPDATE orders SET a = 2", path="audit, public")) == 1
    assert wrong("UPDATE log SET a = 2", path='"hist", public') == []


AS_WHOM = {
    "SET ROLE admin; SET ROLE app_owner": "app_owner",
    "SET ROLE admin; SET ROLE TO DEFAULT": "app_owner",
    "SET SESSION AUTHORIZATION admin; RESET ROLE": "app_owner",
    "RESET ALL": "app_owner",
    "SET ROLE admin; SET ROLE NONE": "cutover",  # what a session of ours has logged in as
    "SET SESSION AUTHORIZATION admin; SET SESSION AUTHORIZATION DEFAULT": "app_owner",
    "SET SESSION AUTHORIZATION admin; RESET SESSION AUTHORIZATION": "app_owner",
    "SET session_authorization = 'cutover'": "cutover",
    "SELECT set_config('role', 'none', false)": "cutover",
    "SET ROLE admin": "",
    "SET LOCAL ROLE 'admin'": "",
    "SET ROLE admin; RESET ALL": "",  # it leaves the role
    "SET SESSION AUTHORIZATION admin; SET ROLE NONE": "",
    "SELECT set_config('role', 'admin', true)": "",
    "SELECT set_config('role', name, true) FROM x": "",
    "SELECT set_config(name, value, false) FROM x": "",
    "DO $$BEGIN SET LOCAL ROLE admin; END$$": "",
}


@pytest.mark.parametrize("text", AS_WHOM)
def test_whose_rights_count_is_followed(text: str) -> None:
    """Found: SET ROLE NONE was taken for another role, and set_config for none, so a COPY failed in the window."""
    found = wrong(f"{text}; COPY t FROM '/x'")
    assert [problem.rpartition("which ")[2] for problem, _ in found] == [f"{AS_WHOM[text]} has not"] * bool(AS_WHOM[text])


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("BEGIN; SET LOCAL ROLE admin; COPY t FROM '/x'; COMMIT", 0),
        ("BEGIN; SET LOCAL ROLE admin; COMMIT; COPY t FROM '/x'", 1),
        ("BEGIN; SET LOCAL ROLE admin; COMMIT AND CHAIN; COPY t FROM '/x'; COMMIT", 1),
        ("BEGIN; SET ROLE admin; COMMIT; COPY t FROM '/x'", 0),
        ("START TRANSACTION; SET ROLE admin; ROLLBACK; COPY t FROM '/x'", 1),
        ("SET LOCAL ROLE admin; COPY t FROM '/x'", 1),  # it does nothing there
        ("BEGIN; SET LOCAL search_path = hist; END; UPDATE log SET a = 2", 1),
        ("SET search_path = hist; DISCARD ALL; UPDATE log SET a = 2", 1),
    ],
)
def test_set_local_ends_with_the_transaction_of_a_file_that_has_its_own(text: str, problems: int) -> None:
    """Found: it counted to the end of the file, so what comes behind its COMMIT was another role's."""
    assert len(wrong(text, in_transaction=False)) == problems


def found_in(folder: Path, schema: dict[str, str], data: dict[str, str]) -> list[str]:
    """The lines that are refused, as PreCheck asks for them."""
    for name, text in {**schema, **data}.items():
        (folder / name).write_text(text)
    server = Server("postgresql://cutover@127.0.0.1/app", "r1", 1, Path("/nowhere"))
    scripts = [DataScript(name, folder / name) for name in data]
    reasons = PsqlScripts(server, [folder / name for name in schema], scripts, cwd=folder).find_statements(needs_of())
    return [reason.partition(": ")[0] for reason in reasons]


def test_a_temporary_table_is_there_in_the_next_schema_file_and_in_no_data_script(tmp_path: Path) -> None:
    """Found: one that a file made hid the published table of its name from all that came after."""
    schema = {"a.sql": "CREATE TEMP TABLE log (a int);", "b.sql": "UPDATE log SET a = 2;"}
    assert found_in(tmp_path, schema, {"c.sql": "UPDATE log SET a = 2;"}) == ["c.sql:1"]


def test_whether_a_file_has_a_transaction_of_ours_is_known_where_its_needs_are_read(tmp_path: Path) -> None:
    """Found: SET LOCAL, which does nothing without a transaction, counted there too."""
    text = "SET LOCAL ROLE admin;\nCOPY t FROM '/x';"
    data = {"a.sql": text, "b.sql": f"-- cutoverd: no-transaction\n{text}"}
    assert found_in(tmp_path, {}, data) == ["b.sql:3"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "SELECT 'CREATE EXTENSION postgis' WHERE EXISTS (SELECT FROM pg_available_extensions) \\gexec",
            [],
        ),
        ("SELECT 'SET ROLE admin' WHERE false \\gexec\nCOPY t FROM '/x';", [2]),
        ("SELECT 'ALTER TABLE log ADD PRIMARY KEY (a)' WHERE false \\gexec\nUPDATE log SET a = 2;", [2]),
        ("\\if :has\nCREATE EXTENSION postgis;\n\\endif", []),
        ("\\if :x\nSET search_path = hist;\n\\else\nSET search_path = public;\n\\endif\nUPDATE log SET a = 2;", []),
        ("\\if :x\nSET ROLE admin;\n\\endif\nCOPY t FROM '/x';", []),
        ("\\if :x\nSELECT 1;\n\\endif\nCOPY t FROM '/x';", [4]),
    ],
)
def test_what_may_not_be_run_needs_nothing_and_changes_nothing_for_certain(tmp_path: Path, text: str, lines: list[int]) -> None:
    """Found: an extension that was only made where the server has it was refused, and a SET ROLE never run was believed."""
    assert found_in(tmp_path, {}, {"a.sql": text}) == [f"a.sql:{line}" for line in lines]


@pytest.mark.parametrize(
    "text",
    [
        'DROP PUBLICATION :"pub"; UPDATE log SET a = 2',
        'ALTER TABLE :"t" REPLICA IDENTITY FULL; UPDATE log SET a = 2',
        'CREATE EXTENSION :"ext"',
        'DROP TABLE :"t"; UPDATE log SET a = 2',
        "ALTER SCHEMA * RENAME TO x",
    ],
)
def test_a_name_that_psql_puts_in_may_be_any(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("SAVEPOINT s; SET LOCAL search_path = audit; ROLLBACK TO s; UPDATE orders SET a = 2", 0),
        ("SAVEPOINT s; SET ROLE admin; ROLLBACK TO SAVEPOINT s; COPY t FROM '/x'", 0),
        ("SAVEPOINT s; SET ROLE admin; ROLLBACK TO s; RESET ROLE; COPY t FROM '/x'", 1),
    ],
)
def test_behind_a_rollback_to_a_savepoint_nobody_knows_until_it_is_set_again(text: str, problems: int) -> None:
    assert len(wrong(text)) == problems


def test_a_role_for_files_of_the_server_is_enough() -> None:
    assert wrong("COPY t FROM '/x'", {"pg_read_server_files"}) == []


@pytest.mark.parametrize(
    ("sqlstate", "message", "hint"),
    [
        (
            "55000",
            'cannot update table "log" because it does not have a replica identity and publishes updates',
            'ALTER TABLE "log" REPLICA IDENTITY FULL',
        ),
        ("42501", 'permission denied to create extension "postgres_fdw"', 'a superuser CREATE EXTENSION "postgres_fdw"'),
        ("42501", "permission denied to COPY from a file", "GRANT pg_read_server_files TO app_owner"),
        (
            "42501",
            "must be superuser or have privileges of the pg_execute_server_program role to COPY to or from an external program",
            "GRANT pg_execute_server_program TO app_owner",
        ),
        ("42501", "permission denied to create role", "give app_owner, as whom the files run, the right to it"),
    ],
)
def test_the_hint_is_made_from_the_error(sqlstate: str, message: str, hint: str) -> None:
    """Found: it said no more than that the file is to be mended."""
    assert hint in right_errors.helps(sqlstate, message, "app_owner")
