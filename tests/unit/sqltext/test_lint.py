"""SQL files read before they are run."""

import pytest

from cutoverd.daemon.postgres.validation.check_script import _statements
from cutoverd.daemon.sqltext.lint import ScriptLint, runs_without_transaction
from cutoverd.states.errors import CheckFailed

DUMP = """--
-- PostgreSQL database dump
--

\\restrict 2Zs0Fw

SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE FUNCTION public.f() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  COMMIT;
END;
$$;
COPY public.t (a) FROM stdin;
COMMIT;
\\.

\\unrestrict 2Zs0Fw
"""


@pytest.fixture
def write(tmp_path):
    def written(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return written


def refused(cwd, *files, **how):
    reading = ScriptLint(cwd)
    for file in files:
        reading.read(file, **how)
    return [(finding.file.name, finding.line, finding.problem) for finding in reading.findings]


@pytest.mark.parametrize(
    "bad",
    [
        "\\q",
        "\\quit",
        "\\! ls",
        "\\connect other",
        "\\c other",
        "BEGIN;",
        "COMMIT;",
        "END;",
        "ROLLBACK;",
        "ABORT;",
        "commit and chain;",
        "START TRANSACTION;",
        "PREPARE TRANSACTION 'x';",
        "COMMIT PREPARED 'x';",
        "SELECT 1\\; COMMIT\\; SELECT 2;",
        "SELECT 1 \\gset \\q",
    ],
)
def test_what_leaves_the_transaction_is_refused_with_its_line(tmp_path, write, bad):
    file = write("a.sql", f"SELECT 1;\n/* a\ncomment */\n{bad}\nSELECT 2;\n")
    assert [(name, line) for name, line, _ in refused(tmp_path, file)] == [("a.sql", 4)]


@pytest.mark.parametrize(
    "bad",
    [
        "SELECT 1 \\watch",
        "SELECT 1 \\watch 5",
        "SELECT 1 \\watch c=2",
        "\\e",
        "\\edit x.sql",
        "\\ef f(int)",
        "\\ev v",
        "\\password",
        "\\prompt 'who?' who",
    ],
)
def test_what_waits_for_a_person_or_never_ends_is_refused_with_its_line(tmp_path, write, bad):
    """Found: a `\\watch` would have kept the window open until the time-out of the step."""
    file = write("a.sql", f"SELECT 1;\n\n{bad}\n")
    for in_transaction in (True, False):
        assert [(name, line) for name, line, _ in refused(tmp_path, file, in_transaction=in_transaction)] == [("a.sql", 3)]


@pytest.mark.parametrize(
    "bad",
    [
        "SELECT 1 \\g |false",
        "SELECT 1 \\gx (format=csv border=2) |cat > x",
        "\\set to |false\nSELECT 1 \\g :to",
        "\\o |mail",
        "\\out '|mail'",
        "SELECT 1 \\w |cat",
        "\\copy t to program 'gzip > t.gz'",
        "\\copy (SELECT a FROM t) TO PROGRAM 'false'",
        "\\set day `date`",
        "\\set day 'on '`date`",
        "\\i `ls`",
        "\\if `true`\\endif",
    ],
)
def test_what_a_shell_is_given_on_the_way_is_refused_as_a_shell_is(tmp_path, write, bad):
    """Found: `\\g |false` was taken for done; psql looks at no exit code there."""
    reading = ScriptLint(tmp_path)
    reading.read(write("a.sql", f"SELECT 1;\n{bad}\n"))
    assert [(each.line, "what a shell does cannot be rolled back" in each.advice) for each in reading.findings] == [
        (2 + bad.count("\n"), True)
    ]


@pytest.mark.parametrize(
    "good",
    [
        "\\copy t from program 'cat rows.csv'",
        "\\copy (SELECT '`' || 'to program') to 'rows.csv'",
        "SELECT '`|`' \\g '/tmp/a|b'",
        "\\set x 'a `date`'",
        "\\if false\n\\set day `date`\n\\endif",
        "SELECT 1 \\g (format=csv) rows.csv",
    ],
)
def test_what_no_shell_is_given_is_not(tmp_path, write, good):
    """The failure of what `\\copy … from program` runs is an error of psql."""
    assert refused(tmp_path, write("a.sql", good)) == []


@pytest.mark.parametrize(("begins", "ends"), [("restrict k", "unrestrict k"), ("startpipeline", "endpipeline")])
def test_what_is_begun_and_never_ended_is_refused_where_it_begins(tmp_path, write, begins, ends):
    """Found: the error named our own command behind the file, and a data script was tried in the window alone."""
    name = begins.split()[0]
    file = write("a.sql", f"SELECT 1;\n\\{begins}\nSELECT 2;\n")
    assert refused(tmp_path, file) == [("a.sql", 2, f"\\{name} is never ended")]
    assert refused(tmp_path, write("b.sql", f"\\{begins}\nSELECT 2;\n\\{ends}\n")) == []


@pytest.mark.parametrize(("begins", "ends"), [("restrict k", "unrestrict k"), ("startpipeline", "endpipeline")])
def test_an_end_of_what_nothing_began_is_refused(tmp_path, write, begins, ends):
    """Found: `check` passed it, and psql stopped at it in the window: not currently in restricted mode."""
    file = write("a.sql", f"SELECT 1;\n\\{ends}\n\\{begins}\n\\{ends}\n\\{ends}\n\\if :unknown\n\\{ends}\n\\endif\n")
    assert [line for _, line, _ in refused(tmp_path, file)] == [2, 5, 7]
    assert refused(tmp_path, write("b.sql", f"\\if false\n\\{ends}\n\\endif\n")) == []


def test_a_pipeline_that_each_branch_ends_is_not_refused(tmp_path, write):
    ended = "\\startpipeline\n\\if :{?cutoverd_x}\n\\endpipeline\n\\else\nSELECT 1;\n\\endpipeline\n\\endif\n"
    assert refused(tmp_path, write("a.sql", ended)) == []


def test_what_psql_does_not_take_behind_restrict_is_refused(tmp_path, write):
    file = write("a.sql", "\\restrict k\n\\set x 1\n\\unrestrict l\n\\unrestrict k\n")
    assert [line for _, line, _ in refused(tmp_path, file)] == [2, 3]
    file = write("b.sql", "\\if true\n\\restrict k\n\\else\n\\if true\n\\endif\n\\endif\n\\unrestrict k\n")
    assert [line for _, line, _ in refused(tmp_path, file)] == [3, 4, 5, 6]


def test_a_value_that_a_shell_would_get_from_the_environment_has_a_way_of_its_own(tmp_path, write):
    reading = ScriptLint(tmp_path)
    reading.read(write("a.sql", "\\set user `echo $USER`\n\\o |cat\n"))
    assert ["\\getenv" in each.advice for each in reading.findings] == [True, False]


def missed(tmp_path, text, **how):
    (tmp_path / "a.sql").write_text(text)
    reading = ScriptLint(tmp_path, environment={"HAS"}, **how)
    reading.read(tmp_path / "a.sql")
    return [(each.line, each.problem) for each in reading.findings]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT 1,\n  :'h';\n", [(3, ":'h'")]),
        ('SELECT 1 AS n \\gset\nSELECT * FROM :"h";\n', [(3, ':"h"')]),
        ("SELECT a[1:2], :h;\n", [(2, ":h")]),
        ("\\set x :h\nSELECT a[1:h], b[:h];\n", []),
        ("TABLE settings \\gset\nSELECT :'h';\n", []),
        ("CALL p(NULL) \\gset\nSELECT :'h';\n", []),
        ("\\getenv h ALSO_NOT\nSELECT :'h';\n", [(3, ":'h'")]),
        ("\\getenv h HAS\nSELECT :'h';\n", []),
        ("\\setenv LACKS x\n\\getenv h LACKS\nSELECT :'h';\n", []),
        ("\\if :{?h}\nSELECT :'h';\n\\endif\n", []),
        ("\\if :{?h}\n\\else\n\\set h x\n\\endif\nSELECT :'h';\n", []),
        ("SELECT 1 AS h \\gset\nSELECT :'h';\n", []),
        ("SELECT ':h', a::h, $$:h$$; -- :h\n\\echo :h\n\\set x ':h'\n", []),
    ],
)
def test_a_variable_that_the_environment_lacks_is_named_where_it_is_used(tmp_path, text, found):
    """Found: `check` passed it, and `:'h'` was a syntax error in the window."""
    assert missed(tmp_path, f"\\getenv h LACKS\n{text}") == found


@pytest.mark.parametrize("before", ["\\set h x", "\\getenv h HAS", "SELECT 1 AS h \\gset", "\\setenv LACKS x"])
def test_a_variable_that_has_another_value_is_not_missed(tmp_path, before):
    assert missed(tmp_path, f"{before}\n\\getenv h LACKS\nSELECT :'h';\n") == []


@pytest.mark.parametrize(
    "bad",
    [
        "VACUUM;",
        "vacuum (analyze) t;",
        "CREATE DATABASE other;",
        "DROP DATABASE IF EXISTS other;",
        "CREATE TABLESPACE fast LOCATION '/x';",
        "DROP TABLESPACE fast;",
        "CREATE INDEX CONCURRENTLY ON t (id);",
        'CREATE /* big */ UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "t id" ON t (id);',
        "DROP INDEX CONCURRENTLY i;",
        "REINDEX TABLE CONCURRENTLY t;",
        "REINDEX (VERBOSE, CONCURRENTLY) INDEX i;",
        "REINDEX (VERBOSE) SCHEMA fleet;",
        "REINDEX DATABASE app;",
        "ALTER SYSTEM SET work_mem = '1GB';",
        'ALTER DATABASE "my app" SET TABLESPACE fast;',
        "ALTER TABLE p DETACH PARTITION fleet.p1 CONCURRENTLY;",
        "CLUSTER;",
        "CLUSTER VERBOSE;",
        "DISCARD ALL;",
    ],
)
def test_what_runs_in_no_transaction_is_refused_with_its_line(tmp_path, write, bad):
    """Found: a VACUUM in a data script was first seen by the server, in Data."""
    file = write("a.sql", f"SELECT 1;\n/* a\ncomment */\n{bad}\nSELECT 2;\n")
    assert [(name, line) for name, line, _ in refused(tmp_path, file)] == [("a.sql", 4)]
    reading = ScriptLint(tmp_path)
    reading.read(file)
    assert "begins with `-- cutoverd: no-transaction`" in reading.findings[0].advice
    assert refused(tmp_path, file, in_transaction=False) == []


@pytest.mark.parametrize(
    "good",
    [
        "ANALYZE t; REINDEX TABLE t; REINDEX (CONCURRENTLY FALSE) TABLE t; CLUSTER t USING i; CLUSTER (VERBOSE) t;",
        'CREATE INDEX "concurrently" ON t (id); DROP INDEX "concurrently"; REINDEX INDEX "concurrently";',
        "CREATE INDEX i ON t (id) -- CONCURRENTLY\n; ALTER TABLE p DETACH PARTITION p1; DISCARD PLANS;",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY v; ALTER DATABASE app SET work_mem = '1MB'; CREATE TABLE database (id int);",
        "ALTER TABLE t ADD COLUMN vacuum int, ADD COLUMN note text DEFAULT 'CREATE DATABASE other'; DROP TABLE database;",
        "SELECT 'VACUUM;'; INSERT INTO t VALUES ('DROP DATABASE app');",
    ],
)
def test_what_runs_in_a_transaction_too_is_not_refused(tmp_path, write, good):
    assert refused(tmp_path, write("a.sql", good)) == []


@pytest.mark.parametrize(
    "good",
    [
        DUMP,
        "SAVEPOINT a; ROLLBACK TO a; ROLLBACK WORK TO SAVEPOINT a; RELEASE a;",
        "SELECT 'COMMIT;', \"commit\" FROM t -- COMMIT;\n;",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END;",
        "PREPARE p AS SELECT 1;",
        "\\set x 1\n\\if :x\n\\echo yes\n\\endif",
        "COPY t FROM stdin;\n\\q\nCOMMIT;\n\\.\n",
        "",
    ],
)
def test_what_stays_inside_is_not(tmp_path, write, good):
    assert refused(tmp_path, write("a.sql", good)) == []


@pytest.mark.parametrize("off", ["= off", "TO off", "= 'off'", "= false", "= 0"])
@pytest.mark.parametrize("whose", ["", "LOCAL ", "session "])
def test_a_file_that_switches_to_other_quotes_than_were_read_is_refused(tmp_path, write, whose, off):
    """Found: what follows was read as if a backslash in '…' were one."""
    file = write("a.sql", f"SELECT 1;\nSET {whose}standard_conforming_strings {off};\nSELECT 'it\\'s; COMMIT';\n")
    assert refused(tmp_path, file)[0] == ("a.sql", 2, f"SET {whose}standard_conforming_strings {off}")


CALLS = [
    "SELECT set_config('standard_conforming_strings', 'off', false)",
    "SELECT pg_catalog.SET_CONFIG ( E'Standard_conforming_strings','0', true), 1",
    "DO $$ BEGIN PERFORM set_config('standard_conforming_strings', v, false); END $$",
]


@pytest.mark.parametrize("call", CALLS)
def test_a_file_that_switches_to_other_quotes_by_a_call_is_refused(tmp_path, write, call):
    """Found: only SET was seen."""
    assert refused(tmp_path, write("a.sql", f"SELECT 1;\n{call};\n")) == [("a.sql", 2, call[:60])]


@pytest.mark.parametrize(
    "right",
    [
        "SELECT set_config('standard_conforming_strings', 'on', false)",
        "SELECT set_config('search_path', 'off', false), current_setting('standard_conforming_strings')",
        "SELECT 1 -- set_config('standard_conforming_strings', 'off', false)\n",
        "SELECT 'set_config(''standard_conforming_strings'', ''off'', false)'",
        "CREATE FUNCTION f() RETURNS text SET standard_conforming_strings = off LANGUAGE sql AS $$SELECT 'a'$$",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT set_config('standard_conforming_strings', 'off', true)$$",
    ],
)
def test_what_names_the_quotes_and_leaves_them_is_not_refused(tmp_path, write, right):
    assert refused(tmp_path, write("a.sql", f"{right};\n")) == []


def test_a_validation_script_that_switches_to_other_quotes_is_refused_with_its_line(write):
    """Found: its statements are told apart here as well, and nobody looked."""
    for each in ("SET standard_conforming_strings = off", CALLS[0]):
        with pytest.raises(CheckFailed, match=r"v\.sql:2: S.*what follows would be read otherwise"):
            _statements(write("v.sql", f"SELECT true AS ok, 'a' AS check;\n{each};\n"))


@pytest.mark.parametrize("on", ["= on", "TO 'on'", "TO DEFAULT", "= true"])
def test_a_file_that_asks_for_the_quotes_that_were_read_is_not(tmp_path, write, on):
    assert refused(tmp_path, write("a.sql", f"SET standard_conforming_strings {on};\n")) == []


def test_all_findings_of_all_files_are_told_at_once(tmp_path, write):
    files = [write("a.sql", "COMMIT;\n\\q\n"), write("b.sql", "SELECT 'open\n"), tmp_path / "c.sql"]
    assert refused(tmp_path, *files) == [
        ("a.sql", 1, "COMMIT"),
        ("a.sql", 2, "\\q"),
        ("b.sql", 1, "the quote ' is opened and never closed"),
        ("c.sql", 1, f"cannot read {tmp_path}/c.sql"),
    ]


def test_included_files_are_read_where_psql_would_find_them(tmp_path, write):
    file = write("schema/a.sql", "\\i shared/b.sql\n\\ir near/c.sql\n")
    write("shared/b.sql", "\\ir ../schema/near/d.sql\nCOMMIT;\n")
    write("schema/near/c.sql", "\n\\!ls\n")
    write("schema/near/d.sql", "\n\n\\q\n")
    assert refused(tmp_path, file) == [("d.sql", 3, "\\q"), ("b.sql", 2, "COMMIT"), ("c.sql", 2, "\\!")]


def test_a_missing_included_file_is_told_where_it_is_included(tmp_path, write):
    file = write("a.sql", "\n\\i 'not there.sql'\n")
    assert refused(tmp_path, file) == [("a.sql", 2, f"cannot read {tmp_path}/not there.sql")]


def test_a_file_that_includes_itself_or_one_that_cannot_be_known_is_refused(tmp_path, write):
    file = write("a.sql", "\\ir b.sql\n\\i :where\n\\i\n")
    write("b.sql", "\\ir a.sql\n")
    assert refused(tmp_path, file) == [("b.sql", 1, "\\ir a.sql"), ("a.sql", 2, "\\i :where"), ("a.sql", 3, "\\i")]


def test_a_file_outside_a_transaction_may_have_its_own_but_may_not_leave_its_session(tmp_path, write):
    file = write("a.sql", "BEGIN;\nCOMMIT;\n\\c other\n")
    assert refused(tmp_path, file, in_transaction=False) == [("a.sql", 3, "\\c")]


def test_bytes_that_are_not_utf8_can_be_read(tmp_path):
    (tmp_path / "a.sql").write_bytes("SET client_encoding = 'LATIN1'; SELECT 'é';\nCOMMIT;".encode("latin1"))
    assert refused(tmp_path, tmp_path / "a.sql") == [("a.sql", 2, "COMMIT")]


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("-- cutoverd: no-transaction\nSELECT 1;", True),
        ("-- cutoverd: no-transactions\n", False),
        ("-- an index\n--\n-- Cutoverd:  no-transaction \r\n", True),
        ("SELECT '-- cutoverd: no-transaction';", False),
        ("\n" * 30 + "-- cutoverd: no-transaction", False),
    ],
)
def test_a_file_says_in_its_first_lines_that_it_cannot_be_in_a_transaction(write, text, without):
    assert runs_without_transaction(write("a.sql", text)) is without


def test_many_included_files_are_all_read_and_files_that_include_each_other_over_and_over_not_for_ever(tmp_path, write):
    for number in range(1500):
        write(f"many/{number}.sql", "SELECT 1;\n")
    write("many/1499.sql", "COMMIT;\n")
    file = write("a.sql", "".join(f"\\ir many/{number}.sql\n" for number in range(1500)))
    assert refused(tmp_path, file) == [("1499.sql", 1, "COMMIT")]
    for number in range(30):
        write(f"deep/{number}.sql", f"\\ir {number + 1}.sql\n\\ir {number + 1}.sql\n")
    write("deep/30.sql", "COMMIT;\n")
    assert refused(tmp_path, tmp_path / "deep/0.sql") == [("30.sql", 1, "COMMIT")]


@pytest.mark.parametrize("text", ["SELECT lo_unlink(o) FROM doc;", "\\lo_unlink 77", "DO $$BEGIN PERFORM lo_unlink(7); END$$;"])
def test_large_objects_that_a_file_takes_away_are_a_warning_before_the_window(tmp_path, write, text):
    reading = ScriptLint(tmp_path)
    reading.read(write("a.sql", f"\n{text}\n-- lo_unlink\n"))
    assert (reading.findings, [(each.line, each.problem) for each in reading.warnings]) == ([], [(2, "lo_unlink")])


@pytest.mark.parametrize(
    "text",
    [
        "SET ROLE NONE;",
        "set local role /* ours */ 'none';",
        "SET role TO none;",
        "SET SESSION AUTHORIZATION DEFAULT;",
        "RESET SESSION AUTHORIZATION;",
    ],
)
def test_a_file_that_stops_being_the_owner_is_a_warning_with_its_line(tmp_path, write, text):
    reading = ScriptLint(tmp_path)
    reading.read(write("a.sql", f"\nSET ROLE app_owner;\n{text}\nRESET ROLE;\nSET ROLE none_of_ours;\n-- SET ROLE NONE\n"))
    assert (reading.findings, [each.line for each in reading.warnings]) == ([], [3])
    assert "the daemon's own role's" in str(reading.warnings[0])
