"""A lost journal is made again from the longest chain that stream and copies hold; who drove the run until then is fenced.

Killed half-way it is said again: what lies in the stream is found there, and nothing is deleted before it is kept in a file.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.errors import RunOpen
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.journal_file import FILE, replace_file
from cutoverd.daemon.control import unfinished_restore
from cutoverd.daemon.control.lost_journal import ELSEWHERE, CannotRestore, Remains, read_remains
from cutoverd.daemon.control.put_events_back import PutBack, Say
from cutoverd.daemon.control.restore_words import describe, loss
from cutoverd.daemon.engine.copies import CopiedEvent
from cutoverd.daemon.engine.errors import Conflict
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import journal_copy, journal_key, ledger
from cutoverd.daemon.postgres.ledger.taken_back import check_not_taken_back, later_runs
from cutoverd.daemon.postgres.session.refusal import Refused
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.runtime.daemon_lock import one_daemon
from cutoverd.daemon.runtime.drive import Anchors
from cutoverd.daemon.runtime.embedded_bus import end_embedded, has_a_bus, needed_by_observer
from cutoverd.daemon.runtime.leadership import (
    check_leads,
    say_who_leads,
    server_before_epoch,
    take_without_journal,
    unless_superseded,
)
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.events import facts
from cutoverd.events.subjects import events_of
from cutoverd.states.ports import AttemptId, Direction
from cutoverd.states.run import Run

TRIES = 5  # an older daemon that is not yet fenced may publish in between


async def read_prospect(loaded: LoadedPlan) -> tuple[list[str], bool]:
    """How things are and what would be done, in lines, and whether there is anything to do; nothing is changed.

    Raises `CannotRestore`, `TakenBack`, `StepError`, `BusError`.
    """
    server = server_before_epoch(loaded)
    await _check_may_go_on(server)
    async with _bus_for_looking(loaded) as client:
        remains = await read_remains(loaded, server, client)
    await _check(server, remains)
    return describe(remains), not remains.is_whole


async def restore(loaded: LoadedPlan, say: Say) -> None:
    """Make it again, each action a line; if the stream got whole meanwhile nothing is done.

    Raises as `read_prospect`, and `AlreadyDriven`, `NotLeader`, `ServerRefused`.
    """
    with one_daemon(loaded):
        server = server_before_epoch(loaded)
        await _check_may_go_on(server)
        await ledger.prepare(server)  # one that an older version made lacks tables
        await journal_key.fetch(server)  # so that who only looks can verify what is signed now
        await stream.check_sync(loaded.plan.bus.monitoring if loaded.plan.bus else None)
        async with bus(loaded, keep=False, stays=True) as client:
            stream.check_version(client)
            if await _is_whole(loaded, server, client):
                return
            server, orphans = await take_without_journal(server)
            say(f"✔ epoch {server.epoch}: no older daemon may act  {'; '.join(f'ended: {each}' for each in orphans)}".rstrip())
            async with unless_superseded(server):
                remains = await _put_back(loaded, server, client, say)
                run = await _lead(loaded, server, client, remains, orphans, say)
        if run.is_over:
            await end_embedded(loaded)


async def _is_whole(loaded: LoadedPlan, server: Server, client: Client) -> bool:
    remains = await read_remains(loaded, server, client)
    await _check(server, remains)
    return remains.is_whole


async def _put_back(loaded: LoadedPlan, server: Server, client: Client, say: Say) -> Remains:
    """What remained, when its events were put back and no other of ours lies among them."""
    for attempt in range(1, TRIES + 1):
        await check_not_taken_back(server)
        await check_leads(server)  # nothing is deleted that a newer one has made
        remains = await read_remains(loaded, server, client)  # an older daemon may have copied more until it was fenced
        await _check(server, remains)
        saved = loaded.run_dir / f"stream-before-{server.epoch}.{attempt}.ndjson"
        try:
            await PutBack(remains, client, say, partial(_check_still_ours, server)).all(saved)
        except Conflict as conflict:
            say(f"⚠ somebody else was there meanwhile: once more ({conflict.args[0]})")
        else:
            return remains
    raise CannotRestore(
        "others go on publishing on the run's subject, or making the stream", hint="end them, then say the same again"
    )


async def _check_still_ours(server: Server) -> None:
    """Found: a restore that had stood still deleted the stream that a newer one had made, and a daemon had long gone on with."""
    if not await check_leads(server):
        raise CannotRestore("whether another daemon has the run meanwhile could not be asked", hint="say the same again")


class _Collected:
    """`JournalCopy`: all events, where they lie now."""

    def __init__(self) -> None:
        self._by_n: dict[int, CopiedEvent] = {}

    @property
    def events(self) -> list[CopiedEvent]:
        return [self._by_n[n] for n in sorted(self._by_n)]

    def add(self, event: CopiedEvent) -> None:
        self._by_n[event.n] = event

    async def flush(self) -> None:
        """They are written at once, at the end."""

    async def settled(self) -> None:
        """Nothing waits."""


async def _lead(loaded: LoadedPlan, server: Server, client: Client, remains: Remains, orphans: list[str], say: Say) -> Run:
    """The journal is proven; an older daemon that reads it steps down; anchors and copies are those of this stream."""
    copy = _Collected()
    runlog = RunLog(remains.run.name, Journal(client, events_of(remains.run.name)), key=remains.key, copies=(copy,))
    await runlog.replay()
    if runlog.length < len(remains.chain):
        raise CannotRestore(f"of {len(remains.chain)} events {runlog.length} are in the stream", hint="say the same again")
    runlog.epoch = server.epoch
    if not runlog.run.is_over:
        await say_who_leads(runlog, server, orphans)
    if lost := loss(remains):
        await runlog.append(_recorded(runlog.run, lost))
    await runlog.settled()
    async with session(server) as conn:
        await journal_copy.replace(conn, AttemptId(server.run, server.epoch, "journal", Direction.FORWARD, ""), copy.events)
    replace_file(loaded.run_dir / FILE, copy.events)
    async with aclosing(Anchors(loaded, server)) as anchors:
        for anchor in anchors.all:  # last: of what they know, the copies have all
            await anchor.save(runlog.end.seq, runlog.end.hash)
    unfinished_restore.finish(loaded.run_dir)
    say(f"✔ anchors and copies are those of the stream as it is now: {runlog.length} events, the last at {runlog.end.seq}")
    return runlog.run


def _recorded(run: Run, lost: str) -> facts.Event:
    """Whoever has ended, or stands still already, is only told."""
    stands = run.is_over or run.is_stuck or run.held is not None
    return facts.NoteTaken(by=None, text=lost) if stands else facts.RunHeld(reason=lost, by=None, now=False)


@asynccontextmanager
async def _bus_for_looking(loaded: LoadedPlan) -> AsyncIterator[Client | None]:
    """No server is started for one that was never there, and none is left running."""
    if not has_a_bus(loaded):
        yield None
        return
    async with needed_by_observer(loaded), bus(loaded, keep=False) as client:
        yield client


async def _check_may_go_on(server: Server) -> None:
    """A daemon has taken the run, and its production was not taken back."""
    try:
        epoch = await ledger.current_epoch(server)
    except Refused as error:
        raise CannotRestore(f"the ledger is not to be read: {error}", hint=error.hint) from error
    if epoch == 0:
        raise CannotRestore(
            f"no daemon has ever taken run {server.run} on this server", hint="look at `run` and `database.url` of the plan"
        )
    await check_not_taken_back(server)


async def _check(server: Server, remains: Remains) -> None:
    """It is whole, or may be made again, and then go on."""
    if remains.is_whole:
        return
    run, opened = remains.run, remains.history.open
    if opened not in (None, run.name):
        raise RunOpen(f"run {opened!r} is open on this stream: the journal of {run.name!r} cannot be put back beside it")
    if run.frozen.production not in ("", server.names.production):
        raise CannotRestore(
            f"run {run.name} was on database {run.frozen.production}, and the plan names {server.names.production}",
            hint="put back database.url",
        )
    if remains.in_stream.broken and remains.in_stream.events >= len(remains.chain):
        raise CannotRestore(f"what the stream has lost no copy has: {remains.in_stream.broken}", hint=ELSEWHERE)
    async with session(server) as conn:
        later = [] if run.is_over else await later_runs(conn, run.name)
    if later:
        raise CannotRestore(
            f"run {', '.join(later)} has acted on the databases of run {run.name} since", hint="take that one back"
        )
