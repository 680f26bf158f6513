"""What a rehearsal has made, kept to be looked at: our role gets into each of its databases, and nobody else but superusers."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from cutoverd.daemon.postgres.backup.rehearsed_copy import run_of
from cutoverd.daemon.postgres.catalog import acl, pg_database
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import made_by, tracked_databases, unfinished_databases
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.ports import AttemptId

WHAT = {
    "old": "the copy, as production is today",
    "new": "the new database, as schema and data scripts have made it",
    "placeholder": "the empty placeholder",
}


@dataclass(frozen=True)
class KeptDatabase:
    """One of them, by the name that it has now."""

    name: str
    what: str
    url: str  # for psql, without a password


async def open_kept(copy: Server, attempt_id: AttemptId) -> list[KeptDatabase]:
    """Those that a rehearsal of this run has left, without the placeholder; `copy`: with the names around the copy.

    Our role may connect to each from now on. Raises what a session raises, `NotLeader`, `StepError` if somebody else could too.
    """
    names = copy.names
    async with session(copy) as conn, ledger.hold_fence(copy, attempt_id):
        roles = {each.name: role for role, each in (await tracked_databases(conn, run_of(attempt_id))).items()}
        there = await _left(conn, copy, attempt_id)
        kept = [name for name in there if roles.get(name) != "placeholder"]
        for name in kept:
            if copy.is_given and name == names.production:
                continue  # the team's own: it is as it was, and stays so
            oid = await pg_database.oid_of(conn, name) or 0
            await acl.restrict(conn, oid)
            await pg_database.accept_connections(conn, oid, True)
    return [KeptDatabase(name, WHAT[roles.get(name) or "old"], _url(copy.url, name)) for name in kept]


async def find_copy(copy: Server, attempt_id: AttemptId) -> str | None:
    """What the restored copy is called now; None if it is gone."""
    async with session(copy) as conn:
        known = (await tracked_databases(conn, run_of(attempt_id))).get("old")
        there = await _left(conn, copy, attempt_id)
    name = known.name if known else copy.names.production
    return name if name in there else None


async def _left(conn: Connection, copy: Server, attempt_id: AttemptId) -> list[str]:
    names = copy.names
    there = await made_by(conn, run_of(attempt_id), [*names.all, names.build(attempt_id.epoch)])
    if names.production not in there and names.production in await unfinished_databases(conn, attempt_id.run):
        there = [names.production, *there]  # announced and made, and nothing was begun on it: no step has tracked it yet
    return there


def _url(production: str, name: str) -> str:
    return urlunsplit(urlsplit(production)._replace(path=f"/{quote(name)}"))
