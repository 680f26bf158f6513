"""pg_restore of a dump into the scratch database: the window's copy as far as our rights go, without what they do not reach."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.host import children
from cutoverd.daemon.host.environment import without_secrets
from cutoverd.daemon.postgres.backup.dump import failed, run
from cutoverd.daemon.postgres.catalog.not_restorable import NotRestorable
from cutoverd.daemon.postgres.session import pins
from cutoverd.daemon.postgres.session.of_owner import settings_of_owner
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import CheckFailed

_LIST_SECONDS = 60
_LIST_BYTES_MAX = 64 * 1024 * 1024
_ALWAYS = ("-w", "--no-tablespaces", "--no-subscriptions", "--no-security-labels")
_AS_OWNER = ("--no-owner", "--no-privileges")  # docs/measured.md, "Rights of the daemon's role"; both come afterwards
_ENTRY = re.compile(r"^\d+; (?P<class_oid>\d+) (?P<oid>\d+) (?P<what>.*)$")
_OF_ANOTHER = r"(?:ACL|COMMENT|SEQUENCE SET|SEQUENCE OWNED BY)"
_PROBLEM, _REFUSED = "pg_restore: error: ", "ERROR:  "  # the second: by the server, statement by statement
_REFUSAL = re.compile(
    r"^pg_restore: error: .*?ERROR:  (?P<why>.*)(?:\n(?!pg_restore: |Command was: ).*)*(?:\nCommand was: (?P<what>.*?);?$)?",
    re.MULTILINE,
)
_IGNORED = re.compile(r"^pg_restore: warning: errors ignored on restore: (\d+)$", re.MULTILINE)
_GRANTS = ("ACL ", "DEFAULT ACL ")


@dataclass(frozen=True)
class DumpEntry:
    """A line of a dump's table of contents: `3452; 3466 16385 EVENT TRIGGER - name owner`."""

    line: str
    class_oid: int  # 0: it is part of another one
    oid: int
    what: str

    def is_of(self, each: NotRestorable) -> bool:
        """Whether it is that object, or the rows, rights or comment of it."""
        if self.oid:
            return self.oid == each.oid and self.class_oid in (each.class_oid, 0)
        if each.type == "user mapping":  # pg_dump gives it no oid
            whose, _, of = each.identity.partition(" on server ")
            return self.what.startswith(f"USER MAPPING - USER MAPPING {whose} SERVER {of} ")
        if not each.name:
            return False
        words = f"{re.escape(each.schema)} (?:[A-Z ]+ )?"
        return bool(re.match(rf"{_OF_ANOTHER} {words}{re.escape(each.name)}(?:[ .(]|$)", self.what))


async def restore(
    server: Server, dump: Path, owner: str, excluded: Collection[NotRestorable], *,
    is_superuser: bool, jobs: int, step: str, timeout_seconds: float,
) -> tuple[list[str], list[str]]:  # fmt: skip
    """Restore into the scratch database as `owner`: pg_restore's warnings, and the entries that were left out.

    A superuser restores everything as it was. Raises `StepError` with pg_restore's last words.
    """
    entries = await _entries(server, dump, step)
    left_out = [entry for entry in entries if any(entry.is_of(each) for each in excluded)]
    kept = [entry for entry in entries if entry not in left_out]
    how = [] if is_superuser else [f"--role={owner}", *_AS_OWNER]
    warnings = await _restore(server, dump, kept, [*how, f"-j{jobs}", "-e"], step=step, timeout_seconds=timeout_seconds)
    return warnings, [entry.what for entry in left_out]


async def restore_grants(
    server: Server, dump: Path, excluded: Collection[NotRestorable], *, step: str, timeout_seconds: float
) -> list[str]:
    """What is granted on what was restored, as our role, once each object has its owner; what could not be granted.

    Raises `CheckFailed` where not each of it was tried. Found: a connection that was lost in the middle was a warning.
    """
    entries = [entry for entry in await _entries(server, dump, step) if entry.what.startswith(_GRANTS)]
    kept = [entry for entry in entries if not any(entry.is_of(each) for each in excluded)]
    if not kept:
        return []
    try:
        return await _restore(server, dump, kept, [], step=step, timeout_seconds=timeout_seconds)
    except CheckFailed as error:  # pg_restore has gone on after each error, and counts them at its end
        stderr = str(error.evidence.get("stderr", ""))
        problems = [line for line in stderr.splitlines() if line.startswith(_PROBLEM)]
        if not problems or any(_REFUSED not in line for line in problems):
            raise
        return _refusals(stderr)


def _refusals(stderr: str) -> list[str]:
    """What was refused, each with its statement; of what the end of pg_restore's words no more has, how many there are.

    Found: of thirty the last eighteen were told, by words of the server that named none of them.
    """
    refused = [f"{found['why']}{' (' + found['what'] + ')' if found['what'] else ''}" for found in _REFUSAL.finditer(stderr)]
    ignored = _IGNORED.search(stderr)
    more = int(ignored[1]) - len(refused) if ignored else 0
    return [*refused, *([f"and {more} more"] if more > 0 else [])]


async def _restore(
    server: Server, dump: Path, entries: Sequence[DumpEntry], how: Sequence[str], *, step: str, timeout_seconds: float
) -> list[str]:
    listed = dump.with_name(f"{dump.name}.list")
    listed.write_text("".join(f"{entry.line}\n" for entry in entries), encoding="utf-8")
    argv = [*how, *_ALWAYS, "-L", str(listed), str(dump)]
    try:
        return await run(
            server,
            "pg_restore",
            argv,
            database=server.names.scratch,
            settings=await _settings(server),
            step=step,
            timeout_seconds=timeout_seconds,
        )
    finally:
        listed.unlink()


async def _settings(server: Server) -> dict[str, str]:
    """As production's owner: what a constraint or an index computes there depends on it."""
    async with session(server) as conn:
        of_owner = await settings_of_owner(conn, [server.names.production])
        return {**of_owner, **pins.since(conn.info.server_version), **pins.OF_PLAN, "default_tablespace": ""}


async def restore_by_command(
    server: Server, command: Sequence[str], dump: Path, *, cwd: Path, step: str, timeout_seconds: float
) -> list[str]:
    """A team's own way to restore what our role cannot; what it said. Raises `CheckFailed` if it exits otherwise than by 0."""
    given: Mapping[str, str] = {"CUTOVERD_RUN": server.run, "CUTOVERD_DUMP": str(dump), "CUTOVERD_DATABASE": server.names.scratch}
    completed = await children.run(
        list(command), folder=server.folder, epoch=server.epoch, step=step, cwd=cwd,
        env={**without_secrets(["PGPASSWORD"]), "PGCLIENTENCODING": "UTF8", **given}, timeout_seconds=timeout_seconds,
    )  # fmt: skip
    if completed.returncode != 0:
        raise failed(command[0], completed)
    return completed.stderr_tail.splitlines()


async def _entries(server: Server, dump: Path, step: str) -> list[DumpEntry]:
    argv = [server.tool("pg_restore"), "-l", str(dump)]
    completed = await children.run(
        argv, folder=server.folder, epoch=server.epoch, step=step, env=server.environment(), timeout_seconds=_LIST_SECONDS,
        output_bytes_max=_LIST_BYTES_MAX,
    )  # fmt: skip
    if completed.returncode != 0:
        raise failed("pg_restore -l", completed)
    found = ((line, _ENTRY.match(line)) for line in completed.stdout_tail.splitlines())
    return [DumpEntry(line, int(m["class_oid"]), int(m["oid"]), m["what"].rstrip()) for line, m in found if m]
