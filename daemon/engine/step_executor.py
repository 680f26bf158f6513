"""One attempt at a step, or a probe of it: bounded in time, refused to a daemon that no longer leads, ended by one event."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from cutoverd.daemon.engine.errors import LogRegressed
from cutoverd.daemon.engine.outcomes import bounded, ended_by, succeeded, with_limit
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.progress import report_as
from cutoverd.events import facts
from cutoverd.states import STATES
from cutoverd.states.errors import NotLeader, OutcomeUnknown, format_error
from cutoverd.states.next_action import AttemptStep
from cutoverd.states.ports import AttemptId, Direction, Found, Probed
from cutoverd.states.run import Run, StepKey
from cutoverd.states.step import Context, Effect, Ports

log = Logger(__name__)

SLOWEST_RETRY_SECONDS = 10.0
COPY_BACK_SECONDS = 30.0  # that a way back waits for the copy of the journal


async def always_leads() -> bool:
    """Where there is one daemon."""
    return True


class StepExecutor:
    """Runs, undoes and probes steps; each ends by the event that tells what was observed."""

    def __init__(
        self,
        runlog: RunLog,
        ports: Ports,
        record: Callable[[facts.Event], Awaitable[None]],
        *,
        step_seconds: float,
        connection_lost: tuple[type[Exception], ...] = (),
        check_files: Callable[[Run], None] = lambda run: None,
        check_leads: Callable[[], Awaitable[bool]] = always_leads,
    ) -> None:
        """`record` puts on record what a step sees change while it runs.

        `connection_lost`: errors of the adapters that say nothing of what happened at the other end.
        `check_files` is asked before a step that runs or reads the plan's files, and raises `StepError` if it must not.
        `check_leads` raises `NotLeader` if a newer daemon has the run, and is False if nobody could be asked.
        """
        self._log = runlog
        self._ports = ports
        self._record = record
        self._step_seconds = step_seconds
        self._connection_lost = connection_lost
        self._check_files = check_files
        self._check_leads = check_leads
        self._unseen = Counter[StepKey]()  # outcomes in a row that nobody saw, by step: what runs beside it knows nothing of it

    async def attempt(self, take: AttemptStep, event_id: str) -> facts.Event:
        """Run or undo the step that the event `event_id` announced; what was observed. Raises `NotLeader`."""
        report_as(str(take.key))
        outcome = await self._act(take, event_id)
        self._unseen[take.key] = self._unseen[take.key] + 1 if isinstance(outcome, facts.StepInterrupted) else 0
        return outcome

    async def _act(self, take: AttemptStep, event_id: str) -> facts.Event:
        began = time.monotonic()
        act = take.key.definition.run if take.direction is Direction.FORWARD else take.key.definition.undo
        assert act is not None, f"{take.key} has no way back"  # noqa: S101  # next_action() asks only for those that have one
        try:
            await self._back_off(take.key)
            if take.key.definition.effect is Effect.PROBED:  # no ledger row of its own turns a stale daemon away
                await self._check_leads()
            if take.direction is Direction.FORWARD and STATES[take.key.state].reads_files:
                await asyncio.to_thread(self._check_files, self._log.run)
            async with asyncio.timeout(self._timeout_of(take.key)):
                if take.key.definition.copied_first:
                    await self._copied(take.direction)
                evidence = await act(self.context(take.key, take.direction, event_id))
            if take.key.definition.untimed:  # meanwhile production may have been taken back, and that is in no journal
                await self._check_leads()
            return succeeded(take.key, take.direction, time.monotonic() - began, evidence)
        except Exception as error:
            seconds = time.monotonic() - began
            outcome = await self._unless_taken(error)
            return ended_by(outcome, take.key, take.direction, seconds, take.attempt, connection_lost=self._connection_lost)

    async def _copied(self, direction: Direction) -> None:
        """In the ledger too; a copy that is late, or never will be the journal's, holds up no way back.

        Production would stay closed. Found: a copy that was cut within its transaction stood in the way of the next, and of both.
        """
        if direction is Direction.FORWARD:
            return await self._log.copied()
        try:
            async with asyncio.timeout(min(COPY_BACK_SECONDS, self._step_seconds / 2)):
                await self._log.copied()
        except TimeoutError:
            log.error("journal_copy_late", doing="goes back all the same")
        except LogRegressed as error:
            log.error("journal_copy_differs", reason=error.args[0], doing="goes back all the same")

    async def _unless_taken(self, error: Exception) -> Exception:
        """What became of the step; raises `NotLeader` where a takeover has ended its children or sessions."""
        if isinstance(error, NotLeader) or await self._check_leads():
            return error
        return OutcomeUnknown(f"{format_error(error)}; whether another daemon has taken the run could not be asked")

    async def _back_off(self, key: StepKey) -> None:
        """After an outcome that nobody saw: a server that fell needs a moment."""
        if unseen := self._unseen[key]:
            await asyncio.sleep(min(2.0 ** (unseen - 1), SLOWEST_RETRY_SECONDS))

    def _timeout_of(self, key: StepKey) -> float | None:
        return None if key.definition.untimed else self._step_seconds

    async def probe(self, key: StepKey, direction: Direction) -> facts.Event:
        """Ask whether the effect of the step is there. Raises `NotLeader`."""
        probe = key.definition.probe
        assert probe is not None, f"{key} has no probe"  # noqa: S101  # the table's proof demands one of such a step
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._step_seconds):
                probed = await probe(self.context(key, direction, ""))
        except Exception as error:  # a probe that fails has seen nothing
            await self._check_leads()
            probed = Probed(Found.UNKNOWN, {"error": format_error(with_limit(error, time.monotonic() - began))[:1000]})
        self._unseen[key] = 0
        return facts.StepProbed(step=str(key), direction=direction, found=probed.found, evidence=bounded(probed.evidence))

    def context(self, key: StepKey, direction: Direction, event_id: str) -> Context:
        """What a step may touch and know."""
        run = self._log.run
        return Context(
            ports=self._ports,
            attempt_id=AttemptId(run.name, self._log.epoch, str(key), direction, event_id),
            item=key.item,
            entered_at=run.entered_at,
            watch_seconds=run.frozen.watch_seconds,
            budget_seconds=run.frozen.budget_seconds,
            evidence=run.evidence(),
            seconds=run.seconds(),
            breached=run.breached,
            answered_seq=run.answered_seq,
            record=self._record,
        )
