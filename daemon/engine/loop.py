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
from cutoverd.daemon.engine.inbox import CollectingTimeUp, InboxItem, StepObservation
from cutoverd.daemon.engine.inbox_handler import InboxHandler
from cutoverd.daemon.engine.outcomes import interrupted
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.engine.step_executor import StepExecutor, always_leads
from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.events import facts
from cutoverd.states.next_action import AppendEvent, AttemptStep, AwaitOperator, Finished, ProbeStep, next_action
from cutoverd.states.ports import Direction
from cutoverd.states.run import Run, StepKey
from cutoverd.states.step import Ports

PENDING_COMMAND_SECONDS = 1.0  # without an operator: for a command that was sent before
CLOCK_READ_SECONDS = 60.0  # at most, while a window is awaited: the clock may be set


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
        while True:
            try:
                if stopped := await self._turn():
                    return stopped
            except Conflict as conflict:  # what was decided on the old end of the journal is decided again
                await self._log.catch_up(conflict)

    async def _turn(self) -> Stopped | None:
        """One action; why the loop ends, if it does."""
        await self._handler.record_foreign()
        self._limit_collecting()
        upcoming = next_action(self.run)
        match upcoming:
            case Finished():
                await self._log.record_foreign()
                return Stopped.OVER
            case AppendEvent(event):
                await self._handler.report_refusals()  # the end of the run may be what is appended
                await self._log.append(event)
            case AttemptStep(key, direction, attempt):
                # announced before anything is done, by the loop itself: only it appends
                event_id = await self._log.append(facts.StepStarted(step=str(key), direction=direction, attempt=attempt))
                await self._run_interruptibly(key, direction, self._steps.attempt(upcoming, event_id))
            case ProbeStep(key, direction):
                await self._run_interruptibly(key, direction, self._steps.probe(key, direction))
            case AwaitOperator():
                async with self._held_loop(upcoming.meanwhile):
                    if await self._wait(upcoming):
                        await self._handler.report_refusals()
                        return Stopped.NEEDS_A_PERSON
        return None

    def _limit_collecting(self) -> None:
        """From the first failure on, by this daemon's own clock; the next daemon counts anew."""
        if self._collect_seconds is not None and self.run.failed_checks and not self._is_collecting:
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

    async def _run_interruptibly(self, key: StepKey, direction: Direction, act: Coroutine[Any, Any, facts.Event]) -> None:
        """Act, and meanwhile take in commands; one that turns the run ends the act."""
        acting = asyncio.create_task(act)
        began = time.monotonic()
        try:
            await self._handle_until(acting)
        finally:
            await end_tasks(acting)
        if acting.cancelled():
            reason = self._why_ended()
            await self._log.append(interrupted(key, direction, time.monotonic() - began, reason))
        else:
            await self._log.append(acting.result())

    async def _handle_until(self, acting: asyncio.Task[facts.Event]) -> None:
        """Until the act is done or a command has turned the run."""
        while not acting.done():
            receiving = asyncio.create_task(self._inbox.get())
            await asyncio.wait({acting, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
                return
            before = self.run
            await self._handler.handle(receiving.result())
            if _interrupts(before, self.run):
                return

    def _why_ended(self) -> str:
        if self.run.collecting_ended:
            return "of what else is wrong no more is asked: the time for it is over"
        if self.run.held:
            return f"held now: {self.run.held.reason}"
        return f"the run turned: {self.run.state}" if self.run.failure is None else self.run.failure.reason


def _interrupts(before: Run, after: Run) -> bool:
    """Whether what happened since ends the running step: the way back, an abort, a failure, `hold --now`."""
    held_now = after.held is not None and after.held.now and before.held != after.held
    return held_now or _course(before) != _course(after)


def _course(run: Run) -> tuple[object, ...]:
    return run.state, run.aborting, run.failure, run.collecting_ended
