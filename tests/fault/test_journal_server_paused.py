"""A NATS server that stands still: a publish that timed out may be stored later."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cutoverd.daemon.bus import journal as journal_module
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.engine.errors import Conflict, Unavailable
from cutoverd.events.subjects import events_of

SUBJECT = events_of("r1")


@pytest.fixture
def short_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "REQUEST_SECONDS", 0.4)


async def replayed(client: Client) -> list[str]:
    return [m.id async for m in Journal(client, SUBJECT).replay()]


async def test_an_append_that_waits_out_a_pause_is_stored_once(client: Client, nats_server: Any) -> None:
    journal = Journal(client, SUBJECT)
    await journal.append("before", b"1")
    nats_server.pause()
    appending = asyncio.create_task(journal.append("during", b"2"))
    await asyncio.sleep(2.5)  # longer than one try
    nats_server.resume()
    assert await appending == 2
    assert await journal.append("after", b"3") == 3
    assert await replayed(client) == ["before", "during", "after"]


@pytest.mark.usefixtures("short_tries")
async def test_an_append_given_up_that_lands_later_does_no_harm(client: Client, nats_server: Any) -> None:
    """Either it lands first and the next append sees a conflict, or the next append is first and it never lands."""
    journal = Journal(client, SUBJECT, budget_seconds=1)
    await journal.append("before", b"1")
    nats_server.pause()
    with pytest.raises(Unavailable, match=r"append to cutover\.evt\.r1"):
        await journal.append("given up", b"2")
    nats_server.resume()
    rival = Journal(client, SUBJECT)
    known = [m.id async for m in rival.replay()]
    try:
        await rival.append("next", b"3")
        expected = [*known, "next"]
    except Conflict:
        expected = [*known, "given up"]
    assert await replayed(client) == expected
    with pytest.raises(Conflict):  # whichever it was: who gave up must replay
        await journal.append("blind", b"4")


@pytest.mark.usefixtures("short_tries")
async def test_a_server_that_stands_still_is_noticed_within_the_budget(client: Client, nats_server: Any) -> None:
    journal = Journal(client, SUBJECT, budget_seconds=1)
    nats_server.pause()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="not settled within 1 s"):
        await journal.append("never", b"1")
    assert time.monotonic() - began < 10


async def test_a_connection_to_a_server_that_stands_still_is_closed_in_time(nats_server: Any) -> None:
    client = await connect(nats_server.url)
    nats_server.pause()
    began = time.monotonic()
    await client.close()
    assert time.monotonic() - began < 5
