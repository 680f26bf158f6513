"""An append that survives kills, pauses, changes of leader and rival writers, and knows whether its message is in the log.

The expected sequence decides; the id tells whose message it was. On any doubt the end of the subject is read from the
leader and the ids are compared. A message that a timed-out publish left under way may land later: then it is ours, or
the expected sequence has already let somebody else in and the server refuses it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import nats.errors
from nats.js import errors as js_errors

from cutoverd.daemon.bus.connection import DOUBT, REQUEST_SECONDS, Client
from cutoverd.daemon.bus.reader import read
from cutoverd.daemon.bus.retry import BUDGET_SECONDS, RegressionGuard, RetryBudget
from cutoverd.daemon.bus.room import StreamGrowth, is_full
from cutoverd.daemon.bus.stored import fetch_all, fetch_last
from cutoverd.daemon.engine.errors import Conflict, LogRegressed, ServerRefused, Unavailable
from cutoverd.daemon.engine.message import LARGEST_MESSAGE_BYTES, Message
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.events.subjects import STREAM

MOST_BY_REQUEST = 1000  # more come faster by a consumer: docs/measured.md, "Consumers"
# What the server says to an append in doubt depends on how it is run: docs/measured.md, "An append in doubt"
LASTING = {10054, 10060}  # too large for the stream, wrong stream


@dataclass(frozen=True)
class Tail:
    """The last message of a subject; sequence 0 if there is none."""

    seq: int = 0
    id: str = ""


@dataclass(frozen=True)
class Taken:
    """Some message has our id already: ours, or one of somebody who has seen ours."""

    reason: str


@dataclass(frozen=True)
class Full:
    """The server has no room for it, now."""

    reason: str


class Journal:
    """All messages of one subject, appended one after the other."""

    def __init__(
        self, client: Client, subject: str, *, budget_seconds: float = BUDGET_SECONDS, growth: StreamGrowth | None = None
    ) -> None:
        """`growth` makes room in a stream that is full."""
        self._client = client
        self._growth = growth or StreamGrowth(client)
        self._subject = subject
        self._budget_seconds = budget_seconds
        self._tail = Tail()  # as far as this writer has seen

    async def append(self, id: str, body: bytes) -> int:
        """Store `body` right after the last message seen by this writer; its stream sequence.

        Raises `Conflict` if somebody else's message lies at the end (ours may lie before it: replay tells),
        `LogRegressed` if the end that was acknowledged is gone, `ServerRefused` if the server will never take it, and
        `Unavailable` after 30 s: it may be stored or not, or be stored later; for a stream that is full and cannot grow, too.
        """
        try:
            seq = await self._append(id, body)
        except Unavailable as error:
            self._growth.waits.begin(str(error))
            raise
        self._growth.waits.end()
        return seq

    async def _append(self, id: str, body: bytes) -> int:
        budget = RetryBudget(f"append to {self._subject}", self._budget_seconds)
        guard = RegressionGuard()
        while True:
            answer = await self._publish(id, body, budget)
            seq = answer if isinstance(answer, int) else await self._find(id, body, budget, guard)
            if seq is not None:
                self._tail = Tail(seq, id)
                return seq
            if isinstance(answer, Full) and await self._has_made_room(answer, budget):
                continue
            if isinstance(answer, Taken) and await self._is_at_end():
                raise Conflict(f"{self._subject}: {answer.reason}, and it is not this message: who listens may publish under it")
            if isinstance(answer, ServerRefused):
                raise answer
            await budget.pause()

    async def _has_made_room(self, full: Full, budget: RetryBudget) -> bool:
        obstacle = await self._growth.make_room(full.reason)
        if obstacle is None:
            return True
        budget.last_reason, budget.hint = obstacle.args[0], obstacle.hint
        self._growth.waits.begin(str(obstacle))
        return False

    async def replay(self) -> AsyncGenerator[Message, None]:
        """All messages up to the end as the leader has it now, oldest first. Raises `Unavailable`, `LogRegressed`."""
        end = await self._end()
        self._tail = Tail()
        async for message in self._up_to(end):
            yield message

    async def read_on(self) -> AsyncGenerator[Message, None]:
        """What lies after the last message seen, the very last of it by requests: so the next append follows at once.

        Raises `Unavailable`, `LogRegressed`.
        """
        end = await self._end()
        if end.seq - self._tail.seq > MOST_BY_REQUEST:
            async for message in self._up_to(end):
                yield message
        try:
            async with aclosing(fetch_all(self._client, [self._subject], self._tail.seq + 1)) as messages:
                async for message in messages:
                    self._tail = Tail(message.seq, message.id)
                    yield message
        except DOUBT as error:
            raise Unavailable(f"{self._subject} could not be read after sequence {self._tail.seq}: {error!r}") from error

    async def _up_to(self, end: Tail) -> AsyncGenerator[Message, None]:
        """Not for an empty subject: there nothing would come."""
        if self._tail.seq >= end.seq:
            return
        async with aclosing(read(self._client, [self._subject], self._tail.seq + 1)) as messages:
            while self._tail.seq < end.seq:
                message = await self._next(messages)
                # its headers were read by nats-py, those of the end by us: an odd one must not look like another message
                self._tail = Tail(message.seq, end.id if message.seq == end.seq else message.id)
                yield message

    async def follow(self, start: int) -> AsyncGenerator[Message, None]:
        """Messages from stream sequence `start` on, for ever; for those who watch, not for the writer."""
        async with aclosing(read(self._client, [self._subject], start)) as messages:
            async for message in messages:
                yield message

    async def _publish(self, id: str, body: bytes, budget: RetryBudget) -> int | Taken | Full | ServerRefused | None:
        """The sequence if the server says so, a refusal that will last (an earlier try may be stored), None in doubt.

        `Taken` if the id is in the stream already, `Full` if there is no room.
        """
        headers = {
            "Nats-Msg-Id": id,
            "Nats-Expected-Stream": STREAM,
            "Nats-Expected-Last-Subject-Sequence": str(self._tail.seq),
        }
        try:
            # nats-py bounds the wait for the answer, not the sending
            async with deadline(2 * REQUEST_SECONDS):
                ack = await self._client.js.publish(self._subject, body, timeout=REQUEST_SECONDS, headers=headers)
        except DOUBT as error:
            budget.last_reason = self._client.explain(error, budget.started)
            if is_full(error):
                return Full(f"stream {STREAM} takes no event: {getattr(error, 'description', None) or error}")
            return self._refusal(error, len(body), budget.started)
        if ack.duplicate:  # the id was stored before: here, or elsewhere in the stream
            budget.last_reason = f"id {id} is in the stream already, at {ack.seq}"
            return Taken(budget.last_reason)
        return ack.seq

    def _refusal(self, error: BaseException, size_bytes: int, since: float) -> ServerRefused | None:
        forbidden = self._client.forbidden(self._subject, since)
        if forbidden:
            raise ServerRefused(f"{self._subject}: {forbidden}", hint="give the daemon's NATS user this right (deploy/)")
        if self._client.nc.is_closed:
            return ServerRefused(f"{self._subject}: the connection to NATS was closed for good", hint="start the daemon again")
        too_large = isinstance(error, nats.errors.MaxPayloadError)
        if too_large or (isinstance(error, js_errors.APIError) and error.err_code in LASTING):
            return ServerRefused(
                f"{self._subject}: a message of {size_bytes} bytes was refused: {error}",
                hint=f"a message may have {LARGEST_MESSAGE_BYTES} bytes",
            )
        return None

    async def _find(self, id: str, body: bytes, budget: RetryBudget, guard: RegressionGuard) -> int | None:
        """Where our message lies, if it is the last one; None if it is not there (yet) or nobody answers.

        By its bytes: who listens knows its id, and may publish something else under it.
        """
        try:
            last = await fetch_last(self._client, self._subject)
        except DOUBT as error:
            budget.last_reason = self._client.explain(error, budget.started)
            return None
        tail = _tail_of(last)
        if last and tail.seq > self._tail.seq:
            if (last.id, last.data) == (id, body):
                return tail.seq
            raise Conflict(
                f"{self._subject} ends at sequence {tail.seq} (id {tail.id or 'none'}), expected {self._tail.seq}: "
                "another daemon has appended, or a message of ours landed late"
            )
        self._is_kept(tail, guard)
        return None

    async def _is_at_end(self) -> bool:
        """Nothing lies after the last message that we have seen; False if nobody answers."""
        try:
            return (await self._leader_tail()).seq == self._tail.seq
        except DOUBT:
            return False

    async def _end(self) -> Tail:
        budget, guard = RetryBudget(f"end of {self._subject}", self._budget_seconds), RegressionGuard()
        while True:
            try:
                tail = await self._leader_tail()
                if self._is_kept(tail, guard):
                    return tail
            except DOUBT as error:
                budget.last_reason = self._client.explain(error, budget.started)
            await budget.pause()

    def _is_kept(self, tail: Tail, guard: RegressionGuard) -> bool:
        """False while the leader may only lag; raises `LogRegressed`."""
        whole = guard.is_whole(self._subject, tail.seq, self._tail.seq)
        if tail.seq == self._tail.seq and tail.id != self._tail.id:
            raise LogRegressed(
                f"{self._subject} holds id {tail.id} at sequence {tail.seq}, where {self._tail.id} was acknowledged"
            )
        return whole

    async def _leader_tail(self) -> Tail:
        return _tail_of(await fetch_last(self._client, self._subject))

    async def _next(self, messages: AsyncIterator[Message]) -> Message:
        try:
            async with deadline(self._budget_seconds):
                return await anext(messages)
        except TimeoutError:
            raise Unavailable(
                f"replay of {self._subject}: no message after sequence {self._tail.seq} within {self._budget_seconds:g} s"
            ) from None


def _tail_of(last: Message | None) -> Tail:
    return Tail(last.seq, last.id) if last else Tail()
