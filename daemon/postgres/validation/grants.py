"""What roles may do: all that they could do in old and cannot do in new, unless the plan waives it by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import explained, reading
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

SHOWN = 10  # of each kind in the message; the evidence has all


def _sql(*names: str) -> bytes:
    folder = Path(__file__).parent / "grants_sql"
    return b"".join((folder / f"{name}.sql").read_bytes() for name in names)


GIVEN, MISSING, REACH = _sql("objects", "given"), _sql("objects", "missing"), _sql("objects", "reach")
DEFAULTS, POLICIES = _sql("defaults"), _sql("objects", "policies")
ABLE = ("read", "written", "run")


class GrantLoss(NamedTuple):
    """What is wrong, for whom (`role`, may be ""), with what (`name`, may be "")."""

    what: str
    role: str
    name: str
    text: str

    @property
    def waivers(self) -> tuple[str, ...]:
        """The names that a waiver of it may have."""
        return tuple(filter(None, (self.text, f"{self.role} on {self.name}" if self.name else "", self.role, self.name)))


class Security(NamedTuple):
    """Row level security of a table; `policies`: [command, permissive, roles, using, with check] by name."""

    is_on: bool
    is_forced: bool  # on the owner too
    policies: Mapping[str, Sequence[Any]]


class Reach(NamedTuple):
    """Whether a role can do anything of a kind; `granted`: run a function that not everybody may run."""

    reads: bool
    writes: bool
    runs: bool
    granted: bool
    anew: bool  # reaches a table that old did not have, or there is none


@dataclass(frozen=True)
class Rights:
    """One database as far as rights go."""

    given: frozenset[tuple[str, str, str, str]]  # kind, name, role, privilege
    reach: Mapping[str, Reach]
    defaults: frozenset[tuple[str, str, str, str]]  # schema, what, role, privilege
    policies: Mapping[str, Security]  # by table
    schemas: frozenset[str]


async def check_grants(server: Server, waive: Mapping[str, str], *, new: str, old: str) -> Evidence:
    """{"roles": n, "grants": n, "waived": {finding: reason}, "unused": [waivers], "warnings": [...]}.

    `waive`: reasons by role, by object (schema.name), or by "role on object". Raises CheckFailed with every finding at once,
    evidence {"found": {what: [...]}}.
    """
    async with reading(server, old) as connection:
        before = await _rights(connection, [])
    async with reading(server, new) as connection:
        now = await _rights(connection, list(before.policies))
        missing = await _rows(
            connection, MISSING, [list(column) for column in zip(*sorted(before.given), strict=True)] or [[]] * 4
        )
    found = [*_lost(missing), *_unable(before, now), *_defaults(before, now), *_policies(before, now)]
    waived = {each: reason for each in found if (reason := _reason(each, waive)) is not None}
    if left := [each for each in found if each not in waived]:
        raise _failure(left)
    used = {name for each in waived for name in each.waivers if name in waive}
    return {
        "roles": len(before.reach),
        "grants": len(before.given),
        "waived": {f"{each.what}: {each.text}": reason for each, reason in waived.items()},
        "unused": sorted(set(waive) - used),
        "warnings": list(_warnings(before, now)),
    }


async def _rights(connection: Connection, known: Sequence[str]) -> Rights:
    given = await _rows(connection, GIVEN)
    reach = await _rows(connection, REACH, [list(known)])
    defaults = await _rows(connection, DEFAULTS)
    policies = await _rows(connection, POLICIES)
    schemas = await _rows(connection, b"SELECT nspname::text FROM pg_catalog.pg_namespace")
    return Rights(
        frozenset(tuple(row) for row in given),
        {role: Reach(*row) for role, *row in reach},
        frozenset(tuple(row) for row in defaults),
        {table: Security(*row) for table, *row in policies},
        frozenset(name for (name,) in schemas),
    )


async def _rows(connection: Connection, query: bytes, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    with explained("the rights of all roles"):
        return await fetch_all(connection, query, values)


def _lost(missing: Sequence[tuple[str, str, str, str]]) -> Iterator[GrantLoss]:
    """On what new has under the same name, whether it was cloned or made anew."""
    for kind, name, role, privilege in missing:
        what = name if kind in ("table", "sequence") else f"{kind} {name}"
        yield GrantLoss("grant is lost", role, name, f"{privilege} on {what} to {role}")


def _unable(before: Rights, now: Rights) -> Iterator[GrantLoss]:
    """A role whose tables or functions are gone must be able to do something of the kind with those that came."""
    nothing = Reach(False, False, False, False, False)
    for role, could in before.reach.items():
        can = now.reach.get(role, nothing)
        lost = [could.reads and not can.reads, could.writes and not can.writes, could.granted and not can.runs]
        for able, is_lost in zip(ABLE, lost, strict=True):
            if is_lost:
                yield GrantLoss(f"nothing can be {able} any more by", role, "", role)


def _defaults(before: Rights, now: Rights) -> Iterator[GrantLoss]:
    for schema, what, role, privilege in sorted(before.defaults - now.defaults):
        if not schema or schema in now.schemas:
            yield GrantLoss("grant is lost", role, schema, f"{privilege} by {what} to {role}")


def _policies(before: Rights, now: Rights) -> Iterator[GrantLoss]:
    """Where the table keeps its name; what a policy lets through is for people to read."""
    for table in sorted(before.policies.keys() & now.policies.keys()):
        (was_on, was_forced, was), (is_on, is_forced, now_there) = before.policies[table], now.policies[table]
        if was_on and not is_on:
            yield GrantLoss("row level security is off", "", table, table)
        elif was_on and was_forced and not is_forced:
            yield GrantLoss("row level security is not forced on the owner", "", table, table)
        for name in sorted(was):
            if name not in now_there or was[name][:3] != now_there[name][:3]:
                yield GrantLoss("policy is lost or for others", "", table, f"{name} on {table}")


def _warnings(before: Rights, now: Rights) -> Iterator[str]:
    for table in sorted(before.policies.keys() & now.policies.keys()):
        was, is_ = before.policies[table].policies, now.policies[table].policies
        for name in sorted(name for name in was.keys() & is_.keys() if was[name][3:] != is_[name][3:]):
            yield f"policy {name} on {table} reads otherwise than in old"
    for role, could in sorted(before.reach.items()):
        can = now.reach.get(role)
        if role != "public" and (could.reads or could.writes) and can and not can.anew:
            yield f"{role} reaches no table that old did not have"


def _reason(finding: GrantLoss, waive: Mapping[str, str]) -> str | None:
    return next((waive[name] for name in finding.waivers if name in waive), None)


def _failure(found: Sequence[GrantLoss]) -> CheckFailed:
    by_kind: dict[str, list[str]] = {}
    for each in found:
        by_kind.setdefault(each.what, []).append(each.text)
    lines = [f"{what}: {', '.join(texts[:SHOWN])}{', …' if len(texts) > SHOWN else ''}" for what, texts in by_kind.items()]
    return CheckFailed(
        "; ".join(lines),
        hint="grant it in the schema files, or waive it in the plan (validate.grants.waive) by role, object or `role on object`",
        evidence={"found": by_kind},
    )
