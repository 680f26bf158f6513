"""kill -9 of the NATS server in the middle of appends."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from cutoverd.daemon.bus import reader
from cutoverd.daemon.bus.connection import connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.engine.errors import Conflict
from cutoverd.events.subjects import events_of

APPENDS, KILLS, BOUND_SECONDS = 300, 3, 60
SUBJECT = events_of("r1")


async def write(journal: Journal, name: str, count: int, acknowledged: list[tuple[int, str]]) -> None:
    """`count` messages, each once; after a conflict the replay tells whether ours is there."""
    for n in range(count):
        id = f"{name}-{n}-{uuid4().hex}"
        while True:
            try:
                acknowledged.append((await journal.append(id, id.encode()), id))
                break
            except Conflict:
                landed = [(m.seq, m.id) async for m in journal.replay() if m.id == id]
                if landed:
                    acknowledged.append(landed[0])
                    break


async def reached(acknowledged: list[tuple[int, str]], count: int) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while len(acknowledged) < count:
            await asyncio.sleep(0.002)


async def kill_while(writing: asyncio.Task[Any], acknowledged: list[tuple[int, str]], nats_server: Any) -> None:
    for kill in range(1, KILLS + 1):
        await reached(acknowledged, kill * APPENDS // (KILLS + 1))
        assert not writing.done(), "the writer ended before the server was killed"
        await asyncio.to_thread(nats_server.kill)
        await asyncio.to_thread(nats_server.start)


async def test_no_append_is_lost_or_doubled_when_the_server_is_killed(nats_server: Any) -> None:
    client = await connect(nats_server.url)
    await prepare(client)
    acknowledged: list[tuple[int, str]] = []
    writing = asyncio.create_task(write(Journal(client, SUBJECT), "a", APPENDS, acknowledged))
    await kill_while(writing, acknowledged, nats_server)
    await writing
    assert [(m.seq, m.id) async for m in Journal(client, SUBJECT).replay()] == acknowledged
    assert len(acknowledged) == APPENDS
    await client.close()


async def test_rival_writers_lose_and_double_nothing_when_the_server_is_killed(nats_server: Any) -> None:
    clients = [await connect(nats_server.url) for _ in range(2)]
    await prepare(clients[0])
    acknowledged: list[tuple[int, str]] = []
    writing = asyncio.gather(
        *(write(Journal(client, SUBJECT), name, 50, acknowledged) for client, name in zip(clients, "ab", strict=True))
    )
    await reached(acknowledged, 30)
    await asyncio.to_thread(nats_server.kill)
    await asyncio.to_thread(nats_server.start)
    await writing
    assert [(m.seq, m.id) async for m in Journal(clients[0], SUBJECT).replay()] == sorted(acknowledged)
    assert len(acknowledged) == 100
    for client in clients:
        await client.close()


AWAY_SECONDS = 1.5  # four tries


async def test_a_server_that_is_away_is_an_error_once_and_its_answer_is_told(nats_server: Any) -> None:
    """Found: the connection itself, and so every daemon, said `nats_error` four times a second for as long as it was away."""
    client = await connect(nats_server.url)
    with capture_logs() as logged:
        for outage in range(2):
            await asyncio.to_thread(nats_server.kill)
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(nats_server.start)
            async with asyncio.timeout(BOUND_SECONDS):
                while sum(each["event"] == "nats_reconnected" for each in logged) <= outage:
                    await asyncio.sleep(0.05)
    await client.close()
    events = [each["event"] for each in logged]
    assert 2 <= events.count("nats_error") <= 4  # that it was lost, while nothing was known yet, and that it is away
    assert [events.count(each) for each in ("nats_disconnected", "nats_answers", "nats_reconnected")] == [2, 2, 2]
    assert [each["after_seconds"] > 0.5 for each in logged if each["event"] == "nats_answers"] == [True, True]


async def test_an_outage_is_told_once_when_it_begins_and_once_when_it_is_over(
    nats_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: whoever followed a run while the server was away said so four times a second."""
    monkeypatch.setattr(reader, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(reader, "SILENCE_SECONDS", 0.4)  # it is away from then on
    client = await connect(nats_server.url)
    await prepare(client)
    journal = Journal(client, SUBJECT)
    with capture_logs() as logged:
        async with asyncio.timeout(BOUND_SECONDS), aclosing(journal.follow(1)) as messages:
            for outage in range(2):
                following = asyncio.ensure_future(anext(messages))
                await asyncio.sleep(0.2)  # it reads
                await asyncio.to_thread(nats_server.kill)
                await asyncio.sleep(AWAY_SECONDS)
                await asyncio.to_thread(nats_server.start)
                await journal.append(f"after {outage}", b"1")
                assert (await following).id == f"after {outage}"
    await client.close()
    events = [(each["event"], each["log_level"]) for each in logged if each["event"].startswith("reading_")]
    assert events == [("reading_again", "warning"), ("reading_goes_on", "info")] * (len(events) // 2)
    assert len(events) >= 4
    assert sum(each.get("after_seconds", 0) for each in logged) > AWAY_SECONDS


async def test_a_connection_that_is_about_to_end_says_nothing_of_a_server_that_goes_and_comes_back(nats_server: Any) -> None:
    """Found: `send abort` told on a busy machine that it was connected again, to a server that an observer had started."""
    client = await connect(nats_server.url)
    client.closing = True
    try:
        with capture_logs() as lines:
            await asyncio.to_thread(nats_server.kill)
            async with asyncio.timeout(BOUND_SECONDS):
                while client.nc.is_connected:
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(nats_server.start)
                while not client.nc.is_connected:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.1)  # what it has to say of it comes in a task of its own
        assert lines == []
    finally:
        await client.close()
