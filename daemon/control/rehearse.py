"""The rehearsal without a run, on any day: what PreCheck would take of it, with a journal in memory and a name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.control.check import THEN
from cutoverd.daemon.engine.run_log import Observer, RunLog
from cutoverd.daemon.engine.step_executor import StepExecutor
from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.kept import sessions_kept
from cutoverd.daemon.postgres.session.reach import CONNECTION_LOST
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.daemon_lock import one_daemon
from cutoverd.daemon.runtime.leadership import check_leads, server_before_epoch, take_without_journal
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.events import facts
from cutoverd.states.next_action import AttemptStep
from cutoverd.states.ports import AttemptId, Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run, Status, StepKey

NAME = "rehearsal."  # as a run's: no plan can give it


@dataclass
class Rehearsal:
    """What came of it."""

    failed: list[StepKey] = field(default_factory=list)
    not_looked_at: list[StepKey] = field(default_factory=list)


async def rehearse(loaded: LoadedPlan, *, keep: bool = False, observers: Sequence[Observer] = ()) -> Rehearsal:
    """Every check that needs no run, then the window on a copy. Afterwards the copy is dropped, unless it is to be kept.

    Raises `NotLeader` if somebody else began to rehearse this database meanwhile.
    """
    with one_daemon(loaded):
        server = await _led(loaded)
        runlog = RunLog(NAME, MemoryStream().journal(NAME), observers=observers)
        runlog.epoch = server.epoch
        await runlog.append(_started(loaded, server))
        try:
            async with sessions_kept():
                return await _take_all(loaded, server, runlog)
        finally:
            if not keep:
                await run_to_completion(_drop(loaded, server))


async def drop(loaded: LoadedPlan) -> None:
    """What a rehearsal has kept, or left when it was killed."""
    with one_daemon(loaded):
        await _drop(loaded, await _led(loaded))


async def _led(loaded: LoadedPlan) -> Server:
    server = replace(server_before_epoch(loaded), run=NAME, folder=loaded.state_dir / "rehearsal")
    server.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    await ledger.prepare(server)
    led, _ = await take_without_journal(server)
    return led


async def _drop(loaded: LoadedPlan, server: Server) -> None:
    attempt_id = AttemptId(server.run, server.epoch, str(PreCheck.drop_copy), Direction.FORWARD, f"drop-{server.epoch}")
    await ports_of(loaded, server).backups.clear(attempt_id)


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


async def _take_all(loaded: LoadedPlan, server: Server, runlog: RunLog) -> Rehearsal:
    async def record(event: facts.Event) -> None:
        await runlog.append(event)

    steps = StepExecutor(
        runlog,
        ports_of(loaded, server, rehearses_anew=True),
        record,
        step_seconds=loaded.plan.timeouts.step,
        connection_lost=CONNECTION_LOST,
        check_leads=partial(check_leads, server),
    )
    done, keys = Rehearsal(), list(_keys(runlog.run))
    for at, key in enumerate(keys):
        if done.failed and key.definition is PreCheck.record_rehearsal:
            continue
        event_id = await runlog.append(facts.StepStarted(step=str(key), direction=Direction.FORWARD, attempt=1))
        await runlog.append(_without_run(await steps.attempt(AttemptStep(key, Direction.FORWARD, 1), event_id)))
        if runlog.run.of(key, Direction.FORWARD).status is not Status.DONE:
            done.failed.append(key)
            if _stops(key):
                done.not_looked_at = keys[at + 1 :]
                break
    return done


def _without_run(outcome: facts.Event) -> facts.Event:
    """What only a run can be told is left out of the hint: there is nothing to `retry` or `abort`."""
    if not isinstance(outcome, facts.StepFailed):
        return outcome
    return outcome.model_copy(update={"hint": THEN.sub("", outcome.hint)})


def _keys(run: Run) -> Iterator[StepKey]:
    return (key for key in run.keys(PreCheck.name) if key.definition.any_day)


def _stops(key: StepKey) -> bool:
    """Where the copy cannot be made, or is not what the window would have made of it."""
    return key.hides_rest or key.definition in (PreCheck.prove_backup, PreCheck.reset_copy)
