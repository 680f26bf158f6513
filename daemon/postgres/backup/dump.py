"""pg_dump as a child; a dump is a folder that has its final name only once it is whole."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cutoverd.daemon.host import children
from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.postgres.backup.tool_errors import tool_failure
from cutoverd.daemon.postgres.session import pins
from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.lock_waits import lock_held, watched_program
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError

UNFINISHED = ".part"
LOCK_WAIT = "60s"
LOCKS = "IN ACCESS SHARE MODE"  # how pg_dump quotes the statement that failed: the server's words are in its language
OURS_SINCE = """
SELECT pid FROM pg_stat_activity
WHERE datname = %s AND application_name = %s AND backend_start >= %s AND pid <> ALL (%s)
"""


@dataclass(frozen=True)
class Dump:
    """A dump of one run, under its final name or, while it is not whole, another that tells whose it is."""

    path: Path
    epoch: int = 0  # of the daemon that takes it

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.{self.epoch}{UNFINISHED}")

    def keep(self) -> None:
        """Give it its final name: from now on it counts, after a power cut too."""
        self.part.rename(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def new_dump(directory: Path, run: str, kind: str, epoch: int) -> Dump:
    """One that does not exist yet, named by run, kind and moment; makes `directory` if it is missing."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Dump(directory / f"{run}-{kind}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}", epoch)


def finished(directory: Path, run: str, kind: str) -> Dump | None:
    """The newest whole one."""
    found = [path for path, _ in _named(directory, run, kind, "")]
    return Dump(max(found)) if found else None


def unfinished(directory: Path, run: str, kind: str, epoch: int | None = None) -> list[Path]:
    """Those that are not whole; with an `epoch` only its own and older ones."""
    found = _named(directory, run, kind, rf"(?:\.(\d+))?{re.escape(UNFINISHED)}")
    return sorted(path for path, whose in found if epoch is None or whose <= epoch)


def remove_unfinished(directory: Path, run: str, kind: str, epoch: int) -> list[str]:
    """Remove what this daemon and older ones did not finish; their names. A newer one's may be under way."""
    found = unfinished(directory, run, kind, epoch)
    for path in found:
        shutil.rmtree(path)
    return [path.name for path in found]


def _named(directory: Path, run: str, kind: str, end: str) -> Iterator[tuple[Path, int]]:
    """With the epoch in the name, 0 without; not those of a run whose own name goes on with `-before` or `-final`."""
    name = re.compile(rf"{re.escape(run)}-{re.escape(kind)}-\d{{8}}T\d{{6}}\.\d{{6}}Z{end}")
    for path in directory.glob(f"{run}-{kind}-*"):
        if match := name.fullmatch(path.name):
            yield path, int(match[1] or 0) if match.re.groups else 0


def size_bytes(dump: Path) -> int:
    return sum(path.stat().st_size for path in dump.iterdir())


async def take(
    server: Server, database: str, dump: Dump, *, jobs: int, step: str, timeout_seconds: float, snapshot: str | None = None
) -> list[str]:
    """Dump into the unfinished folder, mode 700 and 600; pg_dump's warnings. Raises `StepError` with its last words."""
    dump.part.mkdir(mode=0o700)
    argv = ["-Fd", f"-j{jobs}", "-f", str(dump.part), "-w", f"--lock-wait-timeout={LOCK_WAIT}"]
    began, known, by_version = await _sessions(server, database)
    try:
        output = await run(
            server, "pg_dump", [*argv, *([f"--snapshot={snapshot}"] if snapshot else [])],
            database=database, settings={**pins.OURS, **by_version}, step=step, timeout_seconds=timeout_seconds,
            writes_to=dump.part,
        )  # fmt: skip
    except BaseException:
        await run_to_completion(_end_sessions(server, database, began, known))
        raise
    for path in dump.part.iterdir():
        path.chmod(0o600)
    return output


async def run(
    server: Server, tool: str, argv: list[str], *, database: str, settings: Mapping[str, str], step: str, timeout_seconds: float,
    writes_to: Path | None = None,
) -> list[str]:  # fmt: skip
    """What the tool said on stderr, whose sessions have `settings`; raises `StepError` if it failed."""
    async with watched_program(server) as watch:
        completed = await children.run(
            [server.tool(tool), "-d", server.conninfo(database, settings), *argv],
            folder=server.folder, epoch=server.epoch, step=step,
            env={**server.environment(settings), "LC_ALL": "C"}, timeout_seconds=timeout_seconds,
        )  # fmt: skip
    if completed.returncode != 0:
        if watch.last and completed.stderr_tail.rstrip().endswith(LOCKS):
            raise lock_held(watch.last)
        raise failed(tool, completed, writes_to)
    return completed.stderr_tail.splitlines()


def failed(tool: str, completed: children.Completed, writes_to: Path | None = None) -> StepError:
    return tool_failure(tool, completed.returncode, completed.stderr_tail, writes_to=writes_to)


async def _sessions(server: Server, database: str) -> tuple[datetime, list[int], dict[str, str]]:
    """Now, as the server has it, our sessions on the database, and what the server's version alone lets us pin."""
    async with session(server) as conn:
        row = await fetch_one(conn, "SELECT clock_timestamp()")
        began: datetime = row[0] if row else datetime.now(UTC)
        earliest = datetime(1970, 1, 1, tzinfo=UTC)
        rows = await fetch_all(conn, OURS_SINCE, (database, server.application_name, earliest, []))
        return began, [pid for (pid,) in rows], pins.since(conn.info.server_version)


async def _end_sessions(server: Server, database: str, began: datetime, known: list[int]) -> None:
    """Those of a pg_dump that did not end by itself."""
    async with session(server) as conn:
        rows = await fetch_all(conn, OURS_SINCE, (database, server.application_name, began, known))
    if rows:
        await end_backends(server, pids=[pid for (pid,) in rows])
