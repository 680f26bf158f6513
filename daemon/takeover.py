"""How a daemon takes a run: the journal replayed and proven, the fence taken, what an earlier daemon left running ended."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from importlib.metadata import version

from cutoverd.daemon import children
from cutoverd.daemon.plan.freeze import check_frozen, frozen
from cutoverd.daemon.plan.loaded import LoadedPlan
from cutoverd.daemon.postgres import ledger
from cutoverd.daemon.postgres.orphans import end_backends
from cutoverd.daemon.postgres.server import Server
from cutoverd.daemon.postgres.sessions import session
from cutoverd.daemon.runlog import RunLog
from cutoverd.events import facts


async def take(loaded: LoadedPlan, runlog: RunLog, server: Server) -> Server:
    """Lead the run: from here on every older daemon is refused, here and in PostgreSQL.

    `server` is that of no epoch yet; gives that of ours.

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
        await runlog.append(frozen(loaded, server.names.production))
    return server


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
