"""The smallest rights of the daemon and of an operator, and what they hear who have less."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from support.nats_rights import DAEMON_PUBLISHES
from support.paths import ROOT
from support.servers import configured_nats

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.credentials import login
from cutoverd.daemon.bus.errors import Unreachable, Unsuitable
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import check_sync, prepare, sync_always
from cutoverd.daemon.embedded.loopback import HOST, free_port
from cutoverd.daemon.embedded.nats_binary import program
from cutoverd.daemon.engine.errors import ServerRefused
from cutoverd.daemon.plan.settings import Bus
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.events.subjects import STREAM, events_of

START_SECONDS, BOUND_SECONDS = 10, 20
SUBJECT = events_of("r1")


def user(name: str, publish: list[str]) -> dict[str, object]:
    return {"user": name, "password": name, "permissions": {"publish": publish, "subscribe": [f"_INBOX_{name}.>"]}}


@pytest.fixture
def sync_interval() -> str:
    return "always"


@pytest.fixture
def server(tmp_path: Path, sync_interval: str) -> Iterator[tuple[str, str]]:
    """(url, monitoring url) of a server with four users: admin, daemon, alice, nobody."""
    port, monitoring = free_port(), free_port()
    users = [
        {"user": "admin", "password": "admin"},
        user("daemon", DAEMON_PUBLISHES),
        user("alice", ["cutover.cmd.alice"]),
        user("nobody", ["x"]),
    ]
    settings = {
        "listen": f"{HOST}:{port}",
        "http": f"{HOST}:{monitoring}",
        "authorization": {"users": users},
        "jetstream": {"store_dir": str(tmp_path / "store"), "sync_interval": sync_interval},
    }
    (tmp_path / "nats.conf").write_text(json.dumps(settings))
    process = subprocess.Popen([program(), "-c", tmp_path / "nats.conf", "-l", tmp_path / "log"])
    try:
        wait_for_port(port)
        yield f"nats://{HOST}:{port}", f"http://{HOST}:{monitoring}"
    finally:
        process.kill()
        process.wait()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "nats-server did not start"
            time.sleep(0.02)


@asynccontextmanager
async def connected(url: str, name: str) -> AsyncIterator[Client]:
    inbox = "_INBOX" if name == "admin" else f"_INBOX_{name}"
    client = await connect(url, user=name, password=name, inbox_prefix=inbox)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def url(server: tuple[str, str]) -> str:
    async with connected(server[0], "admin") as admin:
        await prepare(admin)
    return server[0]


async def test_the_smallest_rights_are_enough_for_the_daemon(url: str) -> None:
    async with connected(url, "alice") as alice, connected(url, "daemon") as daemon:
        await prepare(daemon)
        journal = Journal(daemon, SUBJECT)
        await journal.append("e1", b"1")
        await CommandStream(alice).publish(b"advance", operator="alice", id=uuid4().hex)
        assert [m.id async for m in Journal(daemon, SUBJECT).replay()] == ["e1"]
        async with asyncio.timeout(BOUND_SECONDS), aclosing(CommandStream(daemon).read(1)) as commands:
            assert (await anext(commands)).subject == "cutover.cmd.alice"
        assert not daemon.complaints


async def test_a_daemon_that_may_not_append_is_told_the_right_it_lacks(url: str) -> None:
    async with connected(url, "nobody") as nobody:
        with pytest.raises(ServerRefused, match=r'(?i)permissions violation for publish to "cutover\.evt\.r1"'):
            await Journal(nobody, SUBJECT).append("e1", b"1")


async def test_an_operator_cannot_command_as_another(url: str) -> None:
    async with connected(url, "alice") as alice:
        with pytest.raises(ServerRefused, match=r'(?i)permissions violation for publish to "cutover\.cmd\.bob"'):
            await CommandStream(alice).publish(b"advance", operator="bob", id=uuid4().hex)


async def test_an_append_on_a_connection_closed_for_good_is_refused_at_once(url: str) -> None:
    async with connected(url, "daemon") as daemon:
        await daemon.close()
        with pytest.raises(ServerRefused, match="closed for good"):
            await Journal(daemon, SUBJECT).append("e1", b"1")


async def test_who_may_not_read_commands_is_told_instead_of_waiting_for_ever(url: str) -> None:
    async with connected(url, "nobody") as nobody, asyncio.timeout(BOUND_SECONDS):
        with pytest.raises(ServerRefused, match=r"cannot read cutover\.cmd, cutover\.cmd\.\*"):
            await anext(CommandStream(nobody).read(1))


async def test_a_daemon_that_may_not_make_the_missing_stream_says_so(server: tuple[str, str]) -> None:
    async with connected(server[0], "daemon") as daemon:
        with pytest.raises(ServerRefused, match=r"(?i)STREAM\.CREATE.*administrator"):
            await prepare(daemon)


async def test_a_wrong_password_is_named_and_not_shown(url: str) -> None:
    with pytest.raises(Unreachable, match=r"(?i)authorization violation") as refused:
        await connect(url.replace("nats://", "nats://daemon:secret-word@"), timeout_seconds=1)
    assert "secret-word" not in str(refused.value)


async def test_the_environment_holds_the_password_that_a_plan_may_not(server: tuple[str, str], monkeypatch: Any) -> None:
    """Found: of all addresses of a plan only the bus's held one."""
    loaded: Any = SimpleNamespace(plan=SimpleNamespace(bus=Bus(url=server[0])))
    monkeypatch.setenv("NATS_USER", "daemon")
    monkeypatch.setenv("NATS_PASSWORD", "daemon")
    async with bus(loaded) as client:
        assert client.nc.is_connected
    monkeypatch.delenv("NATS_PASSWORD")
    assert login(None) == {"token": "daemon"}


async def test_a_server_that_is_not_there_is_named_within_the_time_out() -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"no NATS server of 127\.0\.0\.1:1 answered within 0\.5 s"):
        await connect("nats://127.0.0.1:1", timeout_seconds=0.5)
    assert time.monotonic() - began < 5


async def test_the_monitoring_port_tells_that_the_server_syncs_always(server: tuple[str, str]) -> None:
    assert await sync_always(server[1]) is True


@pytest.mark.parametrize("sync_interval", ["2m"])
async def test_a_server_that_acknowledges_before_it_syncs_is_refused(server: tuple[str, str]) -> None:
    with pytest.raises(Unsuitable, match="syncs its store now and then"):
        await check_sync(server[1])


async def test_a_server_that_syncs_always_or_does_not_tell_is_taken(server: tuple[str, str]) -> None:
    await check_sync(server[1])
    await check_sync(None)


async def test_a_monitoring_port_that_answers_something_else_tells_nothing(server: tuple[str, str]) -> None:
    assert await sync_always(f"{server[1]}/varz") is None


@pytest.fixture
def as_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of deploy/nats, in a folder of the test's."""
    monkeypatch.setenv("CUTOVER_PASSWORD", "cutover")
    monkeypatch.setenv("ALICE_PASSWORD", "alice")
    text = (ROOT / "deploy" / "nats" / "cutover.conf").read_text(encoding="utf-8")
    with configured_nats(tmp_path, text.replace("/var/lib/nats", str(tmp_path / "store"))) as url:
        yield url


@asynccontextmanager
async def logged_in(url: str, name: str) -> AsyncIterator[Client]:
    client = await connect(url, user=name, password=name)
    try:
        yield client
    finally:
        await client.close()


async def test_the_rights_of_deploy_let_the_daemon_make_its_stream_and_raise_its_limit(as_deployed: str) -> None:
    async with logged_in(as_deployed, "cutover") as daemon:
        await prepare(daemon, stream_bytes=200_000)
        journal = Journal(daemon, SUBJECT)
        for n in range(8):
            await journal.append(f"e{n}", b"x" * 60_000)
        assert len([message async for message in journal.replay()]) == 8
        assert not daemon.complaints


async def test_an_operator_of_deploy_commands_under_his_own_name_alone(as_deployed: str) -> None:
    async with logged_in(as_deployed, "cutover") as daemon, logged_in(as_deployed, "alice") as alice:
        await prepare(daemon)
        await CommandStream(alice).publish(b"advance", operator="alice", id=uuid4().hex)
        assert not alice.complaints
        for subject in ("cutover.cmd", "cutover.cmd.bob", "cutover.evt.r1", "cutover.runs", f"$JS.API.STREAM.UPDATE.{STREAM}"):
            await alice.nc.publish(subject, b"x")
            async with asyncio.timeout(5):  # nats-py hands the server's complaint on in a task of its own
                while not alice.forbidden(subject):
                    await asyncio.sleep(0.01)
