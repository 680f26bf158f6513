"""A stream is made anew, and messages are put back into it, on a real nats-server; whoever else publishes there meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from support.servers import NatsServer
from support.wire import publish_to

from cutoverd.daemon.bus import stream, stream_api
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.content import read_content
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.make_anew import make_anew, put_back, request
from cutoverd.daemon.engine.errors import Conflict, LogRegressed
from cutoverd.events.mac import JournalKey
from cutoverd.events.subjects import STREAM, events_of

SUBJECT = events_of("r1")
KEY = JournalKey((b"key",))
MESSAGES = [(f"id{n}", KEY.sign(b'{"n":%d}' % n)) for n in range(1, 6)]


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await connect(nats_server.url)
    yield client
    await client.close()


async def held(client: Client) -> list[tuple[int, str, bytes]]:
    return [(message.seq, message.id, message.data) async for message in Journal(client, SUBJECT).replay()]


def with_others(server: NatsServer, *bodies: bytes) -> Iterator[tuple[str, bytes]]:
    """Somebody publishes after the third."""
    for number, message in enumerate(MESSAGES):
        if number == 3:
            for body in bodies:
                publish_to(server.running, body.decode(), SUBJECT)
        yield message


async def test_a_stream_is_made_anew_beyond_what_was_seen_and_a_daemon_takes_it(client: Client) -> None:
    await stream.prepare(client)
    await put_back(client, SUBJECT, MESSAGES[:2], KEY)
    await make_anew(client, 5001, is_there=True)
    assert await put_back(client, SUBJECT, MESSAGES, KEY) == 5
    assert await held(client) == [(5000 + n, id, body) for n, (id, body) in enumerate(MESSAGES, 1)]
    await stream.prepare(client, acknowledged_seq=5)


async def test_a_stream_that_somebody_else_makes_in_between_is_not_taken_for_ours(client: Client) -> None:
    """Found: its sequences began at 1, commands in it lay below the position on record, and nobody heard them."""
    await stream.prepare(client)  # after the deletion, say
    with pytest.raises(Conflict, match="somebody else has made stream CUTOVER meanwhile, from sequence 1 on"):
        await make_anew(client, 5001, is_there=False)


async def test_what_others_publish_in_between_is_stepped_over(client: Client, nats_server: NatsServer) -> None:
    await stream.prepare(client)
    await put_back(client, SUBJECT, with_others(nats_server, b"{}", b"x"), KEY)
    bodies = [body for _, _, body in await held(client)]
    assert [body for body in bodies if KEY.has_signed(body)] == [body for _, body in MESSAGES]
    assert bodies[3:5] == [b"{}", b"x"]


async def test_an_event_of_an_older_daemon_in_between_is_seen(client: Client, nats_server: NatsServer) -> None:
    """Else the journal would be broken in its middle, and nobody would have said so."""
    await stream.prepare(client)
    with pytest.raises(Conflict):
        await put_back(client, SUBJECT, with_others(nats_server, KEY.sign(b'{"n":6}')), KEY)


async def test_an_id_that_the_server_remembers_of_what_was_purged_hinders_nobody(client: Client) -> None:
    await stream_api.create(client, stream.settings() | {"deny_purge": False})
    await put_back(client, SUBJECT, MESSAGES, KEY)
    await stream_api.ask(client, f"$JS.API.STREAM.PURGE.{STREAM}", {})
    await put_back(client, SUBJECT, MESSAGES, KEY)
    assert [(seq, body) for seq, _, body in await held(client)] == [(5 + n, body) for n, (_, body) in enumerate(MESSAGES, 1)]


async def test_a_lost_stream_is_not_made_by_a_daemon(client: Client) -> None:
    """Found: it made a new one, whose sequences were below those on record."""
    with pytest.raises(LogRegressed, match="there is no stream CUTOVER, and it has acknowledged an event of this run at 7"):
        await stream.prepare(client, acknowledged_seq=7)
    assert not await stream.exists(client)


async def test_all_that_a_stream_holds_is_told_apart(client: Client, nats_server: NatsServer) -> None:
    assert not (await read_content(client)).is_there
    await stream.prepare(client)
    await put_back(client, SUBJECT, MESSAGES[:2], KEY)
    publish_to(nats_server.running, "advance", "cutover.cmd.alice")
    publish_to(nats_server.running, "{}", "cutover.runs")
    content = await read_content(client)
    assert (content.is_there, content.last_seq, content.bodies("r1")) == (True, 4, tuple(body for _, body in MESSAGES[:2]))
    assert [(each.seq, each.subject, each.data) for each in content.commands] == [(3, "cutover.cmd.alice", b"advance")]
    assert [each.data for each in content.runs] == [b"{}"]


def test_what_an_administrator_is_asked_for_is_the_stream_that_a_daemon_takes() -> None:
    delete, create = request(77, is_there=True).splitlines()[1:]
    assert "STREAM.DELETE.CUTOVER" in delete
    config = json.loads(create.split("'")[3])
    assert config.pop("first_seq") == 77
    assert config == stream.settings()
    assert len(request(77, is_there=False).splitlines()) == 2
