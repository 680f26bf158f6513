"""What an operator does at a terminal: say something to a run and learn what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.control.observe import observe_once, read_run
from cutoverd.daemon.engine.errors import BusError
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger.journal_key import find_cached
from cutoverd.daemon.runtime.daemon_lock import is_any_driven
from cutoverd.daemon.runtime.embedded_bus import PAUSE_SECONDS, end_embedded, while_it_runs
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.daemon.views.event_json import as_json
from cutoverd.events.codec import Recorded
from cutoverd.events.commands import Command, encode
from cutoverd.events.facts import CommandRejected, CommandsRejected
from cutoverd.events.subjects import events_of
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.run import Run

T = TypeVar("T")


@dataclass(frozen=True)
class Receipt:
    """Where a command lies in the stream, the event that answered it (none if nobody has yet), and the run after that."""

    seq: int
    answer: Recorded | None
    run: Run

    @property
    def is_refused(self) -> bool:
        return self.answer is not None and isinstance(self.answer.event, CommandRejected | CommandsRejected)

    def as_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "handled": self.answer is not None,
            "refused": self.is_refused,
            "answer": as_json(self.run, self.answer) if self.answer else None,
            "state": self.run.state,
            "next": list(allowed_verbs(self.run)),
        }


class NotOpen(BusError):
    """no run of that name takes commands"""


async def send(loaded: LoadedPlan, command: Command, operator: str | None, wait_seconds: float) -> Receipt:
    """Put a command on the bus and wait until a daemon has handled it; raises `NotOpen`, `ServerRefused`, `Unavailable`.

    Found: who sent the last command of a run started the server again that the daemon had just stopped, and left it running.
    Where no daemon drives, nobody else keeps the server for the one that comes.
    """
    run = _open((await read_run(loaded)).run)  # before a server is kept for it
    keep = not is_any_driven(loaded.state_dir)
    async with bus(loaded, keep=keep, stays=True) as client:
        client.closing = True  # what is sent may be the end of the run, and of its server before its receipt is read
        seq = await CommandStream(client).publish(encode(command), operator=operator, id=command.id)
        answer = await _answer_within(wait_seconds, loaded, client, seq, keep)
        looking = observe_once(client, run.name, key=find_cached(loaded.run_dir)) if answer and not keep else None
        now = await while_it_runs(loaded, looking) if looking else None
    if answer and now is None:  # of one that was kept only now: nobody starts it again any more
        now = await read_run(loaded)
    if keep and now and now.run.is_over and not is_any_driven(loaded.state_dir):
        await end_embedded(loaded)  # a daemon came, ended the run and stopped it, and it was kept all the same
    return Receipt(seq, answer, now.run if now else run)


def _open(run: Run) -> Run:
    """A command that nobody will ever hear is not kept: it would look as if somebody did."""
    if run.plan is None:
        raise NotOpen(f"run {run.name} has not started", hint="`cutoverd run` starts it")
    if run.is_over:
        raise NotOpen(f"run {run.name} has ended: {run.state}", hint="nothing that is said can change it")
    return run


async def _answer_within(seconds: float, loaded: LoadedPlan, client: Client, seq: int, keep: bool) -> Recorded | None:
    try:
        async with asyncio.timeout(seconds):
            if answer := await _as_long_as_it_runs(loaded, keep, _answer(client, loaded, seq)):
                return answer
            while not (answer := await _answer_on_record(loaded, seq)):
                await asyncio.sleep(PAUSE_SECONDS)
            return answer
    except TimeoutError:
        return None


async def _as_long_as_it_runs(loaded: LoadedPlan, keep: bool, work: Coroutine[Any, Any, T]) -> T | None:
    """None if the server was stopped meanwhile; one that is kept comes back."""
    return await (work if keep else while_it_runs(loaded, work))


async def _answer_on_record(loaded: LoadedPlan, seq: int) -> Recorded | None:
    """Where the server went before the answer was read: with the run's end, say."""
    answers: list[Recorded] = []

    def observe(_: Run, recorded: Recorded) -> None:
        if recorded.envelope.command_position >= seq:
            answers.append(recorded)

    await read_run(loaded, observe)
    return min(answers, key=lambda each: each.seq, default=None)


async def _answer(client: Client, loaded: LoadedPlan, seq: int) -> Recorded | None:
    """The first event that took the command into account: each has one of its own, or shares that of a flood."""
    journal = Journal(client, events_of(loaded.plan.run))
    runlog = RunLog(loaded.plan.run, journal, key=find_cached(loaded.run_dir))
    async for message in journal.follow(seq + 1):
        envelope = runlog.find_event(message)
        if envelope and envelope.command_position >= seq:
            return Recorded(message.seq, envelope)
    return None
