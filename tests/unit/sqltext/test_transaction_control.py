"""COMMIT in a DO block, and CALL of a procedure that commits."""

import pytest

from cutoverd.daemon.sqltext.lint import ScriptLint
from cutoverd.daemon.sqltext.transaction_control import read_body


def lint(folder, text, in_transaction=True):
    (folder / "a.sql").write_text(text)
    reading = ScriptLint(folder)
    reading.read(folder / "a.sql", in_transaction=in_transaction)
    return reading


def found(folder, text, in_transaction=True):
    return [(finding.file.name, finding.line) for finding in lint(folder, text, in_transaction).findings]


ENDS = {
    "DO $$\nBEGIN\n  COMMIT;\nEND $$;": 3,
    "DO $x$ BEGIN\nIF n % 5 = 0 THEN COMMIT; END IF; END $x$ LANGUAGE plpgsql;": 2,
    "DO LANGUAGE plpgsql $$ BEGIN LOOP\nROLLBACK AND CHAIN; END LOOP; END $$;": 2,
    "DO 'BEGIN\nRAISE NOTICE ''x'';\ncommit;\nEND';": 3,
    "do $$ begin /* why */ commit /* now */ ; end $$;": 1,
    "DO $$ <<outer>> BEGIN x := 1;\n<<here>>\nCOMMIT; END $$;": 3,
    "DO $$ BEGIN\nEXECUTE 'COMMIT'; END $$;": 2,
    "DO LANGUAGE plpython3u $$\nplpy.commit()\n$$;": 2,
}


@pytest.mark.parametrize("text", ENDS)
def test_a_do_block_that_ends_the_transaction_is_refused_with_its_line(tmp_path, text):
    """Found: it was seen by the server, in Data, at night."""
    assert found(tmp_path, text) == [("a.sql", ENDS[text])]
    assert found(tmp_path, text, in_transaction=False) == []


@pytest.mark.parametrize(
    "text",
    [
        "DO $$ BEGIN RAISE NOTICE 'COMMIT;'; -- COMMIT;\n END $$;",
        "DO $$ DECLARE commit int; BEGIN commit := 1; PERFORM commit; END $$;",
        "DO $$ BEGIN EXECUTE $q$ CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN COMMIT; END' $q$; END $$;",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;",
    ],
)
def test_what_ends_nothing_by_itself_is_not(tmp_path, text):
    assert found(tmp_path, text) == []


COMMITS = "CREATE OR REPLACE PROCEDURE fleet.load(n int DEFAULT 1) LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;\n"
KEEPS = "CREATE PROCEDURE load(n int, b text) LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;\n"


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ("CALL fleet.load(1);", 2),
        ('call "fleet"."load"( );', 2),
        ("CALL load(1);", 2),
        ("DO $$\nBEGIN\nCALL load(1);\nEND $$;", 4),
        ("DO $$\nBEGIN\nEXECUTE 'CALL load(1)';\nEND $$;", 4),
        ("CREATE PROCEDURE both() LANGUAGE plpgsql AS $$ BEGIN CALL load(2); END $$; CALL both();", 2),
    ],
)
def test_a_call_of_a_procedure_of_the_files_that_commits_is_refused(tmp_path, call, line):
    assert found(tmp_path, COMMITS + call) == [("a.sql", line)]
    assert found(tmp_path, COMMITS + call, in_transaction=False) == []


def test_a_call_of_one_that_does_not_is_not(tmp_path):
    assert found(tmp_path, COMMITS + KEEPS + "CALL load(1, 'x');") == []
    assert found(tmp_path, COMMITS + COMMITS.replace("COMMIT", "NULL") + "CALL fleet.load(1);") == []


def test_which_of_several_is_meant_may_be_unknown_and_is_a_warning(tmp_path):
    reading = lint(tmp_path, COMMITS + KEEPS + "CALL load();")
    assert (reading.findings, [warning.line for warning in reading.warnings]) == ([], [3])


def test_a_call_of_what_no_file_makes_is_judged_by_what_production_has(tmp_path):
    for body, lines in (("BEGIN COMMIT; END", [1]), ("BEGIN NULL; END", []), ("BEGIN CALL other(); END", [1])):
        reading = lint(tmp_path, "CALL public.load(1);")
        assert len(reading.calls) == 1
        other = read_body("public", "other", 0, "plpgsql", "BEGIN\nROLLBACK;\nEND")
        reading.judge_rest([read_body("public", "load", 1, "plpgsql", body), other])
        assert [finding.line for finding in reading.findings] == lines


def test_procedures_that_call_each_other_are_read_to_an_end(tmp_path):
    reading = lint(tmp_path, "CALL a();")
    reading.judge_rest([read_body("p", "a", 0, "plpgsql", "BEGIN CALL b(); END"), read_body("p", "b", 0, "sql", "CALL a()")])
    assert reading.findings == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SELECT 'COMMIT' \\gexec", 1),
        ("SELECT 'SELECT 1',\n  $q$COMMIT$q$ AS c FROM t WHERE x \\gexec", 2),
        ("VALUES ('ROLLBACK; SELECT 1') \\gexec", 1),
        ("SELECT 'CALL fleet.load(1)' \\gexec", 1),
        ("SELECT 'VACUUM' \\gexec", 1),
        ("SELECT 'COMMIT'::text \\gexec", 1),
        ("\\set x COMMIT\n:x;", 2),
        ("\\set y LL\n\\set x 'CA':y\n\\set p fleet\n:x :p.load(1);", 4),
        ("\\set x 'SELECT 1; COMMIT'\n:x;", 2),
        ("\\set x '''COMMIT'''\nSELECT :x \\gexec", 2),
    ],
)
def test_a_commit_in_a_literal_that_is_run_is_refused_with_its_line(tmp_path, text, line):
    """Found: `SELECT 'COMMIT' \\gexec` and `:x;` were first seen by the server, in the window."""
    assert found(tmp_path, f"{COMMITS}{text}\n") == [("a.sql", 1 + line)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'DROP TABLE ' || a FROM t WHERE what = 'COMMIT' \\gexec",
        "SELECT 'a' LIKE 'COMMIT', count('COMMIT' || a) FROM t \\gexec",
        "SELECT 'COMMIT';",
        "\\set x COMMIT\nSELECT a::x, ':x', \"x\", :'x' -- :x\n;",
        "SELECT 1 AS x \\gset\n:x;",
        "SELECT format('CALL fleet.other(%L)', a) FROM t \\gexec",
    ],
)
def test_a_literal_that_is_compared_or_shown_is_not(tmp_path, text):
    reading = lint(tmp_path, f"{COMMITS}{text}\n")
    reading.judge_rest([])
    assert (reading.findings, reading.warnings) == ([], [])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'ALTER ROLE app SET search_path = shop' FROM pg_roles WHERE rolname = 'app' \\gexec",
        "SELECT 'DROP ROLE app' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \\gexec",
        "SELECT 'VACUUM t' WHERE true \\gexec",
        "SELECT 'CREATE INDEX CONCURRENTLY ON t (a)' LIMIT 1 \\gexec",
        "SELECT 'CREATE DATABASE d', extract(year FROM now()) \\gexec",
    ],
)
def test_what_reaches_past_the_copy_is_refused_behind_a_condition_too(tmp_path, text):
    """Found: such an ALTER ROLE passed, and PreCheck changed the role of production, at the gate before Downtime."""
    assert found(tmp_path, f"{COMMITS}{text}\n") == [("a.sql", 2)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'CREATE ROLE app' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \\gexec",
        "SELECT 'CREATE DATABASE d' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'd') \\gexec",
    ],
)
def test_what_is_made_where_there_is_none_is_a_warning(tmp_path, text):
    reading = lint(tmp_path, f"{COMMITS}{text}\n")
    assert (reading.findings, [warning.line for warning in reading.warnings]) == ([], [2])


@pytest.mark.parametrize(
    "text",
    [
        "SELECT format('CALL %I.load(1)', 'fleet') \\gexec",
        "SELECT 'CALL ' || a FROM t \\gexec",
        "SELECT CASE WHEN a THEN 'COMMIT' END FROM t \\gexec",
        "DO $$ BEGIN EXECUTE format('CALL %I.load()', 'fleet'); END $$;",
        "DO $$ BEGIN EXECUTE 'CALL ' || quote_ident(n) || '()' INTO x; END $$;",
        "CALL fleet.p();",
    ],
)
def test_a_call_that_is_put_together_is_a_warning(tmp_path, text):
    """Found: a procedure with `EXECUTE format('CALL %I.load()', …)` was seen in the window alone."""
    (tmp_path / "a.sql").write_text(text)
    reading = ScriptLint(tmp_path)
    reading.read(tmp_path / "a.sql")
    p = "BEGIN IF a = 1 THEN EXECUTE format('CALL %I.load()', 'fleet'); END IF; END"
    reading.judge_rest([read_body("fleet", "load", 1, "plpgsql", "BEGIN COMMIT; END"), read_body("fleet", "p", 1, "plpgsql", p)])
    assert (reading.findings, [warning.line for warning in reading.warnings]) == ([], [1])
