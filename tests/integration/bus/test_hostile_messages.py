"""What any client may put on the wire: no message makes a reader deaf, breaks its connection, or is read twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from support.servers import NatsServer
from support.wire import Wire, hpub

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.run_registry import Runs
from cutoverd.daemon.bus.status_service import serving
from cutoverd.daemon.engine.inbox import InboxItem, NotACommand
from cutoverd.daemon.runtime.drive import listen
from cutoverd.events.commands import Command
from cutoverd.events.subjects import RUNS, STATUS, STREAM, events_of

SECOND = 1.0
BOUND_SECONDS = 20
MIB = 1 << 20
VERSION = b"NATS/1.0"
HEADERS = {
    "a status of JetStream": VERSION + b"\r\nStatus: 100\r\n\r\n",
    "any status": VERSION + b"\r\nStatus: 409\r\nNats-Last-Consumer: x\r\n\r\n",
    "an inline status": VERSION + b" 100 Idle Heartbeat\r\n\r\n",
    "an inline status with headers": VERSION + b" 503\r\nNats-Consumer-Stalled: cutover.runs\r\nNats-Last-Consumer: 7\r\n\r\n",
    "an inline status that is not UTF-8": VERSION + b" \xff\xff\xff\xfe\r\n\r\n",
    "an inline description that is not UTF-8": VERSION + b" 100 \xff\xfe\r\nA: b\r\n\r\n",
    "a block of 4 bytes": b"NATS",
    "a block of 8 bytes": VERSION,
    "a block that is no header": b"\x00" * 9,
    "a line without end": VERSION + b" ",
    "a value that is not UTF-8": VERSION + b"\r\nA: \xff\r\n\r\n",
    "a name that is not ASCII": VERSION + b"\r\n\xff: \xff\r\nNats-Msg-I\xc4: \xff\r\n\r\n",
    "lines without a colon": VERSION + b"\r\n\r\n\r\nA\r\nB",
    "32 KiB of them": VERSION + b"\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
}
SUBJECTS = {
    "not UTF-8": b"cutover.cmd.\xff",
    "a vertical tab": b"cutover.cmd.a\x0bb",
    "a form feed and a number": b"cutover.cmd.\x0c1",
    "3,900 bytes": b"cutover.cmd." + b"a" * 3900,
    "3,900 bytes with a vertical tab": b"cutover.cmd.\x0b" + b"a" * 3900,
    "3,900 control characters": b"cutover.cmd." + b"\x01" * 3900,
    "a wildcard": b"cutover.cmd.*",
    "a quote": b"cutover.cmd.'",
}
BODIES = {
    "empty": b"",
    "not UTF-8": b"\xff",
    "64 KiB": b"x" * 65_000,
    "the protocol": b"\r\nPING\r\n-ERR 'x'\r\nMSG a 1 0\r\n\r\n",
}
CAUSES = (
    {f"headers: {name}": hpub(b"cutover.cmd", block, b"note") for name, block in HEADERS.items()}
    | {f"headers of an empty message: {name}": hpub(b"cutover.cmd", block) for name, block in HEADERS.items()}
    | {f"subject: {name}": hpub(subject, b"", b"note") for name, subject in SUBJECTS.items()}
    | {f"subject with headers: {name}": hpub(subject, HEADERS["any status"], b"note") for name, subject in SUBJECTS.items()}
    | {f"body: {name}": hpub(b"cutover.cmd", b"", body) for name, body in BODIES.items()}
)


@pytest.fixture
def wire(client: Client, nats_server: NatsServer) -> Iterator[Wire]:
    """Of somebody whom the server lets in; the stream is made."""
    wire = Wire(nats_server.url)
    yield wire
    wire.close()


@asynccontextmanager
async def inbox_of(client: Client, start: int = 1) -> AsyncIterator[asyncio.Queue[InboxItem]]:
    """What the daemon hears, by its own way."""
    inbox: asyncio.Queue[InboxItem] = asyncio.Queue()
    listening = asyncio.create_task(listen(CommandStream(client), start, inbox))
    try:
        yield inbox
    finally:
        listening.cancel()
        await asyncio.wait([listening])


async def receive_within(inbox: asyncio.Queue[InboxItem], reason: str, seconds: float = SECOND) -> list[Command | NotACommand]:
    """All up to the command that gives this reason."""
    found: list[Command | NotACommand] = []
    async with asyncio.timeout(seconds):
        while True:
            item = await inbox.get()
            assert isinstance(item, Command | NotACommand), item
            found.append(item)
            if isinstance(item, Command) and item.reason == reason:
                return found


def fail(reason: str) -> bytes:
    return hpub(b"cutover.cmd", b"", json.dumps({"verb": "fail", "reason": reason}).encode())


async def stored(client: Client) -> int:
    return (await client.js.stream_info(STREAM)).state.messages


@pytest.mark.parametrize("cause", CAUSES)
async def test_after_a_hostile_message_a_command_is_heard_within_a_second(client: Client, wire: Wire, cause: str) -> None:
    """Found: `Status: 100`, a subject that is not UTF-8 or 4 bytes of headers, and `fail` and `rollback` were never heard."""
    with capture_logs() as logged:
        async with inbox_of(client) as inbox:
            wire.send(fail("begin"))
            await receive_within(inbox, "begin", BOUND_SECONDS)
            for n in range(3):
                replies = wire.send(CAUSES[cause])
                wire.send(fail(str(n)))
                seqs = [each.seq for each in await receive_within(inbox, str(n))]
                assert len(seqs) == 2, f"{replies}: {seqs}"
        async with inbox_of(client) as inbox:  # as a daemon that is started again
            assert [each.seq for each in await receive_within(inbox, "2", 3 * SECOND)] == list(range(1, 8))
    assert [each for each in logged if each["event"] != "reading_goes_on"] == [], "the connection was none the worse for it"
    assert await stored(client) == 7


@pytest.mark.parametrize("cause", [each for each in CAUSES if not each.startswith("subject")])  # a run has one
async def test_an_event_with_odd_headers_or_body_is_read_like_any_other(client: Client, wire: Wire, cause: str) -> None:
    subject = events_of("r1").encode()
    odd = CAUSES[cause].replace(b"cutover.cmd", subject, 1)
    journal = Journal(client, events_of("r1"))
    await journal.append(uuid4().hex, b"first")
    wire.send(odd)
    async with asyncio.timeout(5 * SECOND):
        while await stored(client) < 2:
            await asyncio.sleep(0.01)
        seqs = [message.seq async for message in journal.replay()]
        assert seqs == [1, 2]
        assert await journal.append(uuid4().hex, b"last") == 3
        async with aclosing(journal.follow(1)) as messages:
            assert [(await anext(messages)).seq for _ in range(3)] == [1, 2, 3]
    assert client.nc.is_connected


@pytest.mark.parametrize("way", ["raises", "cuts", "is lost", "ends the reading"])
async def test_a_message_that_breaks_the_client_in_a_way_nobody_foresaw_is_fetched_by_request(
    client: Client, wire: Wire, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """However often it is delivered: the reader must not stay at its place."""
    deliver, met = client.nc._process_msg, 0

    async def broken(sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        nonlocal met
        if not data.startswith(b"note breaks"):
            return await deliver(sid, subject, reply, data, headers)
        met += 1
        if way == "raises":
            raise RuntimeError("nobody foresaw it")
        if way == "cuts":
            client.nc._transport._io_writer.transport.abort()  # type: ignore[union-attr]
        if way == "ends the reading":
            raise asyncio.CancelledError
        return None

    monkeypatch.setattr(client.nc, "_process_msg", broken)
    async with inbox_of(client) as inbox:
        for n in range(30):
            wire.send(hpub(b"cutover.cmd", b"", b"note breaks") + fail(str(n)))
        found = await receive_within(inbox, "29", BOUND_SECONDS)
        assert [each.seq for each in found] == list(range(1, 61))
    assert 1 <= met <= 30


async def test_what_comes_to_the_inbox_of_a_reader_from_a_stranger_costs_it_no_command(client: Client, wire: Wire) -> None:
    """Whoever may listen to all can learn the inbox. Only control comes there: it can make the reader begin anew, no more."""
    lies = [b"", b"garbage", HEADERS["a status of JetStream"], HEADERS["any status"], HEADERS["an inline status with headers"]]
    async with inbox_of(client) as inbox:
        for n, headers in enumerate(lies):
            for subscription in list(client.nc._subs.values()):
                to = subscription.subject.replace("*", "guessed").encode()
                for reply in (b"", b"cutover.runs", b"$JS.ACK.CUTOVER.x.1.9.9.1.1"):
                    wire.send(hpub(to, headers, b"advance", reply))
            wire.send(fail(str(n)))
            await receive_within(inbox, str(n), 2 * SECOND)
    assert await stored(client) == len(lies), "nothing of ours went into the stream by a stranger's reply"


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # nats.micro's own
@pytest.mark.parametrize("ask", [STATUS, f"{STATUS}.r1", "$SRV.PING", "$SRV.INFO.cutoverd", "$SRV.STATS"])
async def test_a_strangers_request_cannot_make_the_daemon_publish_into_the_stream(client: Client, wire: Wire, ask: str) -> None:
    """Found: `nats req` with `cutover.runs` as its reply had the daemon itself write there, and no run could be read again."""
    replies = [b"cutover.runs", b"cutover.evt.r1", b"cutover.cmd", b"cutover.cmd.alice", b"$JS.API.STREAM.PURGE.CUTOVER"]
    async with serving(client, "r1", lambda: {"run": "r1"}):
        for reply in [*replies, b"a.\xff", b"a\x0bb", b"\x0b", b"a..b", b"*", b">", b"." * 50, b"a" * 4000, b"'", b"%s"]:
            for headers in (b"", *HEADERS.values()):
                wire.send(hpub(ask.encode(), headers, b"", reply))
        answer = await client.nc.request(STATUS, b"", timeout=5)
        assert json.loads(answer.data) == {"run": "r1"}
    assert await stored(client) == 0
    assert await Runs(Journal(client, RUNS)).current() is None


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")  # nats.micro's own
async def test_a_ping_of_one_mebibyte_of_headers_does_not_close_the_daemons_connection(client: Client, wire: Wire) -> None:
    """Found: nats.micro echoes them with its answer, the server calls that too large, and nats-py closes for good."""
    large = VERSION + b"\r\nA: " + b"a" * (MIB - 20) + b"\r\n\r\n"
    async with serving(client, "r1", lambda: {"run": "r1"}):
        for subject in (b"$SRV.PING", STATUS.encode()):
            assert wire.send(hpub(subject, large, b"", b"answer.here")) == []
        await asyncio.sleep(0.5)
        assert json.loads((await client.nc.request(STATUS, b"", timeout=5)).data) == {"run": "r1"}
    assert client.nc.is_connected


async def test_a_daemon_that_is_started_later_hears_what_was_acknowledged_after_hostile_messages(
    client: Client, wire: Wire, nats_server: NatsServer
) -> None:
    for message in CAUSES.values():
        wire.send(message)
    acknowledged = [await CommandStream(client).publish(verb, id=uuid4().hex) for verb in (b"fail", b"rollback")]
    later = await connect(nats_server.url)
    async with inbox_of(later) as inbox, asyncio.timeout(BOUND_SECONDS):
        items = [await inbox.get() for _ in range(acknowledged[-1])]
    await later.close()
    assert [item.seq for item in items if not isinstance(item, Exception)] == list(range(1, acknowledged[-1] + 1))  # type: ignore[union-attr]
    assert [item.verb for item in items[-2:] if isinstance(item, Command)] == ["fail", "rollback"]
