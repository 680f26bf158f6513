"""psql as a child: one wrapper file, its backend known by pid and gone when we return."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from cutoverd.daemon.host import children
from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import OutcomeUnknown, TimedOut

SETTLE_SECONDS = 60.0  # a server that crashed recovers meanwhile
PAUSE_SECONDS = 0.2
OUTPUT_BYTES_MAX = 8 * 1024 * 1024  # behind an error psql says the statement, and that may be long
SQL = Path(__file__).parent / "sql"


_OF_OURS = re.compile(r"^\\ir (.+)\n", re.MULTILINE)


def _ours(name: str) -> str:
    return _OF_OURS.sub(lambda found: _ours(found[1]), (SQL / name).read_text(encoding="utf-8"))


@dataclass
class Wrapper:
    """What psql is given: statements of ours around the user's files, all in one text, so that a place in it tells which file."""

    text: str = ""
    path: Path | None = None  # where it was written
    files: list[tuple[int, Path]] = field(default_factory=list)  # the line that includes it
    end: int = 0  # the last line that is about the last of them alone
    _lines: int = 0

    def add(self, text: str) -> None:
        self.text += text
        self._lines += text.count("\n")

    def ours(self, name: str) -> None:
        """A file of sql/, with what it includes."""
        self.add(_ours(name))

    def include(self, file: Path) -> None:
        self.files.append((self._lines + 1, file))
        self.add(include(file))

    def all_included(self) -> None:
        """What comes now is about all of them."""
        self.end = self._lines

    def files_before(self, line: int) -> list[Path]:
        """Those that were run when it comes to this line."""
        return [file for at, file in self.files if at <= line]


@dataclass(frozen=True)
class Psql:
    """psql on one database; `\\i` is relative to `cwd`."""

    server: Server
    database: str
    settings: Mapping[str, str]  # of its session, the role too
    cwd: Path
    timeout_seconds: float

    @property
    def role(self) -> str:
        """Who runs the files."""
        return self.settings["role"]

    async def run(
        self, wrapper: Wrapper, *, step: str, variables: Mapping[str, str], single_transaction: bool = True
    ) -> children.Completed:
        """Run it; its first query must write its backend's pid to :cutoverd_pid_file (begin.sql does).

        However it ends, its backend is gone on return: what it committed can be read, and nothing more will come. Raises
        `TimedOut`, `CancelledError`, and `OutcomeUnknown` if the server cannot be reached to prove it.
        """
        with self._files(wrapper) as (path, pid_file):
            known = {**variables, "cutoverd_pid_file": str(pid_file), "cutoverd_folder": str(self.cwd)}
            try:
                return await children.run(
                    self._argv(path, known, single_transaction),
                    folder=self.server.folder,
                    epoch=self.server.epoch,
                    step=step,
                    cwd=self.cwd,
                    env=environment(self.server, self.settings),
                    timeout_seconds=self.timeout_seconds,
                    output_bytes_max=OUTPUT_BYTES_MAX,
                )
            except TimedOut as late:  # no event would hold all that
                late.evidence = {name: str(output)[-children.OUTPUT_BYTES_MAX :] for name, output in late.evidence.items()}
                raise
            finally:
                await run_to_completion(backend_is_gone(self.server, _pid(pid_file)))

    def _argv(self, path: Path, variables: Mapping[str, str], single_transaction: bool) -> list[str]:
        given = {"ON_ERROR_STOP": "on", "VERBOSITY": "verbose", **variables}
        options = [part for name, value in given.items() for part in ("-v", f"{name}={value}")]
        transaction = ["--single-transaction"] if single_transaction else []
        # UTF8 whatever database.url says: files were read as that before they are run
        target = ["-d", make_conninfo(self.server.conninfo(self.database, self.settings), client_encoding="UTF8")]
        return [self.server.tool("psql"), "-X", "-q", "-b", "-w", *target, *transaction, *options, "-f", str(path)]

    @contextmanager
    def _files(self, wrapper: Wrapper) -> Iterator[tuple[Path, Path]]:
        folder = self.server.folder / "psql"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        wrapper.path = path = folder / f"{secrets.token_hex(8)}.sql"
        pid_file = path.with_suffix(".pid")
        try:
            path.write_text(wrapper.text, encoding="utf-8")
            yield path, pid_file
        finally:
            path.unlink(missing_ok=True)
            pid_file.unlink(missing_ok=True)


def environment(server: Server, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    r"""Psql's: what `\getenv` finds in a file."""
    return {**server.environment(settings), "LC_ALL": "C"}


async def backend_is_gone(server: Server, pid: int | None) -> None:
    """End the backend and wait for its end; None: it never came to its first query, so there is nothing to end.

    Raises `OutcomeUnknown` if the server cannot be asked for 60 s.
    """
    polling = Polling(SETTLE_SECONDS, pause_seconds=PAUSE_SECONDS)
    while pid is not None:
        try:
            await end_backends(server, pids=[pid])
            return
        except (psycopg.OperationalError, OutcomeUnknown):
            if polling.is_over:
                raise OutcomeUnknown(
                    f"whether psql's backend {pid} is gone cannot be asked of the server",
                    hint="what it does may still be committed: look at the server",
                ) from None
        await polling.pause()


def include(file: Path) -> str:
    """The line that includes a file, whatever its name is."""
    quoted = str(file).replace("\\", "\\\\").replace("'", "''")
    return f"\\i '{quoted}'\n"


def assign(name: str, value: str) -> str:
    """The line that sets a psql variable."""
    quoted = value.replace("\\", "\\\\").replace("'", "''")
    return f"\\set {name} '{quoted}'\n"


def _pid(file: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(file.read_text())
    return None
