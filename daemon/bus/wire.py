"""nats-py, so that no message of anybody's can break its reading: docs/measured.md, "Messages that break nats-py".

Its parser and its way of making a message raise for what the server takes from every client. Then it reads no more for 3 s,
or begins the connection anew, and meets the same message again. Here what cannot be read in a message is left out of it.
"""

from __future__ import annotations

import re

import nats.aio.client
from nats.aio.msg import Msg
from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, AWAITING_MSG_PAYLOAD, CRLF_SIZE, Parser

from cutoverd.daemon.host.log import Logger
from cutoverd.events.subjects import COMMANDS, EVENTS, RUNS, STATUS

log = Logger(__name__)

CRLF = b"\r\n"
BLANKS = re.compile(rb"[ \t]+")  # as the server has it; `\s` splits at \v and \f too, which subjects may hold
LONGEST_LINE_BYTES = 1 << 20  # INFO names each server of a cluster
SERVED = tuple(each.encode() for each in ("$SRV.", STATUS))
PLAIN_SUBJECT = re.compile(rb"[!-)+-=?-~]+")  # printable ASCII without wildcards
NEVER_ANSWERED = tuple(each.encode() for each in ("$", COMMANDS, EVENTS, RUNS))


class TolerantParser(Parser):
    """Reads MSG and HMSG by the server's grammar, and leaves every other line to nats-py, one at a time."""

    def reset(self) -> None:
        super().reset()
        self._wire = bytearray()

    async def parse(self, data: bytes = b"") -> None:
        """Raises `ProtocolError` for what no server sends."""
        self._wire.extend(data)
        while await self._read_one():
            pass

    async def _read_one(self) -> bool:
        """False until there is more of it."""
        if self.state == AWAITING_MSG_PAYLOAD:
            return await self._read_payload()
        end = self._wire.find(CRLF)
        if end < 0:
            if len(self._wire) > LONGEST_LINE_BYTES:
                raise ProtocolError
            return False
        line = bytes(self._wire[:end])
        del self._wire[: end + CRLF_SIZE]
        if line.startswith((b"MSG ", b"HMSG ")):
            self._begin_message(line)
        else:
            await super().parse(line + CRLF)
        return True

    def _begin_message(self, line: bytes) -> None:
        op, *fields = BLANKS.split(line)
        sizes = 2 if op == b"HMSG" else 1
        try:
            subject, sid, *replies = fields[:-sizes]
            (reply,) = replies or [b""]
            self.msg_arg = {"subject": subject, "sid": int(sid), "reply": reply}
            self.header_needed, self.needed = (int(size) for size in [b"0", *fields[-sizes:]][-2:])
        except ValueError as error:
            raise ProtocolError from error
        self.state = AWAITING_MSG_PAYLOAD

    async def _read_payload(self) -> bool:
        if len(self._wire) < self.needed + CRLF_SIZE:
            return False
        headers, payload = bytes(self._wire[: self.header_needed]), bytes(self._wire[self.header_needed : self.needed])
        del self._wire[: self.needed + CRLF_SIZE]
        self.state = AWAITING_CONTROL_LINE
        try:
            await self.nc._process_msg(self.msg_arg["sid"], self.msg_arg["subject"], self.msg_arg["reply"], payload, headers)
        except Exception as error:  # a reader sees the gap, and fetches the message by request
            log.warning("message_not_read", subject=self.msg_arg["subject"][:200], error=repr(error)[:200])
        return True


class TolerantClient(nats.aio.client.Client):
    """A connection that reads every message; what asks for the impossible is no request."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = TolerantParser(self)

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except Exception:  # malformed: none of it counts
            return None

    def _build_message(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None) -> Msg | None:
        """None drops it. What is not UTF-8 becomes U+FFFD, as in the server's own JSON."""
        if subject.startswith(SERVED):
            if not may_be_answered(reply):
                return None
            headers = None  # nats.micro echoes them: with 1 MiB of them the server closes the connection for good
        return Msg(_client=self, subject=_text(subject), reply=_text(reply), data=data, headers=headers, _sid=sid)


def may_be_answered(reply: bytes) -> bool:
    """Whether an answer to a stranger may go there: never into our stream or to the server's API, with our rights."""
    return bool(PLAIN_SUBJECT.fullmatch(reply)) and not reply.startswith(NEVER_ANSWERED)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
