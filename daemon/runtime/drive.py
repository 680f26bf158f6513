"""One daemon and one run: the bus, the lock, the leadership, the loop; and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.anchor import FileAnchor
from cutoverd.daemon.bus.commands import CommandStream
from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.errors import RunEnded
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.journal_file import FILE, FileCopy
from cutoverd.daemon.bus.room import StreamGrowth
from cutoverd.daemon.bus.run_registry import Runs
from cutoverd.daemon.bus.status_service import serving
from cutoverd.daemon.engine.errors import Unavailable
from cutoverd.daemon.engine.exit_codes import Exit, exit_of
from cutoverd.daemon.engine.inbox import InboxItem, NotACommand
from cutoverd.daemon.engine.loop import RunLoop
from cutoverd.daemon.engine.message import CommandLog, EventLog, Message
from cutoverd.daemon.engine.run_log import Observer, RunLog
from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.metrics.server import Scrapes
from cutoverd.daemon.plan.freeze import StillFrozen, check_anew
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.databases.outsiders import watch_outsiders
from cutoverd.daemon.postgres.ledger import journal_key, ledger
from cutoverd.daemon.postgres.ledger.anchor import LedgerAnchor
from cutoverd.daemon.postgres.ledger.journal_copy import LedgerCopy
from cutoverd.daemon.postgres.ledger.taken_back import TakenBack
from cutoverd.daemon.postgres.session.kept import sessions_kept
from cutoverd.daemon.postgres.session.reach import CONNECTION_LOST
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.daemon_lock import one_daemon
from cutoverd.daemon.runtime.embedded_bus import end_embedded, revive
from cutoverd.daemon.runtime.leadership import check_leads, server_before_epoch, take_over, watch_for_newer
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.daemon.systems.monitor import RoundObserver
from cutoverd.events.commands import LONGEST_NAME, NotUnderstood, parse
from cutoverd.events.mac import JournalKey
from cutoverd.events.subjects import RUNS, events_of, operator_of
from cutoverd.states import ROLLED_BACK
from cutoverd.states.run import Run
from cutoverd.states.step import Ports

log = Logger(__name__)

MOST_WAITING = 1000
PAUSE_SECONDS = 0.005


async def drive(
    loaded: LoadedPlan,
    *,
    auto: bool = False,
    observers: Sequence[Observer] = (),
    round_observers: Sequence[RoundObserver] = (),
    scrapes: Scrapes | None = None,
    tracker: ProgressTracker | None = None,
) -> Exit:
    """Take the plan's run to its end, or as far as it goes without a person; the exit code.

    `observers` are told of each event, `round_observers` of each round of Monitor's checks; `scrapes`: of our metrics, if served;
    `tracker`: one more observer, that knows how far the running step is.
    """
    tracker = tracker or ProgressTracker(loaded)
    with one_daemon(loaded):
        server = server_before_epoch(loaded)
        await ledger.prepare(server)
        key = await journal_key.fetch(server)
        try:
            run = await _drive(
                loaded, server, key, auto, observers, tracker, partial(ports_of, round_observers=round_observers, scrapes=scrapes)
            )
        except (RunEnded, TakenBack):
            await end_embedded(loaded)  # it runs only because we asked
            raise
        if run.is_over:
            await end_embedded(loaded)
        return exit_of(run)


async def _drive(
    loaded: LoadedPlan,
    server: Server,
    key: JournalKey | None,
    auto: bool,
    observers: Sequence[Observer],
    tracker: ProgressTracker,
    ports: Callable[[LoadedPlan, Server], Ports],
) -> Run:
    """The run as this daemon leaves it. `server` is that of no epoch yet."""
    async with bus(loaded) as client, aclosing(Anchors(loaded, server)) as anchors, aclosing(LedgerCopy()) as ledger_copy:
        await stream.check_sync(loaded.plan.bus.monitoring if loaded.plan.bus else None)
        await stream.prepare(client, acknowledged_seq=await anchors.highest_seq())
        growth = StreamGrowth(client, tracker.waits)
        runs = Runs(Journal(client, RUNS, growth=growth), key)
        await _opened(runs, loaded.plan.run, growth)
        journal = Journal(client, events_of(loaded.plan.run), growth=growth)
        copies = (FileCopy(loaded.run_dir / FILE), ledger_copy)

        async def bring_back() -> None:
            """Found: whose stream was lost waited for it for ever, though another daemon had long taken the run."""
            if runlog.epoch:
                await check_leads(replace(server, epoch=runlog.epoch))
            await stream.check_not_lost(client, runlog.end.seq)
            await revive(loaded, client)

        runlog = RunLog(loaded.plan.run, journal, anchors.all, (tracker, *observers), bring_back, key, copies)
        server = await _taken_over(loaded, runlog, server, runs)
        ledger_copy.lead(server)
        async with (
            sessions_kept(),
            _watched(tracker, server, client),
            _tended(growth, runlog, server),
            _inbox(client, runlog, journal) as inbox,
        ):
            runner = _make_loop(loaded, runlog, ports(loaded, server), inbox, server, auto=auto)
            try:
                await runner.drive()
            finally:
                await runlog.settled()
                await runlog.flush_copies()
        if runlog.run.is_over:
            await _closed(runs, runlog.run, partial(revive, loaded, client))
        return runlog.run


def _make_loop(
    loaded: LoadedPlan, runlog: RunLog, ports: Ports, inbox: asyncio.Queue[InboxItem], server: Server, *, auto: bool
) -> RunLoop:
    return RunLoop(
        runlog,
        ports,
        inbox,
        step_seconds=loaded.plan.timeouts.step,
        collect_seconds=loaded.plan.validate_.collect,
        auto=auto,
        connection_lost=CONNECTION_LOST,
        check_files=StillFrozen(loaded),
        check_plan=partial(check_anew, loaded.path),
        check_leads=partial(check_leads, server),
    )


async def _opened(runs: Runs, run: str, growth: StreamGrowth) -> None:
    """The run is the open one; a new one needs room in the stream. Raises `RunOpen`, `RunEnded`, `NoRoom`."""
    if await runs.current() != run:
        await growth.check_room()
    await runs.open_run(run)


async def _closed(runs: Runs, run: Run, revive: Callable[[], Awaitable[None]]) -> None:
    """The last word of a run: it is over, and a stream that is full or away for now changes nothing about that."""
    while True:
        try:
            return await runs.close_run(run.name, run.state)
        except Unavailable as error:
            log.error("run_not_closed_yet", reason=str(error), doing="tries again until it is")
            await revive()


async def _taken_over(loaded: LoadedPlan, runlog: RunLog, server: Server, runs: Runs) -> Server:
    """A run whose production is back is over, whatever its journal says: it stands in no other run's way."""
    try:
        return await take_over(loaded, runlog, server)
    except TakenBack as error:
        if error.finished:
            await runs.close_run(loaded.plan.run, ROLLED_BACK)
        raise


@asynccontextmanager
async def _watched(tracker: ProgressTracker, server: Server, client: Client) -> AsyncIterator[None]:
    """The running step is looked at, and whoever asks is told."""
    async with tracker.tracking(server), serving(client, tracker.run.name, lambda: tracker.status_document(datetime.now(UTC))):
        yield


@asynccontextmanager
async def _tended(growth: StreamGrowth, runlog: RunLog, server: Server) -> AsyncIterator[None]:
    """The stream's limit is raised before it is reached, and who is in new against its rights is noted."""
    tasks = [
        asyncio.create_task(growth.keep_headroom()),  # so that who commands finds room as well
        asyncio.create_task(watch_outsiders(server, lambda: runlog.run.is_exposed)),
    ]
    try:
        yield
    finally:
        await end_tasks(*tasks)


class Anchors:
    """The end of the journal, remembered in two other places."""

    def __init__(self, loaded: LoadedPlan, server: Server) -> None:
        self._ledger = LedgerAnchor(server)
        self.all = (FileAnchor(loaded.run_dir / "anchor.json"), self._ledger)

    async def highest_seq(self) -> int:
        """That was acknowledged once, as far as they know; 0 of a run that begins."""
        return max([each.seq for each in [await anchor.load() for anchor in self.all] if each], default=0)

    async def aclose(self) -> None:
        await self._ledger.close()


@asynccontextmanager
async def _inbox(client: Client, runlog: RunLog, journal: EventLog) -> AsyncIterator[asyncio.Queue[InboxItem]]:
    """What operators say from the last command on that the run took into account; and that a newer daemon has the run."""
    inbox: asyncio.Queue[InboxItem] = asyncio.Queue()
    listening = [
        asyncio.create_task(listen(CommandStream(client), runlog.run.command_position + 1, inbox)),
        asyncio.create_task(_with_its_end(watch_for_newer(journal, runlog, inbox), inbox)),
    ]
    try:
        yield inbox
    finally:
        await end_tasks(*listening)


async def listen(commands: CommandLog, start: int, inbox: asyncio.Queue[InboxItem]) -> None:
    """Everything that is said, and at last why nothing more can be heard."""
    await _with_its_end(_read_commands(commands, start, inbox), inbox)


async def _read_commands(commands: CommandLog, start: int, inbox: asyncio.Queue[InboxItem]) -> None:
    async for message in commands.read(start):
        while inbox.qsize() > MOST_WAITING:  # the rest of a flood waits in the stream
            await asyncio.sleep(PAUSE_SECONDS)
        inbox.put_nowait(_understood(message))


async def _with_its_end(reading: Coroutine[Any, Any, None], inbox: asyncio.Queue[InboxItem]) -> None:
    """Why nothing more can be heard is the last that is."""
    try:
        await reading
    except Exception as error:
        inbox.put_nowait(error)


def _understood(message: Message) -> InboxItem:
    try:
        return parse(message.subject, message.data, message.seq, message.at)
    except NotUnderstood as error:
        return NotACommand(message.seq, (operator_of(message.subject) or "")[:LONGEST_NAME] or None, str(error))
