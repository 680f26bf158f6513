"""Commands on a real nats-server: the bytes that `nats pub` sends, and servers that die under a reader."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from cutoverd.daemon.bus import reader, stored
from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.engine.message import Message
from cutoverd.events.subjects import STREAM, events_of

BOUND_SECONDS = 20


def publish_raw(url: str, lines: bytes) -> bytes:
    """What a client without any library sends; the server's answer to a PING after it."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        login = {"verbose": False, "pedantic": False, "user": address.username, "pass": address.password}
        raw.sendall(f"CONNECT {json.dumps(login)}\r\n".encode() + lines + b"PING\r\n")
        answer = b""
        while b"PONG\r\n" not in answer:
            answer += raw.recv(4096)
        return answer


async def read_until(client: Client, start: int, last: bytes) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(BOUND_SECONDS), aclosing(CommandStream(client).read(start)) as messages:
        async for message in messages:
            found.append(message)
            if message.data == last:
                break
    return found


async def test_the_bytes_of_nats_pub_are_stored_and_delivered(client: Client, nats_server: Any) -> None:
    await asyncio.to_thread(publish_raw, nats_server.url, b"PUB cutover.cmd 7\r\nadvance\r\n")
    (message,) = await read_until(client, 1, b"advance")
    assert (message.subject, message.id) == ("cutover.cmd", "")


async def test_nats_req_gets_the_sequence_as_a_receipt(client: Client) -> None:
    answer = await client.nc.request("cutover.cmd", b"advance", timeout=5)
    assert b'"stream":"CUTOVER"' in answer.data
    assert b'"seq":1' in answer.data


async def test_a_command_sent_while_nobody_listens_is_delivered_once_at_the_next_start(nats_server: Any) -> None:
    first = await connect(nats_server.url)
    await prepare(first)
    await asyncio.to_thread(publish_raw, nats_server.url, b"PUB cutover.cmd 7\r\nadvance\r\n")
    async with asyncio.timeout(BOUND_SECONDS):  # a PUB is not acknowledged: what was not stored yet is lost with the server
        while not (await first.js.stream_info(STREAM)).state.messages:
            await asyncio.sleep(0.02)
    await first.close()
    nats_server.kill()
    nats_server.start()
    second = await connect(nats_server.url)
    await CommandStream(second).publish(b"note", id=uuid4().hex)
    assert [m.data for m in await read_until(second, 1, b"note")] == [b"advance", b"note"]
    await second.close()


async def test_a_reader_that_waits_since_before_a_restart_gets_each_command_once(client: Client, nats_server: Any) -> None:
    # nats-py's ordered consumer starts again at sequence 1 if it had seen no message before the restart
    handled = await CommandStream(client).publish(b"handled before", id=uuid4().hex)
    reading = asyncio.create_task(read_until(client, handled + 1, b"last"))
    await asyncio.sleep(0.5)  # the reader is waiting, with nothing delivered yet
    nats_server.kill()
    nats_server.start()
    await CommandStream(client).publish(b"last", id=uuid4().hex)
    assert [m.data for m in await reading] == [b"last"]


async def test_no_command_is_lost_or_doubled_while_the_server_is_killed_again_and_again(client: Client, nats_server: Any) -> None:
    sent = [f"note {n}".encode() for n in range(60)]
    reading = asyncio.create_task(read_until(client, 1, sent[-1]))

    async def send() -> None:
        for n, body in enumerate(sent):
            await CommandStream(client).publish(body, operator="alice" if n % 2 else None, id=uuid4().hex)

    sending = asyncio.create_task(send())
    for _ in range(2):
        await asyncio.sleep(0.05)
        nats_server.kill()
        await asyncio.sleep(0.05)
        nats_server.start()
    await sending
    assert [m.data for m in await reading] == sent


async def test_readers_leave_no_consumer_behind(client: Client) -> None:
    await CommandStream(client).publish(b"advance", id=uuid4().hex)
    await read_until(client, 1, b"advance")
    await Journal(client, events_of("r1")).append(uuid4().hex, b"x")
    [m async for m in Journal(client, events_of("r1")).replay()]
    async with asyncio.timeout(BOUND_SECONDS):
        while (await client.js.stream_info("CUTOVER")).state.consumer_count:
            await asyncio.sleep(0.5)


async def test_a_long_backlog_is_read_whole_by_flow_control(client: Client) -> None:
    body = b"x" * 60_000
    publishing = [CommandStream(client).publish(body, id=uuid4().hex) for _ in range(400)]
    await asyncio.gather(*publishing)
    await CommandStream(client).publish(b"last", id=uuid4().hex)
    messages = await read_until(client, 1, b"last")
    assert [m.seq for m in messages] == list(range(1, 402))


async def test_a_connection_cut_in_the_middle_of_a_backlog_loses_and_doubles_nothing(client: Client) -> None:
    await asyncio.gather(*(CommandStream(client).publish(b"x" * 60_000, id=uuid4().hex) for _ in range(400)))
    seqs, cuts = [], [5, 50, 200]
    async with asyncio.timeout(BOUND_SECONDS), aclosing(CommandStream(client).read(1)) as messages:
        async for message in messages:
            seqs.append(message.seq)
            if len(seqs) in cuts:
                client.nc._transport._io_writer.transport.abort()  # type: ignore[union-attr]
            if len(seqs) == 400:
                break
    assert seqs == list(range(1, 401))


@pytest.mark.parametrize("dropped", [b"note 5", b"note 9"], ids=["in the middle", "at the end"])
async def test_a_message_that_a_slow_client_dropped_is_read_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, dropped: bytes
) -> None:
    deliver, drops = client.nc._process_msg, [dropped]

    async def lossy(sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if data in drops:
            drops.remove(data)
        else:
            await deliver(sid, subject, reply, data, headers)

    monkeypatch.setattr(client.nc, "_process_msg", lossy)
    sent = [f"note {n}".encode() for n in range(10)]
    for body in sent:
        await CommandStream(client).publish(body, id=uuid4().hex)
    assert [m.data for m in await read_until(client, 1, sent[-1])] == sent
    assert not drops


@pytest.mark.parametrize("silent", [1, 2])
async def test_a_reader_that_has_met_silence_goes_back_to_a_consumer_in_the_middle_of_a_flood(
    client: Client, monkeypatch: pytest.MonkeyPatch, silent: int
) -> None:
    """Found: a consumer that was silent while the server stored a flood, and then 20,000 messages one by one, for 25 s."""
    fetched, next_of = 0, reader._next
    silences = [True] * silent

    async def counted(*of: Any) -> Message | None:
        nonlocal fetched
        fetched += 1
        return await fetch(*of)

    async def silent_at_first(waiting: Any) -> Any:
        if silences:
            silences.pop()
            raise TimeoutError
        return await next_of(waiting)

    fetch = stored._fetch
    monkeypatch.setattr(stored, "_fetch", counted)
    monkeypatch.setattr(reader, "_next", silent_at_first)
    monkeypatch.setattr(reader, "FEWEST_BY_REQUEST", 50)
    for n in range(1000):
        await client.nc.publish("cutover.cmd", b"%d" % n)
    await client.nc.flush()
    assert [message.data for message in await read_until(client, 1, b"999")] == [b"%d" % n for n in range(1000)]
    assert fetched <= {1: 100, 2: 300}[silent], "twice as many after each silence"
