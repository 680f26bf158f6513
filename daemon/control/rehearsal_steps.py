"""PreCheck's steps one after the other, without a run: what fails is noted, and the next is taken as far as it means anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cutoverd.daemon.control.rehearsal_alone import check_alone
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.engine.step_executor import StepExecutor
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.plan.freeze import read_stamps
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.backup import rehearsal_record
from cutoverd.daemon.postgres.backup.kept_copy import KeptDatabase
from cutoverd.daemon.postgres.backup.kept_proof import KeptProof
from cutoverd.daemon.postgres.session.reach import CONNECTION_LOST
from cutoverd.daemon.postgres.session.refusal import Refused
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.leadership import check_leads
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.daemon.views.hints import without_commands
from cutoverd.events import facts
from cutoverd.states.errors import ServerFailed, StepError, Unfit
from cutoverd.states.next_action import AttemptStep
from cutoverd.states.ports import AttemptId, Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run, Status, StepKey

log = Logger(__name__)

AGAIN = "nothing more was found out: `cutoverd rehearse` begins anew, and clears what was left"
AS_THEY_ARE = "`cutoverd rehearse` begins anew, with the files as they are then"
# where the copy cannot be made, or is not what the window would have made of it
STOPS = (PreCheck.find_rehearsal, PreCheck.prove_backup, PreCheck.reset_copy)
# before anything is made: a file may reach beyond the copy, by `\c` or ALTER DATABASE; a disk that is full stops production too
BARS = (PreCheck.check_files, PreCheck.check_room)
# of a step of the window these tell of what is around the copy, as the server's trouble does of any, and nothing of the files
AROUND = tuple(kind.__name__ for kind in (Unfit, Refused))


@dataclass(frozen=True)
class Finding:
    """A step that failed, and what helps."""

    key: StepKey
    reason: str
    hint: str
    keys: Any = None  # of rows, where it names some
    is_around: bool = False  # nothing that was rehearsed is known to be wrong by it


@dataclass
class Rehearsal:
    """What came of it."""

    failed: list[Finding] = field(default_factory=list)
    not_checked: list[StepKey] = field(default_factory=list)
    hidden_by: StepKey | None = None  # what has failed that they are not
    is_barred: bool = False  # before anything was made: what an earlier one has kept is there still
    ended: Finding | None = None  # what nobody knows the outcome of, and nothing was taken after it
    done: int = 0
    seconds: float = 0.0  # that those took
    recorded: bool = False  # nothing was wrong on the copy, whatever else was found: a run need not rehearse it
    revoked: bool = False  # an earlier one of the same files, plan and catalog counts no more
    kept: list[KeptDatabase] = field(default_factory=list)
    is_for_again: bool = False  # what is kept, for `--again`
    not_opened: str = ""  # why what is kept lets nobody in
    not_dropped: str = ""  # why the copy is there still, which nobody wanted to keep

    @property
    def is_wrong(self) -> bool:
        """Whether files, plan or data are known to be wrong, not what is around the copy alone."""
        return any(not each.is_around for each in self.failed)

    @property
    def is_fit(self) -> bool:
        return not self.failed and self.ended is None


class Steps:
    """`take` them once."""

    def __init__(self, loaded: LoadedPlan, server: Server, runlog: RunLog, kept: KeptProof | None) -> None:
        self._loaded, self._stamps = loaded, read_stamps(loaded)  # before `ports_of` reads what is in them
        self._log = runlog
        self._server = server
        self._executor = StepExecutor(
            runlog,
            ports_of(loaded, server, rehearses_anew=True, kept=kept),
            self._record,
            step_seconds=loaded.plan.timeouts.step,
            connection_lost=CONNECTION_LOST,
            check_leads=partial(check_leads, server),
        )
        self.done = Rehearsal()

    async def take(self) -> Rehearsal:
        keys = list(_keys(self._log.run))
        for at, key in enumerate(keys):
            if key.definition is PreCheck.record_rehearsal and any(_is_of_copy(each.key) for each in self.done.failed):
                continue
            if self._is_barred(key, keys[at:]) or await self._ends(key, keys[at:]) or await self._fails(key, keys[at + 1 :]):
                break
        self.done.seconds = sum(self._log.run.seconds().values())
        self.done.done = len(self._log.run.seconds())
        return self.done

    def _is_barred(self, key: StepKey, left: Sequence[StepKey]) -> bool:
        """Nothing is made then."""
        bar = next((each.key for each in self.done.failed if each.key.definition in BARS), None)
        if key.definition is not PreCheck.prove_backup or bar is None:
            return False
        self.done.is_barred = True
        return self._hides(bar, left)

    async def _ends(self, key: StepKey, left: Sequence[StepKey]) -> bool:
        """Found: files were switched for an hour and back, and what was put on record was of those that nobody had run."""
        stamps = await asyncio.to_thread(read_stamps, self._loaded)
        if changed := sorted(name for name in stamps | self._stamps if stamps.get(name) != self._stamps.get(name)):
            self.done.ended = Finding(key, f"while they are rehearsed these were written to: {', '.join(changed)}", AS_THEY_ARE)
        elif other := await self._find_other():
            self.done.ended = Finding(key, str(other), other.hint)
        return self.done.ended is not None and self._hides(key, left)

    async def _find_other(self) -> Unfit | None:
        """Found: a run that began while the dump was taken was not met, and had its window beside the rehearsal."""
        try:
            await check_alone(self._server)
        except Unfit as other:
            return other
        except StepError as error:  # the server is away: the step itself says it
            log.warning("others_not_asked_for", reason=str(error), doing="before the next step once more")
        return None

    async def _fails(self, key: StepKey, left: Sequence[StepKey]) -> bool:
        """Take it; whether nothing means anything after it."""
        event_id = await self._log.append(facts.StepStarted(step=str(key), direction=Direction.FORWARD, attempt=1))
        outcome = _without_run(await self._executor.attempt(AttemptStep(key, Direction.FORWARD, 1), event_id))
        await self._record(outcome)
        if (task := asyncio.current_task()) and task.cancelling():  # a step that cannot be ended for sure says so, and no more
            raise asyncio.CancelledError
        if isinstance(outcome, facts.StepInterrupted):  # a run would take it again; here all of it is
            self.done.ended = Finding(key, f"what became of {key} is not known: {outcome.reason}", AGAIN)
            return self._hides(key, left)
        if self._log.run.of(key, Direction.FORWARD).status is Status.DONE:
            self.done.recorded |= key.definition is PreCheck.record_rehearsal
            return False
        found = _finding(key, outcome)
        self.done.failed.append(found)
        if _is_of_copy(key) and not found.is_around:
            await self._revoke(key, event_id)
        return (key.hides_rest or key.definition in STOPS) and self._hides(key, left)

    async def _revoke(self, key: StepKey, event_id: str) -> None:
        """What was fit on Monday is not any more: its record would let a run go down on Thursday all the same.

        Found: rows are in no identity, so a rehearsal that found them wrong left the earlier one of the same files on record.
        """
        identity = self._log.run.evidence().get(str(PreCheck.find_rehearsal), {}).get("identity")
        if not identity or self.done.revoked:
            return
        attempt_id = AttemptId(self._server.run, self._server.epoch, str(key), Direction.FORWARD, event_id)
        try:
            self.done.revoked = await rehearsal_record.revoke(self._server, attempt_id, identity)
        except StepError as error:  # with the next finding once more
            log.warning("record_not_revoked", reason=str(error), doing="`cutoverd rehearse` again, before a run takes it for fit")

    def _hides(self, by: StepKey, left: Sequence[StepKey]) -> bool:
        self.done.hidden_by = by
        self.done.not_checked = [key for key in left if key.definition is not PreCheck.record_rehearsal]
        return True

    async def _record(self, event: facts.Event) -> None:
        await self._log.append(event)


def _finding(key: StepKey, outcome: facts.Event) -> Finding:
    """Of an attempt that was ended before its outcome was known there is a reason as well."""
    evidence = getattr(outcome, "evidence", {})
    error = getattr(outcome, "error", "")
    is_around = error == ServerFailed.__name__ or (key.of_window != key and error in AROUND)
    return Finding(key, getattr(outcome, "reason", ""), getattr(outcome, "hint", ""), evidence.get("keys"), is_around)


def _is_of_copy(key: StepKey) -> bool:
    """Whether it says something of what the window would do with these files."""
    return key.of_window != key or key.definition is PreCheck.check_copy


def _without_run(outcome: facts.Event) -> facts.Event:
    """What only a run can be told is left out of the hint: there is nothing to `retry` or `abort`."""
    if not isinstance(outcome, facts.StepFailed):
        return outcome
    return outcome.model_copy(update={"hint": without_commands(outcome.hint)})


def _keys(run: Run) -> Iterator[StepKey]:
    return (key for key in run.keys(PreCheck.name) if key.definition.any_day)
