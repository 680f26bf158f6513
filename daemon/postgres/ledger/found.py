"""What was found before the window changed it, in the ledger too: the way back has to know it without the journal."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.states.ports import AttemptId, Evidence

KEEP = """
INSERT INTO cutoverd.found (run, step, evidence) VALUES (%s, %s, %s)
ON CONFLICT (run, step) DO UPDATE SET evidence = excluded.evidence
"""


async def keep_found(conn: Connection, attempt_id: AttemptId, found: Evidence) -> None:
    """What was found last counts, as in the journal: whoever looks again has changed nothing yet."""
    async with ledger.fenced_transaction(conn, attempt_id):
        await conn.execute(KEEP, (attempt_id.run, attempt_id.step, Jsonb(dict(found))))


async def forget_step(conn: Connection, run: str, step: str) -> None:
    await conn.execute("DELETE FROM cutoverd.found WHERE run = %s AND step = %s", (run, step))


async def forget_found(conn: Connection, run: str) -> None:
    await conn.execute("DELETE FROM cutoverd.found WHERE run = %s", (run,))


async def kept_found(conn: Connection, run: str) -> dict[str, dict[str, Any]]:
    """The step that looked → what it found."""
    return dict(await fetch_all(conn, "SELECT step, evidence FROM cutoverd.found WHERE run = %s", (run,)))
