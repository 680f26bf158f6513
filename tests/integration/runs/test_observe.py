"""Waiting for a run and following it from its stream alone, while the embedded server comes and goes as daemons make it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cutoverd.daemon.bus.anchor import FileAnchor
from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.control import finalize, observe, send
from cutoverd.daemon.control.send import NotOpen
from cutoverd.daemon.embedded import nats
from cutoverd.daemon.engine.errors import BusError, Unavailable
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.runtime.daemon_lock import AlreadyDriven, one_daemon
from cutoverd.daemon.runtime.embedded_bus import end_embedded, has_a_server, started_for_observers
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.events import facts
from cutoverd.events.commands import Command, Verb
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


def states(observation: observe.Observation) -> list[str]:
    return [state for state, _ in observation.timeline.entered]


async def test_a_run_is_waited_for_before_it_begins_and_the_server_that_goes_at_its_end_is_no_riddle(loaded: Any) -> None:
    waiters = [
        asyncio.create_task(observe.wait_until(loaded, lambda observation: observation.run.is_stuck, 60)) for _ in range(2)
    ]
    async with a_daemon(loaded, STARTED, facts.GateReached(gate="downtime")) as daemon:
        observation, is_so = await observe.wait_until(loaded, lambda observation: observation.run.gate is not None, 30)
        assert (is_so, observation.status_document()["gate"]) == (True, "downtime")
        assert not any(waiter.done() for waiter in waiters)
        await daemon.append(ABORTED)
    await end_embedded(loaded)
    for observation, is_so in await asyncio.gather(*waiters):
        assert (is_so, states(observation)) == (True, ["precheck", "aborted"])
    assert nats.find(loaded.state_dir / "nats") is None, "a look leaves no server running"


async def test_a_server_is_started_to_look_once_and_stopped_by_the_last_who_looks(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED, ABORTED):
        pass
    await end_embedded(loaded)
    observations = await asyncio.gather(*(observe.read_run(loaded) for _ in range(4)))
    assert [each.run.state for each in observations] == ["aborted"] * 4
    assert nats.find(loaded.state_dir / "nats") is None
    assert not started_for_observers(loaded).exists()


async def test_a_server_that_a_daemon_has_left_for_its_run_is_left_by_those_who_look(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED):
        pass
    assert (await observe.read_run(loaded)).run.state == "precheck"
    assert nats.find(loaded.state_dir / "nats") is not None


async def test_a_daemon_that_comes_while_somebody_looks_keeps_the_server(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED):
        pass
    await end_embedded(loaded)
    async with observe.connected_observer(loaded) as client:
        assert client is not None
        assert started_for_observers(loaded).exists()
        async with a_daemon(loaded):
            assert not started_for_observers(loaded).exists()
    assert nats.find(loaded.state_dir / "nats") is not None


async def test_every_event_is_seen_once_it_is_there_and_nothing_comes_when_the_time_is_up(loaded: Any) -> None:
    sequences: list[int] = []
    async with a_daemon(loaded, STARTED) as daemon:
        _, is_so = await observe.wait_until(loaded, lambda observation: False, 0.3)
        assert is_so is False
        following = asyncio.create_task(follow(loaded, sequences))
        await daemon.append(facts.NoteTaken(by="alice", text="first"))
        await daemon.append(facts.NoteTaken(by="alice", text="second"))
        await daemon.append(ABORTED)
        await asyncio.wait_for(following, 30)
    assert sorted(set(sequences)) == [1, 2, 3, 4]


async def follow(loaded: Any, sequences: list[int]) -> None:
    async for _ in observe.observe(loaded, lambda run, recorded: sequences.append(recorded.seq)):
        pass


async def test_a_run_without_a_store_is_not_started_and_no_store_is_made(loaded: Any) -> None:
    assert (await observe.read_run(loaded)).status_document() == {}
    assert list(loaded.state_dir.iterdir()) == []


async def test_a_process_whose_number_is_in_an_old_lock_of_a_daemon_keeps_no_server_running(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED, ABORTED):
        pass
    await end_embedded(loaded)
    (loaded.run_dir / "daemon.lock").write_text(f"{os.getpid()}\n")
    await observe.read_run(loaded)
    assert nats.find(loaded.state_dir / "nats") is None
    with one_daemon(loaded):
        await observe.read_run(loaded)
        assert nats.find(loaded.state_dir / "nats") is not None, "this one lives"


async def test_a_look_at_the_lock_of_a_daemon_is_not_taken_for_a_daemon(loaded: Any) -> None:
    loaded.run_dir.mkdir(parents=True)
    glance = (loaded.run_dir / "daemon.lock").open("a+")
    fcntl.flock(glance, fcntl.LOCK_SH)
    threading.Timer(0.1, glance.close).start()
    with one_daemon(loaded), pytest.raises(AlreadyDriven, match=f"by process {os.getpid()} already"), one_daemon(loaded):
        pass


async def test_a_word_that_nobody_takes_leaves_no_server_of_those_who_look_running(loaded: Any) -> None:
    async with a_daemon(loaded, STARTED, ABORTED):
        pass
    await end_embedded(loaded)
    async with observe.connected_observer(loaded):
        with pytest.raises(NotOpen, match="run night has ended: aborted"):
            await send.send(loaded, Command(verb=Verb.RESUME, run="night"), None, 1)
        assert nats.find(loaded.state_dir / "nats") is not None, "somebody looks"
    assert nats.find(loaded.state_dir / "nats") is None


async def test_finalize_leaves_no_server_of_those_who_look_running(loaded: Any) -> None:
    (loaded.state_dir / "nats").mkdir()
    async with observe.connected_observer(loaded):
        with pytest.raises(NotOpen, match="run night has not started"):
            await finalize.read_inventory(loaded)
        assert nats.find(loaded.state_dir / "nats") is not None, "somebody looks"
    assert nats.find(loaded.state_dir / "nats") is None


async def test_a_bus_that_fails_at_once_is_not_asked_again_without_a_pause(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    async def fails(*_: Any) -> None:
        nonlocal tries
        tries += 1
        raise Unreachable

    monkeypatch.setattr(observe, "_read_once", fails)
    monkeypatch.setattr(observe, "READ_SECONDS", 1.0)
    with pytest.raises(Unreachable):
        await observe.read_run(loaded)
    assert 1 < tries <= 4


async def test_who_waits_outlives_an_outage_of_the_teams_nats(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each outage has lasted for as long as a look takes; before the first look it is an error."""
    outcomes: list[BusError | None] = [Unavailable(), None, Unreachable(), Unavailable(), None]
    read_once = observe._read_once

    async def in_turn(*args: Any) -> Any:
        if outcomes and (error := outcomes.pop(0)):
            raise error
        return await read_once(*args)

    async with a_daemon(loaded, STARTED) as daemon:
        server = nats.find(loaded.state_dir / "nats")
        assert server is not None
        url = server.url.replace("://", f"://{server.user}:{server.password}@")
        plan = SimpleNamespace(run="night", bus=SimpleNamespace(url=url, credentials=None))
        theirs = SimpleNamespace(plan=plan, state_dir=loaded.state_dir, run_dir=loaded.run_dir)
        monkeypatch.setattr(observe, "_read_once", in_turn)
        with pytest.raises(Unavailable):
            await observe.wait_until(theirs, lambda observation: False, 30)  # type: ignore[arg-type]
        first = asyncio.Event()
        waiting = asyncio.create_task(observe.wait_until(theirs, lambda observation: bool(first.set()), 60))  # type: ignore[arg-type]
        await asyncio.wait_for(first.wait(), 30)
        await daemon.append(ABORTED)
        observation, is_so = await asyncio.wait_for(waiting, 60)
    assert (is_so, observation.run.state, outcomes) == (True, "aborted", [])


@pytest.mark.parametrize("late", ["receipt", "answer"])
async def test_a_send_that_ends_the_run_leaves_no_server_running_and_says_nothing_of_its_going(
    loaded: Any, late: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found: on a busy machine the daemon was gone before its answer was read; then the sender started the server again."""
    publish, answer = CommandStream.publish, send._answer

    async def server_has_gone(of: str) -> None:
        while late == of and has_a_server(loaded):
            await asyncio.sleep(0.02)

    async def late_receipt(*args: Any, **options: Any) -> int:
        seq = await publish(*args, **options)
        await server_has_gone("receipt")
        return seq

    async def late_answer(*args: Any) -> Any:
        await server_has_gone("answer")
        return await answer(*args)

    monkeypatch.setattr(CommandStream, "publish", late_receipt)
    monkeypatch.setattr(send, "_answer", late_answer)
    with one_daemon(loaded):
        async with bus(loaded) as client, a_daemon(loaded, STARTED) as daemon:
            sending = asyncio.create_task(send.send(loaded, Command(verb=Verb.ABORT), None, 60))
            async with aclosing(CommandStream(client).read(1)) as commands:
                command = await anext(commands)
            await daemon.append(facts.AbortRequested(by=None, reason=""), command_position=command.seq)
            await daemon.append(ABORTED)
        capsys.readouterr()
        await end_embedded(loaded)
    receipt = await asyncio.wait_for(sending, 60)
    assert receipt.answer is not None
    assert isinstance(receipt.answer.event, facts.AbortRequested)
    assert receipt.run.state == "aborted"
    assert nats.find(loaded.state_dir / "nats") is None
    assert capsys.readouterr().out == ""


async def test_many_senders_at_the_end_of_a_run_all_learn_of_it_and_leave_no_server_running(loaded: Any) -> None:
    with one_daemon(loaded):
        async with bus(loaded) as client, a_daemon(loaded, STARTED) as daemon:
            sending = [asyncio.create_task(send.send(loaded, Command(verb=Verb.ABORT), None, 20)) for _ in range(5)]
            async with aclosing(CommandStream(client).read(1)) as commands:
                received = [await anext(commands) for _ in sending]
            await daemon.append(facts.AbortRequested(by=None, reason=""), command_position=received[-1].seq)
            await daemon.append(ABORTED)
        await end_embedded(loaded)
    receipts = await asyncio.wait_for(asyncio.gather(*sending), 60)
    assert {(receipt.answer is not None, receipt.run.state) for receipt in receipts} == {(True, "aborted")}
    assert nats.find(loaded.state_dir / "nats") is None


async def started_and_left(loaded: Any) -> None:
    """A run that a daemon has begun; the daemon was killed since, the server lives on."""
    async with a_daemon(loaded, STARTED):
        pass


def starts_of_the_server(loaded: Any) -> int:
    return (loaded.state_dir / "nats" / "server.log").read_text().count("Server is ready")


def kill_server(loaded: Any) -> None:
    server = nats.find(loaded.state_dir / "nats")
    assert server
    os.kill(server.pid, signal.SIGKILL)


@pytest.mark.parametrize("killed", ["before it is published", "while it is waited for"])
async def test_a_sender_keeps_the_server_for_the_daemon_that_has_yet_to_come(
    loaded: Any, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: killed while no daemon drove, the server was started and stopped for each look, and gone in the end."""
    publish = CommandStream.publish

    async def after_a_kill(*args: Any, **options: Any) -> int:
        kill_server(loaded)
        return await publish(*args, **options)

    await started_and_left(loaded)
    if killed == "before it is published":
        monkeypatch.setattr(CommandStream, "publish", after_a_kill)
    sending = asyncio.create_task(send.send(loaded, Command(verb=Verb.NOTE, reason="hello"), None, 4))
    if killed == "while it is waited for":
        await asyncio.sleep(2)
        kill_server(loaded)
    receipt = await asyncio.wait_for(sending, 60)
    assert receipt.answer is None
    assert nats.find(loaded.state_dir / "nats") is not None
    assert starts_of_the_server(loaded) == 2
    async with bus(loaded) as client, aclosing(CommandStream(client).read(receipt.seq)) as commands:
        assert (await asyncio.wait_for(anext(commands), 10)).seq == receipt.seq


async def test_a_sender_that_kept_the_server_does_not_leave_it_once_the_run_has_ended(
    loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, has_ended = send._answer, asyncio.Event()

    async def late_answer(*args: Any) -> Any:
        await has_ended.wait()
        return await answer(*args)

    monkeypatch.setattr(send, "_answer", late_answer)
    await started_and_left(loaded)
    sending = asyncio.create_task(send.send(loaded, Command(verb=Verb.ABORT), None, 20))
    await asyncio.sleep(0.5)
    with one_daemon(loaded):
        async with bus(loaded) as client, a_daemon(loaded) as daemon:
            async with aclosing(CommandStream(client).read(1)) as commands:
                command = await anext(commands)
            await daemon.append(facts.AbortRequested(by=None, reason=""), command_position=command.seq)
            await daemon.append(ABORTED)
        await end_embedded(loaded)
    has_ended.set()
    receipt = await asyncio.wait_for(sending, 60)
    assert (receipt.answer is not None, receipt.run.state) == (True, "aborted")
    assert nats.find(loaded.state_dir / "nats") is None
