"""How a daemon takes a run: the journal replayed and proven, the fence taken, what an earlier daemon left running ended."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from importlib.metadata import version

from cutoverd.daemon import children
from cutoverd.daemon.planfile import LoadedPlan
from cutoverd.daemon.postgres import ledger
from cutoverd.daemon.postgres.orphans import end_backends
from cutoverd.daemon.postgres.server import Server
from cutoverd.daemon.postgres.sessions import session
from cutoverd.daemon.runlog import RunLog
from cutoverd.events import facts
from cutoverd.states.errors import StepError
from cutoverd.states.run import Run


class PlanChanged(StepError):
    """the plan is not the one that this run began with"""

    hint = "put back what was there, or `abort`/`rollback` with the old plan and start a new run with a name of its own"


@dataclass(frozen=True)
class Taken:
    """A run that this daemon leads."""

    server: Server
    orphans: list[str]


async def take(loaded: LoadedPlan, runlog: RunLog, server: Server) -> Taken:
    """Lead the run: from here on every older daemon is refused, here and in PostgreSQL. `server` is that of no epoch yet.

    Raises `PlanChanged`, `NotLeader`, `Conflict`, `LogRegressed`, `OutcomeUnknown`.
    """
    await runlog.replay()
    if runlog.run.plan:
        check_frozen(loaded, runlog.run)
    epoch = max(runlog.run.epoch, await _epoch_in_ledger(server)) + 1
    server = replace(server, epoch=epoch)
    orphans = await _end_orphans(server)
    await ledger.take_fence(server)
    runlog.epoch = epoch
    await runlog.append(
        facts.LeaderAcquired(
            epoch=epoch, host=socket.gethostname(), pid=os.getpid(), version=version("cutoverd"), orphans=orphans
        )
    )
    if runlog.run.plan is None:
        await runlog.append(frozen(loaded, server))
    return Taken(server, orphans)


async def _epoch_in_ledger(server: Server) -> int:
    async with session(server) as conn:
        row = await (await conn.execute("SELECT epoch FROM cutoverd.fence WHERE run = %s", (server.run,))).fetchone()
    return int(row[0]) if row else 0


async def _end_orphans(server: Server) -> list[str]:
    """Before any redo, probe or undo: what a killed daemon began has ended, its children first, then their sessions."""
    orphans = await children.end_orphans(server.folder, older_than_epoch=server.epoch)
    ended = [f"{child.command} (pid {child.pid}, {child.step})" for child in orphans]
    backends = await end_backends(server, older_than_epoch=server.epoch)
    return [*ended, *([f"{backends} sessions on the server"] if backends else [])]


def frozen(loaded: LoadedPlan, server: Server) -> facts.RunStarted:
    """What the run goes through, whatever happens to the plan's files later."""
    plan = loaded.plan
    return facts.RunStarted(
        plan_sha256=loaded.sha256,
        files=loaded.hashes(),
        items=loaded.items(),
        gates=list(plan.gates),
        opens=plan.window.opens,
        budget_seconds=plan.window.budget,
        watch_seconds=plan.monitor.duration,
        production=server.names.production,
        version=version("cutoverd"),
    )


def check_frozen(loaded: LoadedPlan, run: Run) -> None:
    """The plan and every file it names are those that RunStarted froze; raises `PlanChanged`, naming what is not."""
    seen, then = loaded.hashes(), run.frozen.files
    changed = [path for path in sorted({*seen, *then}) if seen.get(path) != then.get(path)]
    if loaded.sha256 != run.frozen.plan_sha256:
        changed.insert(0, str(loaded.path))
    if changed:
        raise PlanChanged(f"run {run.name} began with other contents of: {', '.join(changed)}")
