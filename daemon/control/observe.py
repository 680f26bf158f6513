"""Looking at a run from its stream alone, no daemon needed: once, or for as long as it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.anchor import FileAnchor
from cutoverd.daemon.bus.connection import DOUBT, Client
from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.engine.anchor import Anchor, check_anchored
from cutoverd.daemon.engine.errors import BusError, LogRegressed, Unavailable
from cutoverd.daemon.engine.run_log import Observer, RunLog
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.host.private_files import UnusableFile
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger.journal_key import find_cached
from cutoverd.daemon.runtime.embedded_bus import PAUSE_SECONDS, has_a_bus, has_a_server, needed_by_observer, while_it_runs
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.daemon.views.status import status_document
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events.mac import JournalKey
from cutoverd.events.subjects import events_of
from cutoverd.states.run import Run

log = Logger(__name__)

READ_SECONDS = 30.0
VERIFIED, NOT_VERIFIED = "verified", "not verified: the key is in the ledger, and in the folder of a daemon that has led the run"


@dataclass
class Observation:
    """A run as far as its events were seen."""

    run: Run
    timeline: Timeline = field(default_factory=Timeline)
    is_verified: bool = False  # by the key that the run's folder holds, if it has been there
    foreign: int = 0  # messages of others that are not on record yet

    def status_document(self) -> dict[str, Any]:
        """{} if the run never started."""
        if not self.run.plan:
            return {}
        journal = {"journal": VERIFIED if self.is_verified else NOT_VERIFIED}
        foreign = {"foreign_messages": self.run.foreign_messages + self.foreign}
        return status_document(self.run, self.timeline, datetime.now(UTC)) | journal | foreign


@asynccontextmanager
async def connected_observer(loaded: LoadedPlan) -> AsyncIterator[Client | None]:
    """A connection to the bus of a plan; None if there is no stream.

    An embedded server that was started to look alone is stopped by the last of those who look.
    """
    if not has_a_bus(loaded):
        yield None
        return
    async with needed_by_observer(loaded), bus(loaded, keep=False) as client:
        client.closing = True  # the daemon's orderly end takes the server away: no news
        yield client if await stream.exists(client) else None


async def read_run(loaded: LoadedPlan, *observers: Observer) -> Observation:
    """The run as it is now; the observers see each of its events, all again if an embedded server was stopped meanwhile.

    Raises `Corrupt`, `LogRegressed`, `Unavailable`.
    """
    polling = Polling(READ_SECONDS, pause_seconds=PAUSE_SECONDS)
    while True:
        try:
            if observation := await _read_once(loaded, *observers):
                return observation
        except (UnusableFile, LogRegressed):  # it is the same each time
            raise
        except (BusError, *DOUBT):  # the server may have been on its way down when we came
            if polling.is_over or loaded.plan.bus:
                raise
            await polling.pause()


async def _read_once(loaded: LoadedPlan, *observers: Observer) -> Observation | None:
    """None if the server was stopped in the middle of it: by the daemon at its end, or by another who looked.

    Found: where the stream was gone it said of a run in its window that it had not started.
    """
    anchor = FileAnchor(loaded.run_dir / "anchor.json")
    async with connected_observer(loaded) as client:
        if client is None:
            check_anchored(await anchor.load(), {})
            return Observation(Run(loaded.plan.run))
        key = find_cached(loaded.run_dir)
        return await while_it_runs(loaded, observe_once(client, loaded.plan.run, *observers, key=key, anchors=(anchor,)))


async def observe_once(
    client: Client, name: str, *observers: Observer, key: JournalKey | None = None, anchors: Sequence[Anchor] = ()
) -> Observation:
    """The same over a connection; without a key nothing is verified. Raises `LogRegressed` where it ends before an anchor."""
    timeline = Timeline()
    watching = [lambda _, recorded: timeline.apply(recorded), *observers]
    runlog = RunLog(name, Journal(client, events_of(name)), anchors=anchors, observers=watching, key=key)
    await runlog.replay()
    return Observation(runlog.run, timeline, is_verified=key is not None, foreign=runlog.foreign.count)


async def observe(loaded: LoadedPlan, *observers: Observer) -> AsyncGenerator[Observation, None]:
    """The run as it is, and again whenever there is more of it, until it is over; the observers see all events each time.

    Raises what `read_run` raises the first time; from then on a bus that is away is waited for.
    """
    had_a_server = has_a_server(loaded)
    observation, stamp = await read_run(loaded, *observers), _stamp(loaded)
    while True:
        yield observation
        if observation.run.is_over:
            return
        await asyncio.sleep(PAUSE_SECONDS)  # a busy run is looked at twice a second, not at each event
        with suppress(BusError, *DOUBT):  # the server went as we came: look again
            await _until_there_is_more(loaded, observation.run.last_seq, had_a_server, stamp)
        had_a_server = has_a_server(loaded)
        observation, stamp = await _read_when_back(loaded, *observers), _stamp(loaded)


async def _read_when_back(loaded: LoadedPlan, *observers: Observer) -> Observation:
    """How long is long enough, those who wait have said."""
    while True:
        try:
            return await read_run(loaded, *observers)
        except UnusableFile:
            raise
        except (Unreachable, Unavailable, *DOUBT) as error:
            log.warning("bus_away", reason=str(error), doing="waiting for it")
            await asyncio.sleep(PAUSE_SECONDS)


async def wait_until(loaded: LoadedPlan, is_so: Callable[[Observation], bool], seconds: float | None) -> tuple[Observation, bool]:
    """The run once it is so or once it is over; or, when the time is up, as it was seen last, and False."""
    observation = Observation(Run(loaded.plan.run))
    try:
        async with asyncio.timeout(seconds), aclosing(observe(loaded)) as observations:
            async for observation in observations:
                if is_so(observation) or observation.run.is_over:
                    return observation, True
    except TimeoutError:
        pass
    return observation, False


async def _until_there_is_more(loaded: LoadedPlan, last_seq: int, had_a_server: bool, stamp: int) -> None:
    """An event, or an embedded server that has come, or gone (it goes at the orderly end of a run), or has done both."""
    if not has_a_server(loaded):
        while not (had_a_server or has_a_server(loaded) or _stamp(loaded) != stamp):
            await asyncio.sleep(PAUSE_SECONDS)
        return
    async with needed_by_observer(loaded), bus(loaded, keep=False) as client:
        client.closing = True
        await while_it_runs(loaded, _next_event(client, loaded.plan.run, last_seq))


def _stamp(loaded: LoadedPlan) -> int:
    """Moves with each event: where the server is embedded the daemon is on this machine, and its anchor too."""
    try:
        return (loaded.run_dir / "anchor.json").stat().st_mtime_ns
    except OSError:
        return 0


async def _next_event(client: Client, name: str, last_seq: int) -> None:
    if not await stream.exists(client):  # a server without our stream yet
        return
    async with aclosing(Journal(client, events_of(name)).follow(last_seq + 1)) as messages:
        async for _ in messages:
            return
