"""What psql says on stderr."""

from pathlib import Path

import pytest

from cutoverd.daemon.host.children import Completed
from cutoverd.daemon.postgres.scripts.psql import OUTPUT_BYTES_MAX
from cutoverd.daemon.postgres.scripts.psql_errors import AT_NIGHT, IN_PRECHECK, psql_failure
from cutoverd.daemon.postgres.scripts.psql_messages import first_error
from cutoverd.daemon.sqltext.lint import ScriptLint
from cutoverd.states.errors import NotLeader, ServerFailed, StepError

GERMAN = """psql:/plan/a.sql:1: HINWEIS:  00000: hallo
LOCATION:  exec_stmt_raise, pl_exec.c:3915
psql:/plan/a.sql:2: WARNUNG:  01000: w
psql:b:c.sql:7: FEHLER:  22012: Division durch Null
ZEILE 1: SELECT 1/0;
KONTEXT:  hier
LOCATION:  int4div, int.c:846
psql:b:c.sql:7: STATEMENT:  SELECT 1/0;
psql:b:c.sql:8: FEHLER:  25P02: aktuelle Transaktion wurde abgebrochen
psql:b:c.sql:8: STATEMENT:  SELECT 1;
"""


def test_the_first_error_is_found_whatever_the_language_of_the_server():
    error = first_error(Completed(3, "", GERMAN), Path("/plan"))
    assert (error.file, error.line, error.sqlstate, error.message) == (Path("/plan/b:c.sql"), 7, "22012", "Division durch Null")
    assert "KONTEXT:  hier" in error.detail
    assert "int4div" not in error.detail


def test_an_error_of_psql_itself_has_a_place_and_no_sqlstate():
    error = first_error(Completed(3, "", "psql:a.sql:3: error: nofile.sql: No such file or directory\n"), Path("/plan"))
    assert (error.line, error.sqlstate, error.message) == (3, None, "nofile.sql: No such file or directory")


def test_notices_alone_blame_no_file():
    assert first_error(Completed(3, "", "psql:a.sql:3: NOTICE:  00000: fine\n"), Path("/plan")) is None


SKIPPED = "psql:a.sql:1: HINWEIS:  42P07: Relation »log« existiert bereits, wird übersprungen\nLOCATION:  x, y.c:1\n"
LOST = "psql:a.sql:2: error: connection to server was lost\n"
CLOSED = f"psql:a.sql:2: server closed the connection unexpectedly\n\tThis probably means …\n{LOST}"


@pytest.mark.parametrize(
    ("returncode", "behind", "message"),
    [
        (
            3,
            "psql:a.sql:2: FEHLER:  22012: Division\npsql:a.sql:2: STATEMENT:  SELECT 1/0;\n",
            "a.sql:2: Division (SQLSTATE 22012)",
        ),
        (3, "psql:a.sql:1: FEHLER:  22012: Division\npsql:a.sql:1: STATEMENT:  x\n", "a.sql:1: Division (SQLSTATE 22012)"),
        (3, "psql:a.sql:2: FEHLER:  22012: with ECHO none\n", "a.sql:2: with ECHO none (SQLSTATE 22012)"),
        (3, "psql:a.sql:2: FEHLER:  22012\npsql:a.sql:2: STATEMENT:  SELECT 1/0;\n", "a.sql:2: it failed with SQLSTATE 22012"),
        (
            3,
            "psql:a.sql:2: error: no rows returned for \\gset\npsql:a.sql:2: STATEMENT:  x\n",
            "a.sql:2: no rows returned for \\gset",
        ),
        (3, 'psql:a.sql:2: could not open file "x": No such file\n', 'a.sql:2: could not open file "x": No such file'),
        (2, f"psql:a.sql:2: FATAL:  57P01: terminating\nLOCATION:  a, b.c:2\n{CLOSED}", "a.sql:2: terminating (SQLSTATE 57P01)"),
        (2, CLOSED, "a.sql:2: connection to server was lost"),
        (3, "FEHLER:  53100: kein Platz\nDETAIL:  d\n", "psql ended with 3: COMMIT failed: kein Platz (SQLSTATE 53100)"),
        (-9, "", "psql was killed by signal 9: psql:a.sql:1: HINWEIS"),
    ],
)
def test_a_notice_is_not_taken_for_the_error_whatever_its_sqlstate(returncode: int, behind: str, message: str):
    """Found: CREATE TABLE IF NOT EXISTS before the statement that failed was blamed in its place. As psql 18 says it all."""
    error = psql_failure(Completed(returncode, "", SKIPPED + behind), ScriptLint(Path("/plan")))
    assert str(error).startswith(message)


@pytest.mark.parametrize(("then", "helps"), [(IN_PRECHECK, "then `retry`"), (AT_NIGHT, "the run goes back by itself")])
def test_no_file_is_to_be_mended_where_the_server_ended_the_session(then: str, helps: str):
    """Found: after a crash of the server, and on a full disk, it was "mend the file, then `abort`"."""
    for completed, why in (
        (Completed(2, "", CLOSED), "the server's log says why"),
        (Completed(3, "", f"{SKIPPED}psql:a.sql:2: ERROR:  53100: could not extend file\n"), "make room on the disk"),
    ):
        hint = psql_failure(completed, ScriptLint(Path("/plan")), then=then).hint
        assert (why in hint, helps in hint, "mend" in hint) == (True, True, False), hint
    of_the_file = Completed(3, "", f"{SKIPPED}psql:a.sql:2: FEHLER:  22012: x\n")
    assert "mend the file" in psql_failure(of_the_file, ScriptLint(Path("/plan")), then=then).hint


def test_an_error_of_the_server_is_told_from_one_of_the_file():
    """Found: a session that an administrator ended counted as a mistake of the script, and took a good rehearsal back."""
    for code in ("57P01", "57P02", "53300"):
        assert type(psql_failure(failed_with(code), ScriptLint(Path("/plan")))) is ServerFailed, code
    for code, kind in (
        ("22012", StepError),
        ("53200", StepError),
        ("53100", StepError),
        ("58P01", StepError),
        ("CV001", NotLeader),
    ):
        assert type(psql_failure(failed_with(code), ScriptLint(Path("/plan")))) is kind, code
    for lost in (Completed(2, "", CLOSED), Completed(-9, "", "")):  # by its own statement, it may be
        assert type(psql_failure(lost, ScriptLint(Path("/plan")))) is StepError


def failed_with(sqlstate: str) -> Completed:
    return Completed(3, "", f"{SKIPPED}psql:a.sql:2: ERROR:  {sqlstate}: x\n")


def test_what_an_event_could_not_hold_is_cut():
    stderr = f"psql:a.sql:1: ERROR:  P0001: {'x' * 100_000}\nCONTEXT:  {'y' * 100_000}\npsql:a.sql:1: STATEMENT:  x\n"
    error = first_error(Completed(3, "", stderr), Path("/plan"))
    assert error is not None
    assert (len(error.message), len(error.detail)) == (8001, 8001)


def test_what_failed_in_a_pipeline_is_known_by_the_sqlstate_that_psql_kept():
    failed = "psql:a.sql:5: ERROR:  22012: division by zero\npsql:a.sql:6: NOTICE:  42P06: schema exists, skipping\n"
    ours = "psql:w.sql:9: ERROR:  CV004: 22012\npsql:w.sql:9: STATEMENT:  DO $$ … $$;\n"
    error = psql_failure(Completed(3, "", SKIPPED + failed + ours), ScriptLint(Path("/plan")))
    assert str(error) == "a.sql:5: division by zero (SQLSTATE 22012)"
    assert "the file went on after it" in error.hint


def test_what_failed_in_a_pipeline_in_our_transaction_is_not_the_aborted_transaction():
    failed = "psql:a.sql:5: ERROR:  22012: division by zero\nLOCATION:  x, y.c:1\n"
    ours = "psql:w.sql:9: ERROR:  25P02: current transaction is aborted\npsql:w.sql:9: STATEMENT:  SELECT 1;\n"
    error = psql_failure(Completed(3, "", SKIPPED + failed + ours), ScriptLint(Path("/plan")))
    assert str(error) == "a.sql:5: division by zero (SQLSTATE 22012)"


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


def test_the_end_of_a_statement_that_is_longer_than_what_is_kept_is_not_taken_for_words():
    """Found: rows of one INSERT of more than 8 MiB, and no error, would have been in the event."""
    error = psql_failure(Completed(3, "", "secret" * (OUTPUT_BYTES_MAX // 6 + 1)), ScriptLint(Path("/plan")))
    assert "secret" not in str(error)
    assert "psql ended with 3" in str(error)


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
