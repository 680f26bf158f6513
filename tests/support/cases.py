"""A case: a folder with a small old database, a plan, and what `check` and `run --auto` have to make of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.conninfo import conninfo_to_dict
from support import preloaded
from support.paths import ROOT
from support.servers import Cluster, configured_nats, in_a_loop_of_its_own

from cutoverd.daemon.embedded import nats

CASES = ROOT / "tests" / "integration" / "cases"
COMMON = CASES / "common"
SECONDS = 240
UNHURRIED = "-c statement_timeout=0 -c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0"
PREPARE = ("ALTER ROLE app_owner LOGIN", "DROP DATABASE app")


@dataclass(frozen=True)
class Output:
    """What a command has to end with and to say."""

    exit: int
    says: Sequence[str] = ()
    never: Sequence[str] = ()

    def hold(self, done: subprocess.CompletedProcess[str]) -> None:
        output = done.stdout + done.stderr
        assert done.returncode == self.exit, f"exit code {done.returncode}, not {self.exit}:\n{output}"
        for words in self.says:
            assert words in output, f"it does not say {words!r}:\n{output}"
        for words in ("Traceback", *self.never):
            assert words not in output, f"it says {words!r}:\n{output}"


@dataclass(frozen=True)
class Expected:
    """What is right; the keys of `expected.yaml`."""

    why: str
    check: Output
    run: Output | None = None
    rows: Sequence[Mapping[str, Any]] = ()
    versions: Sequence[str] = ("15", "18")
    server: Mapping[str, str] = field(default_factory=dict)  # settings that want a start
    nats: str | None = None  # configuration of a nats-server that the plan has at ${NATS}; none: the plan names no bus


@dataclass(frozen=True)
class Case:
    """One folder of `tests/integration/cases`."""

    folder: Path

    @property
    def expected(self) -> Expected:
        given = yaml.safe_load((self.folder / "expected.yaml").read_text())
        output = {name: Output(**given[name]) for name in ("check", "run") if name in given}
        return Expected(**{**given, **output})

    @property
    def completes(self) -> bool:
        """Its run is right to come to its end."""
        run = self.expected.run
        return run is not None and run.exit == 0

    @contextmanager
    def set_up(self, cluster: Cluster, work: Path) -> Iterator[Trial]:
        """Its files in `work`, its databases on the server; the bus of the run is ended afterwards."""
        shutil.copytree(COMMON, work, dirs_exist_ok=True)
        shutil.copytree(self.folder, work, dirs_exist_ok=True)
        for name, value in self.expected.server.items():
            cluster.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        if self.expected.server:
            cluster.restart()
        for statement in PREPARE:
            cluster.execute(statement)
        trial = Trial(cluster, work)
        trial.psql("setup.sql")
        with self._bus(work) as address:
            plan = work / "plan.yaml"
            words = {"${PORT}": str(cluster.port), "${TOOLS}": str(cluster.bin_dir), "${NATS}": address}
            for name, value in words.items():
                plan.write_text(plan.read_text().replace(name, value))
            yield trial

    @contextmanager
    def _bus(self, work: Path) -> Iterator[str]:
        """The address of a server for it, or "" and the end of the embedded one that its run began."""
        if self.expected.nats is not None:
            (work / "nats").mkdir()
            with configured_nats(work / "nats", self.expected.nats) as address:
                yield address
            return
        try:
            yield ""
        finally:
            in_a_loop_of_its_own(nats.stop(work / "state" / "nats"))


@dataclass(frozen=True)
class Trial:
    """A case that is set up."""

    cluster: Cluster
    work: Path

    def main(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`cutoverd WORDS`, to its end."""
        return preloaded.run(words, SECONDS, folder=str(self.work), environment=self._environment())

    def rows(self, query: str, database: str) -> list[list[Any]]:
        """As superuser, whatever time-out the case has set."""
        with psycopg.connect(self.cluster.superuser_url(database), autocommit=True, options=UNHURRIED) as connection:
            return [list(row) for row in connection.execute(query.encode())]

    def psql(self, file: str) -> None:
        """As superuser; the test fails with what psql said."""
        argv = [
            str(self.cluster.bin_dir / "psql"),
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            self.cluster.superuser_url(),
            "-f",
            file,
        ]
        done = subprocess.run(
            argv,
            cwd=self.work,
            env=self._environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr

    def _environment(self) -> dict[str, str]:
        """Plans name no password: libpq finds it."""
        return {**os.environ, "PGPASSFILE": str(conninfo_to_dict(self.cluster.url())["passfile"])}


def found() -> list[Case]:
    return [Case(file.parent) for file in sorted(CASES.glob("*/expected.yaml"))]
