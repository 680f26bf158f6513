"""Whether a rehearsal of just this is on record: of the same catalog, SQL files and parts of the plan, and not too old."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version

from cutoverd.daemon.postgres.backup.rehearsal_cost import estimate, seconds_by_part
from cutoverd.daemon.postgres.catalog.identity import changes, read_parts
from cutoverd.daemon.postgres.ledger import ledger, rehearsals
from cutoverd.daemon.postgres.ledger.rehearsals import HERE, RehearsalOnRecord, Where
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.progress import format_seconds
from cutoverd.states.errors import CheckFailed, Unfit
from cutoverd.states.ports import AttemptId, Evidence
from cutoverd.states.rehearsal import describe_maker, is_without_run

SIZE = b"SELECT pg_database_size(%s)"
GIB, DAY = 1 << 30, 86400.0
MOST_NAMED = 12
HINT = (
    "`cutoverd rehearse PLAN` on a day with time for it; or a larger rehearsal.here_up_to, `rehearsal: {database: URL}` of a copy"
    " that you make, or `rehearsal: {skip: REASON}`"
)
REHEARSE_ANEW = (
    "`abort`, and start a run with a name of its own, which rehearses it; or put back what was changed in production,"
    " then `retry`"
)


@dataclass(frozen=True)
class RehearsalPlan:
    """What the plan says of it; `sha256`: of the SQL files and of what else of the plan counts."""

    sha256: str = ""
    skip: str | None = None
    max_age_seconds: float = 7 * DAY
    here_up_to_bytes: int = 50 * GIB
    is_anew: bool = False  # whatever is on record
    database: str | None = None  # the address of a copy that the team has made
    roles: tuple[str, ...] = ()  # that the plan names, and that have to be on its server


async def find(server: Server, plan: RehearsalPlan) -> Evidence:
    """{"identity", "on_record": {"at", "made_by", "place", "is_elsewhere", "seconds"} or None, "why", "says"}, and "cost" of one
    that is made here; {"skipped", "warnings"} of a plan without one. `is_elsewhere`: on another server than production's.

    Raises `Unfit` where none is on record and production is too large to rehearse it by the way.
    """
    if plan.skip:
        warning = f"the window is not rehearsed: {plan.skip}"
        return {"skipped": plan.skip, "warnings": [warning], "says": "the plan leaves the rehearsal out"}
    identity, size_bytes, _ = await _read(server, plan)
    known = await _find_all(server)
    cost = estimate(size_bytes, next((each for each in known if not each.where.place), None))
    if plan.is_anew:
        return {**_made_here(identity, "it is made anew", cost), "says": cost["says"]}
    found = next((each for each in known if each.identity == identity), None)
    if found and found.age_seconds <= plan.max_age_seconds:
        return {"identity": identity, "on_record": _evidence(found), "why": "", "says": _describe(found)}
    why = _why(found, plan)
    if size_bytes > plan.here_up_to_bytes and not plan.database:
        above = f"production has {size_bytes / GIB:.1f} GiB, more than rehearsal.here_up_to ({plan.here_up_to_bytes / GIB:g} GiB)"
        evidence = {"identity": identity, "cost": cost}
        raise Unfit(f"{above}, and {why}. A rehearsal: {cost['says']}", hint=HINT, evidence=evidence)
    return _made_here(identity, why, cost)


async def estimate_on(server: Server, place: str) -> Evidence:
    """As `cost` of `find`, for a copy that the team has made there."""
    async with session(server) as conn:
        [size_bytes] = await fetch_one(conn, SIZE, (server.names.production,)) or (0,)
    latest = next((each for each in await _find_all(server) if each.where.place == place), None)
    return estimate(int(size_bytes), latest, place)


def _made_here(identity: str, why: str, cost: Evidence) -> Evidence:
    says = f"{why}: PreCheck makes one. {cost['says']}"
    return {"identity": identity, "on_record": None, "why": why, "cost": cost, "says": says}


async def keep(
    server: Server,
    plan: RehearsalPlan,
    attempt_id: AttemptId,
    identity: str,
    seconds: Mapping[str, float],
    parts: Mapping[str, float],
    where: Where = HERE,
    *,
    at: str | None = None,
) -> Evidence:
    """{"identity", "place", "is_elsewhere"}; `seconds`: by rehearsed step; `parts`: of dump and restore.

    `at`: when the backup was taken, of one that is older. Raises `CheckFailed` if the catalog has changed since it began.
    """
    # no recorded step: taken twice it is the same, and `cutoverd rehearse` goes by one name for ever
    async with session(server) as conn, ledger.fenced_transaction(conn, attempt_id):
        now, size_bytes, catalog = await _read(server, plan)
        if now != identity:
            name = server.names.production
            hint = "`cutoverd rehearse` again, without --again" if is_without_run(attempt_id.run) else REHEARSE_ANEW
            raise CheckFailed(f"the catalog of {name} changed while it was rehearsed, so nothing is on record", hint=hint)
        made = rehearsals.Rehearsal(server.run, seconds, parts, size_bytes, where, catalog, at)
        await rehearsals.keep(conn, server.names.production, identity, made)
    return {"identity": identity, **asdict(where)}


async def check(server: Server, plan: RehearsalPlan, identity: str) -> Evidence:
    """{"age_seconds"}; raises `Unfit` where what was rehearsed under this identity is no longer what the window meets.

    Found: a run waited for days at the gate before Downtime, and went down with a catalog that nobody had rehearsed.
    """
    now, _, catalog = await _read(server, plan)
    known = next((each for each in await _find_all(server) if each.identity == identity), None)
    reason = ""
    if now != identity:
        reason = f"{server.names.production} is no longer what was rehearsed: {await _changes(server, identity, catalog)}"
    elif known is None:
        reason = "the rehearsal counts no more: a later one of the same files, plan and catalog found something wrong"
    elif known.age_seconds > plan.max_age_seconds and known.made_by != server.run:  # our own PreCheck made it because of that
        reason = _why(known, plan)
    if reason or known is None:
        raise Unfit(reason, hint=REHEARSE_ANEW)
    return {"age_seconds": round(known.age_seconds)}


async def _changes(server: Server, identity: str, now: Mapping[str, str]) -> str:
    async with session(server) as conn:
        found = changes(await rehearsals.find_catalog(conn, server.names.production, identity), now)
    return ", ".join(found[:MOST_NAMED]) + (f", and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else "")


async def revoke(server: Server, attempt_id: AttemptId, identity: str) -> bool:
    """Whether there was one on record, which is none any more."""
    async with session(server) as conn, ledger.fenced_transaction(conn, attempt_id):
        return await rehearsals.forget(conn, server.names.production, identity)


async def _read(server: Server, plan: RehearsalPlan) -> tuple[str, int, dict[str, str]]:
    """The identity, the bytes of production, and its catalog as far as the identity is made of it."""
    async with session(server, server.names.production) as conn:
        catalog = await read_parts(conn, plan.roles)
        [size_bytes] = await fetch_one(conn, SIZE, (server.names.production,)) or (0,)
    found = json.dumps([catalog, _release(), plan.sha256], sort_keys=True)
    return hashlib.sha256(found.encode()).hexdigest(), int(size_bytes), catalog


def _release() -> str:
    """Of cutoverd, without the patch: that takes the same steps, and nobody should pay hours for having a fault mended."""
    return ".".join(version("cutoverd").split(".")[:2])


async def _find_all(server: Server) -> list[RehearsalOnRecord]:
    """The newest first; none for `check` where there is no ledger yet."""
    if server.home != LEDGER:
        return []
    async with session(server) as conn:
        return await rehearsals.find_all(conn, server.names.production)


def _evidence(found: RehearsalOnRecord) -> Evidence:
    at = found.at.isoformat(timespec="seconds")
    return {"at": at, "made_by": found.made_by, "seconds": dict(found.seconds), **asdict(found.where)}


def _describe(found: RehearsalOnRecord) -> str:
    """When it was made, by whom, how long it took."""
    place = f" on {found.where.place}" if found.where.place else ""
    took = format_seconds(sum(seconds_by_part(found.seconds, found.parts).values()))
    made = f"{found.at:%Y-%m-%d %H:%M} by {describe_maker(found.made_by)}{place}"
    return f"it was rehearsed with this catalog, these SQL files and this plan on {made}, in {took}; it is not made again here"


def _why(found: RehearsalOnRecord | None, plan: RehearsalPlan) -> str:
    if found is None:
        return "no rehearsal of this catalog, these SQL files and this plan is on record"
    age, limit = found.age_seconds / DAY, plan.max_age_seconds / DAY
    return f"the rehearsal on record is {age:.1f} days old, and rehearsal.max_age is {limit:g} days"
