"""pg_restore of a dump into the scratch database, without what only a superuser could restore."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from cutoverd.daemon.host import children
from cutoverd.daemon.postgres.backup.dump import failed, run
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server

_LIST_SECONDS = 60
_LIST_BYTES_MAX = 64 * 1024 * 1024
_PARTIAL = (  # docs/measured.md, "Rights of the daemon's role"
    "--no-owner",
    "--no-tablespaces",
    "--no-privileges",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
)
_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<what>.*)$")
SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
UNTRUSTED = """
SELECT e.extname FROM pg_extension e
JOIN pg_available_extension_versions v ON v.name = e.extname AND v.version = e.extversion
WHERE v.superuser AND NOT v.trusted
"""


async def not_ours_to_restore(conn: Connection) -> list[str] | None:
    """Extensions of conn's database that only a superuser may create; None if our role is one."""
    row = await fetch_one(conn, SUPERUSER)
    if row and row[0]:
        return None
    return [name for (name,) in await fetch_all(conn, UNTRUSTED)]


async def restore(
    server: Server, dump: Path, owner: str, superusers: Collection[str] | None, *, jobs: int, step: str, timeout_seconds: float
) -> tuple[list[str], list[str]]:
    """Restore into the scratch database as `owner`: pg_restore's warnings, and the entries that were left out.

    Raises `CheckFailed` with pg_restore's last words.
    """
    lines = await _entries(server, dump, step)
    left_out = [] if superusers is None else [line for line in lines if _is_superusers(line, superusers)]
    listed = dump.with_name(f"{dump.name}.list")
    listed.write_text("".join(f"{line}\n" for line in lines if line not in left_out), encoding="utf-8")
    scratch = server.names.scratch
    argv = [f"-j{jobs}", "-e", "-w", "-L", str(listed), f"--role={owner}", *_PARTIAL, str(dump)]
    try:
        warnings = await run(server, "pg_restore", argv, database=scratch, step=step, timeout_seconds=timeout_seconds)
    finally:
        listed.unlink()
    return warnings, [_what(line) for line in left_out]


async def _entries(server: Server, dump: Path, step: str) -> list[str]:
    """The dump's table of contents: `3452; 3466 16385 EVENT TRIGGER - name owner`."""
    argv = [server.tool("pg_restore"), "-l", str(dump)]
    completed = await children.run(
        argv, folder=server.folder, epoch=server.epoch, step=step, timeout_seconds=_LIST_SECONDS, output_bytes_max=_LIST_BYTES_MAX
    )
    if completed.returncode != 0:
        raise failed("pg_restore -l", completed)
    return [line for line in completed.stdout_tail.splitlines() if _ENTRY.match(line)]


def _is_superusers(line: str, extensions: Collection[str]) -> bool:
    what = _what(line)
    if what.startswith(("EVENT TRIGGER ", "COMMENT - EVENT TRIGGER ")):
        return True
    return any(f"{what} ".startswith((f"EXTENSION - {name} ", f"COMMENT - EXTENSION {name} ")) for name in extensions)


def _what(line: str) -> str:
    entry = _ENTRY.match(line)
    return entry["what"].rstrip() if entry else line
