"""The rehearsal without a run, on any day: what PreCheck would take of it, with a journal in memory and a name of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import psycopg

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.control.check import THEN
from cutoverd.daemon.engine.run_log import Observer, RunLog
from cutoverd.daemon.engine.step_executor import StepExecutor
from cutoverd.daemon.host.cancellation import end_tasks, run_to_completion
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.backup import kept_proof
from cutoverd.daemon.postgres.backup.kept_copy import KeptDatabase, open_kept
from cutoverd.daemon.postgres.backup.kept_proof import KeptProof
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.kept import sessions_kept
from cutoverd.daemon.postgres.session.reach import CONNECTION_LOST
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.progress import Progress
from cutoverd.daemon.runtime.daemon_lock import one_daemon
from cutoverd.daemon.runtime.leadership import check_leads, server_before_epoch, take_without_journal
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.daemon.runtime.wiring import ports_of, proof_plan, rehearsal_plan
from cutoverd.events import facts
from cutoverd.states.errors import OutcomeUnknown, StepError, format_error
from cutoverd.states.next_action import AttemptStep
from cutoverd.states.ports import AttemptId, Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rehearsal import name_without_run
from cutoverd.states.run import Run, Status, StepKey

log = Logger(__name__)

TELL_SECONDS = 30.0
AGAIN = "nothing was found to be wrong by that: `cutoverd rehearse` begins anew, and clears what was left"


@dataclass(frozen=True)
class Finding:
    """A step that failed, and what helps."""

    key: StepKey
    reason: str
    hint: str
    keys: Any = None  # of rows, where it names some


@dataclass
class Rehearsal:
    """What came of it."""

    failed: list[Finding] = field(default_factory=list)
    not_checked: list[StepKey] = field(default_factory=list)
    hidden_by: StepKey | None = None  # what has failed that they are not
    done: int = 0
    seconds: float = 0.0  # that those took
    kept: list[KeptDatabase] = field(default_factory=list)
    is_for_again: bool = False  # what is kept, for `--again`
    not_opened: str = ""  # why what is kept lets nobody in
    not_dropped: str = ""  # why the copy is there still, which nobody wanted to keep


async def rehearse(
    loaded: LoadedPlan,
    *,
    keep: bool = False,
    again: bool = False,
    observers: Sequence[Observer] = (),
    tell: Callable[[Progress], object] | None = None,
) -> Rehearsal:
    """Every check that needs no run, then the window on a copy. Afterwards the copy is dropped, unless it is to be kept.

    `again`: on the copy that an earlier one has kept; while something is wrong it is kept once more.
    `tell` hears every half minute how far a step is that takes so long.
    Raises `NotLeader` if somebody else began to rehearse this database meanwhile, `Unfit` if there is no copy for `again`.
    """
    with one_daemon(loaded):
        server = await _led(loaded)
        kept = await _find_kept(loaded, server) if again else None
        tracker = ProgressTracker(loaded)
        runlog = RunLog(server.run, MemoryStream().journal(server.run), observers=[tracker, *observers])
        runlog.epoch = server.epoch
        await runlog.append(_started(loaded, server))
        try:
            async with sessions_kept(), tracker.tracking(server), _telling(tracker, tell):
                done = await _take_all(loaded, server, runlog, kept)
        except BaseException:
            if not keep and not again:
                await run_to_completion(_without_copy(loaded, server, Rehearsal()))
            raise
        if keep or (again and done.failed):
            return await _with_kept(loaded, server, done, runlog.run)
        return await run_to_completion(_without_copy(loaded, server, done))


@asynccontextmanager
async def _telling(tracker: ProgressTracker, tell: Callable[[Progress], object] | None) -> AsyncIterator[None]:
    async def poll() -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            progress = tracker.progress(datetime.now(UTC))
            if tell and progress and progress.seconds >= TELL_SECONDS:
                tell(progress)

    telling = asyncio.create_task(poll())
    try:
        yield
    finally:
        await end_tasks(telling)


async def _find_kept(loaded: LoadedPlan, server: Server) -> KeptProof:
    """It stands alone again, and is what it was."""
    attempt_id = _attempt_id(server, "again")
    plan, proof = rehearsal_plan(loaded, is_anew=True), proof_plan(loaded)
    kept = await kept_proof.find(server, attempt_id, plan, proof.sha256)
    await ports_of(loaded, server).backups.reset_copy(attempt_id)
    await kept_proof.check_untouched(server.of_copy(), kept)
    return kept


async def _with_kept(loaded: LoadedPlan, server: Server, done: Rehearsal, run: Run) -> Rehearsal:
    """What it found is worth more than that somebody may look at it."""
    attempt_id, plan = _attempt_id(server, "keep"), rehearsal_plan(loaded, is_anew=True)
    try:
        done.kept = await open_kept(server.of_copy(plan.database or ""), attempt_id)
        proof = run.of(StepKey.of(str(PreCheck.prove_backup)), Direction.FORWARD)
        if proof.status is Status.DONE:
            await kept_proof.keep(server, attempt_id, plan, proof.evidence)
            done.is_for_again = True
    except (StepError, psycopg.Error, OSError) as error:
        done.not_opened = format_error(error)
    return done


async def _without_copy(loaded: LoadedPlan, server: Server, done: Rehearsal) -> Rehearsal:
    """Found: on a full disk the drop failed as well, and all that was found to be wrong was not said."""
    try:
        await _drop(loaded, server, Direction.BACK)
    except (StepError, psycopg.Error, OSError) as error:
        log.warning("copy_not_dropped", reason=format_error(error), doing="`cutoverd rehearse --drop PLAN` drops it")
        done.not_dropped = format_error(error)
    return done


async def drop(loaded: LoadedPlan) -> None:
    """What a rehearsal has kept, or left when it was killed."""
    with one_daemon(loaded):
        await _drop(loaded, await _led(loaded))


async def _led(loaded: LoadedPlan) -> Server:
    server = server_before_epoch(loaded)
    name = name_without_run(server.names.production)
    server = replace(server, run=name, folder=loaded.state_dir / name)
    server.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    await ledger.prepare(server)
    led, _ = await take_without_journal(server)
    return led


async def _drop(loaded: LoadedPlan, server: Server, direction: Direction = Direction.FORWARD) -> None:
    await ports_of(loaded, server).backups.clear(_attempt_id(server, "drop", direction))


def _attempt_id(server: Server, what: str, direction: Direction = Direction.FORWARD) -> AttemptId:
    """Of what is done around the steps, to the copy as a whole."""
    return AttemptId(server.run, server.epoch, str(PreCheck.drop_copy), direction, f"{what}-{server.epoch}")


def _started(loaded: LoadedPlan, server: Server) -> facts.RunStarted:
    return facts.RunStarted(
        plan_sha256=loaded.sha256,
        files={},
        items=loaded.items(),
        gates=[],
        budget_seconds=loaded.plan.window.budget,
        production=server.names.production,
        version=version("cutoverd"),
        rehearses=True,
    )


async def _take_all(loaded: LoadedPlan, server: Server, runlog: RunLog, kept: KeptProof | None) -> Rehearsal:
    async def record(event: facts.Event) -> None:
        await runlog.append(event)

    steps = StepExecutor(
        runlog,
        ports_of(loaded, server, rehearses_anew=True, kept=kept),
        record,
        step_seconds=loaded.plan.timeouts.step,
        connection_lost=CONNECTION_LOST,
        check_leads=partial(check_leads, server),
    )
    done, keys = Rehearsal(), list(_keys(runlog.run))
    for at, key in enumerate(keys):
        if key.definition is PreCheck.record_rehearsal and done.failed:
            continue
        if key.definition is PreCheck.prove_backup and (lack := _without_room(done)):
            _hide(done, lack, keys[at:])
            break
        event_id = await runlog.append(facts.StepStarted(step=str(key), direction=Direction.FORWARD, attempt=1))
        outcome = _without_run(await steps.attempt(AttemptStep(key, Direction.FORWARD, 1), event_id))
        await runlog.append(outcome)
        if isinstance(outcome, facts.StepInterrupted):  # a run would take it again; here all of it is
            raise OutcomeUnknown(f"what became of {key} is not known: {outcome.reason}", hint=AGAIN)
        if runlog.run.of(key, Direction.FORWARD).status is not Status.DONE:
            done.failed.append(_finding(key, outcome))
            if _stops(key):
                _hide(done, key, keys[at + 1 :])
                break
    done.seconds = sum(runlog.run.seconds().values())
    done.done = len(runlog.run.seconds())
    return done


def _without_room(done: Rehearsal) -> StepKey | None:
    """Nothing is made then: a disk that is full stops production as well."""
    return next((each.key for each in done.failed if each.key.definition is PreCheck.check_room), None)


def _hide(done: Rehearsal, by: StepKey, keys: Sequence[StepKey]) -> None:
    done.hidden_by = by
    done.not_checked = [key for key in keys if key.definition is not PreCheck.record_rehearsal]


def _finding(key: StepKey, outcome: facts.Event) -> Finding:
    """Of an attempt that was ended before its outcome was known there is a reason as well."""
    evidence = getattr(outcome, "evidence", {})
    return Finding(key, getattr(outcome, "reason", ""), getattr(outcome, "hint", ""), evidence.get("keys"))


def _without_run(outcome: facts.Event) -> facts.Event:
    """What only a run can be told is left out of the hint: there is nothing to `retry` or `abort`."""
    if not isinstance(outcome, facts.StepFailed):
        return outcome
    return outcome.model_copy(update={"hint": THEN.sub("", outcome.hint)})


def _keys(run: Run) -> Iterator[StepKey]:
    return (key for key in run.keys(PreCheck.name) if key.definition.any_day)


def _stops(key: StepKey) -> bool:
    """Where the copy cannot be made, or is not what the window would have made of it."""
    return key.hides_rest or key.definition in (PreCheck.find_rehearsal, PreCheck.prove_backup, PreCheck.reset_copy)
