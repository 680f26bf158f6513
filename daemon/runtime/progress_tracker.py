"""Who watches the running step: where the server, the files and the step itself tell how far it is. In nobody's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import structlog

from cutoverd.daemon.plan.files import relative
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.backup import backups, dump
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.stats.activity import Activity, activities, size_bytes
from cutoverd.daemon.progress import Progress, Seen, Telling, in_bytes
from cutoverd.daemon.sqltext.locate import Whereabouts
from cutoverd.daemon.views.monitor_checks import checks_of
from cutoverd.daemon.views.status import told
from cutoverd.daemon.views.timeline import Running, Timeline
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Key, Run

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
SILENT = (psycopg.Error, OSError, TimeoutError)  # the server may be away: then nothing is known, and nobody needs to be told
ASK_THE_SERVER = {"precheck", "downtime", "schema", "data", "validate", "smoke", "rollback"}
DUMPS = {
    "precheck.prove_backup": backups.BEFORE,
    "schema.start_backup": backups.FINAL,
    "validate.finish_backup": backups.FINAL,
}


class Watcher:
    """An observer of the run log that knows the run, its times, and how far the running step is."""

    def __init__(self, loaded: LoadedPlan) -> None:
        self.run = Run(loaded.plan.run)
        self.timeline = Timeline()
        self.telling = Telling()
        self._loaded = loaded
        self._seen = Seen()
        self._whereabouts: Whereabouts | None = None
        self._whole_bytes: int | None = None
        self._not_seen: Running | None = None  # what cannot be seen is told once

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self.run = run
        before = self.timeline.running
        self.timeline.take_in(recorded)
        if self.timeline.running != before:
            self._seen, self._whereabouts, self._whole_bytes = Seen(), None, None
            self.telling.seen = Seen()

    def progress(self, now: datetime) -> Progress | None:
        """Of the running step; None if none is running."""
        running = self.timeline.running
        if running is None:
            return None
        seconds = max(0.0, (now - running.began).total_seconds())
        return Progress(running.step, running.direction, running.attempt, seconds, self._known(Key.of(running.step), now))

    def told(self, now: datetime) -> dict[str, Any]:
        """As `cutoverd status -f json` has it, and how far the running step is."""
        if self.run.plan is None:
            return {"run": self.run.name, "state": "", "progress": None}
        progress = self.progress(now)
        seen = told(self.run, self.timeline, now)
        return {**seen, **checks_of(seen, self._loaded.run_dir), "progress": progress and progress.as_json()}

    def _known(self, key: Key, now: datetime) -> Seen:
        if key.state == "monitor" and self.run.plan and self.run.frozen.watch_seconds:
            since = max(0.0, (now - self.run.entered_at).total_seconds())
            return Seen("", since, self.run.frozen.watch_seconds, "seconds")
        return self.telling.seen if self.telling.seen.words() else self._seen

    @asynccontextmanager
    async def looking(self, server: Server) -> AsyncIterator[None]:
        """Look at the running step every second for as long as the block lasts."""
        self.telling.heard_by_all_that_follows()
        looking = asyncio.create_task(self._look_on(server))
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    async def _look_on(self, server: Server) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if (running := self.timeline.running) and Key.of(running.step).state in ASK_THE_SERVER:
                seen = await self._looked(server, running)
                if running is self.timeline.running:  # else it is another step's
                    self._seen = seen

    async def _looked(self, server: Server, running: Running) -> Seen:
        """What goes wrong here stops nobody: nothing is known then, and the next look may see more."""
        try:
            return await self._look(server, running)
        except Exception as error:
            if self._not_seen is not running:
                log.warning("progress_not_seen", step=running.step, error=repr(error))
            self._not_seen = running
            return Seen()

    async def _look(self, server: Server, running: Running) -> Seen:
        with contextlib.suppress(*SILENT):
            key = Key.of(running.step)
            busy = _of_this_step(running, await activities(server), server)
            kind = DUMPS.get(f"{key.state}.{key.step}")
            if kind and any(_is_dumping(each, server) for each in busy):
                return await asyncio.to_thread(self._dumped, kind)
            if (key.state, key.step) == ("schema", "build_new"):
                return await self._copied(server, busy)
            if files := _files(self._loaded, key):
                return await self._in_files(files, busy)
            return Seen(busy[0].words()) if busy else Seen()
        return Seen()

    def _dumped(self, kind: str) -> Seen:
        """What pg_dump has written so far; how much it will be, nobody knows."""
        directory = self._loaded.folder / self._loaded.plan.backup.directory
        parts = dump.unfinished(directory, self._loaded.plan.run, kind)
        sizes = [file.stat().st_size for part in parts for file in part.iterdir()]
        return Seen(f"pg_dump has written {in_bytes(sum(sizes))}", len(sizes), None, "files")

    async def _copied(self, server: Server, busy: Sequence[Activity]) -> Seen:
        """The copy itself is seen by nobody before it is committed: only how much there is to copy, and what it waits for."""
        cloning = next((each for each in busy if each.query.startswith("CREATE DATABASE")), None)
        if cloning is None:
            return Seen(busy[0].words()) if busy else Seen()
        if self._whole_bytes is None:
            self._whole_bytes = await size_bytes(server, server.names.previous)
        waits = f" ({cloning.waits_for})" if cloning.waits_for else ""
        return Seen(f"copying {in_bytes(self._whole_bytes)}{waits}")

    async def _in_files(self, files: Sequence[tuple[str, Path]], busy: Sequence[Activity]) -> Seen:
        if not busy:
            return Seen()
        if self._whereabouts is None:
            self._whereabouts = await asyncio.to_thread(Whereabouts, files)
        words, place = busy[0].words(), self._whereabouts.find(busy[0].query)
        if place is None:  # in a file that is included, or in a statement that psql put together
            return Seen(words)
        return Seen(f"{place.file}:{place.line}, {words}", place.number - 1, len(self._whereabouts.places), "statements")


def _of_this_step(running: Running, seen: Sequence[Activity], server: Server) -> list[Activity]:
    """Without the final dump, which runs beside the steps, unless it is what the step waits for."""
    key = Key.of(running.step)
    beside = f"{key.state}.{key.step}" not in DUMPS and (key.state, key.step) != ("schema", "build_new")
    return [each for each in seen if not (beside and each.database == server.names.previous)]


def _is_dumping(each: Activity, server: Server) -> bool:
    return each.query.startswith("COPY") and each.database in (server.names.production, server.names.previous)


def _files(loaded: LoadedPlan, key: Key) -> list[tuple[str, Path]]:
    """The files that the step runs, by their names as the plan sees them."""
    if (key.state, key.step) in (("schema", "apply_schema"), ("precheck", "prove_backup")):
        return [(relative(file, loaded.folder), file) for file in loaded.schema_files]
    if (key.state, key.step) == ("data", "run_script"):
        return [(name, file) for name, file, _ in loaded.data_scripts if name == key.item]
    return []
