"""Backups by pg_dump: one that is proven by restoring it, and the final one of fenced old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.postgres.backup import dump, restore, row_counts
from cutoverd.daemon.postgres.backup.dump import Dump
from cutoverd.daemon.postgres.backup.scratch import drop, scratch
from cutoverd.daemon.postgres.backup.try_swap import try_way_back
from cutoverd.daemon.postgres.catalog import pg_database, settings
from cutoverd.daemon.postgres.databases.databases import EVICT_SECONDS
from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.precheck import disk_space
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.ports import AttemptId, Evidence

TIMEOUT_SECONDS = 4 * 3600.0
BEFORE, FINAL = "before", "final"
_WARNINGS_MAX = 20


class SchemaTrial(Protocol):
    """Tries the schema files on a scratch database; {"schema_files": n}."""

    async def try_schema(self, database: str, step: str) -> Evidence: ...


class QuestionsTrial(Protocol):
    """Prepares on a scratch database what Validate will ask of new; warnings."""

    async def try_on(self, server: Server, database: str) -> list[str]: ...


class PgDump:
    """`Backups` of states/ports.py; dumps are folders in `directory`, named by run, kind and moment."""

    def __init__(
        self,
        server: Server,
        directory: Path,
        jobs: int,
        schema: SchemaTrial,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        evict_seconds: float = EVICT_SECONDS,
        questions: QuestionsTrial | None = None,
    ) -> None:
        """`timeout_seconds`: of one dump or one restore; `evict_seconds`: as at night, in the trial of the way back."""
        self._server = server
        self._directory = directory.absolute()
        self._jobs = jobs
        self._schema = schema
        self._timeout_seconds = timeout_seconds
        self._evict_seconds = evict_seconds
        self._questions = questions
        self._final: asyncio.Task[Evidence] | None = None
        self._taken: Dump | None = None  # by `_final`

    async def check_room(self, attempt_id: AttemptId, dumped_bytes: int | None) -> Evidence:
        return await disk_space.check_room(self._server, self._directory, dumped_bytes)

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """{"file", "bytes", "tables", "rows", "seconds", "parts", "way_back", "schema_files", "warnings", "left_out"}.

        `parts`: seconds by name; `left_out`: what only a superuser could restore. Raises `CheckFailed` if it does not
        dump, restore or count the same, and whatever the trial of the way back raises.
        """
        started = time.monotonic()
        await self._remove_unfinished(attempt_id, BEFORE)
        taken = dump.new_dump(self._directory, attempt_id.run, BEFORE, attempt_id.epoch)
        parts = Parts()
        try:
            with parts.timed("dump"):
                rows, superusers, warned = await self._dump_and_count(attempt_id, taken)
            async with scratch(self._server, attempt_id) as database:
                with parts.timed("restore"):
                    proven = await self._restore_and_count(attempt_id, taken, rows, superusers)
                way_back = await self._try_way_back(attempt_id, rows)
                with parts.timed("schema"):
                    tried = await self._schema.try_schema(database, attempt_id.step)
                unsure = await self._questions.try_on(self._server, database) if self._questions else []
            taken.keep()
        finally:
            await run_to_completion(self._remove_unfinished(attempt_id, BEFORE))
        counted = {"tables": len(rows), "rows": sum(rows.values()), **proven, **tried, "way_back": way_back}
        warnings = [*warned, *unsure, *proven["warnings"]][:_WARNINGS_MAX]
        return {**_measured(taken, started), **counted, "parts": parts.seconds, "warnings": warnings}

    async def clear(self, attempt_id: AttemptId) -> Evidence:
        """{"removed": what a proof that was killed left behind}: its databases, its unfinished file."""
        return {"removed": [*await drop(self._server, attempt_id), *await self._remove_unfinished(attempt_id, BEFORE)]}

    async def start(self, attempt_id: AttemptId) -> Evidence:
        """{"file"}; with "already_done" if an earlier daemon finished it."""
        if done := dump.finished(self._directory, attempt_id.run, FINAL):
            return {"file": str(done.path), "already_done": True}
        if self._final is None:
            await self._remove_unfinished(attempt_id, FINAL)
            self._taken = dump.new_dump(self._directory, attempt_id.run, FINAL, attempt_id.epoch)
            self._final = asyncio.create_task(self._take_final(attempt_id, self._taken))
            self._final.add_done_callback(lambda task: task.cancelled() or task.exception())  # `finish` tells of it
        return {"file": str(self._taken.path) if self._taken else None, "already_done": False}

    async def finish(self, attempt_id: AttemptId) -> Evidence:
        """{"file", "bytes", "seconds", "warnings"}; raises `CheckFailed` with pg_dump's last words.

        Cancelled, it ends a dump that it began itself, and leaves alone one that `start` began.
        """
        began_here = self._final is None
        started = await self.start(attempt_id)
        if self._final is None:
            return {**started, "bytes": await asyncio.to_thread(dump.size_bytes, Path(started["file"]))}
        try:
            return await asyncio.shield(self._final)
        except asyncio.CancelledError:
            if began_here:
                await run_to_completion(self.end(attempt_id))
            raise
        finally:
            if self._final and self._final.done():
                self._final = None

    async def end(self, attempt_id: AttemptId) -> Evidence:
        """{"removed": names of what was not finished}."""
        if self._final:
            self._final.cancel()
            await asyncio.wait([self._final])
            self._final = None
        return {"removed": await self._remove_unfinished(attempt_id, FINAL)}

    async def _take_final(self, attempt_id: AttemptId, taken: Dump) -> Evidence:
        started = time.monotonic()
        warnings = await self._take(attempt_id, taken, self._server.names.previous)
        taken.keep()
        return {**_measured(taken, started), "warnings": warnings[:_WARNINGS_MAX]}

    async def _dump_and_count(self, attempt_id: AttemptId, taken: Dump) -> tuple[dict[str, int], list[str] | None, list[str]]:
        """Rows by table under the dump's own snapshot, what only a superuser restores, and pg_dump's warnings."""
        production = self._server.names.production
        async with session(self._server, production) as conn, conn.transaction(force_rollback=True):
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await conn.execute(f"SET LOCAL lock_timeout = '{dump.LOCK_WAIT}'")
            row = await fetch_one(conn, "SELECT pg_export_snapshot()")
            warnings = await self._take(attempt_id, taken, production, snapshot=row[0] if row else None)
            return await row_counts.count_rows(conn), await restore.not_ours_to_restore(conn), warnings

    async def _take(self, attempt_id: AttemptId, taken: Dump, database: str, snapshot: str | None = None) -> list[str]:
        return await dump.take(
            self._server, database, taken,
            jobs=self._jobs, step=attempt_id.step, timeout_seconds=self._timeout_seconds, snapshot=snapshot,
        )  # fmt: skip

    async def _restore_and_count(
        self, attempt_id: AttemptId, taken: Dump, rows: Mapping[str, int], superusers: list[str] | None
    ) -> dict[str, list[str]]:
        production = await self._production()
        warnings, left_out = await restore.restore(
            self._server, taken.part, production.owner, superusers,
            jobs=self._jobs, step=attempt_id.step, timeout_seconds=self._timeout_seconds,
        )  # fmt: skip
        async with session(self._server, self._server.names.scratch) as conn:
            row_counts.compare(rows, await row_counts.count_rows(conn))
            async with conn.transaction():  # for the schema files, which come by sessions of their own
                await settings.carry(conn, self._server.names.scratch, production)
        return {"warnings": warnings, "left_out": left_out}

    async def _try_way_back(self, attempt_id: AttemptId, rows: Mapping[str, int]) -> Evidence:
        """The names of the scratch database change hands, there and back, and it holds what it held."""
        tried = await try_way_back(self._server, attempt_id, evict_seconds=self._evict_seconds)
        async with session(self._server, self._server.names.scratch) as conn:
            row_counts.compare(rows, await row_counts.count_rows(conn), says="the way back does not leave")
        return tried

    async def _production(self) -> DatabaseRow:
        async with session(self._server) as conn:
            oid = await pg_database.oid_of(conn, self._server.names.production)
            return await pg_database.read_row(conn, oid or 0)

    async def _remove_unfinished(self, attempt_id: AttemptId, kind: str) -> list[str]:
        return await asyncio.to_thread(dump.remove_unfinished, self._directory, attempt_id.run, kind, attempt_id.epoch)


class Parts:
    """How long each part took; `seconds` by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 3)


def _measured(taken: Dump, started: float) -> dict[str, object]:
    seconds = round(time.monotonic() - started, 3)
    return {"file": str(taken.path), "bytes": dump.size_bytes(taken.path), "seconds": seconds}
