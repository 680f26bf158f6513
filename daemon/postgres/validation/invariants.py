"""What must hold in new beside its rows: constraints, indexes, triggers, sequences. Old is the measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import reading
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.validation.sequences import positions, standing
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

FOLDER = Path(__file__).parent
ODD = (FOLDER / "invariants.sql").read_bytes()
RELATIONS = (FOLDER / "invariants_relations.sql").read_bytes()
LARGE_OBJECTS = "large objects"  # the name that a waiver of them has
OBJECTS = b"SELECT oid::bigint FROM pg_catalog.pg_largeobject_metadata"
OBJECTS_SUM = b"SELECT count(*), sum(hashint8extended(oid::bigint, 1)) FROM pg_catalog.pg_largeobject_metadata"
SHOWN = 10  # in the message; the evidence has all

Oddity: TypeAlias = tuple[str, str]  # what is wrong, with what


@dataclass(frozen=True)
class InvariantSnapshot:
    """One database as far as the invariants go."""

    odd: frozenset[Oddity]
    relations: int


async def check_invariants(server: Server, *, new: str, old: str, waive: Mapping[str, str] | None = None) -> Evidence:
    """{"relations": n, "sequences": n, "inherited": [...]}; `inherited` is odd in old too, and no reason to fail.

    With "waived", {what: reason}, and "warnings" if there are any. `waive`: reasons by the name that a finding has,
    `constraint on schema.table`, `schema.table` or `schema.sequence`. Raises CheckFailed with every finding at once, evidence
    {"found": {what: [names]}}.
    """
    before, given_out = await _snapshot(server, old), await positions(server, old)
    now = await _snapshot(server, new)
    lost = await _lost_objects(server, new=new, old=old)
    async with reading(server, new) as connection:
        standings = await standing(connection, given_out)
    behind = {
        ("sequence is behind", f"{each.definition.full_name}: at {each.last_value}, used up to {each.needed}")
        for each in standings
        if each.is_behind
    }
    found, waived = apart((now.odd - before.odd) | behind | lost, waive or {})
    if found:
        raise _failure(found)
    inherited = [f"{what}: {name}" for what, name in sorted(now.odd & before.odd)]
    warnings = [each.warning for each in standings if each.warning and each.definition.full_name not in (waive or {})]
    return {
        "relations": now.relations,
        "sequences": len(standings),
        "inherited": inherited,
        **({"waived": waived} if waived else {}),
        **({"warnings": warnings} if warnings else {}),
    }


async def _lost_objects(server: Server, *, new: str, old: str) -> set[Oddity]:
    """Large objects that new has not: no comparison of tables sees them. Read one by one only where it may be so."""
    sums, oids = [], list[set[int]]()
    for database in (old, new):
        async with reading(server, database) as connection:
            sums.append(await fetch_all(connection, OBJECTS_SUM))
    if sums[0] == sums[1]:
        return set()
    for database in (old, new):
        async with reading(server, database) as connection:
            oids.append({oid for (oid,) in await fetch_all(connection, OBJECTS)})
    lost = sorted(oids[0] - oids[1])
    listed = ", ".join(map(str, lost[:SHOWN])) + (", …" if len(lost) > SHOWN else "")
    return {("something of old is lost", f"{LARGE_OBJECTS}: {len(lost)} are not in new ({listed})")} if lost else set()


def apart(found: Iterable[Oddity], waive: Mapping[str, str]) -> tuple[frozenset[Oddity], dict[str, str]]:
    """What nobody waived, and what somebody did with the reason."""
    waived = {(what, name): waive[key] for what, name in found if (key := name.partition(": ")[0]) in waive}
    return frozenset(found) - waived.keys(), {f"{what}: {name}": reason for (what, name), reason in sorted(waived.items())}


async def _snapshot(server: Server, database: str) -> InvariantSnapshot:
    async with reading(server, database) as connection:
        odd = frozenset((str(what), str(name)) for what, name in await _rows(connection, ODD))
        return InvariantSnapshot(odd, len(await _rows(connection, RELATIONS)))


async def _rows(connection: Connection, query: bytes) -> list[tuple[object, ...]]:
    return await fetch_all(connection, query)


def _failure(found: frozenset[Oddity]) -> CheckFailed:
    by_kind: dict[str, list[str]] = {}
    for what, name in sorted(found):
        by_kind.setdefault(what, []).append(name)
    lines = [f"{what}: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}" for what, names in by_kind.items()]
    return CheckFailed(
        "; ".join(lines),
        hint="correct the schema files or data scripts, or waive it in the plan by its name with the reason "
        "(validate.invariants.waive); what old has the same way is let through",
        evidence={"found": by_kind},
    )
