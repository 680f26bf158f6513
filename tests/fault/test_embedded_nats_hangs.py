"""The embedded server is there and stores nothing: it hangs, or its disk was full for a moment. Nobody is there to restart it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from functools import partial
from pathlib import Path

import pytest
from support import servers
from unit.plan.test_freeze import plan_of

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.runtime import embedded_bus, open_bus
from cutoverd.events import facts
from cutoverd.events.codec import decode


@pytest.mark.long
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # nats-py leaves the sockets of failed attempts open
async def test_a_server_that_hangs_is_started_anew_and_the_event_is_kept_once(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    folder = loaded.state_dir / "nats"
    try:
        async with open_bus.bus(loaded) as client:
            await stream.prepare(client)
            journal = Journal(client, "cutover.evt.night-1", budget_seconds=1)
            runlog = RunLog("night-1", journal, revive=partial(embedded_bus.revive, loaded, client))
            await runlog.append(facts.NoteTaken(by=None, text="one"))
            hanging = nats.find(folder)
            assert hanging
            servers.pause(hanging.pid)
            async with asyncio.timeout(60):
                await runlog.append(facts.NoteTaken(by=None, text="two"))
            running = nats.find(folder)
            assert running
            assert running.pid != hanging.pid
            kept = [decode(message.data).event async for message in Journal(client, "cutover.evt.night-1").replay()]
        assert [event.text for event in kept if isinstance(event, facts.NoteTaken)] == ["one", "two"]
    finally:
        await nats.stop(folder)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_server_whose_port_was_taken_ends_the_daemon_instead_of_being_looked_for_in_vain(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    folder = loaded.state_dir / "nats"
    try:
        async with open_bus.bus(loaded) as client:
            await stream.prepare(client)
            runlog = RunLog(
                "night-1",
                Journal(client, "cutover.evt.night-1", budget_seconds=1),
                revive=partial(embedded_bus.revive, loaded, client),
            )
            running = nats.find(folder)
            assert running
            port = int(running.url.rpartition(":")[2])
            with socket.socket() as stranger:
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                os.kill(running.pid, signal.SIGKILL)
                async with asyncio.timeout(10):
                    while not _bound(stranger, port):
                        await asyncio.sleep(0.005)
                stranger.listen()
                async with asyncio.timeout(60):
                    with pytest.raises(Unreachable, match="another program has taken its port"):
                        await runlog.append(facts.NoteTaken(by=None, text="one"))
        async with open_bus.bus(loaded) as client:
            again = RunLog("night-1", Journal(client, "cutover.evt.night-1"))
            await again.append(facts.NoteTaken(by=None, text="one"))
    finally:
        await nats.stop(folder)


def _bound(stranger: socket.socket, port: int) -> bool:
    try:
        stranger.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
