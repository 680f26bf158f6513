"""The parser of delivered messages: by the server's grammar, in whatever pieces the bytes come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError

from cutoverd.daemon.bus.wire import LONGEST_LINE_BYTES, TolerantClient, TolerantParser, may_be_answered


class Recorder:
    """As much of a client as a parser hands on to."""

    def __init__(self, breaks: bool = False) -> None:
        self.messages: list[tuple[Any, ...]] = []
        self.others: list[str] = []
        self._breaks = breaks

    async def _process_msg(self, *message: Any) -> None:
        self.messages.append(message)
        if self._breaks:
            raise RuntimeError("nobody foresaw it")

    async def _process_ping(self) -> None:
        self.others.append("ping")

    async def _process_err(self, text: str) -> None:
        self.others.append(text)


async def parsed(pieces: list[bytes], breaks: bool = False) -> Recorder:
    recorder = Recorder(breaks)
    parser = TolerantParser(recorder)
    for piece in pieces:
        await parser.parse(piece)
    return recorder


# a server never sends what ends a line or a field within a subject
subjects = st.binary(min_size=1, max_size=6).map(lambda raw: raw.translate(None, b" \t\r\n")).filter(bool)
messages = st.tuples(st.integers(1, 99), subjects, st.just(b"") | subjects, st.binary(max_size=20), st.binary(max_size=20))


def on_the_wire(message: tuple[int, bytes, bytes, bytes, bytes]) -> bytes:
    sid, subject, reply, data, headers = message
    fields = b" ".join([subject, b"%d" % sid, *([reply] if reply else [])])
    size = len(headers) + len(data)
    if not headers:
        return b"MSG %b %d\r\n%b\r\n" % (fields, size, data)
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (fields, len(headers), size, headers, data)


@given(st.lists(messages, max_size=6), st.data())
async def test_every_message_is_read_whole_wherever_the_bytes_are_cut(sent, data):
    wire = b"PING\r\n".join([b"", *map(on_the_wire, sent), b"-ERR 'x'\r\n"])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    recorder = await parsed(pieces)
    assert recorder.messages == sent
    assert recorder.others == ["ping"] * (len(sent) + 1) + ["'x'"]


async def test_a_message_that_cannot_be_taken_ends_nothing():
    message = (1, b"a", b"", b"data", b"")
    assert (await parsed([on_the_wire(message) * 3], breaks=True)).messages == [message] * 3


@pytest.mark.parametrize("line", [b"MSG a\r\n", b"MSG a b 1\r\n", b"HMSG a 1 2\r\n", b"MSG a 1 r s 1\r\n", b"WHAT\r\n"])
async def test_what_no_server_sends_begins_the_connection_anew(line):
    with pytest.raises(ProtocolError):
        await parsed([line])


async def test_a_line_without_end_is_not_kept_for_ever():
    with pytest.raises(ProtocolError):
        await parsed([b"MSG " + b"a" * LONGEST_LINE_BYTES])


@given(subjects, subjects | st.just(b""), st.binary(max_size=30))
async def test_any_bytes_make_a_message(subject, reply, headers):
    client = TolerantClient()
    message = client._build_message(1, subject, reply, b"", await client._process_headers(headers))
    assert message is not None
    assert message.subject.encode().decode() == message.subject


@pytest.mark.parametrize(
    "reply", ["cutover.cmd", "cutover.cmd.a", "cutover.evt.r1", "cutover.runs", "$JS.API.INFO", "a.*", "a.>"]
)
def test_no_answer_goes_where_our_rights_would_do_harm(reply):
    assert not may_be_answered(reply.encode())


@pytest.mark.parametrize("reply", ["_INBOX.a.b", "_INBOX_alice.x", "_R_.x", "_GR_.x", "mine"])
def test_inboxes_are_answered(reply):
    assert may_be_answered(reply.encode())
    assert not may_be_answered(reply.encode() + b"\xff")
