"""Real servers for the tests: made once a session, and given to each test as if they were new."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql
from support.quick_logins import make_quick, quick_login

from cutoverd.daemon.embedded import nats
from cutoverd.daemon.embedded.errors import NotInstalled, ServerError
from cutoverd.daemon.embedded.initdb import SUPERUSER
from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.embedded.postgres import Postgres, bundled_bin_dir
from cutoverd.daemon.embedded.unprivileged import identity
from cutoverd.daemon.host.procfs import Process, kill_all
from cutoverd.daemon.postgres.session.server import Server

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
# What a production server of the runbook would have, and room for the clients of the tests.
SETTINGS = {"max_connections": "200", "max_prepared_transactions": "10", "wal_level": "logical", "shared_buffers": "32MB"}
T = TypeVar("T")
ROLES = ("cutover", "app_user")


def is_required() -> bool:
    """Set by CI: a test that cannot run fails instead of being skipped."""
    return os.environ.get("CUTOVERD_REQUIRE_ALL") == "1"


def skip(reason: str) -> None:
    if is_required():
        pytest.fail(f"{reason} (CUTOVERD_REQUIRE_ALL=1: nothing may be skipped)", pytrace=False)
    pytest.skip(reason)


def bin_dir(major: str) -> Path:
    """The programs of that PostgreSQL; the test is skipped if they are not installed."""
    if major == "15":
        if not (DEBIAN_15 / "postgres").exists():
            skip("PostgreSQL 15 is not installed: apt-get install postgresql-15")
        return DEBIAN_15
    try:
        return bundled_bin_dir()
    except NotInstalled as missing:
        skip(str(missing))
        raise


@dataclass
class Cluster:
    """One PostgreSQL as a test sees it; addresses hold no password, they name the file that does."""

    postgres: Postgres
    folder: Path

    @property
    def major(self) -> int:
        return self.postgres.major

    @property
    def port(self) -> int:
        return self.postgres.port

    @property
    def bin_dir(self) -> Path:
        return self.postgres.bin_dir

    @property
    def pid(self) -> int | None:
        """Of the postmaster; None while it does not run."""
        return self.postgres.pid

    @property
    def log(self) -> str:
        return self.postgres.log.read_text(errors="replace")

    def url(self, dbname: str = "app", user: str = "cutover") -> str:
        return self.postgres.url(dbname, user)

    def superuser_url(self, dbname: str = "postgres") -> str:
        return self.postgres.url(dbname)

    def superuser(self, dbname: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A superuser's session in autocommit; use it as a context manager."""
        return self.postgres.connect(dbname)

    def execute(self, query: str, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Statements without parameters, by a superuser; the rows of the last one."""
        with self.superuser(dbname) as connection:
            cursor = connection.execute(query.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def server(self, run: str = "r1", epoch: int = 1, folder: Path | None = None, dbname: str = "app") -> Server:
        """As the daemon of that run and epoch sees it."""
        return Server(self.url(dbname), run, epoch, folder or self.folder, self.bin_dir)

    def kill(self) -> None:
        """SIGKILL of the postmaster and all of its processes; returns when they are gone."""
        self.postgres.kill()

    def stop(self) -> None:
        self.postgres.stop()

    def start(self) -> None:
        self.postgres.start()

    def restart(self) -> None:
        self.stop()
        self.start()


class Clusters:
    """One server per version, started when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, Postgres] = {}

    def fresh(self, major: str, folder: Path) -> Cluster:
        """With a new database `app` and the roles app_owner, app_user and cutover, and nothing else."""
        server = self._servers.get(major) or self._make(major)
        prepare(server)
        return Cluster(server, folder)

    def clean(self, major: str) -> None:
        """Drop what the test made; a server that cannot be cleaned is thrown away."""
        try:
            clean(self._servers[major])
        except (psycopg.Error, ServerError):
            self._discard(major)

    def remove(self) -> None:
        for major in list(self._servers):
            self._discard(major)

    def _make(self, major: str) -> Postgres:
        folder = self._folder / major
        copy_cluster(major, folder)
        self._servers[major] = server = _server(folder, major)
        server.start()
        make_quick(server, [SUPERUSER])
        return server

    def _discard(self, major: str) -> None:
        server = self._servers.pop(major)
        server.kill()
        server.remove()


def _server(folder: Path, major: str) -> Postgres:
    return Postgres(folder, bin_dir(major), settings=SETTINGS, durable=False)


def copy_cluster(major: str, folder: Path) -> None:
    """As initdb makes it, which is a second's work: done once for all workers of a session, who all have the same password."""
    if identity().user is None:  # else its files are somebody else's, and it is made anew each time
        shutil.copytree(_made_once(major), folder, ignore=shutil.ignore_patterns("port", "server.log"))


def _made_once(major: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"initdb-{major}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with _server(folder.with_suffix(".part"), major) as server:
                made = server.folder
            made.rename(folder)
    return folder


def prepare(server: Postgres) -> None:
    """All in one session: to log in costs as much as all the rest."""
    grant = "GRANT app_owner TO cutover" + (" WITH INHERIT TRUE, SET TRUE" if server.major >= 16 else "")
    with server.connect() as connection:
        for role in ROLES:
            connection.execute(quick_login(server, role))
        for statement in (
            "ALTER ROLE cutover CREATEDB",
            "CREATE ROLE app_owner NOLOGIN",
            grant,
            "GRANT pg_signal_backend, pg_monitor, pg_read_all_data, pg_checkpoint TO cutover",
            "CREATE DATABASE app OWNER app_owner TEMPLATE template0 STRATEGY file_copy",
        ):
            connection.execute(statement.encode())


def clean(server: Postgres) -> None:
    """As initdb made it: no database, role, slot or setting of a test is left; started again if a test ended it."""
    if server.pid is None:
        server.start()
    with server.connect() as connection:
        connection.execute("SET statement_timeout = '20s'")
        _reset_settings(connection)
        _end_prepared_transactions(server, connection)
        _drop_slots(connection)
        for name in _names(
            connection, "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
        ):
            connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for name in _names(connection, "SELECT rolname FROM pg_roles WHERE oid >= 16384"):
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
        for name in _names(connection, "SELECT rolname FROM pg_roles WHERE oid >= 16384"):
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
        pending = connection.execute("SELECT count(*) FROM pg_settings WHERE pending_restart").fetchone()
    if pending != (0,):
        server.stop()
        server.start()


def _names(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> list[str]:
    return [row[0] for row in connection.execute(query.encode())]


def _reset_settings(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    connection.execute("ALTER SYSTEM RESET ALL")
    connection.execute("SELECT pg_reload_conf()")


def _end_prepared_transactions(server: Postgres, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    for gid, database in connection.execute("SELECT gid, database FROM pg_prepared_xacts").fetchall():
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(database)))
        with server.connect(database) as inside:
            inside.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))


def _drop_slots(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    connection.execute("SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active")
    connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


@dataclass
class NatsServer:
    """An embedded nats-server as a test sees it; `url` holds the credentials, `address` does not."""

    folder: Path
    running: nats.Nats

    @property
    def url(self) -> str:
        return self.address.replace("://", f"://{self.user}:{self.password}@")

    @property
    def address(self) -> str:
        return self.running.url

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def user(self) -> str:
        return self.running.user

    @property
    def password(self) -> str:
        return self.running.password

    @property
    def pid(self) -> int:
        return self.running.pid

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        if process := Process.find(self.pid):
            assert not kill_all([process], 10)

    def start(self) -> None:
        """Again, at the same address with the same credentials and store; fine if it runs."""
        self.running = in_a_loop_of_its_own(nats.ensure(self.folder))

    def stop(self) -> None:
        in_a_loop_of_its_own(nats.stop(self.folder))

    def pause(self) -> None:
        pause(self.pid)

    def resume(self) -> None:
        resume(self.pid)


def pause(pid: int) -> None:
    """SIGSTOP; returns when every thread stands still: one that does not yet may answer once more."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while not all(stat.rpartition(")")[2].split()[0] == "T" for stat in _threads(pid)):
        assert time.monotonic() < deadline, f"process {pid} does not stop"
        time.sleep(0.005)


def resume(pid: int) -> None:
    """SIGCONT; a process that is gone is fine."""
    if process := Process.find(pid):
        process.send(signal.SIGCONT)


def _threads(pid: int) -> list[str]:
    return [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]


@contextmanager
def running_nats() -> Iterator[NatsServer]:
    try:
        nats.program()
    except NotInstalled as missing:
        skip(str(missing))
    with tempfile.TemporaryDirectory(prefix="cutoverd-nats-") as folder:
        server = NatsServer(Path(folder), in_a_loop_of_its_own(nats.ensure(Path(folder))))
        try:
            yield server
        finally:
            server.resume()
            server.stop()


@contextmanager
def configured_nats(folder: Path, configuration: str = "", port: int = 0) -> Iterator[str]:
    """The address of a nats-server that is set as somebody else's may be: without JetStream, say."""
    port = port or free_port()
    (folder / "nats.conf").write_text(f"listen: 127.0.0.1:{port}\n{configuration}")
    command = [nats.program(), "-c", "nats.conf", "-l", "nats.log"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while "Server is ready" not in _log_of(folder):
            assert server.poll() is None, _log_of(folder)
            assert time.monotonic() < until, _log_of(folder)
            time.sleep(0.02)
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _log_of(folder: Path) -> str:
    log = folder / "nats.log"
    return log.read_text() if log.exists() else ""


@contextmanager
def running_clusters() -> Iterator[Clusters]:
    folder = Path(tempfile.mkdtemp(prefix="cutoverd-servers-"))
    clusters = Clusters(folder)
    try:
        yield clusters
    finally:
        try:
            clusters.remove()
        finally:
            shutil.rmtree(folder)


def in_a_loop_of_its_own(work: Coroutine[Any, Any, T]) -> T:
    """From a test's own loop or from none."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
