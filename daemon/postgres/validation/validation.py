"""What proves that new holds what old held: the port `Validation` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cutoverd.daemon.postgres.compare.compare import Comparison, compare
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.validation.analyze import analyze
from cutoverd.daemon.postgres.validation.check_script import check_script
from cutoverd.daemon.postgres.validation.coverage import check_coverage
from cutoverd.daemon.postgres.validation.grants import check_grants
from cutoverd.daemon.postgres.validation.invariants import check_invariants
from cutoverd.daemon.postgres.validation.query_timing import TimedQuery, check_query, time_query
from cutoverd.daemon.postgres.validation.sequences import at_their_end, set_sequences
from cutoverd.states.errors import OutcomeUnknown, StepError
from cutoverd.states.ports import AttemptId, Evidence

EXISTS = "SELECT FROM pg_catalog.pg_database WHERE datname = %s"


class PostgresValidation:
    """Reads old under its fenced name and new under its own, before the exchange.

    All of it is the daemon's own role's work: it owns what production's owner owns, and may read the rest as well.
    """

    def __init__(
        self,
        server: Server,
        comparisons: Sequence[Comparison],
        waive: Mapping[str, str],
        scripts: Mapping[str, Path],
        folder: Path,
        *,
        waive_grants: Mapping[str, str] | None = None,
        waive_invariants: Mapping[str, str] | None = None,
        queries: Sequence[TimedQuery] = (),
        query_seconds: float = 30.0,
    ) -> None:
        """`waive`: reasons by schema.table; `scripts`: files by name; `folder`: for files of differing rows.

        `waive_grants`, `waive_invariants`: reasons as check_grants and check_invariants have them; `query_seconds`: how long a
        named query may take, each time it is asked.
        """
        self._server = server
        self._comparisons = {each.name: each for each in comparisons}
        self._waive = waive
        self._scripts = scripts
        self._folder = folder
        self._waive_grants = waive_grants or {}
        self._waive_invariants = waive_invariants or {}
        self._queries = {each.name: each for each in queries}
        self._query_seconds = query_seconds

    async def check_script(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await check_script(self._server, attempt_id, self._scripts[name])

    async def compare(self, attempt_id: AttemptId, name: str) -> Evidence:
        names = self._server.names
        return await compare(self._server, self._comparisons[name], old=names.previous, new=names.next, folder=self._folder)

    async def check_coverage(self, attempt_id: AttemptId) -> Evidence:
        """Of fenced old, or of production as long as it is not fenced."""
        old = await self._old()
        covered = await check_coverage(self._server, list(self._comparisons.values()), self._waive, old=old)
        warnings = await self._ends(old)
        return {**covered, "warnings": warnings} if warnings else covered

    async def _ends(self, old: str) -> list[str]:
        """Data sets the sequences of new beyond the data: where that will not go is known before the window."""
        try:
            found = await at_their_end(self._server, old)
        except OutcomeUnknown:
            raise
        except StepError as error:  # somebody has locked a table
            return [f"whether sequences are at their end could not be asked: {error}"]
        return [warning for warning in found if not any(f"sequence {name}" in warning for name in self._waive_invariants)]

    async def check_invariants(self, attempt_id: AttemptId) -> Evidence:
        names = self._server.names
        return await check_invariants(self._server, new=names.next, old=names.previous, waive=self._waive_invariants)

    async def check_grants(self, attempt_id: AttemptId) -> Evidence:
        names = self._server.names
        comparisons = list(self._comparisons.values())
        return await check_grants(self._server, self._waive_grants, new=names.next, old=names.previous, comparisons=comparisons)

    async def check_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await check_query(self._server, self._queries[name], old=await self._old(), seconds_max=self._query_seconds)

    async def time_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        names, query = self._server.names, self._queries[name]
        return await time_query(self._server, query, old=names.previous, new=names.next, seconds_max=self._query_seconds)

    async def set_sequences(self, attempt_id: AttemptId) -> Evidence:
        names = self._server.names
        return await set_sequences(self._server, new=names.next, old=names.previous, waive=self._waive_invariants)

    async def analyze(self, attempt_id: AttemptId) -> Evidence:
        return await analyze(self._server, new=self._server.names.next)

    async def _old(self) -> str:
        names = self._server.names
        async with session(self._server) as connection:
            fenced = await fetch_one(connection, EXISTS, (names.previous,))
        return names.production if fenced is None else names.previous
