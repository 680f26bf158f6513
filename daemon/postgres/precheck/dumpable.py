"""Whether the backup can be taken and proven, and its copy will be what the window works on: asked of the catalog.

A reason names the object and the statement that helps. What no role of the team can restore is left out by name, or restored by a
command of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from cutoverd.daemon.engine.truncate import first_of
from cutoverd.daemon.postgres.catalog.not_restorable import NotRestorable, read_not_restorable
from cutoverd.daemon.postgres.catalog.owned import OwnedObject, database_owner, is_superuser, read_owned
from cutoverd.daemon.postgres.precheck.dump_rights import cannot_dump, hidden_from_scripts
from cutoverd.daemon.postgres.precheck.script_needs import ScriptNeeds, read_needs
from cutoverd.daemon.postgres.precheck.script_rights import ScriptJudge
from cutoverd.daemon.postgres.precheck.search_path import fail_without_path
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.sqltext.file_reader import Judge
from cutoverd.daemon.sqltext.splitter import Statement
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import Evidence

PARTS = ("operator of access method", "function of access method", "composite type")  # they go with what is named
SHOWN = 12  # warnings of a kind
FindStatements: TypeAlias = Callable[[Judge], list[str]]
UNKNOWN = """
SELECT name FROM unnest(%s::text[]) AS l (name)
 WHERE CASE WHEN name LIKE '%%(%%' THEN to_regprocedure(name)::oid
            ELSE coalesce(to_regclass(name)::oid, to_regtype(name)::oid) END IS NULL
"""


@dataclass(frozen=True)
class ProofPlan:
    """What the plan says of the backup's proof."""

    leave_out: Mapping[str, str] = field(default_factory=dict)  # why, by name
    restore: Sequence[str] = ()  # a command of the team's, instead of pg_restore
    cwd: Path = Path(".")

    @property
    def sha256(self) -> str:
        """Of what decides what is in a restored copy."""
        return hashlib.sha256(repr((sorted(self.leave_out), list(self.restore))).encode()).hexdigest()


@dataclass(frozen=True)
class RightsAndNeeds:
    """Both judges of the files' statements, as one."""

    rights: ScriptJudge
    needs: ScriptNeeds

    def begin_session(self) -> None:
        self.needs.begin_session()

    def begin_file(self, *, in_transaction: bool) -> None:
        self.needs.begin_file(in_transaction=in_transaction)

    def __call__(self, statement: Statement, *, certain: bool) -> list[tuple[str, str]]:
        return [*self.rights(statement), *self.needs(statement, certain=certain)]


async def check_dumpable(server: Server, proof: ProofPlan, find: FindStatements) -> Evidence:
    """{"warnings", "left_out"}; `find` gives the places of the statements of the SQL files that it is given a judge for.

    Raises `Unfit` with every reason.
    """
    async with session(server, server.names.production) as conn:
        owner, owned = await database_owner(conn), await read_owned(conn)
        reasons = await cannot_dump(conn)
        left_out = [] if proof.restore else await read_not_restorable(conn, list(proof.leave_out))
        reasons += [] if proof.restore else [*await _unknown(conn, proof), *_rows_lost(left_out)]
        hidden, needs = await hidden_from_scripts(conn), await read_needs(server, conn, owner)
        if not proof.restore and not await is_superuser(conn):
            async with conn.transaction(force_rollback=True):
                await conn.execute("SET TRANSACTION READ ONLY")
                reasons += await fail_without_path(conn)
    others = [each for each in owned if not each.by_owner]
    judge = ScriptJudge(owner, others, hidden)
    reasons += await asyncio.to_thread(find, RightsAndNeeds(judge, needs))
    warnings = [*_left_out(left_out, proof), *_of_others(others, owner, judge)]
    if reasons:
        hint = "see to all of them, then `retry`"
        raise Unfit("; ".join(reasons), hint=hint, evidence={"reasons": reasons, "warnings": warnings})
    return {"warnings": warnings, "left_out": [str(each) for each in left_out]}


async def _unknown(conn: Connection, proof: ProofPlan) -> list[str]:
    names = [name for (name,) in await fetch_all(conn, UNKNOWN, [list(proof.leave_out)])]
    return [f"backup.leave_out names {name}, and there is no table, view, type or function of that name" for name in names]


def _rows_lost(left_out: Iterable[NotRestorable]) -> list[str]:
    """A table is left out only where the plan says so: nobody would know that its rows are not proven."""
    return [
        f"{each} cannot be restored to prove the backup, since it needs {each.root}, and {each.why}: "
        + (f"{each.remedy}; or " if each.remedy else "")
        + f"name it in the plan (backup: {{leave_out: {{{each.identity}: why}}}}), or restore it by a command (backup.restore)"
        for each in left_out
        if each.has_rows and not each.by_name
    ]


def _left_out(left_out: Sequence[NotRestorable], proof: ProofPlan) -> list[str]:
    named = [f"{name} is left out of the backup's proof: {why}" for name, why in proof.leave_out.items() if not proof.restore]
    shown = [each for each in left_out if not each.by_name and not (each.has_rows and not each.by_name)]
    roots = {each.root: each for each in shown if each.is_root}
    by_root: dict[str, list[str]] = {root: [] for root in roots}
    for each in shown:
        if not each.is_root and each.type not in PARTS:
            by_root.setdefault(each.root, []).append(str(each))
    lines = [*named, *(_of_root(root, roots.get(root), below) for root, below in by_root.items())]
    return first_of(lines, 2 * SHOWN, "not in the copy that PreCheck tries")


def _of_root(root: str, of_root: NotRestorable | None, below: Sequence[str]) -> str:
    why = of_root.why if of_root else "only a superuser may create it"
    remedy = (
        f"; to have it tried: {of_root.remedy}" if of_root and of_root.remedy and not root.startswith("event trigger") else ""
    )
    if root.startswith("event trigger") and of_root and of_root.remedy:
        remedy = f"; if what it does is not meant for the window: {of_root.remedy}"
    more = f" and {len(below) - SHOWN} more" if len(below) > SHOWN else ""
    with_it = f", and with it {', '.join(below[:SHOWN])}{more}" if below else ""
    return f"{root}{with_it} is not in the copy that PreCheck tries: {why}{remedy}"


def _of_others(others: Sequence[OwnedObject], owner: str, judge: ScriptJudge) -> list[str]:
    rest = [each for each in others if each not in judge.named]
    may = f"and the files run as {owner}, who may not change it"
    warnings = [f"{each.type} {each.identity} belongs to {each.owner}, {may}: {each.remedy(owner)}" for each in rest[:SHOWN]]
    return warnings + ([f"{len(rest) - SHOWN} more objects belong to others than {owner}"] if len(rest) > SHOWN else [])
