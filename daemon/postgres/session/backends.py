"""No redo, probe or undo before what an earlier attempt left running on the server is gone.

A killed daemon's psql lives on and commits; a killed client's CREATE DATABASE goes on, invisible to a probe. Both carry our
application name, `cutoverd/<run>/<epoch>` (docs/measured.md, "A client that was killed").
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from cutoverd.daemon.host.polling import Polling
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection, connect_with_retry, to_step_error
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import OutcomeUnknown

GONE_SECONDS = 30.0
PAUSE_SECONDS = 0.05

OURS = r"""
SELECT pid FROM (
    SELECT pid, substr(application_name, length(%(prefix)s) + 1) AS epoch
    FROM pg_stat_activity
    WHERE starts_with(application_name, %(prefix)s) AND pid <> pg_backend_pid()
) ours
WHERE epoch ~ '^[1-9]\d*$' -- 0: of a daemon that has not claimed the run yet, or of whoever looks; it changes nothing
  AND (epoch::numeric < %(older_than_epoch)s OR epoch::numeric = %(epoch)s OR pid = ANY(%(pids)s))
"""


async def end_backends(
    server: Server,
    *,
    older_than_epoch: int | None = None,
    epoch: int | None = None,
    pids: Sequence[int] = (),
    gone_seconds: float = GONE_SECONDS,
) -> int:
    """End the sessions of this run that are of an older epoch, of `epoch`, or among `pids`, and wait until they are gone.

    Gives how many there were. Raises `OutcomeUnknown` if some are still there after `gone_seconds`.
    """
    wanted: dict[str, object] = {
        "prefix": f"cutoverd/{server.run}/",
        "older_than_epoch": older_than_epoch,
        "epoch": epoch,
        "pids": list(pids),
    }
    async with await connect_with_retry(server) as conn:
        try:
            return await _end(conn, wanted, Polling(gone_seconds, pause_seconds=PAUSE_SECONDS))
        except psycopg.Error as error:  # a newer daemon ends this session, too
            raise to_step_error(conn, error) from error


async def _end(conn: Connection, wanted: dict[str, object], polling: Polling) -> int:
    ended: set[int] = set()
    while here := await _here(conn, wanted):
        ended |= here
        if polling.is_over:
            raise OutcomeUnknown(
                f"sessions {sorted(here)} of an earlier attempt do not end",
                hint="look at them in pg_stat_activity; what they do may still be committed",
            )
        for pid in here:
            await conn.execute("SELECT pg_terminate_backend(%s)", (pid,))
        await polling.pause()
    return len(ended)


async def _here(conn: Connection, wanted: dict[str, object]) -> set[int]:
    return {row[0] for row in await fetch_all(conn, OURS, wanted)}
