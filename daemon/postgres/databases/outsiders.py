"""Who may have written to new while CONNECT was withheld: then its rows are not those of the smoke tests alone.

Found: who was a member of a named role, or whom the owner had let in again, wrote and left, and a failure gave his rows up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.postgres.catalog.inside import INSIDE
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.outsiders import note_inside, note_outsiders, noted_outsiders
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.in_time import answer_within
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.ports import AttemptId

log = Logger(__name__)

POLL_SECONDS = 0.25  # a superuser's session that is shorter may be missed
PAUSE_SECONDS = 1.0
STATEMENT_SECONDS = 5.0
# by a right that was inherited, or that somebody granted meanwhile; superusers need none
LET_IN = """
SELECT r.rolname::text FROM pg_catalog.pg_roles r
 WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> ALL(%s) AND r.rolname <> current_user
   AND has_database_privilege(r.oid, %s::oid, 'CONNECT')
"""


async def find_outsiders(
    conn: Connection, attempt_id: AttemptId, oid: int, but_for: Sequence[str], shared: Sequence[str]
) -> list[str]:
    """Besides the smoke tests: who was or is in, who could come in, and `shared`, roles by which others write as well.

    Before the access of new is changed, and before its sessions are ended.
    """
    inside = {str(row[1]) for row in await fetch_all(conn, INSIDE, (oid, 0)) if row[1]} - {*but_for, conn.info.user}
    let_in = {str(row[0]) for row in await fetch_all(conn, LET_IN, (list(but_for), oid))}
    async with ledger.fenced_transaction(conn, attempt_id):
        await note_outsiders(conn, attempt_id.run, inside | let_in)
    return sorted({*await noted_outsiders(conn, attempt_id.run), *shared})


async def watch_outsiders(server: Server, is_exposed: Callable[[], bool]) -> None:
    """Until it is cancelled: note who is in new, as long as `is_exposed`."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        if is_exposed():
            try:
                await _watch(server, is_exposed)
            except Exception as error:  # in nobody's way; what nobody asked for meanwhile, the count cannot know
                log.warning("outsiders_not_watched", run=server.run, error=str(error).strip() or repr(error))
                await asyncio.sleep(PAUSE_SECONDS)


async def _watch(server: Server, is_exposed: Callable[[], bool]) -> None:
    """Found: when the network went silent nobody was watched until TCP gave up, many minutes later."""
    conn = await server.connect(settings={"statement_timeout": f"{STATEMENT_SECONDS:g}s"})
    try:
        while is_exposed():
            await answer_within(STATEMENT_SECONDS, conn, note_inside(conn, server.run))
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await conn.close()
