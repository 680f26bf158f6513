"""A file that cannot run in a transaction: at least once, with a probe, under a fence row that a second session holds."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from psycopg import sql
from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.scripts import psql_errors
from cutoverd.daemon.postgres.scripts.psql import Psql, Wrapper
from cutoverd.daemon.postgres.session.pins import READ_ONLY
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.sqltext.lint import ScriptLint
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, StepError
from cutoverd.states.ports import AttemptId, Evidence, Found, Probed

PROBE_SECONDS = 60


async def run(psql: Psql, attempt_id: AttemptId, file: Path, question: str) -> Evidence:
    """Run the file unless its probe says that it was done; {"files", "already_done", "seconds"}.

    Raises `CheckFailed` if the probe still says no afterwards, `OutcomeUnknown` if it cannot say.
    """
    server = psql.server
    # Held in the ledger database: CREATE INDEX CONCURRENTLY waits for every snapshot in its own.
    async with ledger.hold_fence(server, attempt_id):
        await _record(server, psql.database, ledger.ENTER, attempt_id)
        started = time.monotonic()
        if not (already_done := await _is_done(server, question)):
            await _run_file(psql, attempt_id, file)
            await _prove_done(server, file, question)
        evidence = {"files": 1, "already_done": already_done, "seconds": round(time.monotonic() - started, 3)}
        await _record(server, psql.database, ledger.FINISH, attempt_id, evidence)
    return evidence


async def probe(server: Server, question: str) -> Probed:
    """The plan's question, asked of new: one row with one boolean."""
    try:
        async with session(server, server.names.next, settings={READ_ONLY: "on"}, of_plan=True) as conn:
            await conn.execute(sql.SQL("SET statement_timeout = {}").format(sql.Literal(f"{PROBE_SECONDS}s")))
            rows = await (await conn.execute(question.encode())).fetchmany(2)
    except StepError as error:
        return Probed(Found.UNKNOWN, {"probe": question, "error": str(error)})
    answer = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else None
    if not isinstance(answer, bool):
        return Probed(Found.UNKNOWN, {"probe": question, "error": f"one boolean expected, seen: {str(rows)[:100]}"})
    return Probed(Found.PRESENT if answer else Found.ABSENT, {"probe": question, "answer": answer})


async def _is_done(server: Server, question: str) -> bool:
    probed = await probe(server, question)
    if probed.found is Found.UNKNOWN:
        raise OutcomeUnknown(f"the probe does not answer: {probed.evidence['error']}", evidence=dict(probed.evidence))
    return probed.found is Found.PRESENT


async def _prove_done(server: Server, file: Path, question: str) -> None:
    if not await _is_done(server, question):
        raise CheckFailed(
            f"{file.name} ran, and its probe still says that it was not done: {question}",
            hint=f"is it the file or its probe? {psql_errors.what_then(server)}",
        )


async def _run_file(psql: Psql, attempt_id: AttemptId, file: Path) -> None:
    wrapper = Wrapper()
    wrapper.ours("alone.sql")
    wrapper.include(file)
    wrapper.ours("alone_end.sql")
    wrapper.all_included()
    completed = await psql.run(wrapper, step=attempt_id.step, variables={}, single_transaction=False)
    if completed.returncode != 0:
        reading = ScriptLint(psql.cwd)
        await asyncio.to_thread(reading.read, file, in_transaction=False)
        kept, then = "it ran without a transaction: what came before the error was kept", psql_errors.what_then(psql.server)
        raise psql_errors.psql_failure(completed, reading, wrapper, owner=psql.role, kept=kept, then=then)


async def _record(server: Server, database: str, statement: str, attempt_id: AttemptId, evidence: Evidence | None = None) -> None:
    async with session(server, database) as conn:
        await conn.execute(statement.encode(), {**ledger.key_of(attempt_id), "evidence": Jsonb(dict(evidence or {}))})
