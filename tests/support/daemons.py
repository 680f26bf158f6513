"""Daemons that the fault tests start, watch in pg_stat_activity, pause and kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from support.servers import Cluster

from cutoverd.states.ports import AttemptId, Direction

PROGRAM = Path(__file__).with_name("operate.py")
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Operation:
    """One method of `Databases`, as the step that calls it names it."""

    name: str
    step: str
    direction: str


FORWARD = [
    Operation(name, name, "forward") for name in ("make_placeholder", "fence", "build_new", "open_old", "close_old", "exchange")
]
BACK = [
    Operation("exchange_back", "exchange", "back"),
    Operation("close_old", "open_old", "back"),
    Operation("keep_new", "build_new", "back"),
    Operation("lift_fence", "fence", "back"),
]


def mark_of(operation: Operation, epoch: int, run: str = "r1") -> AttemptId:
    return AttemptId(run, epoch, operation.step, Direction(operation.direction), f"{operation.step}-{epoch}")


@dataclass
class Daemon:
    """A process that does one operation; its sessions carry its epoch."""

    process: subprocess.Popen[str]
    cluster: Cluster
    application_name: str

    def wait_for(self, condition: str) -> None:
        """Until a session of its own fulfils a condition on pg_stat_activity."""
        query = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{self.application_name}' AND {condition}"
        deadline = time.monotonic() + WAIT_SECONDS
        with self.cluster.superuser() as conn:
            while not conn.execute(query.encode()).fetchone():
                assert time.monotonic() < deadline, f"no session was seen with {condition}"
                assert self.process.poll() is None, f"it ended before a session was seen with {condition}"
                time.sleep(0.002)

    def leads(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "leads\n"

    def kill(self) -> None:
        """SIGKILL, of a process that has not ended by itself."""
        assert self.process.poll() is None
        self.process.kill()
        self.process.wait(10)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Its exit code and its output."""
        output, _ = self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode, output


@contextmanager
def daemon(cluster: Cluster, operation: Operation, epoch: int, *, run: str = "r1") -> Iterator[Daemon]:
    command = [cluster.url(), run, str(epoch), operation.name, operation.step, operation.direction]
    process = subprocess.Popen([sys.executable, str(PROGRAM), *command], stdout=subprocess.PIPE, text=True)
    try:
        yield Daemon(process, cluster, f"cutoverd/{run}/{epoch}")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@contextmanager
def locked(cluster: Cluster, table: str, mode: str, dbname: str = "cutoverd") -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Whoever wants that table waits for us."""
    with cluster.superuser(dbname) as conn, conn.transaction():
        conn.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
        yield conn


RECORD = "wait_event_type = 'Lock' AND query LIKE '%INSERT INTO cutoverd.step_log%'"
RENAMING = "query LIKE 'ALTER DATABASE%RENAME TO%' AND state = 'active'"
CLONING = "query LIKE 'CREATE DATABASE%' AND state = 'active'"
# the database that changes its name and that a superuser's session can be in, so that the rename waits
RENAMED = {"fence": "app", "close_old": "app_previous", "exchange": "app_next", "exchange_back": "app"}


@contextmanager
def stopped_before_its_record(cluster: Cluster, operation: Operation, epoch: int, run: str = "r1") -> Iterator[Daemon]:
    """What goes before the transaction is done (old refuses connections, the copy is made), and the transaction is open."""
    with locked(cluster, "cutoverd.step_log", "EXCLUSIVE"), daemon(cluster, operation, epoch, run=run) as running:
        running.leads()
        running.wait_for(RECORD)
        yield running


@contextmanager
def stopped_while_renaming(cluster: Cluster, operation: Operation, epoch: int) -> Iterator[Daemon]:
    """A superuser's session, which we cannot end, is in the database that should change its name."""
    with cluster.superuser(RENAMED[operation.name]), daemon(cluster, operation, epoch) as running:
        running.leads()
        running.wait_for(RENAMING)
        yield running
