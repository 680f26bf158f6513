"""A PostgreSQL of our own: its life, its death, and what it must not leave behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from support.servers import Cluster, bin_dir, pause

from cutoverd.daemon.embedded import postgres as postgres_module
from cutoverd.daemon.embedded import unprivileged
from cutoverd.daemon.embedded.errors import DidNotStart, NotInstalled, ServerError
from cutoverd.daemon.embedded.postgres import Postgres
from cutoverd.daemon.embedded.unprivileged import Identity
from cutoverd.daemon.host.procfs import Process, wait_gone

pytestmark = pytest.mark.both_versions
Make = Callable[..., Postgres]
on_18 = pytest.mark.parametrize("make", ["18"], indirect=True)  # the same code: nothing of the server's version is in it
SEGMENTS = Path("/proc/sysvipc/shm")


@pytest.fixture(params=["15", "18"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes a cluster of the test's own, in a folder that only we may enter."""
    private = tmp_path / "private folder"
    private.mkdir(mode=0o700)
    made: list[Postgres] = []

    def new(**options: object) -> Postgres:
        made.append(Postgres(private / "cluster", bin_dir(request.param), **{"durable": False, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield new
    for server in made:
        server.remove()


def family(server: Postgres) -> list[Process]:
    return [process for process in Process.all() if process.works_in(server.folder / "home" / "data")]


def segments() -> set[str]:
    return {line.split()[1] for line in SEGMENTS.read_text().splitlines()[1:]}


def has_no_process(server: Postgres) -> bool:
    return not wait_gone(family(server), 10)


async def test_the_cluster_of_a_test_is_what_the_daemon_expects(cluster: Cluster) -> None:
    connection = await cluster.server().connect("app")
    async with connection:
        found = await connection.execute(
            "SELECT current_database(), rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        )
        assert await found.fetchone() == ("app", False, True)


@pytest.mark.parametrize("turn", ["first", "second"])
def test_nothing_of_the_test_before_is_left(cluster: Cluster, turn: str) -> None:
    assert cluster.execute("SELECT datname FROM pg_database WHERE datname LIKE 'left%'") == []
    assert cluster.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'left%'") == []
    assert cluster.execute("SHOW post_auth_delay") == [("0",)]
    assert cluster.execute("SHOW max_locks_per_transaction") == [("64",)]
    cluster.execute("ALTER SYSTEM SET max_locks_per_transaction = 80")
    cluster.restart()
    cluster.execute("CREATE ROLE left_over")
    cluster.execute("CREATE DATABASE left_over OWNER left_over")
    cluster.execute("ALTER SYSTEM SET post_auth_delay = 1")
    cluster.execute("SELECT pg_create_logical_replication_slot('left_over', 'test_decoding')", "left_over")
    with cluster.superuser("left_over") as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE t ()")
        connection.execute("PREPARE TRANSACTION 'left_over'")
    cluster.execute("ALTER DATABASE left_over ALLOW_CONNECTIONS false")


def test_a_test_gets_the_server_back_that_the_one_before_killed(cluster: Cluster) -> None:
    assert cluster.execute("SELECT 1", "app") == [(1,)]
    cluster.kill()
    assert cluster.pid is None


def test_committed_rows_survive_a_kill_and_clients_find_the_same_address(make: Make) -> None:
    server = make(durable=True)
    server.start()
    url = server.url()
    with server.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
    server.kill()
    server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1000,)


@on_18
def test_fsync_is_on_unless_a_test_switches_it_off(make: Make) -> None:
    with make(durable=True) as server, server.connect() as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    with make(durable=False) as server, server.connect() as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)


@on_18
def test_settings_reach_the_server_whatever_they_hold(make: Make) -> None:
    settings = {"max_prepared_transactions": "7", "cluster_name": "it's ours"}
    with make(settings=settings) as server, server.connect() as connection:
        assert connection.execute("SHOW max_prepared_transactions").fetchone() == ("7",)
        assert connection.execute("SHOW cluster_name").fetchone() == ("it's ours",)


def test_a_kill_leaves_no_backend_even_if_one_is_busy(make: Make) -> None:
    server = make()
    server.start()
    with busy_backend(server) as busy:
        server.kill()
        assert not busy.is_alive()
    assert family(server) == []
    server.start()


def test_it_starts_again_although_a_backend_of_a_killed_postmaster_is_still_busy(make: Make) -> None:
    server = make()
    server.start()
    with busy_backend(server) as busy:
        postmaster = Process.find(server.pid or 0)
        assert postmaster
        postmaster.send(signal.SIGKILL)
        assert not wait_gone([postmaster], 10)
        assert busy.is_alive()
        server.start()
        assert not busy.is_alive()
    with server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@contextmanager
def busy_backend(server: Postgres) -> Iterator[Process]:
    """One that computes for ever and never looks whether its postmaster is there."""
    connection = server.connect()
    try:
        connection.pgconn.send_query(b"DO $$ BEGIN LOOP END LOOP; END $$")
        busy = Process.find(connection.info.backend_pid)
        assert busy
        yield busy
    finally:
        connection.close()


@on_18
def test_a_paused_postmaster_is_killed_too(make: Make) -> None:
    server = make()
    server.start()
    assert server.pid
    pause(server.pid)
    server.kill()
    assert has_no_process(server)


@on_18
def test_stop_is_sure_and_may_be_said_twice(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    assert has_no_process(server)
    assert server.pid is None
    server.stop()


@on_18
def test_stop_turns_to_force_when_order_takes_too_long(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cutoverd.daemon.embedded.postmaster.STOP", ((signal.SIGINT, 0.5), (signal.SIGQUIT, 0.5)))
    server = make()
    server.start()
    assert server.pid
    pause(server.pid)
    server.stop()
    assert has_no_process(server)


@on_18
def test_two_servers_on_one_cluster_are_refused(make: Make) -> None:
    server = make()
    server.start()
    with pytest.raises(ServerError, match=f"runs already, as process {server.pid}"):
        make().start()
    with server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@on_18
def test_another_process_can_stop_it(make: Make) -> None:
    server = make()
    server.start()
    make().stop()
    assert has_no_process(server)


def test_remove_leaves_no_process_no_folder_no_shared_memory_even_after_a_kill(make: Make) -> None:
    server = make()
    server.start()
    segment = (server.folder / "home" / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
    server.kill()
    assert segment in segments()
    server.remove()
    assert segment not in segments()
    assert not server.folder.exists()


@on_18
def test_remove_leaves_what_others_keep_in_the_folder(make: Make) -> None:
    server = make()
    server.folder.mkdir(mode=0o755)
    (server.folder / "mine").write_text("kept")
    server.start()
    server.remove()
    assert [entry.name for entry in server.folder.iterdir()] == ["mine"]
    assert server.folder.stat().st_mode & 0o777 == 0o755


@on_18
def test_a_wrong_setting_is_shown_in_the_words_of_the_log(make: Make) -> None:
    with pytest.raises(DidNotStart, match="no_such_setting") as refused:
        make(settings={"no_such_setting": "1"}).start()
    assert "server.log" in str(refused.value)


@on_18
def test_a_taken_port_is_shown_in_the_words_of_the_log(make: Make) -> None:
    server = make()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", server.port))
        stranger.listen()
        with pytest.raises(DidNotStart, match="Address already in use"):
            server.start()
    server.start()


@on_18
def test_a_server_that_is_not_ready_in_time_is_ended(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    with pytest.raises(DidNotStart, match="not ready after 0 s"):
        server.start(timeout_seconds=0)
    assert has_no_process(server)


@on_18
def test_an_interrupted_initdb_is_done_again(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    data = server.folder / "home" / "data"
    data.rename(data.with_name("data.part"))
    (data.with_name("data.part") / "base").rename(data.with_name("lost"))
    server.start()
    with server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_nobody_gets_in_without_the_password(make: Make) -> None:
    with make() as server:
        server.add_login("app")
        psycopg.connect(server.url(user="app")).close()
        for role in ("app", "postgres"):
            with pytest.raises(psycopg.OperationalError, match="no password supplied"):
                psycopg.connect(f"postgresql://{role}@127.0.0.1:{server.port}/postgres?passfile=/dev/null")
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(f"postgresql://{role}@127.0.0.1:{server.port}/postgres", password="guessed")


def test_passwords_are_in_a_private_file_and_nowhere_else(make: Make) -> None:
    with make(settings={"log_statement": "all"}) as server:
        server.add_login("app")
        with pytest.raises(psycopg.errors.DuplicateObject):
            server.add_login("app")
        passfile = server.folder / "passfile"
        passwords = [line.rpartition(":")[2] for line in passfile.read_text().splitlines()]
        assert len(passwords) == 2
        assert passfile.stat().st_mode & 0o777 == 0o600
        assert server.log.stat().st_mode & 0o777 == 0o600
        public_text = server.log.read_text() + server.url(user="app") + repr(server)
        for process in family(server):
            public_text += Path(f"/proc/{process.pid}/cmdline").read_text() + Path(f"/proc/{process.pid}/environ").read_text()
        assert not [password for password in passwords if password in public_text]
        holders = [
            file
            for file in server.folder.rglob("*")
            if file.is_file() and any(p.encode() in file.read_bytes() for p in passwords)
        ]
        assert holders == [passfile]


STARTED_BY_ANOTHER = """
import os, signal, sys
from pathlib import Path
from cutoverd.daemon.embedded.postgres import Postgres
server = Postgres(Path(sys.argv[1]), Path(sys.argv[2]), durable=False)
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_the_process_that_started_it(make: Make) -> None:
    server = make()
    command = [sys.executable, "-c", STARTED_BY_ANOTHER, str(server.folder), str(server.bin_dir)]
    starter = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert starter.returncode == -signal.SIGKILL, starter.stderr
    assert int(starter.stdout) > 0
    assert has_no_process(server)
    server.start()


def test_the_missing_wheel_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match=r"pip install 'cutoverd\[demo\]'"):
        Postgres(Path("/nowhere"))


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs somebody else to run PostgreSQL as")


@pytest.fixture
def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a container that forbids user namespaces."""
    monkeypatch.setattr(unprivileged, "_mapped", lambda: Identity(("false",)))
    unprivileged.identity.cache_clear()
    yield
    unprivileged.identity.cache_clear()


@as_root
@pytest.mark.usefixtures("without_namespaces")
def test_where_namespaces_are_forbidden_root_runs_it_as_an_existing_user(make: Make) -> None:
    users = pwd.getpwall()
    server = make()
    server.start()
    home = (server.folder / "home").resolve()
    try:
        assert Path(f"/proc/{server.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
        assert home.stat().st_mode & 0o777 == 0o700
        with server.connect() as connection:
            connection.execute("CREATE TABLE t (i int)")
        server.kill()
        server.start()
        with server.connect() as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    finally:
        server.remove()
    assert not home.exists()
    assert not server.folder.exists()
    assert pwd.getpwall() == users


@as_root
@pytest.mark.usefixtures("without_namespaces")
def test_programs_that_the_other_user_cannot_read_are_copied_not_opened(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    package = bin_dir("18").parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, private / folder.name, symlinks=True)
    server = Postgres(private / "cluster", private / bin_dir("18").relative_to(package.parent), durable=False)
    try:
        with server, server.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert private.stat().st_mode & 0o777 == 0o700
    finally:
        server.remove()


@as_root
@pytest.mark.usefixtures("without_namespaces")
@on_18
def test_data_that_a_temporary_folder_lost_is_not_replaced_in_silence(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    shutil.rmtree((server.folder / "home").resolve())
    with pytest.raises(ServerError, match="which is gone"):
        server.start()


@as_root
def test_without_any_way_to_leave_root_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, without_namespaces: None
) -> None:
    monkeypatch.setattr(unprivileged, "_another", lambda: Identity(("false",)))
    with pytest.raises(ServerError, match="as an ordinary user"):
        unprivileged.identity()


AS_A_PLAIN_USER = """
import os, site, sys
for path in sys.argv[3:]:
    site.addsitedir(path)
from pathlib import Path
from cutoverd.daemon.embedded.postgres import Postgres
assert os.geteuid() != 0
if os.access(sys.argv[2], os.X_OK):
    print("reached", flush=True)
    with Postgres(Path(sys.argv[1]), Path(sys.argv[2]), durable=False) as server, server.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        server.kill()
        server.start()
    server.remove()
"""


@as_root
def test_a_plain_user_needs_nobody_else(make: Make) -> None:
    user = pwd.getpwnam("nobody")
    become = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")
    site = [path for path in sys.path if path.endswith("site-packages")]
    home = Path(tempfile.mkdtemp(prefix="cutoverd-plain-user-"))
    arguments = ["-c", AS_A_PLAIN_USER, str(home / "cluster"), str(make().bin_dir), *site]
    try:
        os.chown(home, user.pw_uid, user.pw_gid)
        python = reachable_python(become, site)
        done = subprocess.run(
            [*become, python, *arguments], cwd=home, env={}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        if "reached" not in done.stdout:
            pytest.skip(f"{user.pw_name} cannot reach the programs here")
        assert list(home.iterdir()) == []
    finally:
        shutil.rmtree(home)


def reachable_python(become: tuple[str, ...], site: list[str]) -> str:
    """One that an unprivileged user can run, with this package; in a private clone there is none."""
    code = f"import site\nfor path in {site!r}: site.addsitedir(path)\nimport cutoverd.daemon.embedded.postgres"
    for python in (sys.executable, "/usr/bin/python3"):
        if Identity(become).runs(python, "-c", code):
            return python
    pytest.skip("an unprivileged user can reach no Python with this package here")
