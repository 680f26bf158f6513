"""psql's variables that would let a failed script look finished, and its `\\if`."""

import pytest

from cutoverd.daemon.sqltext.executed import interpolated
from cutoverd.daemon.sqltext.lint import ScriptLint
from cutoverd.daemon.sqltext.splitter import Statement
from cutoverd.daemon.sqltext.variables import Variables, boolean


def lint(folder, in_transaction=True, **files):
    """The finding of a.sql, and of what it includes: (file, line, problem)."""
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)
    reading = ScriptLint(folder)
    reading.read(folder / "a.sql", in_transaction=in_transaction)
    return [(finding.file.name, finding.line, finding.problem) for finding in reading.findings]


STOPS_STOPPING = [
    "\\set ON_ERROR_STOP off",
    "\\set ON_ERROR_STOP 0",
    "\\set ON_ERROR_STOP 'false'",
    "\\set ON_ERROR_STOP F",
    "\\set ON_ERROR_STOP o ff",
    "\\unset ON_ERROR_STOP",
    "\\getenv ON_ERROR_STOP HOME",
    "\\set ON_ERROR_STOP :stop",
    "\\set ON_ERROR_STOP `echo off`",
    "\\set SINGLELINE on",
    "\\set SINGLELINE",
    "\\set SINGLESTEP 1",
    "\\set LAST_ERROR_SQLSTATE 00000",
    "\\set :name off",
]


@pytest.mark.parametrize("command", STOPS_STOPPING)
def test_a_file_that_switches_stopping_off_is_refused_with_its_line(tmp_path, command):
    """Found: half of a script was missing, and the run completed."""
    assert lint(tmp_path, a=f"SELECT 1;\n\n{command}\nSELECT 2;\n") == [("a.sql", 3, command)]
    assert lint(tmp_path, in_transaction=False, a=f"SELECT 1;\n\n{command}\nSELECT 2;\n") == [("a.sql", 3, command)]


@pytest.mark.parametrize(
    "command",
    [
        *("\\set ON_ERROR_STOP on", "\\set ON_ERROR_STOP", "\\set ON_ERROR_STOP 1", "\\set ON_ERROR_STOP TRUE"),
        *("\\set ON_ERROR_STOP t", "\\set SINGLELINE off", "\\set stop off", "\\unset stop", "\\set ON_ERROR_ROLLBACK on"),
        *("\\set AUTOCOMMIT off", "\\set VERBOSITY terse", "\\getenv home HOME", "\\set stop on\n\\set ON_ERROR_STOP :stop"),
        "\\echo ON_ERROR_STOP off",
    ],
)
def test_what_leaves_stopping_as_it_is_is_not(tmp_path, command):
    assert lint(tmp_path, a=f"{command}\nSELECT 2;\n") == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'off' AS \"ON_ERROR_STOP\" \\gset",
        "SELECT 'off' AS \"STOP\"\n  \\gset ON_ERROR_",
        'SELECT 1 AS "SINGLELINE", 2 AS b \\gset',
        "SELECT '00000' AS \"ERROR_SQLSTATE\" \\gset LAST_",
    ],
)
def test_a_query_that_switches_stopping_off_is_refused(tmp_path, query):
    """Found: `\\gset` does what `\\set` does, and was first noticed at night."""
    ((name, _, problem),) = lint(tmp_path, a=f"{query}\n")
    assert (name, problem.startswith("\\gset sets ")) == ("a.sql", True)


@pytest.mark.parametrize(
    "query",
    ["SELECT 'off' AS stop \\gset", 'SELECT 1 AS "A" \\gset b_', "SELECT 'x' AS \"AUTOCOMMIT\" \\gset", "SELECT 1 \\gset"],
)
def test_a_query_that_sets_anything_else_is_not(tmp_path, query):
    assert lint(tmp_path, a=f"{query}\n") == []


def test_a_file_without_a_transaction_that_switches_autocommit_off_is_refused(tmp_path):
    assert lint(tmp_path, in_transaction=False, a="\\set AUTOCOMMIT off\n") == [("a.sql", 1, "\\set AUTOCOMMIT off")]


@pytest.mark.parametrize("around", ["\\if true\n{}\n\\endif", "\\if :fast\n{}\n\\endif", "\\if :fast\n\\else\n{}\n\\endif"])
def test_an_if_around_hides_nothing_that_may_be_run(tmp_path, around):
    text = around.format("\\unset ON_ERROR_STOP")
    assert lint(tmp_path, a=text)[0][2] == "\\unset ON_ERROR_STOP"


@pytest.mark.parametrize(
    "around",
    [
        *("\\if false\n{}\n\\endif", "\\if true\n\\else\n{}\n\\endif", "\\if true\n\\elif :x\n{}\n\\endif"),
        *("\\set fast off\n\\if :fast\n{}\n\\endif", "\\if :{{?nowhere_set}}\n{}\n\\endif"),
        "\\if false\n\\if true\n{}\n\\endif\n\\endif",
    ],
)
def test_what_is_surely_passed_over_is_not_judged(tmp_path, around):
    assert lint(tmp_path, a=around.format("\\unset ON_ERROR_STOP\nCOMMIT;\n\\i nowhere.sql")) == []


def test_a_variable_is_known_in_what_is_included_and_behind_it(tmp_path):
    files = {"a": "\\set part b\n\\i :part.sql\n\\set ON_ERROR_STOP :stop\n", "b": "\\set stop off\n\\unset ON_ERROR_STOP\n"}
    assert lint(tmp_path, **files) == [("b.sql", 2, "\\unset ON_ERROR_STOP"), ("a.sql", 3, "\\set ON_ERROR_STOP :stop")]


def test_what_a_query_sets_is_not_known(tmp_path):
    assert lint(tmp_path, a="\\set stop on\nSELECT 'off' AS stop \\gset\n\\set ON_ERROR_STOP :stop\n")[0][1] == 3


def test_a_long_value_that_stands_very_often_is_not_put_in_each_time():
    """Found: 100 KB, 5000 times, took 1.4 GB and 9 s; it was bounded behind the pass alone. Short ones are still put in."""
    variables = Variables()
    for name, value in {"b": "x" * 100_000, "c": ":x", "x": "COMMIT"}.items():
        variables.apply("set", [name, f"'{value}'"], certain=True)
    text = f"SELECT {','.join([':b'] * 500)}; :c"
    filled = interpolated(Statement(1, text, ("select",)), variables)
    assert sum(len(each.text) for each in filled) <= len(text) + 1_000_000
    assert filled[-1].text.startswith("COMMIT")


def test_each_psql_begins_with_variables_of_its_own(tmp_path):
    (tmp_path / "a.sql").write_text("\\set part b\n")
    (tmp_path / "c.sql").write_text("\\i :part.sql\n")
    (tmp_path / "b.sql").write_text("")
    reading = ScriptLint(tmp_path)
    for file in ("a.sql", "c.sql"):
        reading.read(tmp_path / file)
    assert reading.findings == []
    reading.begin()
    reading.read(tmp_path / "c.sql")
    assert [finding.problem for finding in reading.findings] == ["\\i :part.sql"]


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ("", True),
        ("on", True),
        ("ye", True),
        ("1", True),
        ("OFF", False),
        ("n", False),
        ("0", False),
        ("o", None),
        ("maybe", None),
    ],
)
def test_a_boolean_is_read_as_psql_does(value, means):
    assert boolean(value) is means


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("SELECT 1;\n\\if true\nSELECT 2;\n", 2, "\\if is never closed"),
        ("\\if true\n\\if :x\n\\endif\n", 1, "\\if is never closed"),
        ("SELECT 1;\n\\endif\n", 2, "\\endif"),
        ("\\if maybe\nSELECT 1;\n\\endif\n", 1, "\\if maybe"),
    ],
)
def test_an_if_that_psql_does_not_read_as_it_stands_is_refused(tmp_path, text, line, problem):
    """psql goes on after a condition that it does not know, as if it were false."""
    assert lint(tmp_path, a=text) == [("a.sql", line, problem)]
