"""The embedded server is there and stores nothing: it hangs, or its disk was full for a moment. Nobody is there to restart it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
import servers
from unit.test_freeze import plan_of

from cutoverd.daemon import attach
from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.runlog import RunLog
from cutoverd.events import facts
from cutoverd.events.codec import decode


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # nats-py leaves the sockets of failed attempts open
async def test_a_server_that_hangs_is_started_anew_and_the_event_is_kept_once(tmp_path: Path) -> None:
    loaded = plan_of(tmp_path, 1)
    folder = loaded.state_dir / "nats"
    try:
        async with attach.bus(loaded) as client:
            await stream.prepare(client)
            journal = Journal(client, "cutover.evt.night-1", budget_seconds=1)
            runlog = RunLog("night-1", journal, revive=partial(attach.revive, loaded))
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
