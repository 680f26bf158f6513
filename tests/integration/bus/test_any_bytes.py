"""Any bytes that the server takes, from a client without a library: after each of them a command is heard within a second."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from support.servers import NatsServer, running_nats
from support.wire import Wire, hpub

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.status_service import serving
from cutoverd.daemon.bus.stored import fetch_all
from cutoverd.daemon.bus.stream import prepare
from cutoverd.daemon.engine.inbox import InboxItem, NotACommand
from cutoverd.daemon.engine.message import LARGEST_MESSAGE_BYTES
from cutoverd.daemon.runtime.drive import listen
from cutoverd.events import facts
from cutoverd.events.codec import Envelope, encode
from cutoverd.events.commands import Command
from cutoverd.events.subjects import COMMANDS, EVENTS, STATUS

SECOND = 1.0
BATCH, SAMPLE, SOAK = 400, 1, 250  # examples; batches in CI; batches of the soak
MORE_THAN_A_MESSAGE = 70_000

# what a reader may trip over, among what is drawn at random
token_bytes = st.sampled_from(
    [b"\xff", b"\x0b", b"\x0c", b"\x01", b".", b"*", b">", b"'", b"1", b"$JS", b"a", b"\xc3\xa9", b"\x7f"]
)
tokens = st.lists(token_bytes | st.binary(min_size=1, max_size=3), min_size=1, max_size=8).map(b"".join)
names = st.sampled_from([b"Status", b"Nats-Last-Consumer", b"Nats-Consumer-Stalled", b"Nats-Expected-Stream", b"A", b"\xff", b""])
lines = st.builds(lambda name, between, value: name + between + value, names, st.sampled_from([b": ", b":", b" ", b""]), tokens)
blocks = st.one_of(
    st.just(b""),
    st.binary(min_size=1, max_size=12),
    st.integers(0, 12).map(lambda length: b"NATS/1.0\r\n\r\n"[:length]),
    st.builds(
        lambda first, rest, end: b"NATS/1.0" + first + b"\r\n".join([b"", *rest]) + end,
        st.sampled_from([b"", b" ", b" 100", b" 100 Idle Heartbeat", b" 409 \xff", b" \xff", b"\r", b" 503\r\n"]),
        st.lists(lines, max_size=4),
        st.sampled_from([b"\r\n\r\n", b"\r\n", b"", b"\r", b"\n\n"]),
    ),
    st.integers(100, 4_000).map(lambda count: b"NATS/1.0\r\n" + b"A: b\r\n" * count + b"\r\n"),
)
commands = st.sampled_from(
    [b"fail", b'{"verb": "note"}', b'{"verb": "note", "reason": "\\ud800"}', b"[" * 2000, b'{"ttl": Infinity}']
)
bodies = st.one_of(
    st.binary(max_size=64),
    commands,
    st.sampled_from([b"\r\nPING\r\n", b"-ERR 'x'\r\n"]),
    st.integers(0, MORE_THAN_A_MESSAGE).map(lambda size: b"x" * size),
)
roots = st.sampled_from([COMMANDS, COMMANDS, COMMANDS, EVENTS, STATUS, "$SRV.PING", "$SRV.INFO", "_INBOX"]).map(str.encode)
subjects = st.builds(
    lambda root, tail, padding: root + (b"." + tail if tail else b"") + b"a" * padding,
    roots,
    st.just(b"") | tokens,
    st.sampled_from([0] * 9 + [3900]),
)
replies = (
    st.just(b"") | st.sampled_from([b"cutover.runs", b"cutover.cmd.x", b"$JS.API.INFO", b"$JS.ACK.CUTOVER.a.1.1.1.1.1"]) | tokens
)


def without_blanks(subject: bytes) -> bytes:
    """A blank ends a subject for the server: what follows would be another message's."""
    return subject.translate(None, b" \t\r\n\x00")


hostile = st.builds(
    lambda subject, block, body, reply: hpub(without_blanks(subject), block, body, without_blanks(reply)),
    subjects,
    blocks,
    bodies,
    replies,
)


class Listener:
    """A daemon's ear, in a loop of its own that stands still between two looks."""

    def __init__(self, server: NatsServer) -> None:
        self.wire = Wire(server.url)
        self.runner = asyncio.Runner()
        self.inbox: asyncio.Queue[InboxItem] = asyncio.Queue()
        self.seqs: list[int] = []
        self._asked = 0
        self.client, self._tasks = self.runner.run(self._begin(server.url))

    async def _begin(self, url: str) -> tuple[Client, list[asyncio.Task[None]]]:
        client = await connect(url)
        await prepare(client)
        listening = asyncio.create_task(listen(CommandStream(client), 1, self.inbox))
        return client, [listening, asyncio.create_task(self._serve(client))]

    async def _serve(self, client: Client) -> None:
        async with serving(client, "r1", lambda: {"run": "r1"}):
            await asyncio.Event().wait()

    def receives_after(self, message: bytes) -> list[bytes]:
        """What the server said of the message. Raises `TimeoutError` if the next command is not heard within a second."""
        replies = self.wire.send(message)
        self._asked += 1
        reason = str(self._asked)
        self.wire.send(hpub(COMMANDS.encode(), b"", json.dumps({"verb": "note", "reason": reason}).encode()))
        self.runner.run(self._receive(reason))
        return replies

    async def _receive(self, reason: str) -> None:
        async with asyncio.timeout(SECOND):
            while True:
                item = await self.inbox.get()
                assert isinstance(item, Command | NotACommand), item
                self.seqs.append(item.seq)
                if isinstance(item, NotACommand):
                    check_recordable(item)
                elif item.reason == reason:
                    return

    def check_received_once(self) -> None:
        """Each command of the stream, in its order."""
        assert self.seqs == self.runner.run(self._stored())

    async def _stored(self) -> list[int]:
        async with aclosing(fetch_all(self.client, [COMMANDS, f"{COMMANDS}.*"], 1)) as messages:
            return [message.seq async for message in messages]

    def close(self) -> None:
        self.runner.run(self._end())
        self.runner.close()
        self.wire.close()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self.client.close()


def check_recordable(refused: NotACommand) -> None:
    """The event that refuses it can be written, and is small."""
    event = facts.CommandRejected(verb="?", by=refused.by, reason=refused.reason, next=[])
    assert len(encode(Envelope("x", "r1", datetime.now(UTC), 1, "", 1, refused.seq, event))) < LARGEST_MESSAGE_BYTES // 8


@contextmanager
def listening() -> Iterator[Listener]:
    with running_nats() as server:
        listener = Listener(server)
        try:
            yield listener
        finally:
            listener.close()


def every_command_is_received(batches: int) -> None:
    """In batches: hypothesis keeps every example, and after 20,000 Python's collector stood still for 4.5 s (measured)."""
    with listening() as listener:
        for batch in range(batches):

            @seed(batch)
            @settings(max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(hostile)
            def receives(message: bytes) -> None:
                listener.receives_after(message)

            gc.disable()  # the second is the reader's: a collection of hypothesis's own took 0.3 s and more of it (measured)
            try:
                receives()
            finally:
                gc.enable()
            gc.collect()
            gc.freeze()
        gc.unfreeze()
        listener.check_received_once()
        assert listener.client.nc.stats["reconnects"] == 0


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # nats.micro's own
def test_any_bytes_on_the_wire_leave_every_command_heard() -> None:
    every_command_is_received(SAMPLE)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")
def test_a_hundred_thousand_messages_leave_every_command_heard() -> None:
    every_command_is_received(SOAK)
