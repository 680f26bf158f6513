"""Whether a copy that the team has made may be rehearsed on: that it is not production, and is what production is.

The team gives it away: it is renamed and cloned there, and gets its name back. So before anything is touched it has to be certain
whose it is, and all that does not fit is said at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cutoverd.daemon.postgres.catalog import identity, pg_database
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import DatabaseRow, is_our_ledger, tracked_databases
from cutoverd.daemon.postgres.ledger.ledger import MAINTENANCE, TRIAL
from cutoverd.daemon.postgres.precheck import requirements
from cutoverd.daemon.postgres.precheck.disk_space import room_of_copy
from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.home import NoSession, find_home
from cutoverd.daemon.postgres.session.names import LEDGER, LONGEST_COPY_NAME
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import Unfit

SHOWN = 12  # things that are another in the copy
KEY_BITS = 62
HOLD = "SELECT pg_advisory_xact_lock(%s)"
HELD = """
SELECT count(*) FILTER (WHERE key = %s) > 0, count(*) FILTER (WHERE key = %s) > 0
  FROM (SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
         WHERE locktype = 'advisory' AND objsubid = 1 AND granted) held
"""
NEEDED_ROLES = """
SELECT DISTINCT r.rolname::text FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
 WHERE s.refclassid = 'pg_authid'::regclass
   AND (s.dbid = %(oid)s OR s.classid = 'pg_database'::regclass AND s.objid = %(oid)s)
"""
MISSING_ROLES = (
    "SELECT name FROM unnest(%s::text[]) AS needed (name) WHERE name NOT IN (SELECT rolname FROM pg_roles) ORDER BY name"
)
# who lacks pg_monitor sees of others only that they are there
CLIENTS = """
SELECT format('%%s %%s of %%s (%%s)', coalesce(backend_type, 'session'), pid, usename, application_name) FROM pg_stat_activity
 WHERE datid = %s AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
   AND coalesce(backend_type, 'client backend') IN ('client backend', 'walsender')
   AND NOT starts_with(coalesce(application_name, ''), 'cutoverd/')
 ORDER BY pid
"""
# until 16 the locale of another provider than libc has another name, and on 15 there are no rules
LOCALE = """
SELECT pg_encoding_to_char(encoding), datcollate::text, datctype::text, datlocprovider::text,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), to_jsonb(d) ->> 'daticurules'
  FROM pg_database d WHERE oid = %s
"""
LOCALE_PARTS = ("encoding", "collation", "character type", "locale provider", "locale", "ICU rules")
SORTED_BY = "SELECT pg_database_collation_actual_version(%s)"
STANDBY = "it is a standby, where nothing can be renamed: once it is yours to give away, promote it (pg_ctl promote)"
UNCERTAIN = (
    "whether it is on production's own server could not be told, so it is not touched: give both addresses without a pooler"
)
HALF_WAY = "an earlier rehearsal has left it half-way: it is set right before anything is asked of it"


@dataclass(frozen=True)
class GivenCopy:
    """What was found of it."""

    place: str  # database and server, for people
    is_elsewhere: bool  # on another server than production's
    warnings: list[str] = field(default_factory=list)


async def check_given(server: Server, copy: Server, roles: Sequence[str] = ()) -> GivenCopy:
    """`server`: production's; `roles`: those that the plan names. It changes nothing.

    Raises `Unfit` where it is or may be production, and else with every reason found; `NoSession`, `StepError`.
    """
    try:
        home = await find_home(copy, (LEDGER, MAINTENANCE, copy.names.production))
    except NoSession as error:
        raise NoSession(f"rehearsal.database ({copy.place}): {error}", hint=error.hint) from error
    async with session(server) as there, session(home) as here:
        found = GivenCopy(copy.place, await is_elsewhere(server, there, copy, here))
        row = await _row(here, copy)
        if isinstance(row, str):
            raise _unfit(copy, [row])
        if await _is_half_way(home, here, row):
            return GivenCopy(found.place, found.is_elsewhere, [f"{copy.place}: {HALF_WAY}"])
        reasons = _too_long(copy.names.production)
        reasons += await _of_servers(server, there, here, roles) if found.is_elsewhere else []
        reasons += await _of_database(server, there, here, row)
        reasons += await _of_ledger(home, here) if found.is_elsewhere else []
        reasons += [copy.worded(reason) for reason in await requirements.in_the_way(here, copy, copy.run, row)]
        lacks, unseen = await room_of_copy(here, copy) if found.is_elsewhere else ([], [])  # production's own has it asked
        reasons += lacks
        if not reasons:
            reasons = await _of_catalog(server, home, row)
        warnings = [*unseen, *await _sorts_otherwise(server, there, here, row)] if found.is_elsewhere else unseen
    if reasons:
        raise _unfit(copy, reasons)
    return replace(found, warnings=[f"{copy.place}: {copy.worded(each)}" for each in warnings])


async def is_elsewhere(server: Server, there: Connection, copy: Server, here: Connection) -> bool:
    """Whether it is on another server than production; raises `Unfit` if it is production, or if that cannot be told.

    Not by addresses, which may be two of one server, nor by the system identifier, which a promoted standby shares: who holds a
    lock is in the memory of one server alone.
    """
    if not await _same_server(copy, there, here):
        return True
    production = await pg_database.oid_of(there, server.names.production)
    given = await pg_database.oid_of(here, copy.names.production)
    if given is not None and given == production:
        raise _unfit(copy, ["it is production itself, and the rehearsal would rename it: name a copy that you have made"])
    if (name := copy.names.production) in (*server.names.all, *server.names.made) or name == LEDGER:
        raise _unfit(copy, [f"{name} is a name that a run gives to its own databases: call the copy otherwise"])
    return False


async def _same_server(copy: Server, there: Connection, here: Connection) -> bool:
    if await fetch_one(here, b"SELECT pg_is_in_recovery()") != (False,):
        raise _unfit(copy, [STANDBY])
    keys = secrets.randbits(KEY_BITS), secrets.randbits(KEY_BITS)
    async with there.transaction(force_rollback=True), here.transaction(force_rollback=True):
        for conn, key in zip((there, here), keys, strict=True):
            await conn.execute(HOLD, (key,))
        held = [await fetch_one(conn, HELD, keys) for conn in (there, here)]
    if held == [(True, True), (True, True)]:
        return True
    if held == [(True, False), (False, True)]:
        return False
    raise _unfit(copy, [UNCERTAIN])


def _too_long(name: str) -> list[str]:
    """Found: PostgreSQL cut each of the names around it to one and the same, and the rehearsal failed in its middle by that."""
    size = len(name.encode())
    says = f"the name {name} has {size} bytes, at most {LONGEST_COPY_NAME} leave room for {name}_n: rename it"
    return [says] if size > LONGEST_COPY_NAME else []


async def _row(here: Connection, copy: Server) -> DatabaseRow | str:
    """Its row in the catalog, or why there is none."""
    oid = await pg_database.oid_of(here, copy.names.production)
    if oid is None:
        return copy.worded(await requirements.not_there(here, copy.names.production))
    return await pg_database.read_row(here, oid)


async def _is_half_way(home: Server, here: Connection, row: DatabaseRow) -> bool:
    """By the rows of this run's rehearsal: it has renamed it, or has closed it."""
    if not await _has_ledger(home, here):
        return False
    old = (await tracked_databases(here, f"{home.run}{TRIAL}")).get("old")
    return bool(old and old.name and old.row.name == row.name and (old.oid != row.oid or not old.accepts_connections))


async def _of_servers(server: Server, there: Connection, here: Connection, roles: Sequence[str]) -> list[str]:
    reasons, versions = [], [conn.info.server_version // 10_000 for conn in (there, here)]
    if versions[0] != versions[1]:
        reasons.append(
            f"its server is PostgreSQL {versions[1]} and production's is {versions[0]}: make it on the same major version"
        )
    oid = await pg_database.oid_of(there, server.names.production)
    needed = {name for (name,) in await fetch_all(there, NEEDED_ROLES, {"oid": oid or 0})} | {*roles}
    missing = [name for (name,) in await fetch_all(here, MISSING_ROLES, (sorted(needed),))]
    if missing:
        reasons.append(
            f"its server has no role {', '.join(missing)}, which production's owners and grants, or the plan, name:"
            " CREATE ROLE there, or `pg_dumpall --roles-only` of production's server"
        )
    return reasons


async def _of_database(server: Server, there: Connection, here: Connection, row: DatabaseRow) -> list[str]:
    oid = await pg_database.oid_of(there, server.names.production)
    if oid is None:
        return []  # check_server says so
    production = await pg_database.read_row(there, oid)
    reasons = []
    if production.owner != row.owner:
        reasons.append(f"{row.name} belongs to {row.owner} and production to {production.owner}: ALTER DATABASE … OWNER TO")
    if not row.accepts_connections:
        reasons.append(f"{row.name} accepts no connections: ALTER DATABASE … ALLOW_CONNECTIONS true")
    locales = [await fetch_one(conn, LOCALE, (each.oid,)) or () for conn, each in ((there, production), (here, row))]
    reasons += [
        f"its {part} is {its or 'none'} and production's is {of_production or 'none'}: make it anew with that"
        for part, of_production, its in zip(LOCALE_PARTS, *locales, strict=True)
        if of_production != its
    ]
    if clients := [str(client) for (client,) in await fetch_all(here, CLIENTS, (row.oid,))]:
        reasons.append(f"somebody uses {row.name}, which the rehearsal renames: {', '.join(clients[:SHOWN])}: end that first")
    return reasons


async def _sorts_otherwise(server: Server, there: Connection, here: Connection, row: DatabaseRow) -> list[str]:
    """A warning: few teams have a second server with the same libraries, and few rows are sorted otherwise by them."""
    oid = await pg_database.oid_of(there, server.names.production)
    [was], [now] = [await fetch_one(conn, SORTED_BY, (of,)) or ("",) for conn, of in ((there, oid), (here, row.oid))]
    if was == now:
        return []
    return [f"its server sorts text by collation version {now}, production's by {was}: what depends on an order may be another"]


async def _of_ledger(home: Server, here: Connection) -> list[str]:
    """Another production's rehearsal of the same name, say: its epoch would refuse ours in the middle."""
    if not await _has_ledger(home, here):
        return []
    epoch = await ledger.current_epoch(home)
    if not home.epoch or epoch <= home.epoch:
        return []
    return [
        f"the ledger there knows run {home.run} by epoch {epoch}, and ours is {home.epoch}: another production is rehearsed"
        f" there, or was; if that is over, delete run {home.run} from table fence of database {LEDGER} there"
    ]


async def _has_ledger(home: Server, here: Connection) -> bool:
    """One that is ours."""
    return home.home == LEDGER and await is_our_ledger(here)


async def _of_catalog(server: Server, home: Server, row: DatabaseRow) -> list[str]:
    """A rehearsal on another schema proves nothing, and would be on record for production's."""
    async with session(server, server.names.production) as there, session(home, row.name) as here:
        found = await identity.differences(there, here)
    if not found:
        return []
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return [
        f"it is not what production is, so nothing would be proven: {', '.join(found[:SHOWN])}{more}: make the copy anew, or put"
        " that right in it"
    ]


def _unfit(copy: Server, reasons: list[str]) -> Unfit:
    named = [f"rehearsal.database ({copy.place}): {reason}" for reason in reasons]
    return Unfit("; ".join(named), hint="see to all of them, then `retry`", evidence={"reasons": named})
