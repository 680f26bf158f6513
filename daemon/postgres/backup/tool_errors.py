"""What pg_dump and pg_restore say when they fail, as a `StepError`: the error, what it is about, a hint made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cutoverd.states.errors import CheckFailed, ServerFailed, StepError

OUTPUT_BYTES = 4000
_ERROR = re.compile(r"^\S+: error: (?P<message>.*)$", re.MULTILINE)
_ENDED = re.compile("terminating connection|closed the connection unexpectedly")  # by no file of the plan: it runs none
_UNNAMED = re.compile(r"could not write to (?:output )?file: ")
_ENTRY = re.compile(r"^pg_restore: from TOC entry \d+; \d+ \d+ (?P<what>.*)$", re.MULTILINE)
_ROUTINE = re.compile(r'^(?:CONTEXT:  )?(?:SQL|PL/pgSQL) function "?(?P<name>[^"\n(]+(?:\([^)]*\))?)"?', re.MULTILINE)
NO_WAY = (
    "what no role of yours can restore is left out of the proof by name (backup.leave_out), or restored by a command of your own "
    "(backup.restore): docs/plan.md, The backup's proof"
)
# what is said, and what helps, in the order in which they are tried; {0}, {1}: what the words in it are about
_HINTS: Sequence[tuple[str, str]] = (
    (r"server version mismatch", "give `client_tools` the folder of the tools of the server's major version"),
    (r'unrecognized configuration parameter "(\S+)"', "{0} is newer than the server: `client_tools` has to be of its version"),
    (r'row-level security policy for table "(.+?)"', "ALTER ROLE … BYPASSRLS for our role: it has to see all rows of {0}"),
    (
        r"permission denied for large object (\d+)",
        "ALTER ROLE … SET lo_compat_privileges = on for our role, or GRANT SELECT ON LARGE OBJECT {0} to it",
    ),
    (r"lock timeout", "somebody holds a lock on a table for longer than the dump waits: pg_locks names who; then `retry`"),
    (
        r"statement timeout",
        "a login event trigger leaves it a statement_timeout too short to begin: let its function return for "
        "application_name like 'cutoverd/%'",
    ),
    (r"No space left on device|could not write|could not extend file", "make room on the disk that it names, then `retry`"),
    (r"closed the connection unexpectedly|terminating connection", "the server's log says why it ended, then `retry`"),
    (r'extension "(.+?)" is not available', "install extension {0} on the server, or leave it out by name (backup.leave_out)"),
    (r"(?i)must be superuser|only superusers? can|permission denied to create|permission denied to set parameter", NO_WAY),
    (r"(?i)permission denied for language (\S+)|permission denied for foreign-data wrapper (\S+)", NO_WAY),
    (
        r"permission denied for [^\n]+\nCommand was: REFRESH MATERIALIZED VIEW (.+);",
        "materialized view {0} reads what the owner of the database may not, as whom it is filled in a restore: leave it out by "
        "name (backup.leave_out)",
    ),
    (r"permission denied for (\w+) (\S+)", "GRANT what is needed on {0} {1} to our role; pg_read_all_data reads all tables"),
    (r'too many connections for database "(.+?)"', "ALTER DATABASE {0} CONNECTION LIMIT … to as many more, or end some in it"),
    (r'database "(.+?)" does not exist|connection to server', "see that the server runs and lets our role into the database"),
)  # fmt: skip
_NOT_FOUND = re.compile(r"(?:relation|function|type|operator|schema) .* does not exist")


def tool_failure(tool: str, returncode: int, stderr: str, *, writes_to: Path | None = None) -> StepError:
    """`ServerFailed`, or `CheckFailed` where the backup is what cannot be taken or restored.

    `stderr`: its end; all of it that was kept is in the evidence. `writes_to`: a file of it that has no room has no name.
    """
    output = stderr[-OUTPUT_BYTES:].strip()
    how = f"was killed by signal {-returncode}" if returncode < 0 else f"ended with {returncode}"
    where = f" ({writes_to})" if writes_to and _UNNAMED.search(output) else ""
    kind = ServerFailed if _ENDED.search(output) else CheckFailed
    return kind(f"{tool} {how}: {_first(output)}{where}", hint=hint_of(output), evidence={"stderr": output})


def _first(output: str) -> str:
    error, entry = _ERROR.search(output), _ENTRY.search(output)
    if error is None:
        return output.splitlines()[0] if output else "it said nothing"
    return error["message"] + (f" (it restored {entry['what']})" if entry else "")


def hint_of(output: str) -> str:
    """What helps against the first error that is known; "" against one that is not."""
    if _NOT_FOUND.search(output) and (routine := _ROUTINE.search(output)):
        return (
            f"function {routine['name']} finds what it needs by a search_path that a restore does not have: "
            f"ALTER FUNCTION {routine['name']} SET search_path = …, or write its schemas out"
        )
    for pattern, helps in _HINTS:
        if found := re.search(pattern, output):
            return helps.format(*(word for word in found.groups() if word is not None)) if found.groups() else helps
    return "" if not _ENTRY.search(output) else NO_WAY
