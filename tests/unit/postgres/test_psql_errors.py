"""What psql says on stderr."""

from pathlib import Path

import pytest

from cutoverd.daemon.host.children import Completed
from cutoverd.daemon.postgres.scripts.psql_errors import IN_PRECHECK, first_error, psql_failure
from cutoverd.daemon.sqltext.lint import ScriptLint

GERMAN = """psql:/plan/a.sql:1: HINWEIS:  00000: hallo
LOCATION:  exec_stmt_raise, pl_exec.c:3915
psql:/plan/a.sql:2: WARNUNG:  01000: w
psql:b:c.sql:7: FEHLER:  22012: Division durch Null
ZEILE 1: SELECT 1/0;
KONTEXT:  hier
LOCATION:  int4div, int.c:846
psql:b:c.sql:8: FEHLER:  25P02: aktuelle Transaktion wurde abgebrochen
"""


def test_the_first_error_is_found_whatever_the_language_of_the_server():
    error = first_error(GERMAN, Path("/plan"))
    assert (error.file, error.line, error.sqlstate, error.message) == (Path("/plan/b:c.sql"), 7, "22012", "Division durch Null")
    assert "KONTEXT:  hier" in error.detail
    assert "int4div" not in error.detail


def test_an_error_of_psql_itself_has_a_place_and_no_sqlstate():
    error = first_error("psql:a.sql:3: error: nofile.sql: No such file or directory\n", Path("/plan"))
    assert (error.line, error.sqlstate, error.message) == (3, None, "nofile.sql: No such file or directory")


def test_notices_alone_blame_no_file():
    assert first_error("psql:a.sql:3: NOTICE:  00000: fine\n", Path("/plan")) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('ERROR:  relation "x" does not exist at character 13', 'relation "x" does not exist at character 13'),
        ("FEHLER:  42P01", "it failed with SQLSTATE 42P01"),
    ],
)
def test_an_error_of_a_file_that_wants_them_short_has_its_place(words: str, message: str):
    """Found: with VERBOSITY terse the place was lost, and psql's words were shown with the whole path."""
    stderr = f"psql:a.sql:2: NOTICE:  first\npsql:a.sql:4: {words}\npsql:a.sql:4: STATEMENT:  INSERT INTO x VALUES (1);\n"
    assert str(psql_failure(Completed(3, "", stderr), ScriptLint(Path("/plan")))) == f"a.sql:4: {message}"


def test_a_psql_that_was_killed_behind_a_short_notice_blames_no_file():
    error = psql_failure(Completed(-9, "", "psql:a.sql:2: NOTICE:  first\n"), ScriptLint(Path("/plan")))
    assert str(error).startswith("psql was killed by signal 9")


def test_a_psql_that_did_not_connect_is_told_in_its_own_words():
    stderr = 'psql: error: connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
    error = psql_failure(Completed(2, "", stderr), ScriptLint(Path("/plan")))
    assert str(error) == 'psql ended with 2: connection to server at "127.0.0.1", port 1 failed: Connection refused'


def test_a_killed_psql_is_told_with_its_signal():
    assert str(psql_failure(Completed(-9, "", ""), ScriptLint(Path("/plan")))) == "psql was killed by signal 9"


def test_exit_0_without_a_finished_row_is_an_error():
    assert "ended well, but the ledger does not know" in str(psql_failure(Completed(0, "", ""), ScriptLint(Path("/plan"))))


OTHERWISE = "psql:a.sql:3: FEHLER:  42601: Syntaxfehler\n"
LEFT = "psql:a.sql:3: FEHLER:  CV002: a.sql\n"
SPOILT = "psql:a.sql:3: FEHLER:  CV003: a.sql\n"


@pytest.mark.parametrize("completed", [Completed(3, "", stderr) for stderr in (OTHERWISE, LEFT, SPOILT)] + [Completed(0, "", "")])
def test_a_hint_asks_for_nothing_that_the_run_would_refuse(completed: Completed):
    """Found: in PreCheck it said `mend the file, or go back`, and a mended file was refused; at night nobody has to go back."""
    in_precheck = psql_failure(completed, ScriptLint(Path("/plan")), then=IN_PRECHECK).hint
    assert in_precheck.endswith("; mend the file, then `abort` and start a run with a name of its own")
    at_night = psql_failure(completed, ScriptLint(Path("/plan"))).hint
    assert at_night.endswith("; the run goes back by itself: mend the file for a run with a name of its own")
