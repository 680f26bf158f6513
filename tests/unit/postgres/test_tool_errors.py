"""What helps where pg_dump or pg_restore fails is made of what it said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutoverd.daemon.postgres.backup.tool_errors import NO_WAY, tool_failure
from cutoverd.states.errors import ServerFailed

OUTPUTS = {  # as they were seen: 15 and 18
    "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 18.1; pg_dump version: 15.2": (
        "client_tools"
    ),
    'pg_dump: error: query failed: ERROR:  query would be affected by row-level security policy for table "item"': "BYPASSRLS",
    "pg_dump: error: could not open large object 4711: ERROR:  permission denied for large object 4711": "LARGE OBJECT 4711",
    "pg_dump: error: query failed: ERROR:  permission denied for table hidden": "on table hidden to our role",
    "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout": "pg_locks",
    'pg_dump: error: connection to server failed: FATAL:  too many connections for database "app"': (
        "ALTER DATABASE app CONNECTION LIMIT"
    ),
    "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout": "a login event trigger",
    "pg_dump: error: query failed: server closed the connection unexpectedly\n\tThis probably …": "the server's log says why",
    "pg_dump: error: could not write to output file: No space left on device": "make room",
    'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "x"': "of its version",
    'pg_restore: error: could not execute query: ERROR:  extension "vector" is not available': "install extension vector",
    'pg_restore: error: could not execute query: ERROR:  permission denied to create extension "dblink"\n': NO_WAY,
    "pg_restore: error: could not execute query: ERROR:  only superuser can define a leakproof function": NO_WAY,
    "pg_restore: error: could not execute query: ERROR:  permission denied for table pg_authid\n"
    "Command was: REFRESH MATERIALIZED VIEW public.logins;\n": "leave it out by name (backup.leave_out)",
    'pg_restore: error: COPY failed for table "uses": ERROR:  relation "known" does not exist\n'
    "LINE 1: SELECT EXISTS (SELECT FROM known WHERE id = $1)\n"
    'CONTEXT:  SQL function "is_known" during inlining': "ALTER FUNCTION is_known SET search_path",
}


@pytest.mark.parametrize("stderr", OUTPUTS)
def test_a_hint_is_made_from_the_error(stderr: str) -> None:
    """Found: whatever was wrong, the advice was that pg_dump had to be of the server's major version."""
    failure = tool_failure("pg_dump", 1, stderr)
    assert OUTPUTS[stderr] in failure.hint
    assert "major version" not in failure.hint or "version" in stderr
    assert failure.evidence == {"stderr": stderr.strip()}


def test_the_message_is_the_error_and_what_was_restored_not_the_first_line() -> None:
    output = (
        "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 220; 1259 16400 VIEW public slow postgres\n"
        'pg_restore: error: could not execute query: ERROR:  relation "public.x" does not exist\nCommand was: CREATE VIEW'
    )
    failure = tool_failure("pg_restore", 1, output)
    assert str(failure) == (
        'pg_restore ended with 1: could not execute query: ERROR:  relation "public.x" does not exist '
        "(it restored VIEW public slow postgres)"
    )
    assert failure.hint == NO_WAY


def test_what_is_the_servers_trouble_says_nothing_of_the_backup() -> None:
    ended = "pg_dump: error: query failed: FATAL:  terminating connection due to administrator command"
    assert isinstance(tool_failure("pg_dump", 1, ended), ServerFailed)
    of_the_server = [stderr for stderr in OUTPUTS if isinstance(tool_failure("pg_dump", 1, stderr), ServerFailed)]
    assert [OUTPUTS[stderr] for stderr in of_the_server] == ["the server's log says why"]


def test_what_is_not_known_gets_no_hint() -> None:
    assert tool_failure("pg_dump", 1, "pg_dump: error: something that nobody has seen").hint == ""
    assert str(tool_failure("pg_dump", -9, "")) == "pg_dump was killed by signal 9: it said nothing"


def test_a_disk_without_room_is_named_where_pg_dump_names_no_file() -> None:
    """Found: "make room on the disk that it names", and it named none."""
    folder = Path("/backups/run-before.1.part")
    failure = tool_failure("pg_dump", 1, "pg_dump: error: could not write to file: No space left on device", writes_to=folder)
    assert str(failure) == f"pg_dump ended with 1: could not write to file: No space left on device ({folder})"
    named = 'pg_dump: error: could not open output file "/x/1.dat": No space left on device'
    assert str(folder) not in str(tool_failure("pg_dump", 1, named, writes_to=folder))
