"""Found: before Python 3.12 `asyncio.wait_for` loses a cancel that comes together with what is waited for."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from nats.aio.msg import Msg
from support.servers import NatsServer
from support.wire import publish_to

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.host import children
from cutoverd.events.subjects import events_of

TICKS = range(16)  # turns of the loop between what is waited for and the cancel
CANCEL_SECONDS = 2.0
WAITS_FOR_A_FILE = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.005)"


async def cancelled_at(tick: int, act: Callable[[], Awaitable[Any]], come: Callable[[], Any], seconds: float) -> bool:
    """Whether a task that acts, and then waits for ever, ends when it is cancelled so many turns after that has come."""

    async def acting() -> None:
        await act()
        await asyncio.Event().wait()

    task = asyncio.create_task(acting())
    await asyncio.sleep(seconds)  # it waits
    come()
    time.sleep(seconds)  # noqa: ASYNC251  # a busy machine: what came is there, and the loop has not looked yet
    for _ in range(tick):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=CANCEL_SECONDS)
    return task.cancelled()


async def test_found_a_cancel_was_lost_when_a_child_ended_in_that_moment(tmp_path: Path) -> None:
    def act(end: Path) -> Callable[[], Awaitable[Any]]:
        argv = [sys.executable, "-I", "-S", "-c", WAITS_FOR_A_FILE, str(end)]
        return lambda: children.run(argv, folder=tmp_path, epoch=1, step="precheck.prove_backup", timeout_seconds=20)

    ends = [tmp_path / f"end{tick}" for tick in TICKS]
    cancelled = [await cancelled_at(tick, act(end), end.touch, 0.2) for tick, end in enumerate(ends)]
    assert all(cancelled), cancelled


async def test_found_a_daemon_hung_at_its_end_when_a_message_came_in_that_moment(client: Client, nats_server: NatsServer) -> None:
    """The reader of commands ends only by a cancel: one that was lost was waited for, for ever."""

    async def listen() -> None:
        async for _ in CommandStream(client).read(1):
            pass

    cancelled = [await cancelled_at(tick, listen, lambda: publish_to(nats_server.running), 0.05) for tick in TICKS]
    assert all(cancelled), cancelled


async def test_found_a_cancel_was_lost_when_an_append_was_acknowledged_in_that_moment(
    client: Client, nats_server: NatsServer
) -> None:
    async def append() -> None:
        nats_server.pause()
        await Journal(client, events_of(uuid4().hex)).append(uuid4().hex, b"{}")

    cancelled = [await cancelled_at(tick, append, nats_server.resume, 0.05) for tick in TICKS]
    assert all(cancelled), cancelled


async def test_found_a_connection_went_on_after_it_was_closed_while_it_came_back(nats_server: NatsServer) -> None:
    """And at the end of a run that had completed, a cancel of nats-py's own making said that it was stopped."""
    ours = asyncio.current_task()
    for turns in range(0, 120, 2):
        client = await connect(nats_server.url)
        client.nc.options["reconnect_time_wait"] = 0
        await client.nc.force_reconnect()
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.close()
        assert asyncio.all_tasks() == {ours}, turns


async def test_found_a_connection_that_was_given_up_left_its_readers_behind(nats_server: NatsServer) -> None:
    async def handle_message(message: Msg) -> None:
        pass

    ours = asyncio.current_task()
    client = await connect(nats_server.url)
    await client.nc.subscribe("cutover.heard", cb=handle_message)
    await client.nc.flush()
    nats_server.pause()
    for _ in range(16):
        await client.nc.publish("cutover.unread", bytes(1 << 19))
    async with asyncio.timeout(20):
        while not client.nc.is_reconnecting:
            await asyncio.sleep(0.1)
    await client.close()
    nats_server.resume()
    assert asyncio.all_tasks() == {ours}


async def test_found_a_cancel_was_lost_while_a_mute_server_was_connected_to() -> None:
    """nats-py tries again for ever: a lost cancel was heard when the time was up, and a lost time-out never."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"nats://127.0.0.1:{mute.getsockname()[1]}"
        for turns in TICKS:
            connecting = asyncio.create_task(connect(url, timeout_seconds=10))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            await asyncio.wait([connecting], timeout=CANCEL_SECONDS)
            assert connecting.cancelled(), turns
