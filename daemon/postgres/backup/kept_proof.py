"""The copy that `cutoverd rehearse --keep` has left, on record: `--again` rehearses on it, and makes no backup and no copy anew.

Whoever was let in may have written to it, and production goes on: so it is asked whether both are what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cutoverd.daemon.postgres.backup.kept_copy import find_copy
from cutoverd.daemon.postgres.backup.rehearsal_record import DAY, RehearsalPlan
from cutoverd.daemon.postgres.backup.rehearsed_copy import read_copy, run_of
from cutoverd.daemon.postgres.catalog.identity import read_identity
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.found import forget_step, keep_found, kept_found
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import AttemptId, Evidence
from cutoverd.states.rehearsal import is_without_run

STEP = "precheck.prove_backup"
AGE = b"SELECT extract(epoch FROM clock_timestamp() - %s::timestamptz)::float8"
# the counters know nothing of a table that is written anew, which has another file then; a crash of the server forgets them: then
# they are others, which is the safe answer
WRITES = b"""
SELECT coalesce(sum(n_tup_ins), 0)::bigint, coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_del), 0)::bigint,
       (SELECT md5(string_agg(format('%s %s', oid, pg_relation_filenode(oid)), ',' ORDER BY oid)) FROM pg_class
         WHERE oid >= 16384 AND relkind IN ('r', 'm', 'S', 't'))
  FROM pg_stat_all_tables
 WHERE relid = 'pg_largeobject'::regclass OR (schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'information_schema')
"""
ANEW = "`cutoverd rehearse` begins anew, with a backup and a copy of today"


@dataclass(frozen=True)
class KeptProof:
    """A backup that was proven, and the copy that it was restored into."""

    proven: Evidence  # of `precheck.prove_backup`
    writes: Sequence[Any]  # to the copy, before anybody was let in; none of one that the team has made
    age_seconds: float  # of the backup, by the server's clock

    @property
    def at(self) -> str:
        """When the backup was taken, to the minute."""
        return str(self.proven["at"])[:16]


async def keep(server: Server, attempt_id: AttemptId, plan: RehearsalPlan, proven: Evidence) -> None:
    """A copy that the team has made is asked each time what it is: of that only the proof is kept."""
    database = None if plan.database else await find_copy(server.of_copy(), attempt_id)
    writes = await _read_writes(server, database) if database else []
    async with session(server) as conn:
        await keep_found(conn, _of(attempt_id), {"proven": dict(proven), "writes": writes})


async def forget(server: Server, attempt_id: AttemptId) -> None:
    """Of a rehearsal without a run: a run's copy is kept for nobody."""
    if not is_without_run(attempt_id.run):
        return
    async with session(server) as conn, ledger.fenced_transaction(conn, attempt_id):
        await forget_step(conn, run_of(attempt_id), STEP)


async def find(server: Server, attempt_id: AttemptId, plan: RehearsalPlan, made_with: str) -> KeptProof:
    """`made_with`: what the plan says of how a backup is restored. It changes nothing.

    Raises `Unfit` if none was kept, or if it is too old, or not what a backup of production as it is now would give.
    """
    async with session(server) as conn:
        kept = (await kept_found(conn, run_of(attempt_id))).get(STEP)
        if kept is None or (kept["writes"] and await find_copy(server.of_copy(), attempt_id) is None):
            raise Unfit(f"no rehearsal of {server.names.production} has kept its copy", hint=f"{ANEW}; `--keep` keeps them")
        [age_seconds] = await fetch_one(conn, AGE, (kept["proven"]["at"],)) or (0.0,)
    found = KeptProof(kept["proven"], kept["writes"], float(age_seconds))
    if reasons := [*_of_plan(found, plan, made_with), *await _of_production(server, found)]:
        raise Unfit("; ".join(reasons), hint=ANEW, evidence={"reasons": reasons})
    return found


async def check_untouched(copy: Server, found: KeptProof) -> None:
    """It has its name again, and holds what it held before anybody was let in. Raises `Unfit`."""
    if found.writes and not await _is_untouched(copy, found):
        says = (
            f"{copy.names.production} was written to since {found.at}, or its server has crashed: nothing would be proven by it"
        )
        raise Unfit(says, hint=ANEW)


async def _is_untouched(copy: Server, found: KeptProof) -> bool:
    now, held = await read_copy(copy), found.proven["copy"]
    return now == held and await _read_writes(copy, copy.names.production) == found.writes


def _of_plan(found: KeptProof, plan: RehearsalPlan, made_with: str) -> list[str]:
    reasons = []
    if found.age_seconds > plan.max_age_seconds:
        limit = f"rehearsal.max_age is {plan.max_age_seconds / DAY:g} days"
        reasons.append(f"the copy is {found.age_seconds / DAY:.1f} days old, and {limit}")
    if found.proven["made_with"] != made_with:
        reasons.append("the plan says otherwise by now how the backup is restored, or what is left out")
    if bool(plan.database) == bool(found.writes):
        reasons.append("the plan names another copy by now (rehearsal.database)")
    return reasons


async def _of_production(server: Server, found: KeptProof) -> list[str]:
    async with session(server, server.names.production) as conn:
        is_same = await read_identity(conn) == found.proven["catalog"]
    return [] if is_same else [f"the catalog of {server.names.production} has changed since {found.at}"]


async def _read_writes(server: Server, database: str) -> list[Any]:
    async with session(server, database) as conn:
        return list(await fetch_one(conn, WRITES) or ())


def _of(attempt_id: AttemptId) -> AttemptId:
    return AttemptId(run_of(attempt_id), attempt_id.epoch, STEP, attempt_id.direction, attempt_id.event_id)
