"""One loop drives a run: next action → StepStarted → act → its outcome → evolve. Commands are taken in at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.inbox import ForeignFound, InboxItem, NotACommand, ReportDue, StepObservation
from cutoverd.daemon.engine.outcomes import bounded, ended_by, interrupted, succeeded
from cutoverd.daemon.engine.refusals import (
    ALONE,
    ALONE_PER_SECOND,
    NOTES,
    NOTES_PER_SECOND,
    REPORT_SECONDS,
    Allowance,
    Refusal,
    Refusals,
)
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.host.log import Logger
from cutoverd.events import facts
from cutoverd.events.commands import Command, Verb
from cutoverd.states import STATES
from cutoverd.states.decide import decide, find_refusal, rejected
from cutoverd.states.errors import NotLeader, OutcomeUnknown, StepError, format_error
from cutoverd.states.next_action import AppendEvent, AttemptStep, AwaitOperator, Finished, ProbeStep, next_action
from cutoverd.states.ports import AttemptId, Direction, Found, Ports, Probed
from cutoverd.states.run import Run, StepKey
from cutoverd.states.step import Context, Effect

log = Logger(__name__)

PENDING_COMMAND_SECONDS = 1.0  # without an operator: for a command that was sent before
SLOWEST_RETRY_SECONDS = 10.0
CLOCK_READ_SECONDS = 60.0  # at most, while a window is awaited: the clock may be set


async def _leads() -> bool:
    """Where there is one daemon."""
    return True


class Stopped(Enum):
    """Why the loop ended."""

    OVER = "over"
    NEEDS_A_PERSON = "needs a person"  # only with `auto`


class RunLoop:
    """Drives one run to its end, or to where a person is needed."""

    def __init__(
        self,
        runlog: RunLog,
        ports: Ports,
        inbox: asyncio.Queue[InboxItem],
        *,
        step_seconds: float,
        auto: bool,
        connection_lost: tuple[type[Exception], ...] = (),
        check_files: Callable[[Run], None] = lambda run: None,
        check_plan: Callable[[Run], None] = lambda run: None,
        check_leads: Callable[[], Awaitable[bool]] = _leads,
    ) -> None:
        """`check_files` is asked before a step that runs or reads the plan's files, and raises `StepError` if it must not.

        `check_plan` is asked before PreCheck is tried again, and looks at the plan on disk as well.
        `connection_lost`: errors of the adapters that say nothing of what happened at the other end.
        `check_leads` raises `NotLeader` if a newer daemon has the run, and is False if nobody could be asked.
        """
        self._log = runlog
        self._check_leads = check_leads
        self._check_files = check_files
        self._check_plan = check_plan
        self._ports = ports
        self._inbox = inbox
        self._step_seconds = step_seconds
        self._auto = auto
        self._connection_lost = connection_lost
        self._refusals = Refusals()
        self._alone, self._notes = Allowance(ALONE, ALONE_PER_SECOND), Allowance(NOTES, NOTES_PER_SECOND)
        self._foreign_due = False  # whether it will be said that they may be told of
        self._unseen_in_a_row = 0  # outcomes in a row that nobody saw

    @property
    def run(self) -> Run:
        return self._log.run

    async def drive(self) -> Stopped:
        """Until the run is over; with `auto` also until it waits for a person. Raises `NotLeader`, `Conflict`."""
        while True:
            try:
                if stopped := await self._turn():
                    return stopped
            except Conflict as conflict:  # what was decided on the old end of the journal is decided again
                await self._log.catch_up(conflict)

    async def _turn(self) -> Stopped | None:
        """One action; why the loop ends, if it does."""
        await self._record_foreign()
        upcoming = next_action(self.run)
        match upcoming:
            case Finished():
                await self._log.record_foreign()
                return Stopped.OVER
            case AppendEvent(event):
                await self._report_refusals()  # the end of the run may be what is appended
                await self._log.append(event)
            case AttemptStep(key, direction, attempt):
                # announced before anything is done, by the loop itself: only it appends
                event_id = await self._log.append(facts.StepStarted(step=str(key), direction=direction, attempt=attempt))
                await self._run_interruptibly(key, direction, self._act(upcoming, event_id))
            case ProbeStep(key, direction):
                await self._run_interruptibly(key, direction, self._probe(key, direction))
            case AwaitOperator():
                async with self._held_loop(upcoming.meanwhile):
                    if await self._wait(upcoming):
                        await self._report_refusals()
                        return Stopped.NEEDS_A_PERSON
        return None

    @asynccontextmanager
    async def _held_loop(self, key: StepKey | None) -> AsyncIterator[None]:
        """What goes on while the run is held, for as long as nobody speaks."""
        if key is None:
            yield
            return
        going = asyncio.create_task(self._run_held_loop(key))
        try:
            yield
        finally:
            going.cancel()
            await asyncio.wait([going])

    async def _run_held_loop(self, key: StepKey) -> None:
        go = key.definition.while_held
        assert go is not None, f"{key} does not go on while held"  # noqa: S101  # next_action() names only those that do
        try:
            await go(self._context(key, Direction.FORWARD, ""))
        except Exception as error:  # NotLeader: this daemon must stop, and the loop is who knows how
            self._inbox.put_nowait(error)

    async def _record(self, event: facts.Event) -> None:
        """Once this returns the event is in the journal."""
        observation = StepObservation(event, asyncio.get_running_loop().create_future())
        self._inbox.put_nowait(observation)
        await observation.recorded

    async def _wait(self, waiting: AwaitOperator) -> bool:
        """Take in one command; without an operator pass a gate, and say True where only a person can go on.

        Whom the plan names is waited for all the same: it says that he will come.
        """
        if not self._auto or waiting.operators:
            await self._handle(await self._inbox.get())
            return False
        item = await self._next_within(self._patience(waiting))
        if item:
            await self._handle(item)
        elif waiting.gate and self._is_window_open():
            await self._log.append(facts.GatePassed(gate=waiting.gate, by="auto"))
        return not item and not waiting.gate

    def _is_window_open(self) -> bool:
        """Asked of the clock once the wait is over: it may have been set back meanwhile."""
        opens = self.run.frozen.opens
        return opens is None or datetime.now(UTC) >= opens

    async def _next_within(self, seconds: float) -> InboxItem | None:
        try:
            async with asyncio.timeout(seconds):
                return await self._inbox.get()
        except TimeoutError:
            return None

    def _patience(self, waiting: AwaitOperator) -> float:
        opens = self.run.frozen.opens
        until_opens = (opens - datetime.now(UTC)).total_seconds() if opens and waiting.gate else 0.0
        return max(min(until_opens, CLOCK_READ_SECONDS), 0.0 if waiting.gate and self._inbox.empty() else PENDING_COMMAND_SECONDS)

    async def _handle(self, item: InboxItem) -> None:
        while self._is_of_a_flood(item):
            if self._inbox.empty():
                return None
            item = self._inbox.get_nowait()
        if isinstance(item, Exception):  # a daemon that nobody can stop must not go on
            raise item
        if isinstance(item, StepObservation):
            await self._append_step_event(item)
            return None
        while True:
            try:
                return await self._take_in(item)
            except Conflict as conflict:  # it has left the inbox: what it means is decided here, on the new end
                await self._log.catch_up(conflict)

    async def _record_foreign(self) -> None:
        """Now, or when it is due: where many come, few events tell of them."""
        if not self._log.foreign.count and not self._log.crowded_out:
            return
        if not self._log.crowded_out and (seconds := self._log.foreign.seconds_until_due) > 0:
            if not self._foreign_due:
                self._foreign_due = True
                asyncio.get_running_loop().call_later(seconds, self._inbox.put_nowait, ForeignFound())
            return
        await self._log.record_foreign()

    async def _take_in(self, item: Command | NotACommand | ReportDue | ForeignFound) -> None:
        await self._report_refusals()  # they came before it
        if isinstance(item, ForeignFound):
            self._foreign_due = False
            await self._log.find_foreign()
            await self._record_foreign()
            return
        if isinstance(item, ReportDue) or item.seq <= self.run.command_position:
            return
        for event in await self._answer(item):
            await self._log.append(event, command_position=item.seq)

    def _is_of_a_flood(self, item: InboxItem) -> bool:
        """Whether it was refused, and is put on record with others: an event for each would fill the stream, and take hours."""
        known_seq = max(self.run.command_position, self._refusals.last_seq)
        refusal = self._find_refusal(item) if isinstance(item, Command | NotACommand) and item.seq > known_seq else None
        if refusal is None or self._alone.take_one():
            return False
        if self._refusals.add(refusal):
            asyncio.get_running_loop().call_later(REPORT_SECONDS, self._inbox.put_nowait, ReportDue())
        return True

    def _find_refusal(self, item: Command | NotACommand) -> Refusal | None:
        if isinstance(item, NotACommand):
            return Refusal(item.seq, "?", item.by, item.reason)
        reason = find_refusal(self.run, item, datetime.now(UTC))
        if reason is None and item.verb is Verb.NOTE and not self._notes.take_one():
            reason = f"of more than {NOTES} notes at once the rest is not kept: say it again"
        return None if reason is None else Refusal(item.seq, item.verb, item.by, reason)

    async def _report_refusals(self) -> None:
        if event := self._refusals.event():
            await self._log.append(event, command_position=event.last.seq)
            self._refusals = Refusals()  # only now: after a conflict they are still to be told

    async def _append_step_event(self, observation: StepObservation) -> None:
        if not observation.recorded.done():  # else whoever saw it was ended before it was on record
            await self._log.append(observation.event)
            observation.recorded.set_result(None)

    async def _answer(self, command: Command | NotACommand) -> list[facts.Event]:
        if isinstance(command, NotACommand):
            return [rejected(self.run, "?", command.by, command.reason)]
        events = decide(self.run, command, datetime.now(UTC))
        if any(isinstance(event, facts.RetryRequested) for event in events) and not self.run.aborting:
            return await self._unless_changed(command, events)
        return events

    async def _unless_changed(self, retry: Command, events: list[facts.Event]) -> list[facts.Event]:
        """Found: who corrected the plan and said `retry` had the old one tried again, without a word."""
        try:
            await asyncio.to_thread(self._check_plan, self.run)
        except StepError as error:
            refused = rejected(self.run, retry.verb, retry.by, f"{error}: {error.hint}")
            return [refused.model_copy(update={"next": [verb for verb in refused.next if verb != retry.verb]})]
        return events

    async def _run_interruptibly(self, key: StepKey, direction: Direction, act: Coroutine[Any, Any, facts.Event]) -> None:
        """Act, and meanwhile take in commands; one that turns the run ends the act."""
        acting = asyncio.create_task(act)
        began = time.monotonic()
        try:
            await self._handle_until(acting)
        finally:
            if not acting.done():
                acting.cancel()
            await asyncio.wait([acting])
        if acting.cancelled():
            reason = self._why_ended()
            await self._log.append(interrupted(key, direction, time.monotonic() - began, reason))
        else:
            outcome = acting.result()
            self._unseen_in_a_row = self._unseen_in_a_row + 1 if isinstance(outcome, facts.StepInterrupted) else 0
            await self._log.append(outcome)

    async def _handle_until(self, acting: asyncio.Task[facts.Event]) -> None:
        """Until the act is done or a command has turned the run."""
        while not acting.done():
            receiving = asyncio.create_task(self._inbox.get())
            await asyncio.wait({acting, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
                return
            before = self.run
            await self._handle(receiving.result())
            if _interrupts(before, self.run):
                return

    def _why_ended(self) -> str:
        if self.run.held:
            return f"held now: {self.run.held.reason}"
        return f"the run turned: {self.run.state}" if self.run.failure is None else self.run.failure.reason

    async def _act(self, take: AttemptStep, event_id: str) -> facts.Event:
        began = time.monotonic()
        act = take.key.definition.run if take.direction is Direction.FORWARD else take.key.definition.undo
        assert act is not None, f"{take.key} has no way back"  # noqa: S101  # next_action() asks only for those that have one
        try:
            await self._back_off()
            if take.key.definition.effect is Effect.PROBED:  # no ledger row of its own turns a stale daemon away
                await self._check_leads()
            if take.direction is Direction.FORWARD and STATES[take.key.state].reads_files:
                await asyncio.to_thread(self._check_files, self.run)
            async with asyncio.timeout(self._timeout_of(take.key)):
                if take.key.definition.copied_first:
                    await self._log.copied()
                evidence = await act(self._context(take.key, take.direction, event_id))
            if take.key.definition.untimed:  # meanwhile production may have been taken back, and that is in no journal
                await self._check_leads()
            return succeeded(take.key, take.direction, time.monotonic() - began, evidence)
        except Exception as error:
            seconds = time.monotonic() - began
            outcome = await self._unless_taken(error)
            return ended_by(outcome, take.key, take.direction, seconds, take.attempt, connection_lost=self._connection_lost)

    async def _unless_taken(self, error: Exception) -> Exception:
        """What became of the step; raises `NotLeader` where a takeover has ended its children or sessions."""
        if isinstance(error, NotLeader) or await self._check_leads():
            return error
        return OutcomeUnknown(f"{format_error(error)}; whether another daemon has taken the run could not be asked")

    async def _back_off(self) -> None:
        """After an outcome that nobody saw: a server that fell needs a moment."""
        if self._unseen_in_a_row:
            await asyncio.sleep(min(2.0 ** (self._unseen_in_a_row - 1), SLOWEST_RETRY_SECONDS))

    def _timeout_of(self, key: StepKey) -> float | None:
        return None if key.definition.untimed else self._step_seconds

    async def _probe(self, key: StepKey, direction: Direction) -> facts.Event:
        probe = key.definition.probe
        assert probe is not None, f"{key} has no probe"  # noqa: S101  # the table's proof demands one of such a step
        try:
            async with asyncio.timeout(self._step_seconds):
                probed = await probe(self._context(key, direction, ""))
        except Exception as error:  # a probe that fails has seen nothing
            await self._check_leads()
            probed = Probed(Found.UNKNOWN, {"error": format_error(error)[:1000]})
        return facts.StepProbed(step=str(key), direction=direction, found=probed.found, evidence=bounded(probed.evidence))

    def _context(self, key: StepKey, direction: Direction, event_id: str) -> Context:
        run = self.run
        return Context(
            ports=self._ports,
            attempt_id=AttemptId(run.name, self._log.epoch, str(key), direction, event_id),
            item=key.item,
            entered_at=run.entered_at,
            watch_seconds=run.frozen.watch_seconds,
            budget_seconds=run.frozen.budget_seconds,
            evidence=run.evidence(),
            breached=run.breached,
            answered_seq=run.answered_seq,
            record=self._record,
        )


def _interrupts(before: Run, after: Run) -> bool:
    """Whether what happened since ends the running step: the way back, an abort, a failure, `hold --now`."""
    held_now = after.held is not None and after.held.now and before.held != after.held
    return held_now or (before.state, before.aborting, before.failure) != (after.state, after.aborting, after.failure)
