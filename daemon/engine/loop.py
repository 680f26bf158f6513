"""One loop drives a run: next action → StepStarted → act → its outcome → evolve. Commands are taken in at any time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.inbox import CollectingTimeUp, InboxItem, OverrunDue, StepObservation
from cutoverd.daemon.engine.inbox_handler import InboxHandler
from cutoverd.daemon.engine.outcomes import interrupted
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.engine.step_executor import StepExecutor, always_leads
from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.events import facts
from cutoverd.states.next_action import (
    AppendEvent,
    AttemptGroup,
    AttemptStep,
    AwaitOperator,
    Finished,
    ProbeStep,
    next_action,
)
from cutoverd.states.ports import Direction
from cutoverd.states.run import Run, StepKey
from cutoverd.states.step import Ports
from cutoverd.states.validate import Validate

PENDING_COMMAND_SECONDS = 1.0  # without an operator: for a command that was sent before
WINDOW_READ_SECONDS = 1.0
CLOCK_READ_SECONDS = 60.0  # at most, while a window is awaited: the clock may be set


class Stopped(Enum):
    """Why the loop ended."""

    OVER = "over"
    NEEDS_A_PERSON = "needs a person"  # only with `auto`


@dataclass(frozen=True)
class Acting:
    """An attempt at a step, or a probe of it, that is under way."""

    key: StepKey
    direction: Direction
    task: asyncio.Task[facts.Event]
    began: float  # by the monotonic clock


class RunLoop:
    """Drives one run to its end, or to where a person is needed."""

    def __init__(
        self,
        runlog: RunLog,
        ports: Ports,
        inbox: asyncio.Queue[InboxItem],
        *,
        step_seconds: float,
        collect_seconds: float | None = None,
        auto: bool,
        connection_lost: tuple[type[Exception], ...] = (),
        check_files: Callable[[Run], None] = lambda run: None,
        check_plan: Callable[[Run], None] = lambda run: None,
        check_leads: Callable[[], Awaitable[bool]] = always_leads,
    ) -> None:
        """`collect_seconds`: how long it is asked what else is wrong once a check of Validate has failed; None: until all is.

        `check_files`, `check_leads`, `connection_lost`: as `StepExecutor` has them; `check_plan`: as `InboxHandler`."""
        self._log = runlog
        self._inbox = inbox
        self._auto = auto
        self._collect_seconds = collect_seconds
        self._is_collecting = False
        self._acting: list[Acting] = []  # of a group several, else one at most
        self._handler = InboxHandler(runlog, inbox, check_plan)
        self._steps = StepExecutor(
            runlog,
            ports,
            self._record,
            step_seconds=step_seconds,
            connection_lost=connection_lost,
            check_files=check_files,
            check_leads=check_leads,
        )

    @property
    def run(self) -> Run:
        return self._log.run

    async def drive(self) -> Stopped:
        """Until the run is over; with `auto` also until it waits for a person. Raises `NotLeader`, `Conflict`."""
        watching = asyncio.create_task(self._watch_window())
        try:
            while True:
                try:
                    if stopped := await self._turn():
                        return stopped
                except Conflict as conflict:  # what was decided on the old end of the journal is decided again
                    await self._end_acting()
                    self._acting.clear()
                    await self._log.catch_up(conflict)
        finally:
            await end_tasks(watching)
            await self._end_acting()

    async def _watch_window(self) -> None:
        """Before steps, while they run and at gates alike."""
        while True:
            await asyncio.sleep(WINDOW_READ_SECONDS)
            if self._handler.find_overrun():
                self._inbox.put_nowait(OverrunDue())

    async def _turn(self) -> Stopped | None:
        """One action, or one moment of those that run side by side; why the loop ends, if it does."""
        await self._handler.record_foreign()
        self._limit_collecting()
        upcoming = next_action(self.run)
        match upcoming:
            case AttemptGroup(attempts):
                running = {each.key for each in self._acting}
                for attempt in attempts:
                    if attempt.key not in running:
                        await self._begin(attempt)
                await self._go_on()
            case _ if self._acting:  # the run is held: what of a group runs is finished, and nothing else is begun
                await self._go_on()
            case Finished():
                await self._log.record_foreign()
                return Stopped.OVER
            case AppendEvent(event):
                await self._handler.report_refusals()  # the end of the run may be what is appended
                await self._log.append(event)
            case AttemptStep() | ProbeStep():
                await self._begin(upcoming)
                while self._acting:
                    await self._go_on()
            case AwaitOperator():
                async with self._held_loop(upcoming.meanwhile):
                    if await self._wait(upcoming):
                        await self._handler.report_refusals()
                        return Stopped.NEEDS_A_PERSON
        return None

    def _limit_collecting(self) -> None:
        """From the first failure in the window on, by this daemon's own clock; the next daemon counts anew.

        Found: it struck in PreCheck too, where a rehearsal has all the time that it takes.
        """
        if self._collect_seconds is None or self.run.state != Validate.name:
            return
        if self.run.failed_checks and not self._is_collecting:
            self._is_collecting = True
            time_up = CollectingTimeUp(self._collect_seconds)
            asyncio.get_running_loop().call_later(self._collect_seconds, self._inbox.put_nowait, time_up)

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
            await end_tasks(going)

    async def _run_held_loop(self, key: StepKey) -> None:
        go = key.definition.while_held
        assert go is not None, f"{key} does not go on while held"  # noqa: S101  # next_action() names only those that do
        try:
            await go(self._steps.context(key, Direction.FORWARD, ""))
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
            await self._handler.handle(await self._inbox.get())
            return False
        item = await self._next_within(self._patience(waiting))
        if item:
            await self._handler.handle(item)
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

    async def _begin(self, upcoming: AttemptStep | ProbeStep) -> None:
        """Announced before anything is done, by the loop itself: only it appends."""
        key, direction = upcoming.key, upcoming.direction
        if isinstance(upcoming, ProbeStep):
            act = self._steps.probe(key, direction)
        else:
            started = facts.StepStarted(step=str(key), direction=direction, attempt=upcoming.attempt)
            act = self._steps.attempt(upcoming, await self._log.append(started))
        self._acting.append(Acting(key, direction, asyncio.create_task(act), time.monotonic()))

    async def _go_on(self) -> None:
        """Until an act has ended, which is put on record, or an item was taken in; one that turns the run ends all acts."""
        before = self.run
        item = await self._next_beside_acts()
        if item is not None:
            await self._handler.handle(item)
        if _interrupts(before, self.run):
            await self._end_acting()
        while ended := [each for each in self._acting if each.task.done()]:
            for each in ended:
                self._acting.remove(each)
                await self._log.append(self._outcome_of(each))
            if _interrupts(before, self.run):  # by that outcome
                await self._end_acting()

    async def _next_beside_acts(self) -> InboxItem | None:
        """None if an act ends before one comes."""
        receiving = asyncio.create_task(self._inbox.get())
        await asyncio.wait({receiving, *(each.task for each in self._acting)}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            return receiving.result()
        receiving.cancel()
        return None

    async def _end_acting(self) -> None:
        await end_tasks(*(each.task for each in self._acting))

    def _outcome_of(self, ended: Acting) -> facts.Event:
        """What was observed, or that the act was ended before anything was. Raises `NotLeader`."""
        if ended.task.cancelled():
            return interrupted(ended.key, ended.direction, time.monotonic() - ended.began, self._why_ended())
        return ended.task.result()

    def _why_ended(self) -> str:
        if self.run.collecting_ended:
            unknown = next((key for key in self.run.failed_checks if self.run.of(key, Direction.FORWARD).outcome_unknown), None)
            why = f"what became of {unknown} is not known" if unknown else "the time for it is over"
            return f"of what else is wrong no more is asked: {why}"
        if self.run.held:
            return f"held now: {self.run.held.reason}"
        return f"the run turned: {self.run.state}" if self.run.failure is None else self.run.failure.reason


def _interrupts(before: Run, after: Run) -> bool:
    """Whether what happened since ends the running step: the way back, an abort, a failure, `hold --now`."""
    held_now = after.held is not None and after.held.now and before.held != after.held
    return held_now or _course(before) != _course(after)


def _course(run: Run) -> tuple[object, ...]:
    return run.state, run.aborting, run.failure, run.collecting_ended
