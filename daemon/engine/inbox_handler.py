"""Takes in what the inbox holds: commands are decided, what a step saw is recorded, floods and foreign messages are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.inbox import (
    CollectingTimeUp,
    ForeignFound,
    InboxItem,
    NotACommand,
    OverrunDue,
    ReportDue,
    StepObservation,
)
from cutoverd.daemon.engine.refusal_flood import (
    ALONE,
    ALONE_PER_SECOND,
    NOTES,
    NOTES_PER_SECOND,
    REPORT_SECONDS,
    Allowance,
    CommandRefusal,
    Refusals,
)
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.engine.steady_clock import SteadyClock
from cutoverd.events import facts
from cutoverd.events.commands import Command, Verb
from cutoverd.states.decide import decide, find_refusal, rejected
from cutoverd.states.errors import StepError
from cutoverd.states.overrun import overrun
from cutoverd.states.run import Run


class InboxHandler:
    """Answers one item after the other by events of the run."""

    def __init__(self, runlog: RunLog, inbox: asyncio.Queue[InboxItem], check_plan: Callable[[Run], None]) -> None:
        """`check_plan` is asked before PreCheck is tried again, and raises `StepError` if the plan on disk is another."""
        self._log = runlog
        self._inbox = inbox
        self._check_plan = check_plan
        self._refusals = Refusals()
        self._alone, self._notes = Allowance(ALONE, ALONE_PER_SECOND), Allowance(NOTES, NOTES_PER_SECOND)
        self._clock = SteadyClock()
        self._foreign_due = False  # whether it will be said that they may be told of

    @property
    def run(self) -> Run:
        return self._log.run

    async def handle(self, item: InboxItem) -> None:
        """Take one in; raises it if it says that nothing more will come."""
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

    async def record_foreign(self) -> None:
        """Put on record what others published, now or when it is due: where many come, few events tell of them."""
        if not self._log.foreign.count and not self._log.crowded_out:
            return
        if not self._log.crowded_out and (seconds := self._log.foreign.seconds_until_due) > 0:
            if not self._foreign_due:
                self._foreign_due = True
                asyncio.get_running_loop().call_later(seconds, self._inbox.put_nowait, ForeignFound())
            return
        await self._log.record_foreign()

    async def _take_in(self, item: Command | NotACommand | ReportDue | ForeignFound | CollectingTimeUp | OverrunDue) -> None:
        await self.report_refusals()  # they came before it
        if isinstance(item, ForeignFound):
            self._foreign_due = False
            await self._log.find_foreign()
            await self.record_foreign()
            return
        if isinstance(item, CollectingTimeUp):
            await self._end_collecting(item)
            return
        if isinstance(item, OverrunDue):
            await self._record_overrun()
            return
        if isinstance(item, ReportDue) or item.seq <= self.run.command_position:
            return
        for event in await self._answer(item):
            await self._log.append(event, command_position=item.seq)

    async def _record_overrun(self) -> None:
        """Unless the run has turned meanwhile, or is fast enough again."""
        if found := self.find_overrun():
            await self._log.append(found)

    def find_overrun(self) -> facts.WindowOverrun | None:
        return overrun(self.run, self._clock.now(), is_clock_steady=self._clock.is_steady)

    async def _end_collecting(self, time_up: CollectingTimeUp) -> None:
        """Unless the run has turned meanwhile."""
        if self.run.failed_checks and not (self.run.failure or self.run.collecting_ended):
            await self._log.append(facts.CollectingEnded(seconds=time_up.seconds))

    def _is_of_a_flood(self, item: InboxItem) -> bool:
        """Whether it was refused, and is put on record with others: an event for each would fill the stream, and take hours."""
        known_seq = max(self.run.command_position, self._refusals.last_seq)
        refusal = self._find_refusal(item) if isinstance(item, Command | NotACommand) and item.seq > known_seq else None
        if refusal is None or self._alone.take_one():
            return False
        if self._refusals.add(refusal):
            asyncio.get_running_loop().call_later(REPORT_SECONDS, self._inbox.put_nowait, ReportDue())
        return True

    def _find_refusal(self, item: Command | NotACommand) -> CommandRefusal | None:
        if isinstance(item, NotACommand):
            return CommandRefusal(item.seq, "?", item.by, item.reason)
        reason = find_refusal(self.run, item, datetime.now(UTC))
        if reason is None and item.verb is Verb.NOTE and not self._notes.take_one():
            reason = f"of more than {NOTES} notes at once the rest is not kept: say it again"
        return None if reason is None else CommandRefusal(item.seq, item.verb, item.by, reason)

    async def report_refusals(self) -> None:
        """Put on record what was refused of a flood, before anything that lies after it."""
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
