"""What psql says on stderr, as a `StepError` with file, line, SQLSTATE and the server's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cutoverd.daemon.host.children import Completed
from cutoverd.daemon.postgres.scripts import right_errors
from cutoverd.daemon.postgres.scripts.psql import OUTPUT_BYTES_MAX, Wrapper
from cutoverd.daemon.postgres.scripts.psql_messages import PASSED_OVER, ScriptError, commit_error, first_error
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.sqlstates import is_of_the_server
from cutoverd.daemon.sqltext.lint import ScriptLint, chain
from cutoverd.states.errors import NotLeader, ServerFailed, StepError

_LOST = re.compile(r"^psql: error: (?P<message>.*)$", re.MULTILINE)
AT_NIGHT = "the run goes back by itself: mend the file for a run with a name of its own"
IN_PRECHECK = "mend the file, then `abort` and start a run with a name of its own"
SESSION_LOST = 2  # how psql ends then
WITHOUT_FILE = ("53", "57P", "58")  # SQLSTATEs that begin so: no room, no memory, shut down, an error of the system
SERVER_HELPS = {"53100": "make room on the disk that it names"}
LOG = "the server's log says why it ended"
OWNER = "the database's owner"
NOT_LEADER, LEFT_TRANSACTION, UNFINISHED, OPEN = "CV001", "CV002", "CV003", "CV005"
NAMED_MAX = 5


def what_then(server: Server) -> str:
    """What is to be done about a failure: of the rehearsal in PreCheck, or in the window."""
    return IN_PRECHECK if server.on_trial else AT_NIGHT


def psql_failure(
    completed: Completed,
    reading: ScriptLint,
    wrapper: Wrapper | None = None,
    *,
    owner: str = OWNER,
    kept: str = "nothing of it was kept",
    then: str = AT_NIGHT,
) -> StepError:
    """The error for a psql run whose step is not finished in the ledger; `ServerFailed` where that says nothing of the files.

    `owner`: as whom the files run; `kept` says what became of its effect, `then` what is to be done. A mended file is never
    run by the run that it failed in: that goes through with what it began with.
    """
    error = first_error(completed, reading.cwd)
    then = _of_the_server(completed, error, then)
    failure = _of_files(completed, error, reading, wrapper, owner, kept, then)
    if not is_of_the_server(error.sqlstate if error else None):
        return failure
    return ServerFailed(str(failure), hint=failure.hint, evidence=failure.evidence)


def _of_files(
    completed: Completed,
    error: ScriptError | None,
    reading: ScriptLint,
    wrapper: Wrapper | None,
    owner: str,
    kept: str,
    then: str,
) -> StepError:
    if error is None:
        return _without_place(completed, kept, then)
    if error.sqlstate == NOT_LEADER:
        return NotLeader()
    if error.sqlstate == LEFT_TRANSACTION:
        return StepError(
            f"{_shown(Path(error.message), reading.cwd)} ended the transaction that it was run in; what came before is committed",
            hint=f"take COMMIT, END, ROLLBACK and the like out of it; {then}",
            evidence={"file": error.message},
        )
    if error.sqlstate == UNFINISHED:
        return StepError(
            "an earlier attempt was committed without its end: a file ended the transaction that it was run in",
            hint=f"take COMMIT out of the files; {then}",
        )
    helps = right_errors.helps(error.sqlstate, error.message, owner)
    if wrapper and error.file == wrapper.path:
        return _in_ours(error, wrapper, reading, "; ".join(filter(None, (helps, kept, then))))
    if f"  {PASSED_OVER}: " in completed.stderr_tail:
        kept = f"the file went on after it and so was not taken for done (was ON_ERROR_STOP off, or a pipeline open?); {kept}"
    return _at_its_place(error, reading, "; ".join(filter(None, (helps, kept, then))))


def _of_the_server(completed: Completed, error: ScriptError | None, then: str) -> str:
    """What is to be done, and that is to mend the file unless the server could not go on with it."""
    sqlstate = (error.sqlstate if error else None) or ""
    if completed.returncode != SESSION_LOST and not sqlstate.startswith(WITHOUT_FILE):
        return then
    helps = SERVER_HELPS.get(sqlstate, LOG)
    return {AT_NIGHT: f"{helps}; the run goes back by itself", IN_PRECHECK: f"{helps}, then `retry`"}.get(then, then)


def _in_ours(error: ScriptError, wrapper: Wrapper, reading: ScriptLint, hint: str) -> StepError:
    """A statement of ours failed by what the files left: a constraint that was put off, say; a place in it helps nobody.

    Which of several files it was nobody can tell at the end of them all.
    """
    message = {
        PASSED_OVER: f"something in it failed with SQLSTATE {error.message}, and the file went on",
        OPEN: "it begins a transaction and does not end it: what it did there is lost",
    }.get(error.sqlstate or "", error.message)
    files = wrapper.files_before(error.line)
    files = files if error.line > wrapper.end else files[-1:]
    names = [_shown(file, reading.cwd) for file in files]
    where = ", ".join(names[:NAMED_MAX]) + (f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else "")
    when = f"{'at the end of ' if error.sqlstate else ''}{where}" if where else "before the first file"
    return StepError(f"{when}: {message}{_state(error)}", hint=hint, evidence=_evidence(error, [str(file) for file in files]))


def _state(error: ScriptError) -> str:
    return f" (SQLSTATE {error.sqlstate})" if error.sqlstate and not error.sqlstate.startswith("CV") else ""


def _evidence(error: ScriptError, files: Sequence[str]) -> dict[str, Any]:
    """`file`: the one that it was, if it was one."""
    file = {"file": files[0]} if len(files) == 1 else {"files": list(files)}
    return {**file, "sqlstate": error.sqlstate, "message": error.message, "detail": error.detail}


def _at_its_place(error: ScriptError, reading: ScriptLint, hint: str) -> StepError:
    places = [(error.file, error.line), *chain(reading, error.file)]
    where = ", included by ".join(f"{_shown(file, reading.cwd)}:{line}" for file, line in places)
    included_by = [f"{file}:{line}" for file, line in places[1:]]
    evidence = {**_evidence(error, [str(error.file)]), "line": error.line, "included_by": included_by}
    return StepError(f"{where}: {error.message}{_state(error)}", hint=hint, evidence=evidence)


def _last_words(stderr: str) -> str:
    """Not the end of a statement that is longer than all that is kept: it may hold rows, and says nothing of the error."""
    is_cut = len(stderr.encode(errors="replace")) >= OUTPUT_BYTES_MAX
    return "it said more than can be kept of it: a statement that failed, say" if is_cut else stderr.strip()[-500:]


def _without_place(completed: Completed, kept: str, then: str) -> StepError:
    if completed.returncode == 0:
        return StepError(
            "psql ended well, but the ledger does not know the step as finished: a file left its session or its transaction",
            hint=f"look for \\connect and COMMIT in what the files run; {then}",
        )
    how = f"was killed by signal {-completed.returncode}" if completed.returncode < 0 else f"ended with {completed.returncode}"
    match = _LOST.search(completed.stderr_tail)
    words = match["message"] if match else commit_error(completed.stderr_tail) or _last_words(completed.stderr_tail)
    return StepError(f"psql {how}{': ' if words else ''}{words}", hint=kept)


def _shown(file: Path, cwd: Path) -> str:
    return str(file.relative_to(cwd)) if file.is_relative_to(cwd) else str(file)
