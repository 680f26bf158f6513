"""The four names as the states see them: `Databases` of states/ports.py on a real cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cutoverd.daemon.postgres.databases import admission, clone, count_writes, fence, logins, old_access, placeholder, unchanged
from cutoverd.daemon.postgres.databases import swap as exchange
from cutoverd.daemon.postgres.databases import writes as written
from cutoverd.daemon.postgres.ledger import found as on_record
from cutoverd.daemon.postgres.ledger.databases import tracked_databases, unfinished_databases
from cutoverd.daemon.postgres.precheck import requirements
from cutoverd.daemon.postgres.precheck.server_state import ALONE, AtOnce
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.ports import AttemptId, Evidence

EVICT_SECONDS = 60.0  # it took a second at most: docs/measured.md, "A fence that holds"
CLONE_SECONDS = 4 * 3600.0


class PostgresDatabases:
    """Every method is right from any half-way point, and done twice has the effect of once.

    `evict_seconds`: how long sessions may take to leave a database that changes its name; `clone_seconds`: the file copy;
    `logins`: addresses that the plan will log in to, by its keys; `smoke_roles`: who alone may connect to new until clients are
    admitted (None: whoever may connect to production); `disposable`: tables of new whose rows a way back may give up, and why;
    `at_once`: what a run does side by side, each with its sessions.
    """

    def __init__(
        self,
        server: Server,
        *,
        evict_seconds: float = EVICT_SECONDS,
        clone_seconds: float = CLONE_SECONDS,
        logins: Mapping[str, str] | None = None,
        smoke_roles: Sequence[str] | None = None,
        disposable: Mapping[str, str] | None = None,
        at_once: AtOnce = ALONE,
    ) -> None:
        self._server = server
        self._logins = logins or {}
        self._evict_seconds = evict_seconds
        self._clone_seconds = clone_seconds
        self._smoke_roles = smoke_roles
        self._disposable = disposable or {}
        self._at_once = at_once

    async def check_fit(self, attempt_id: AttemptId) -> Evidence:
        return await requirements.check_fit(self._server, attempt_id, self._logins, self._smoke_roles, at_once=self._at_once)

    async def keep_found(self, attempt_id: AttemptId, found: Evidence) -> None:
        async with session(self._server) as conn:
            await on_record.keep_found(conn, attempt_id, found)

    async def make_placeholder(self, attempt_id: AttemptId) -> Evidence:
        return await placeholder.make_placeholder(self._server, attempt_id)

    async def drop_placeholder(self, attempt_id: AttemptId) -> Evidence:
        return await placeholder.drop_placeholder(self._server, attempt_id)

    async def fence(self, attempt_id: AttemptId) -> Evidence:
        return await fence.fence(self._server, attempt_id, evict_seconds=self._evict_seconds)

    async def lift_fence(self, attempt_id: AttemptId) -> Evidence:
        return await fence.lift_fence(self._server, attempt_id, evict_seconds=self._evict_seconds)

    async def record_position(self, attempt_id: AttemptId) -> Evidence:
        return await old_access.record_position(self._server, attempt_id)

    async def build_new(self, attempt_id: AttemptId) -> Evidence:
        return await clone.build_new(
            self._server, attempt_id, evict_seconds=self._evict_seconds, clone_seconds=self._clone_seconds
        )

    async def keep_new(self, attempt_id: AttemptId) -> Evidence:
        return await clone.keep_new(self._server, attempt_id)

    async def open_old(self, attempt_id: AttemptId, *, again: bool = False) -> Evidence:
        return await old_access.open_old(self._server, attempt_id, evict_seconds=self._evict_seconds, again=again)

    async def close_old(self, attempt_id: AttemptId) -> Evidence:
        return await old_access.close_old(self._server, attempt_id, evict_seconds=self._evict_seconds)

    async def check_unchanged(self, attempt_id: AttemptId, position: Evidence) -> Evidence:
        return await unchanged.check_unchanged(self._server, attempt_id, position)

    async def exchange(self, attempt_id: AttemptId) -> Evidence:
        return await exchange.exchange(self._server, attempt_id, evict_seconds=self._evict_seconds, but_for=self._smoke_roles)

    async def admit_clients(self, attempt_id: AttemptId, shared: Sequence[str] = ()) -> Evidence:
        return await admission.admit_clients(self._server, attempt_id, evict_seconds=self._evict_seconds, shared=shared)

    async def count_writes(self, attempt_id: AttemptId, shared: Sequence[str] = ()) -> Evidence:
        return await count_writes.count_writes(
            self._server, attempt_id, evict_seconds=self._evict_seconds, shared=shared, disposable=self._disposable
        )

    async def check_logins(self, attempt_id: AttemptId) -> Evidence:
        return await logins.check_logins(self._server, attempt_id)

    async def exchange_back(self, attempt_id: AttemptId) -> Evidence:
        return await exchange.exchange_back(self._server, attempt_id, evict_seconds=self._evict_seconds)

    async def written(self, attempt_id: AttemptId) -> Evidence:
        return await written.written(self._server, attempt_id)

    async def leftovers(self) -> Evidence:
        run, production = self._server.run, self._server.names.production
        async with session(self._server) as conn:
            ours = [known.name for known in (await tracked_databases(conn, run)).values() if known.name != production]
            return {"databases": sorted([*filter(None, ours), *await unfinished_databases(conn, run)])}
