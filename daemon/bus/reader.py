"""Messages in stream order, each once, across restarts of the server.

One short-lived push consumer at a time. The server numbers what it delivers, 1, 2, 3, …, and tells the last number in each
heartbeat; at the first jump or silence the consumer is given up. What is stored by then is fetched by requests, whose answers
no message can break, up to the end or, of a flood, a thousand (twice as many each time that a consumer gets not as far: all of
them may break it); the next consumer starts right after the last message that was handed on: so no message keeps a reader at
its place. nats-py's own ordered consumer starts again at the beginning of the stream if it had seen nothing yet.

Control is what comes with the inbox as its subject: a stored message has its own, whatever its headers say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC
from functools import partial
from uuid import uuid4

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api

from cutoverd.daemon.bus.connection import DOUBT, REQUEST_SECONDS, Client
from cutoverd.daemon.bus.outage_log import Outage
from cutoverd.daemon.bus.retry import RegressionGuard
from cutoverd.daemon.bus.stored import fetch_all
from cutoverd.daemon.engine.errors import ServerRefused
from cutoverd.daemon.engine.message import Message
from cutoverd.daemon.host.cancellation import deadline
from cutoverd.events.subjects import STREAM

# docs/measured.md, "Consumers"
HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 2.5  # more than two heartbeats
PAUSE_SECONDS = 0.25
FEWEST_BY_REQUEST = 1000
CONTROL, STALLED, LAST = "100", "Nats-Consumer-Stalled", "Nats-Last-Consumer"
FLOW_CONTROL = "$JS.FC."
Source = Callable[[Client, Sequence[str], int], AsyncGenerator[Message, None]]


async def read(client: Client, subjects: Sequence[str], start: int) -> AsyncGenerator[Message, None]:
    """Messages of `subjects` from stream sequence `start` on, for ever; close it with `aclosing`.

    Raises `LogRegressed` if the stream is shorter than what was read, `ServerRefused` if we may not read, `Unavailable` never.
    """
    guard, outage = RegressionGuard(), Outage("reading_again", "reading_goes_on", subjects=list(subjects))
    deliver = partial(_deliver, outage=outage)
    source: Source = deliver
    most_by_request = FEWEST_BY_REQUEST
    while True:
        began, at_once, handed_on = time.monotonic(), False, 0
        try:
            # a consumer that starts beyond the end would wait there without a word
            if guard.is_whole(f"stream {STREAM}", await _last_seq(client), start - 1):
                async with aclosing(source(client, subjects, start)) as messages:
                    async for message in messages:
                        start, handed_on = message.seq + 1, handed_on + 1
                        outage.is_over()
                        yield message
                        if source is fetch_all and handed_on >= most_by_request:
                            break
                # who speaks after a message that broke the consumer must not wait for it
                at_once = source is deliver or handed_on >= most_by_request
                if source is deliver:
                    most_by_request = _most_by_request(most_by_request, handed_on)
                source = fetch_all if source is deliver else deliver
        except DOUBT as error:
            if source is deliver:
                most_by_request = _most_by_request(most_by_request, handed_on)
            source = fetch_all
            if not client.closing:  # else that the server goes is no news
                outage.goes_on(start=start, error=client.explain(error, began))
        _check_allowed(client, subjects, began)
        if not at_once:
            await asyncio.sleep(PAUSE_SECONDS)


def _most_by_request(so_far: int, delivered: int) -> int:
    """A consumer that got further than requests did is the faster way."""
    return FEWEST_BY_REQUEST if delivered >= so_far else 2 * so_far


def _check_allowed(client: Client, subjects: Sequence[str], since: float) -> None:
    forbidden = client.forbidden("$JS.API.", since)
    if forbidden:
        raise ServerRefused(f"cannot read {', '.join(subjects)}: {forbidden}", hint="give this NATS user the right (deploy/)")
    if client.nc.is_closed:
        raise ServerRefused("the connection to NATS was closed for good", hint="start the daemon again")


async def _last_seq(client: Client) -> int:
    async with deadline(2 * REQUEST_SECONDS):
        return (await client.js.stream_info(STREAM)).state.last_seq


async def _deliver(client: Client, subjects: Sequence[str], start: int, *, outage: Outage) -> AsyncGenerator[Message, None]:
    """What one consumer delivers, up to the first gap; raises `DOUBT` at silence. That it was made ends no outage."""
    inbox = client.nc.new_inbox()
    waiting: asyncio.Queue[Msg] = asyncio.Queue()  # flow control is answered from its end, and so bounds it
    async with deadline(REQUEST_SECONDS):
        subscription = await client.nc.subscribe(inbox, cb=waiting.put)  # `next_msg` makes two tasks for each
    try:
        await _consume(client, subjects, start, inbox)
        delivered = 0
        while True:
            msg = await _next(waiting)
            if msg.subject == inbox:
                if not await _go_on(client, msg, delivered):
                    return
                outage.is_over()
                continue
            delivered += 1
            if msg.metadata.sequence.consumer != delivered:
                return
            outage.is_over()
            yield message_of(msg)
    finally:
        await _unsubscribe(subscription)


async def _next(waiting: asyncio.Queue[Msg]) -> Msg:
    """A time-out for each message of a flood would cost as much as the message."""
    if not waiting.empty():
        return waiting.get_nowait()
    async with deadline(SILENCE_SECONDS):
        return await waiting.get()


async def _consume(client: Client, subjects: Sequence[str], start: int, inbox: str) -> None:
    config = api.ConsumerConfig(
        name=uuid4().hex,  # a name, so that CONSUMER.CREATE.<stream>.> is all the right we need
        filter_subjects=list(subjects),
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=max(start, 1),
        deliver_subject=inbox,
        ack_policy=api.AckPolicy.NONE,
        max_deliver=1,
        idle_heartbeat=HEARTBEAT_SECONDS,
        flow_control=True,
        inactive_threshold=3.0,  # the server removes it soon after we left
        num_replicas=1,
        mem_storage=True,
    )
    async with deadline(2 * REQUEST_SECONDS):
        await client.js.add_consumer(STREAM, config)


async def _go_on(client: Client, msg: Msg, delivered: int) -> bool:
    """Answer flow control; False if the consumer is gone or has sent more than we got.

    Who guesses the inbox can send there too: an answer goes nowhere but to flow control, never into the stream with our rights.
    """
    headers = msg.headers or {}
    if headers.get("Status") != CONTROL:
        return False
    answer = msg.reply or headers.get(STALLED, "")
    if answer.startswith(FLOW_CONTROL):
        async with deadline(REQUEST_SECONDS):
            await client.nc.publish(answer)
    return headers.get(LAST, str(delivered)) == str(delivered)


async def _unsubscribe(subscription: Subscription) -> None:
    with suppress(*DOUBT):
        async with deadline(REQUEST_SECONDS):
            await subscription.unsubscribe()


def message_of(msg: Msg) -> Message:
    """A delivered message."""
    at = msg.metadata.timestamp.astimezone(UTC)
    return Message(msg.metadata.sequence.stream, msg.data, at, msg.subject, (msg.headers or {}).get("Nats-Msg-Id", ""))
