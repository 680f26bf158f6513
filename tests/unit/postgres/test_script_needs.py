"""What SQL files need of the server, before the window finds that it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoverd.daemon.postgres.precheck.script_needs import Published, ScriptNeeds
from cutoverd.daemon.postgres.scripts import right_errors
from cutoverd.daemon.sqltext.lint import ScriptLint
from cutoverd.daemon.sqltext.splitter import Statement, split

LOG = Published("public", "log", "public.log", "pall", update=True, delete=True)
AUDIT = Published("audit", "orders", "audit.orders", "pall", update=True, delete=True)
INSERTED = Published("public", "rest", "public.rest", "pall", update=False, delete=True)


def wrong(text: str, roles: set[str] | None = None) -> list[tuple[str, str]]:
    needs = ScriptNeeds("app_owner", {"pg_trgm": True, "postgres_fdw": False}, roles or set(), [LOG, INSERTED, AUDIT])
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
    reading = ScriptLint(tmp_path, judge=ScriptNeeds("app_owner", {}, set()))
    for name, text in {"a.sql": "SET ROLE admin;\nCOPY t FROM '/x';", "b.sql": "COPY t FROM '/x';"}.items():
        (tmp_path / name).write_text(text)
        reading.read(tmp_path / name)
    assert [(found.file.name, found.line) for found in reading.findings] == [("b.sql", 1)]


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
