"""How a daemon takes a run: the journal replayed and proven, the fence taken, what an earlier daemon left running ended."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from importlib.metadata import version

from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.host import children
from cutoverd.daemon.plan.freeze import PlanChanged, check_frozen, frozen
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.events import facts
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run


async def take_over(loaded: LoadedPlan, runlog: RunLog, server: Server) -> Server:
    """Lead the run: from here on every older daemon is refused, here and in PostgreSQL.

    `server` is that of no epoch yet; gives that of ours.

    Raises `PlanChanged`, `NotLeader`, `Conflict`, `LogRegressed`, `OutcomeUnknown`.
    """
    await runlog.replay()
    there = await ledger.current_epoch(server)
    changed = _changed(loaded, runlog.run, server, there)
    epoch = max(runlog.run.epoch, there) + 1
    server = replace(server, epoch=epoch)
    orphans = await _end_orphans(server)
    await ledger.acquire_fence(server)
    runlog.epoch = epoch
    await runlog.append(
        facts.LeaderAcquired(
            epoch=epoch, host=socket.gethostname(), pid=os.getpid(), version=version("cutoverd"), orphans=orphans
        )
    )
    if runlog.run.plan is None:
        await runlog.append(frozen(loaded, server.names.production))
    elif changed and not _is_known(runlog.run, changed):
        await runlog.append(facts.FailureReported(by=facts.DAEMON, reason=changed))
    return server


def _changed(loaded: LoadedPlan, run: Run, server: Server, epoch_there: int) -> str:
    """Why a daemon of this plan may take no step of PreCheck, and only `abort` is left; "" if it may.

    Found: who mended a file that PreCheck had refused got no daemon any more, so that nobody heard his `abort`, and the
    stream was closed to every other run. Raises `PlanChanged` in a later state.
    """
    try:
        if run.plan:
            check_frozen(loaded, run)
    except PlanChanged as error:
        if run.state != PreCheck.name:
            raise
        _check_reaches_what_the_run_made(run, server, epoch_there, error)
        return f"{error}: {error.hint}"
    return ""


def _check_reaches_what_the_run_made(run: Run, server: Server, epoch_there: int, changed: PlanChanged) -> None:
    """What `abort` has to drop lies where the run began; raises `PlanChanged`."""
    production = server.names.production
    is_the_same = run.frozen.production in ("", production)
    if is_the_same and epoch_there >= run.epoch:  # every leader of it took the fence there first
        return
    where = "another server" if is_the_same else f"database {run.frozen.production}"
    raise PlanChanged(
        f"{changed}; and it began on {where}, which database.url does not name",
        hint="put back database.url: what the run made lies there, and `abort` has to find it",
    )


def _is_known(run: Run, changed: str) -> bool:
    """On record already; and an `abort` under way needs no file of the plan."""
    return run.aborting or (run.failure is not None and run.failure.reason == changed)


async def _end_orphans(server: Server) -> list[str]:
    """Before any redo, probe or undo: what a killed daemon began has ended, its children first, then their sessions."""
    orphans = await children.end_orphans(server.folder, older_than_epoch=server.epoch)
    ended = [f"{child.command} (pid {child.pid}, {child.step})" for child in orphans]
    backends = await end_backends(server, older_than_epoch=server.epoch)
    return [*ended, *([f"{backends} sessions on the server"] if backends else [])]
