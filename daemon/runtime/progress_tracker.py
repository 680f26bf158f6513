"""Who watches the running step: where the server, the files and the step itself tell how far it is. In nobody's way.

Of several that run side by side only they themselves tell: whose a session is, the server does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from cutoverd.daemon.bus.room import JournalWaits
from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.plan.files import relative
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.backup import backups, dump
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.stats.activity import Activity, activities, size_bytes
from cutoverd.daemon.progress import Progress, ProgressReading, ProgressReporter, format_bytes
from cutoverd.daemon.sqltext.locate import StatementLocator
from cutoverd.daemon.views.monitor_checks import checks_of
from cutoverd.daemon.views.status import status_document
from cutoverd.daemon.views.timeline import Running, Timeline
from cutoverd.events.codec import Recorded
from cutoverd.states import STATES
from cutoverd.states.run import Run, StepKey
from cutoverd.states.step import ProgressSource

log = Logger(__name__)

EVERY_SECONDS = 1.0
SILENT = (psycopg.Error, OSError, TimeoutError)  # the server may be away: then nothing is known, and nobody needs to be told
DUMPS = {ProgressSource.BACKUP: backups.BEFORE, ProgressSource.FINAL_BACKUP: backups.FINAL}


class ProgressTracker:
    """An observer of the run log: the run, its times, how far the running step is, and whether events can be written."""

    def __init__(self, loaded: LoadedPlan) -> None:
        self.run = Run(loaded.plan.run)
        self.timeline = Timeline()
        self.reporter = ProgressReporter()
        self.waits = JournalWaits()
        self.has_led = False  # before, what is known here may be half of the journal
        self._loaded = loaded
        self._reading = ProgressReading()
        self._locator: StatementLocator | None = None
        self._whole_bytes: int | None = None
        self._unreadable: Running | None = None  # what cannot be seen is told once

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self.run = run
        before = self.timeline.all_running
        self.timeline.apply(recorded)
        if self.timeline.all_running != before:
            self._reading, self._locator, self._whole_bytes = ProgressReading(), None, None
            for each in {*before} ^ {*self.timeline.all_running}:
                self.reporter.forget(each.step)

    def progress(self, now: datetime) -> Progress | None:
        """Of the running step, of several the one that was begun first; None if none is running."""
        return next(iter(self.all_progress(now)), None)

    def all_progress(self, now: datetime) -> list[Progress]:
        """Of each running step, in the order of their beginning."""
        return [
            Progress(
                each.step, each.direction, each.attempt, max(0.0, (now - each.began).total_seconds()), self._known(each, now)
            )
            for each in self.timeline.all_running
        ]

    def status_document(self, now: datetime) -> dict[str, Any]:
        """As `cutoverd status -f json` has it, and how far the running step is."""
        if self.run.plan is None:
            return {"run": self.run.name, "state": "", "progress": None, "progress_beside": []}
        progress = [each.as_json() for each in self.all_progress(now)]
        status = status_document(self.run, self.timeline, now)
        return {
            **status,
            **checks_of(status, self._loaded.run_dir),
            "progress": next(iter(progress), None),
            "progress_beside": progress[1:],
            "journal_waits": self.waits.reason,
        }

    def _known(self, running: Running, now: datetime) -> ProgressReading:
        key, own = StepKey.of(running.step), self.reporter.of(running.step)
        if key.definition.progress is ProgressSource.WATCH and self.run.plan and self.run.frozen.watch_seconds:
            since = max(0.0, (now - self.run.entered_at).total_seconds())
            return ProgressReading("", since, self.run.frozen.watch_seconds, "seconds")
        return own if own.describe() else self._reading

    @asynccontextmanager
    async def tracking(self, server: Server) -> AsyncIterator[None]:
        """Look at the running step every second for as long as the block lasts; the journal was read, and this daemon leads."""
        self.reporter.collect_from_here()
        self.has_led = True
        tracking = asyncio.create_task(self._poll(server))
        try:
            yield
        finally:
            await end_tasks(tracking)

    async def _poll(self, server: Server) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            running = self.timeline.all_running
            if len(running) == 1 and STATES[StepKey.of(running[0].step).state].uses_database:
                reading = await self._read_or_nothing(server, running[0])
                if running is self.timeline.all_running:  # else it is another step's, or nobody knows whose
                    self._reading = reading

    async def _read_or_nothing(self, server: Server, running: Running) -> ProgressReading:
        """What goes wrong here stops nobody: nothing is known then, and the next look may see more."""
        try:
            return await self._read(server, running)
        except Exception as error:
            if self._unreadable is not running:
                log.warning("progress_not_seen", step=running.step, error=repr(error))
            self._unreadable = running
            return ProgressReading()

    async def _read(self, server: Server, running: Running) -> ProgressReading:
        with contextlib.suppress(*SILENT):
            taken = StepKey.of(running.step)
            key = taken.of_window
            if key != taken:
                server = server.of_copy(self._loaded.plan.rehearsal.database or "")
            busy = _of_this_step(key, await activities(server), server)
            source = key.definition.progress
            kind = DUMPS.get(source)
            if kind and any(_is_dumping(each, server) for each in busy):
                return await asyncio.to_thread(self._dumped, kind)
            if source is ProgressSource.CLONE:
                return await self._copied(server, busy)
            if files := _files(self._loaded, key):
                return await self._in_files(files, busy)
            return ProgressReading(busy[0].describe()) if busy else ProgressReading()
        return ProgressReading()

    def _dumped(self, kind: str) -> ProgressReading:
        """What pg_dump has written so far; how much it will be, nobody knows."""
        directory = self._loaded.folder / self._loaded.plan.backup.directory
        parts = dump.unfinished(directory, self.run.name, kind)
        sizes = [file.stat().st_size for part in parts for file in part.iterdir()]
        return ProgressReading(f"pg_dump has written {format_bytes(sum(sizes))}", len(sizes), None, "files")

    async def _copied(self, server: Server, busy: Sequence[Activity]) -> ProgressReading:
        """The copy itself is seen by nobody before it is committed: only how much there is to copy, and what it waits for."""
        cloning = next((each for each in busy if each.query.startswith("CREATE DATABASE")), None)
        if cloning is None:
            return ProgressReading(busy[0].describe()) if busy else ProgressReading()
        if self._whole_bytes is None:
            self._whole_bytes = await size_bytes(server, server.names.previous)
        waits = f" ({cloning.waits_for})" if cloning.waits_for else ""
        return ProgressReading(f"copying {format_bytes(self._whole_bytes)}{waits}")

    async def _in_files(self, files: Sequence[tuple[str, Path]], busy: Sequence[Activity]) -> ProgressReading:
        if not busy:
            return ProgressReading()
        if self._locator is None:
            self._locator = await asyncio.to_thread(StatementLocator, files)
        words, place = busy[0].describe(), self._locator.find(busy[0].query)
        if place is None:  # in a file that is included, or in a statement that psql put together
            return ProgressReading(words)
        return ProgressReading(f"{place.file}:{place.line}, {words}", place.number - 1, len(self._locator.places), "statements")


def _of_this_step(key: StepKey, found: Sequence[Activity], server: Server) -> list[Activity]:
    """Without the final dump, which runs beside the steps, unless it is what the step waits for."""
    beside = key.definition.progress not in (*DUMPS, ProgressSource.CLONE)
    return [each for each in found if not (beside and each.database == server.names.previous)]


def _is_dumping(each: Activity, server: Server) -> bool:
    return each.query.startswith("COPY") and each.database in (server.names.production, server.names.previous)


def _files(loaded: LoadedPlan, key: StepKey) -> list[tuple[str, Path]]:
    """The files that the step runs, by their names as the plan sees them."""
    source = key.definition.progress
    if source in (ProgressSource.SCHEMA_FILES, ProgressSource.BACKUP):
        return [(relative(file, loaded.folder), file) for file in loaded.schema_files]
    if source is ProgressSource.DATA_SCRIPT:
        return [(name, file) for name, file, _ in loaded.data_scripts if name == key.item]
    return []
