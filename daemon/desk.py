"""What an operator does at a terminal: say something to a run and learn what came of it, or look at it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cutoverd.daemon.attach import bus, end_embedded, has_a_bus, is_reachable_without_starting
from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.commands import Commands
from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.errors import BusError
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.face.checks import checks_of
from cutoverd.daemon.face.timeline import Timeline
from cutoverd.daemon.face.told import told
from cutoverd.daemon.plan.loaded import LoadedPlan
from cutoverd.daemon.runlog import RunLog
from cutoverd.events.codec import Recorded, decode
from cutoverd.events.commands import Command, encode
from cutoverd.events.subjects import events_of
from cutoverd.states import ENDS


@dataclass(frozen=True)
class Receipt:
    """Where a command lies in the stream, and the event that answered it; none if nobody has yet."""

    seq: int
    answer: Recorded | None


class NotOpen(BusError):
    """no run of that name takes commands"""


async def send(loaded: LoadedPlan, command: Command, operator: str | None, wait_seconds: float) -> Receipt:
    """Put a command on the bus and wait until a daemon has handled it; raises `NotOpen`, `Refused`, `Unavailable`."""
    if not has_a_bus(loaded):
        raise NotOpen(f"run {loaded.plan.run} has not started", hint="`cutoverd run` starts it")
    was_there = is_reachable_without_starting(loaded)
    try:
        async with bus(loaded) as client:
            await _check_open(client, loaded.plan.run)
            seq = await Commands(client).publish(encode(command), operator=operator, id=command.id)
            return Receipt(seq, await _answer_within(wait_seconds, client, loaded.plan.run, seq))
    except NotOpen:
        if not was_there:
            await end_embedded(loaded)
        raise


async def _check_open(client: Client, name: str) -> None:
    """A command that nobody will ever hear is not kept: it would look as if somebody did."""
    seen = await _read(client, name) if await stream.exists(client) else {}
    if not seen:
        raise NotOpen(f"run {name} has not started", hint="`cutoverd run` starts it")
    if seen["state"] in ENDS:
        raise NotOpen(f"run {name} has ended: {seen['state']}", hint="nothing that is said can change it")


async def _answer_within(seconds: float, client: Client, run: str, seq: int) -> Recorded | None:
    try:
        async with asyncio.timeout(seconds):
            return await _answer(client, run, seq)
    except TimeoutError:
        return None


async def _answer(client: Client, run: str, seq: int) -> Recorded | None:
    """The first event that took the command into account: commands are handled in order, each with an event of its own."""
    async for message in Journal(client, events_of(run)).follow(seq + 1):
        envelope = decode(message.data)
        if envelope.command_position >= seq:
            return Recorded(message.seq, envelope)
    return None


async def look(loaded: LoadedPlan) -> dict[str, Any]:
    """The run as its journal tells it, no daemon needed; {} if it never started."""
    if not has_a_bus(loaded):
        return {}
    was_there = is_reachable_without_starting(loaded)
    async with bus(loaded) as client:
        seen = await _read(client, loaded.plan.run) if await stream.exists(client) else {}
    if not was_there:
        await end_embedded(loaded)
    return seen | checks_of(seen, loaded.run_dir)


async def _read(client: Client, name: str) -> dict[str, Any]:
    timeline = Timeline()
    journal = Journal(client, events_of(name))
    runlog = RunLog(name, journal, observers=[lambda run, recorded: timeline.take_in(recorded)])
    await runlog.replay()
    return told(runlog.run, timeline, datetime.now(UTC)) if runlog.run.plan else {}
