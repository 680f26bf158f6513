"""What Validate will ask of new, prepared on a database that has only the schema: nothing is run, no row is read.

What is wrong whatever the data scripts do is a finding: a result that is no list of checks, columns that cannot be compared.
A name that is not there is a warning: a data script may make it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from cutoverd.daemon.postgres.compare.columns import Column, check_alike, columns
from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.session.reach import Connection, primary_message
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.validation import check_script
from cutoverd.daemon.postgres.validation.grants import compare_rights, waiver_of
from cutoverd.daemon.postgres.validation.invariants import apart, odd_constraints
from cutoverd.daemon.postgres.validation.query_timing import TimedQuery
from cutoverd.daemon.postgres.validation.rights import RightsFinding
from cutoverd.daemon.postgres.validation.widened import AS_OWNER
from cutoverd.daemon.sqltext.regular_file import read_text
from cutoverd.states.errors import CheckFailed

WAIVE_HINT = "let the schema files make it hold, or say in the plan why it need not: validate.invariants.waive"
REFUSES = "Validate refuses that, unless a data script changes it or the plan waives it (validate.grants.waive)"
READ_ONLY = "SET TRANSACTION READ ONLY"


@dataclass(frozen=True)
class ValidationPlan:
    """Comparisons, named queries and validation scripts of a plan."""

    comparisons: Sequence[Comparison]
    queries: Sequence[TimedQuery]
    scripts: Mapping[str, Path]
    waive_grants: Mapping[str, str] = field(default_factory=dict)
    waive_invariants: Mapping[str, str] = field(default_factory=dict)
    data_scripts: Sequence[Path] = ()  # they may still put right what the schema files leave

    async def try_on(self, server: Server, database: str) -> list[str]:
        """Warnings; raises `CheckFailed` with every finding."""
        asking = _Findings()
        async with session(server, database, of_plan=True) as conn, conn.transaction(force_rollback=True):
            await conn.execute(READ_ONLY)
            asked = [comparison for comparison in self.comparisons if await asking.compare(conn, comparison)]
            for query in self.queries:
                await asking.columns(conn, f"query {query.name}, on new", query.new)
            for file in self.scripts.values():
                await asking.script(conn, file)
        await self._constraints(server, database, asking)
        asking.warnings += await self._widened(server, database, asked)
        if found := asking.findings:
            evidence = {"reasons": found, "warnings": asking.warnings}
            raise CheckFailed("; ".join(found), hint="correct it; a changed plan is a new run", evidence=evidence)
        return asking.warnings

    async def _widened(self, server: Server, database: str, asked: Sequence[Comparison]) -> list[str]:
        """What the schema files make wider than in production. Whose a thing is, a restore by our role cannot tell."""
        difference = await compare_rights(server, new=database, old=server.names.production, comparisons=asked)
        found = [each for each in difference.widened if _is_of_files(each) and waiver_of(each, self.waive_grants) is None]
        return [f"{each.what}: {each.text}: {REFUSES}" for each in found]

    async def _constraints(self, server: Server, database: str, asking: _Findings) -> None:
        """Those of the schema files that hold for no row or not for each: Validate would refuse them."""
        async with session(server, server.names.production) as conn:
            before = await odd_constraints(conn)
        async with session(server, database) as conn:
            found, _ = apart(await odd_constraints(conn) - before, self.waive_invariants)
        texts = [await asyncio.to_thread(_text, file) for file in self.data_scripts] if found else []
        for what, name in sorted(found):
            words = (name.partition(" on ")[0], "convalidated", "conenforced")
            if any(word in text for text in texts for word in words):
                asking.warnings.append(
                    f"{what}: {name}; right only if a data script makes it so, or the plan waives it by that name"
                )
            else:
                asking.findings.append(f"{what}: {name}, and no data script names it ({WAIVE_HINT})")


def _is_of_files(finding: RightsFinding) -> bool:
    """A restore by our role takes no right on a language from anybody, and gives nothing back to its owner."""
    return finding.what != AS_OWNER and " on language " not in finding.text


def _text(file: Path) -> str:
    return read_text(file, errors="replace")


@dataclass
class _Findings:
    """What was found wrong so far."""

    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    async def compare(self, conn: Connection, comparison: Comparison) -> bool:
        """Whether both sides can be asked here."""
        new = await self.columns(conn, f"comparison {comparison.name}, the query of new", comparison.new)
        old = await _columns_or_error(conn, comparison.old)
        if new is None or isinstance(old, psycopg.Error):  # the schema may have taken away what old asks, here
            return False
        try:
            check_alike(comparison.name, old, new, comparison.key)
        except CheckFailed as failed:
            self.findings.append(f"{failed} ({failed.hint})")
        return True

    async def columns(self, conn: Connection, what: str, query: str) -> tuple[Column, ...] | None:
        found = await _columns_or_error(conn, query)
        if isinstance(found, psycopg.Error):
            self._cannot(what, found)
            return None
        return found

    async def script(self, conn: Connection, file: Path) -> None:
        """Up to the first statement that is no query: what comes after it may need what it does."""
        try:
            for statement in check_script.queries_at_the_head(file):
                try:
                    async with conn.transaction(force_rollback=True):
                        await check_script.describe(conn, file, statement)
                except psycopg.Error as error:
                    self._cannot(f"{file.name}:{statement.line}", error)
        except CheckFailed as failed:
            self.findings.append(f"{failed} ({failed.hint})")

    def _cannot(self, what: str, error: psycopg.Error) -> None:
        if isinstance(error, psycopg.errors.SyntaxError):
            self.findings.append(f"{what}: {primary_message(error)}")
        else:
            self.warnings.append(
                f"{what}: {primary_message(error)} while there is only the schema; right only if a data script makes it so"
            )


async def _columns_or_error(conn: Connection, query: str) -> tuple[Column, ...] | psycopg.Error:
    try:
        async with conn.transaction(force_rollback=True):
            return await columns(conn, query)
    except psycopg.Error as error:
        if conn.closed:
            raise
        return error
