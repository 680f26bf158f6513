"""Backups by pg_dump: one that is proven by restoring it, and the final one of fenced old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cutoverd.daemon.engine.truncate import first_of
from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.postgres.backup import dump, kept_proof, rehearsal_record, restore, row_counts
from cutoverd.daemon.postgres.backup.copy_owners import copy_owners
from cutoverd.daemon.postgres.backup.dump import Dump
from cutoverd.daemon.postgres.backup.full_disk import again_on_full_disk
from cutoverd.daemon.postgres.backup.kept_proof import KeptProof
from cutoverd.daemon.postgres.backup.parts import Parts
from cutoverd.daemon.postgres.backup.rehearsal_record import RehearsalPlan
from cutoverd.daemon.postgres.backup.rehearsed_copy import check_copy, read_copy, reset
from cutoverd.daemon.postgres.backup.scratch import drop, scratch
from cutoverd.daemon.postgres.backup.team_copy import TeamCopy
from cutoverd.daemon.postgres.catalog import pg_database, settings
from cutoverd.daemon.postgres.catalog.identity import read_identity
from cutoverd.daemon.postgres.catalog.not_restorable import NotRestorable, read_not_restorable
from cutoverd.daemon.postgres.catalog.owned import OwnedObject, is_superuser, read_owned
from cutoverd.daemon.postgres.databases.databases import EVICT_SECONDS
from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.precheck import disk_space, dumpable
from cutoverd.daemon.postgres.precheck.dumpable import ProofPlan
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.sqltext.file_reader import Judge
from cutoverd.states.ports import AttemptId, Evidence
from cutoverd.states.rehearsal import is_without_run

TIMEOUT_SECONDS = 4 * 3600.0
BEFORE, FINAL = "before", "final"
_WARNINGS_MAX = 20
_OF_COPY = "of the backup, or of what is in production and not in the copy"


class StatementFinder(Protocol):
    """Knows the SQL files of the plan."""

    def find_statements(self, judge: Judge) -> list[str]:
        """What is wrong with the statements of the SQL files, each with its place."""


@dataclass(frozen=True)
class DumpContent:
    """What production held under the dump's snapshot."""

    at: str  # by the server's clock
    catalog: str  # its identity
    rows: Mapping[str, int]  # by table, without those that are not restored
    excluded: Sequence[NotRestorable]
    owned: Sequence[OwnedObject]
    by_superuser: bool  # our role is one, and restores all


class PgDump:
    """`Backups` of states/ports.py; dumps are folders in `directory`, named by run, kind and moment."""

    def __init__(
        self,
        server: Server,
        directory: Path,
        jobs: int,
        files: StatementFinder,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        evict_seconds: float = EVICT_SECONDS,
        proof: ProofPlan | None = None,
        rehearsal: RehearsalPlan | None = None,
        kept: KeptProof | None = None,
    ) -> None:
        """`timeout_seconds`: of one dump or one restore; `evict_seconds`: as at night, where a copy is reset; `kept`: instead of
        a backup and a copy that are made anew."""
        self._server = server
        self._directory = directory.absolute()
        self._jobs = jobs
        self._files = files
        self._timeout_seconds = timeout_seconds
        self._evict_seconds = evict_seconds
        self._proof = proof or ProofPlan()
        self._rehearsal = rehearsal or RehearsalPlan()
        self._kept = kept
        given = self._rehearsal
        self._team_copy = TeamCopy(server, given.database, given.roles, evict_seconds)
        self._final: asyncio.Task[Evidence] | None = None
        self._taken: Dump | None = None  # by `_final`

    async def check_room(self, attempt_id: AttemptId, dumped_bytes: int | None, *, rehearses: bool = False) -> Evidence:
        if self._kept:  # the copy is there, and what stood around it is not
            dumped_bytes, rehearses = 0, False
        return await disk_space.check_room(self._server, self._directory, dumped_bytes, rehearses=rehearses)

    async def check_dumpable(self, attempt_id: AttemptId) -> Evidence:
        return await dumpable.check_dumpable(self._server, self._proof, self._files.find_statements)

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """{"at", "catalog", "made_with", "file", "bytes", "tables", "rows", "seconds", "parts", "warnings", "left_out"}; the copy
        that was restored is kept, unless the team has made one to rehearse on.

        `file`: not of a rehearsal without a run, whose dump goes once it was restored; `parts`: seconds by name; `left_out`:
        what our role could not restore, or the plan leaves out. Raises `CheckFailed` if it does not dump, restore or count the
        same; then nothing of the copy is kept.
        """
        if self._kept:
            return self._kept.proven
        started = time.monotonic()
        await self._remove_unfinished(attempt_id, BEFORE)
        await kept_proof.forget(self._server, attempt_id)
        _, left = await self._team_copy.clear(attempt_id)
        taken = dump.new_dump(self._directory, attempt_id.run, BEFORE, attempt_id.epoch)
        parts = Parts()
        try:
            with parts.timed("dump"):
                content, warned = await self._dump_and_count(attempt_id, taken)
            async with scratch(self._server, attempt_id):
                with parts.timed("restore"):
                    proven = await self._restore_and_count(attempt_id, taken, content)
            if self._rehearsal.database:
                await drop(self._server, attempt_id)
            measured = _measured(taken.part, started)
            if not is_without_run(attempt_id.run):  # of such a rehearsal a dump a day would stay
                taken.keep()
                measured["file"] = str(taken.path)
        finally:
            await run_to_completion(self._remove_unfinished(attempt_id, BEFORE))
        made = {"at": content.at, "catalog": content.catalog, "made_with": self._proof.sha256}
        counted = {"tables": len(content.rows), "rows": sum(content.rows.values()), **proven}
        warnings = first_of([*left, *warned, *proven["warnings"]], _WARNINGS_MAX, _OF_COPY)
        return {**made, **measured, **counted, "parts": parts.seconds, "warnings": warnings}

    async def find_rehearsal(self, attempt_id: AttemptId) -> Evidence:
        found = await rehearsal_record.find(self._server, self._rehearsal)
        if self._kept:
            found = {key: value for key, value in found.items() if key != "cost"}
            found["says"] = f"on the copy that was kept, of {self._kept.at}: no backup is taken or restored"
        if not self._rehearsal.database or found.get("skipped") or found.get("on_record"):
            return found
        copy = await self._team_copy.find()
        cost = await rehearsal_record.estimate_on(self._server, copy.place)
        where = {"place": copy.place, "is_elsewhere": copy.is_elsewhere, "warnings": copy.warnings, "cost": cost}
        says = f"{found['why']}: PreCheck makes one on {copy.place}, which the team has made. {cost['says']}"
        return {**found, **where, **({} if self._kept else {"says": says})}

    async def record_rehearsal(
        self, attempt_id: AttemptId, identity: str, seconds: Mapping[str, float], parts: Mapping[str, float]
    ) -> Evidence:
        where = await self._team_copy.where(attempt_id)
        at = str(self._kept.proven["at"]) if self._kept else None
        return await rehearsal_record.keep(self._server, self._rehearsal, attempt_id, identity, seconds, parts, where, at=at)

    async def check_rehearsal(self, attempt_id: AttemptId, identity: str) -> Evidence:
        return await rehearsal_record.check(self._server, self._rehearsal, identity)

    async def take_copy(self, attempt_id: AttemptId) -> None:
        if self._rehearsal.database:
            await self._team_copy.take(attempt_id)

    async def reset_copy(self, attempt_id: AttemptId) -> Evidence:
        """{"dropped": names}; of a copy that the team has made also what it held: "copy"."""
        if self._rehearsal.database:
            return await self._team_copy.reset(attempt_id)
        return {"dropped": await reset(self._server.of_copy(), attempt_id, evict_seconds=self._evict_seconds)}

    async def check_copy(self, attempt_id: AttemptId, proven: Evidence) -> Evidence:
        """{"tables", "rows"}."""
        copy = self._server.of_copy(self._rehearsal.database or "")
        held = await check_copy(copy, proven["copy"])
        if self._kept:  # the fence has ended whoever was in it: now the counters know what they wrote, also since it began
            await kept_proof.check_untouched(copy, self._kept)
        return held

    async def clear(self, attempt_id: AttemptId) -> Evidence:
        """{"removed": what a proof that was killed left behind, "warnings"}: its databases, its unfinished file."""
        around, warnings = await again_on_full_disk(partial(self._team_copy.clear, attempt_id))
        dropped = await again_on_full_disk(partial(drop, self._server, attempt_id))
        await again_on_full_disk(partial(kept_proof.forget, self._server, attempt_id))
        unfinished = await self._remove_unfinished(attempt_id, BEFORE)
        return {"removed": [*around, *dropped, *unfinished], **({"warnings": warnings} if warnings else {})}

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
        """{"file", "bytes", "seconds", "warnings"}; raises `StepError` with pg_dump's last words.

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
        return {"file": str(taken.path), **_measured(taken.path, started), "warnings": first_of(warnings, _WARNINGS_MAX)}

    async def _dump_and_count(self, attempt_id: AttemptId, taken: Dump) -> tuple[DumpContent, list[str]]:
        """What is in production under the dump's own snapshot, and pg_dump's warnings."""
        production = self._server.names.production
        async with session(self._server, production) as conn, conn.transaction(force_rollback=True):
            await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await conn.execute(f"SET LOCAL lock_timeout = '{dump.LOCK_WAIT}'")
            [snapshot, at] = await fetch_one(conn, "SELECT pg_export_snapshot(), clock_timestamp()::text") or (None, "")
            warnings = await self._take(attempt_id, taken, production, snapshot=snapshot)
            catalog = await read_identity(conn)  # of the dump's own snapshot
            excluded = [] if self._proof.restore else await read_not_restorable(conn, list(self._proof.leave_out))
            missing = {f"{each.schema}.{each.name}" for each in excluded if each.has_rows}
            rows = {name: count for name, count in (await row_counts.count_rows(conn)).items() if name not in missing}
            return DumpContent(at, catalog, rows, excluded, await read_owned(conn), await is_superuser(conn)), warnings

    async def _take(self, attempt_id: AttemptId, taken: Dump, database: str, snapshot: str | None = None) -> list[str]:
        return await dump.take(
            self._server, database, taken,
            jobs=self._jobs, step=attempt_id.step, timeout_seconds=self._timeout_seconds, snapshot=snapshot,
        )  # fmt: skip

    async def _restore_and_count(self, attempt_id: AttemptId, taken: Dump, content: DumpContent) -> dict[str, Any]:
        production, scratch_name = await self._production(), self._server.names.scratch
        warnings, left_out = await self._restore(attempt_id, taken, production.owner, content)
        async with session(self._server, scratch_name) as conn:
            restored = {name: n for name, n in (await row_counts.count_rows(conn)).items() if name in content.rows}
            row_counts.compare(content.rows, restored, spread=await row_counts.read_spread(conn))
            async with conn.transaction():  # for the schema files, which come by sessions of their own
                await settings.carry(conn, scratch_name, production)
        held = {} if self._rehearsal.database else {"copy": await read_copy(self._server.of_copy())}
        return {"warnings": warnings, "left_out": left_out, **held}

    async def _restore(self, attempt_id: AttemptId, taken: Dump, owner: str, content: DumpContent) -> tuple[list[str], list[str]]:
        """By the plan's own command, or by pg_restore, with owners and grants as in production as far as our rights go."""
        step, seconds = attempt_id.step, self._timeout_seconds
        if self._proof.restore:
            warnings = await restore.restore_by_command(
                self._server, self._proof.restore, taken.part, cwd=self._proof.cwd, step=step, timeout_seconds=seconds
            )
            return warnings, []
        warnings, left_out = await restore.restore(
            self._server, taken.part, owner, content.excluded,
            is_superuser=content.by_superuser, jobs=self._jobs, step=step, timeout_seconds=seconds,
        )  # fmt: skip
        if not content.by_superuser:
            async with session(self._server, self._server.names.scratch) as conn:
                warnings += await copy_owners(conn, content.owned)
            grants = await restore.restore_grants(self._server, taken.part, content.excluded, step=step, timeout_seconds=seconds)
            warnings += [f"not granted in the copy: {what}" for what in grants]
        return warnings, left_out

    async def _production(self) -> DatabaseRow:
        async with session(self._server) as conn:
            oid = await pg_database.oid_of(conn, self._server.names.production)
            return await pg_database.read_row(conn, oid or 0)

    async def _remove_unfinished(self, attempt_id: AttemptId, kind: str) -> list[str]:
        return await asyncio.to_thread(dump.remove_unfinished, self._directory, attempt_id.run, kind, attempt_id.epoch)


def _measured(folder: Path, started: float) -> dict[str, object]:
    return {"bytes": dump.size_bytes(folder), "seconds": round(time.monotonic() - started, 3)}
