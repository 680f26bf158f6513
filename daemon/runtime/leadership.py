"""How a daemon takes a run, and learns that another has.

The journal is replayed and proven, the run claimed, what an earlier daemon left running ended, the fence taken, and then it is
said in the journal. The earlier daemon may live: what it records meanwhile is read, and the word said after it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version

from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.inbox import ForeignFound, InboxItem
from cutoverd.daemon.engine.message import EventLog
from cutoverd.daemon.engine.run_log import RunLog, superseded
from cutoverd.daemon.host import children
from cutoverd.daemon.plan.freeze import PlanChanged, check_frozen, frozen
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import claims, ledger
from cutoverd.daemon.postgres.ledger.taken_back import TakenBack, check_not_taken_back
from cutoverd.daemon.postgres.session.backends import end_backends
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.ledger_behind import LedgerBehind, find_behind
from cutoverd.events import facts
from cutoverd.events.codec import Envelope
from cutoverd.states.errors import StepError
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run

FOREIGN_SECONDS = 1.0  # of a flood the loop is told once a second


def server_before_epoch(loaded: LoadedPlan) -> Server:
    """The plan's server, as whoever does not lead sees it: of no epoch yet."""
    return Server(loaded.plan.database.url, loaded.plan.run, 0, loaded.run_dir, loaded.plan.client_tools)


async def take_over(loaded: LoadedPlan, runlog: RunLog, server: Server) -> Server:
    """Lead the run: from here on every older daemon is refused, here and in PostgreSQL.

    `server` is that of no epoch yet; gives that of ours.

    Raises `PlanChanged`, `NotLeader` (a newer one was faster), `Conflict`, `LogRegressed`, `LedgerBehind`, `OutcomeUnknown`,
    `TakenBack`.
    """
    await runlog.replay()
    await check_not_taken_back(server)
    there = await ledger.current_epoch(server)
    changed = _changed(loaded, runlog.run, server, there)
    behind = await _behind(runlog.run, server, there)
    epoch = await claims.claim(server, above=max(runlog.run.epoch, there, children.fenced_epoch(server.folder)))
    server = replace(server, epoch=epoch)
    await _acquire(runlog, server)
    changed = changed and _changed(loaded, runlog.run, server, epoch)  # it may have gone on meanwhile
    if runlog.run.plan is None:
        await runlog.append(frozen(loaded, server.names.production))
    elif (unfit := changed or behind) and not _is_known(runlog.run, unfit):
        await runlog.append(facts.FailureReported(by=facts.DAEMON, reason=unfit))
    return server


async def _acquire(runlog: RunLog, server: Server) -> None:
    """The run is ours in PostgreSQL, and then in the journal."""
    async with unless_superseded(server):
        orphans = await _end_orphans(server)
        await ledger.acquire_fence(server)
        await check_not_taken_back(server)  # meanwhile, by who had the fence until now
    await say_who_leads(runlog, server, orphans)


async def say_who_leads(runlog: RunLog, server: Server, orphans: list[str]) -> None:
    """In the journal, that the epoch of `server` is ours; `orphans`: who was ended for it."""
    runlog.epoch = server.epoch
    acquired = facts.LeaderAcquired(
        epoch=server.epoch, host=socket.gethostname(), pid=os.getpid(), version=version("cutoverd"), orphans=orphans
    )
    await _append_after_older_daemon(runlog, acquired)


async def take_without_journal(server: Server) -> tuple[Server, list[str]]:
    """As `take_over`, as far as PostgreSQL and this machine know the run; gives who was ended, too.

    `server` is that of no epoch yet. Raises `NotLeader`, `OutcomeUnknown`.
    """
    there = max(await ledger.current_epoch(server), children.fenced_epoch(server.folder))
    server = replace(server, epoch=await claims.claim(server, above=there))
    async with unless_superseded(server):
        orphans = await _end_orphans(server)
        await ledger.acquire_fence(server)
    return server, orphans


@asynccontextmanager
async def unless_superseded(server: Server) -> AsyncIterator[None]:
    """A newer daemon ends our sessions, whichever it meets: that is no failure, and raises `NotLeader`."""
    try:
        yield
    except TakenBack:
        raise
    except StepError:
        await check_leads(server)
        raise


async def _append_after_older_daemon(runlog: RunLog, acquired: facts.LeaderAcquired) -> None:
    """Found: what the older daemon recorded while it was fenced made the newer one give up, and nobody led."""
    while True:
        try:
            await runlog.append(acquired)
            return
        except Conflict as conflict:
            await runlog.catch_up(conflict)


async def check_leads(server: Server) -> bool:
    """No newer daemon means to lead the run; False if PostgreSQL does not answer. Raises `NotLeader`."""
    newest = await claims.newest(server)
    highest = max(newest or 0, children.fenced_epoch(server.folder))
    if highest > server.epoch:
        raise superseded(server.run, highest)
    return newest is not None


async def watch_for_newer(journal: EventLog, runlog: RunLog, inbox: asyncio.Queue[InboxItem]) -> None:
    """Until a newer daemon has said in the journal that it leads: then the loop stops, in whatever it waits for.

    What is not ours, or comes once more, is said too, of many at once a second later.
    """
    newest = Newest(runlog.length, inbox)
    async with aclosing(journal.follow(runlog.run.last_seq + 1)) as messages:
        async for message in messages:
            envelope = runlog.find_event(message)
            if envelope is None or not newest.is_news(envelope):
                newest.report_foreign()
            elif isinstance(envelope.event, facts.LeaderAcquired) and envelope.event.epoch > runlog.epoch:
                inbox.put_nowait(superseded(runlog.run.name, envelope.event.epoch))
                return


@dataclass
class Newest:
    """How far the journal is for somebody who follows it, and whether it was said already that others publish there."""

    n: int
    inbox: asyncio.Queue[InboxItem]
    is_reported: bool = False

    def is_news(self, envelope: Envelope) -> bool:
        """Whether it is no event that was published again."""
        is_news = envelope.n > self.n
        self.n = max(self.n, envelope.n)
        return is_news

    def report_foreign(self) -> None:
        if not self.is_reported:
            self.is_reported = True
            asyncio.get_running_loop().call_later(FOREIGN_SECONDS, self._report)

    def _report(self) -> None:
        self.is_reported = False
        self.inbox.put_nowait(ForeignFound())


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


async def _behind(run: Run, server: Server, epoch_there: int) -> str:
    """In PreCheck, what the ledger does not know: then only `abort` is left. Raises `LedgerBehind` in a later state.

    Found: a ledger that was dropped in Data was made anew, and the step ended as if another daemon had the run.
    """
    behind = await find_behind(server, run, epoch_there)
    if behind and run.state != PreCheck.name:
        raise LedgerBehind(behind)
    return f"{behind}: `abort`, and give the plan a new `run`" if behind else ""


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
