"""Waiting for a run and following it from its stream alone, while the embedded server comes and goes as daemons make it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cutoverd.daemon import looking
from cutoverd.daemon.attach import bus, end_embedded, started_to_look
from cutoverd.daemon.bus.anchor import FileAnchor
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.runlog import RunLog
from cutoverd.events import facts
from cutoverd.events.subjects import events_of

STARTED = facts.RunStarted(plan_sha256="", files={}, items={}, gates=["downtime"])
ABORTED = facts.Transitioned(source="precheck", target="aborted", trigger="abort")


@pytest.fixture
async def loaded(tmp_path: Path) -> AsyncIterator[Any]:
    """As much of a plan as the bus needs."""
    yield SimpleNamespace(plan=SimpleNamespace(run="night", bus=None), state_dir=tmp_path, run_dir=tmp_path / "runs" / "night")
    await nats.stop(tmp_path / "nats")


@asynccontextmanager
async def a_daemon(loaded: Any, *events: facts.Event) -> AsyncIterator[RunLog]:
    """What a daemon does to the bus: it appends, and leaves the server running."""
    async with bus(loaded) as client:
        await prepare(client)
        loaded.run_dir.mkdir(parents=True, exist_ok=True)
        runlog = RunLog("night", Journal(client, events_of("night")), [FileAnchor(loaded.run_dir / "anchor.json")])
        await runlog.replay()
        for event in events:
            await runlog.append(event)
        yield runlog
        await runlog.settled()


def states(seen: looking.Sight) -> list[str]:
    return [state for state, _ in seen.timeline.entered]


async def test_a_run_is_waited_for_before_it_begins_and_the_server_that_goes_at_its_end_is_no_riddle(loaded: Any) -> None:
    waiters = [asyncio.create_task(looking.wait(loaded, lambda seen: seen.run.is_stuck, 60)) for _ in range(2)]
    async with a_daemon(loaded, STARTED, facts.GateReached(gate="downtime")) as daemon:
        seen, is_so = await looking.wait(loaded, lambda seen: seen.run.gate is not None, 30)
        assert (is_so, seen.told()["gate"]) == (True, "downtime")
        assert not any(waiter.done() for waiter in waiters)
        await daemon.append(ABORTED)
    await end_embedded(loaded)
    for seen, is_so in await asyncio.gather(*waiters):
        assert (is_so, states(seen)) == (True, ["precheck", "aborted"])
    assert nats.find(loaded.state_dir / "nats") is None, "a look leaves no server running"


async def test_a_server_is_started_to_look_once_and_stopped_by_the_last_who_looks(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED, ABORTED):
        pass
    await end_embedded(loaded)
    seen = await asyncio.gather(*(looking.look(loaded) for _ in range(4)))
    assert [each.run.state for each in seen] == ["aborted"] * 4
    assert nats.find(loaded.state_dir / "nats") is None
    assert not started_to_look(loaded).exists()


async def test_a_server_that_a_daemon_has_left_for_its_run_is_left_by_those_who_look(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED):
        pass
    assert (await looking.look(loaded)).run.state == "precheck"
    assert nats.find(loaded.state_dir / "nats") is not None


async def test_a_daemon_that_comes_while_somebody_looks_keeps_the_server(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED):
        pass
    await end_embedded(loaded)
    async with looking.looking(loaded) as client:
        assert client is not None
        assert started_to_look(loaded).exists()
        async with a_daemon(loaded):
            assert not started_to_look(loaded).exists()
    assert nats.find(loaded.state_dir / "nats") is not None


async def test_every_event_is_seen_once_it_is_there_and_nothing_comes_when_the_time_is_up(loaded: Any) -> None:
    told: list[int] = []
    async with a_daemon(loaded, STARTED) as daemon:
        _, is_so = await looking.wait(loaded, lambda seen: False, 0.3)
        assert is_so is False
        following = asyncio.create_task(follow(loaded, told))
        await daemon.append(facts.NoteTaken(by="alice", text="first"))
        await daemon.append(facts.NoteTaken(by="alice", text="second"))
        await daemon.append(ABORTED)
        await asyncio.wait_for(following, 30)
    assert sorted(set(told)) == [1, 2, 3, 4]


async def follow(loaded: Any, told: list[int]) -> None:
    async for _ in looking.sights(loaded, lambda run, recorded: told.append(recorded.seq)):
        pass


async def test_a_run_without_a_store_is_not_started_and_no_store_is_made(loaded: Any) -> None:
    assert (await looking.look(loaded)).told() == {}
    assert list(loaded.state_dir.iterdir()) == []
