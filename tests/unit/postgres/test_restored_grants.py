"""What could not be granted in the copy is a warning; what nobody tried is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cutoverd.daemon.postgres.backup import restore
from cutoverd.daemon.postgres.backup.tool_errors import tool_failure
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed, ServerFailed

REFUSED = """pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3460; 0 0 ACL TABLE item app_owner
pg_restore: error: could not execute query: ERROR:  permission denied for table item
Command was: GRANT SELECT ON TABLE shop.item TO app_user;
"""
NAMED = "permission denied for table item (GRANT SELECT ON TABLE shop.item TO app_user)"
AT_THE_END = "pg_restore: warning: errors ignored on restore: 1\n"
LOST = """pg_restore: error: query failed: server closed the connection unexpectedly
\tThis probably means the server terminated abnormally
\tbefore or while processing the request.
"""
ENDED = "pg_restore: error: could not execute query: FATAL:  terminating connection due to administrator command\n"


async def grants_after(monkeypatch: pytest.MonkeyPatch, stderr: str) -> list[str]:
    async def entries(*args: Any) -> list[restore.DumpEntry]:
        return [restore.DumpEntry("3460; 0 0 ACL shop TABLE item app_owner", 0, 0, "ACL shop TABLE item app_owner")]

    async def ended(*args: Any, **more: Any) -> list[str]:
        raise tool_failure("pg_restore", 1, stderr)

    monkeypatch.setattr(restore, "_entries", entries)
    monkeypatch.setattr(restore, "_restore", ended)
    server = Server("postgresql://cutover@127.0.0.1/app", "r1", 1, Path("/nowhere"))
    return await restore.restore_grants(server, Path("/nowhere"), [], step="precheck.prove_backup", timeout_seconds=1)


async def test_what_the_server_refuses_to_grant_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await grants_after(monkeypatch, REFUSED + AT_THE_END) == [NAMED]


async def test_what_was_refused_is_named_by_its_statement_and_what_is_cut_off_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: of thirty the last eighteen were told, by words of the server that named none of them."""
    with_detail = REFUSED.replace("item\nCommand", "item\nDETAIL:  it is another's\nCommand")
    without = "pg_restore: error: could not execute query: ERROR:  no\n"
    said = f"e item\n{with_detail}{without}{REFUSED}{AT_THE_END.replace('1', '30')}"
    assert await grants_after(monkeypatch, said) == [NAMED, "no", NAMED, "and 27 more"]


@pytest.mark.parametrize("stderr", [LOST, ENDED, REFUSED + LOST, ""], ids=["lost", "ended", "lost after an error", "silent"])
async def test_found_grants_that_a_lost_connection_kept_from_being_tried_were_a_warning(
    monkeypatch: pytest.MonkeyPatch, stderr: str
) -> None:
    """And the step said that the backup was proven."""
    with pytest.raises(CheckFailed if not stderr else ServerFailed):
        await grants_after(monkeypatch, stderr)
