"""A copy of production that the team has made (`rehearsal.database`): rehearsed on where it is, and never dropped.

It may be on another server. What has to be put right there, should a daemon be killed, is on record in production's ledger before
anything is touched: where it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cutoverd.daemon.postgres.backup.rehearsed_copy import read_copy, reset, run_of
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import Role, TrackedDatabase, tracked_databases, untrack_database
from cutoverd.daemon.postgres.ledger.found import forget_found, keep_found, kept_found
from cutoverd.daemon.postgres.ledger.rehearsals import Where
from cutoverd.daemon.postgres.precheck.given_copy import GivenCopy, check_given, is_elsewhere
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import NotLeader, StepError, Unfit
from cutoverd.states.ports import AttemptId, Direction, Evidence
from cutoverd.states.rehearsal import is_without_run

ROLES: tuple[Role, ...] = ("old", "new", "placeholder")
RECORD = "precheck.reset_copy"  # where the copy is on record
SUPERSEDED = "the ledger there has a newer daemon of run {}: is another production rehearsed on the same copy?"


@dataclass
class TeamCopy:
    """`url`: the plan's; without one, only what an earlier rehearsal has left is put right."""

    server: Server  # production's
    url: str | None
    roles: Sequence[str]  # that the plan names
    evict_seconds: float
    _taken: set[str] = field(default_factory=set)  # addresses, by this process
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)  # steps may be taken side by side

    @property
    def copy(self) -> Server:
        return self.server.of_copy(self.url or "")

    async def find(self) -> GivenCopy:
        """It changes nothing; raises `Unfit` with every reason."""
        return await check_given(self.server, self.copy, self.roles)

    async def take(self, attempt_id: AttemptId) -> None:
        """From here on no older daemon acts on it; once for each process, before anything is done there.

        Raises `Unfit` if it is, or may be, production.
        """
        await self._take(self.copy, attempt_id)

    async def reset(self, attempt_id: AttemptId) -> Evidence:
        """{"dropped", "place", "copy", "warnings"}: it has its name, stands alone and is fit; `copy`: what it holds."""
        copy = self.copy
        if await self._record(attempt_id) is None:
            await self.find()  # before anything is touched there, the ledger too
        await self._take(copy, attempt_id)
        dropped = await self._put_right(copy, attempt_id)
        found = await self.find()
        return {"dropped": dropped, "place": found.place, "copy": await read_copy(copy), "warnings": found.warnings}

    async def where(self, attempt_id: AttemptId) -> Where:
        """This run has rehearsed."""
        record = await self._record(attempt_id) or {}
        return Where(record.get("place", ""), record.get("is_elsewhere", False))

    async def clear(self, attempt_id: AttemptId) -> tuple[list[str], list[str]]:
        """The copy has its name and stands alone, and nothing of the run is on its server: names that were dropped, warnings.

        A warning where it is not reached, if that must hold nothing up: an `abort`, or a server that is gone for good; else it
        raises `StepError`.
        """
        record = await self._record(attempt_id)
        if record is None:
            return [], []
        copy = self.server.of_copy(record["url"])
        try:
            async with session(copy, ledger.MAINTENANCE):
                pass
        except StepError as error:
            if attempt_id.direction is Direction.FORWARD:
                raise StepError(f"{copy.place} is not put back as it was: {error}", hint=_hint(attempt_id, error)) from error
            await self._forget(attempt_id)
            return [], [f"{copy.place} was not reached, and may be left as the rehearsal had it: {error}"]
        await self._take(copy, attempt_id)
        dropped = await self._put_right(copy, attempt_id)
        if record["is_elsewhere"]:
            await ledger.leave(copy, attempt_id)
        self._taken.discard(copy.url)
        await self._forget(attempt_id)
        return dropped, []

    async def _take(self, copy: Server, attempt_id: AttemptId) -> None:
        async with self._taking:
            if copy.url not in self._taken:
                await self._take_first(copy, attempt_id)
                self._taken.add(copy.url)

    async def _take_first(self, copy: Server, attempt_id: AttemptId) -> None:
        async with session(self.server) as there, session(copy, ledger.MAINTENANCE) as here:
            elsewhere = await is_elsewhere(self.server, there, copy, here)
        record = await self._record(attempt_id) or {}
        if record.get("url", copy.url) != copy.url:
            raise Unfit(f"{record['place']} was rehearsed on before, and is not put right yet", hint="`cutoverd rehearse --drop`")
        await self._keep(attempt_id, {"url": copy.url, "place": copy.place, "is_elsewhere": elsewhere})
        if elsewhere:
            await ledger.prepare(copy)
            try:
                await ledger.acquire_fence(copy)
            except NotLeader as error:  # of production's ledger we are it
                raise Unfit(f"{copy.place}: {SUPERSEDED.format(copy.run)} ({error})") from error

    async def _put_right(self, copy: Server, attempt_id: AttemptId) -> list[str]:
        """By the way back of the window; what is dropped is what was made around it, never the copy."""
        async with session(copy) as conn, ledger.fenced_transaction(conn, attempt_id):
            known = await tracked_databases(conn, run_of(attempt_id))
            for role in ROLES:
                if role in known and _is_gone(copy, role, known[role]):
                    await untrack_database(conn, run_of(attempt_id), role)
        return await reset(copy, attempt_id, evict_seconds=self.evict_seconds)

    async def _record(self, attempt_id: AttemptId) -> dict[str, Any] | None:
        async with session(self.server) as conn:
            return (await kept_found(conn, run_of(attempt_id))).get(RECORD)

    async def _keep(self, attempt_id: AttemptId, record: Evidence) -> None:
        async with session(self.server) as conn:
            await keep_found(conn, replace(attempt_id, run=run_of(attempt_id), step=RECORD), record)

    async def _forget(self, attempt_id: AttemptId) -> None:
        async with session(self.server) as conn, ledger.fenced_transaction(conn, attempt_id):
            await forget_found(conn, run_of(attempt_id))


def _hint(attempt_id: AttemptId, error: StepError) -> str:
    if not is_without_run(attempt_id.run):
        return error.hint
    return f"{error.hint}; if that server is gone for good, `cutoverd rehearse --drop --gone PLAN` forgets it".removeprefix("; ")


def _is_gone(copy: Server, role: Role, known: TrackedDatabase) -> bool:
    """A row of another database: the ledger came here with a standby's or a snapshot's, or the team has made the copy anew."""
    names: dict[Role, str] = {"old": copy.names.production, "new": copy.names.next, "placeholder": copy.names.closed}
    return known.row.name != names[role] or (role == "old" and known.name is None)
