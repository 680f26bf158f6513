"""What roles may do: what they could in old and cannot in new, or the other way round, unless the plan waives it by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.session.reading import reading
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.validation.own_role import find_ours, read_own
from cutoverd.daemon.postgres.validation.rights import PUBLIC, Given, Reach, Rights, RightsFinding, not_held, read_rights
from cutoverd.daemon.postgres.validation.succession import find_unsecured, read_secured
from cutoverd.daemon.postgres.validation.widened import find_widened, find_wider
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

SHOWN = 10  # of each kind in the message; the evidence has all
ABLE = ("read", "written", "run")
HINT_LOST = "grant what is lost in the schema files"
HINT_WIDER = "take back in the schema files or data scripts what is wider than in old"
HINT_OURS = "let the files stay the owner: take out SET ROLE NONE and the like, or end with the ALTER … OWNER TO that is named"
HINT_WAIVE = "or waive it in the plan (validate.grants.waive) by role, by object or by `role on object`"


@dataclass(frozen=True)
class RightsDifference:
    """Two databases side by side: what is lost, what is wider, and what a person should look at."""

    before: Rights
    lost: Sequence[RightsFinding]
    widened: Sequence[RightsFinding]
    warnings: Sequence[str]
    ours: Sequence[RightsFinding] = ()  # what belongs to our role since

    @property
    def sides(self) -> tuple[Sequence[RightsFinding], ...]:
        return self.lost, self.widened, self.ours

    @property
    def found(self) -> list[RightsFinding]:
        return [each for side in self.sides for each in side]


async def check_grants(
    server: Server, waive: Mapping[str, str], *, new: str, old: str, comparisons: Sequence[Comparison] = ()
) -> Evidence:
    """{"roles": n, "grants": n, "waived": {finding: reason}, "unused": [waivers], "warnings": [...]}.

    `waive`: reasons by role, by object (schema.name), or by "role on object". Raises CheckFailed with every finding at once,
    evidence {"found": {what: [...]}}.
    """
    difference = await compare_rights(server, new=new, old=old, comparisons=comparisons)
    waived = {each: reason for each in difference.found if (reason := waiver_of(each, waive)) is not None}
    if any(each not in waived for each in difference.found):
        raise _failure([[each for each in side if each not in waived] for side in difference.sides])
    used = {name for each in waived for name in each.waivers if name in waive}
    return {
        "roles": len(difference.before.reach),
        "grants": len(difference.before.given),
        "waived": {f"{each.what}: {each.text}": reason for each, reason in waived.items()},
        "unused": sorted(set(waive) - used),
        "warnings": list(difference.warnings),
    }


async def compare_rights(server: Server, *, new: str, old: str, comparisons: Sequence[Comparison] = ()) -> RightsDifference:
    """Each side by itself; what new gives beyond old is asked of old, so old is read twice. Nobody writes to either meanwhile."""
    async with reading(server, old) as connection:
        before, owned = await read_rights(connection, []), await read_own(connection)
    async with reading(server, new) as connection:
        now = await read_rights(connection, list(before.policies))
        missing = await not_held(connection, before.given)
        ours = [*find_ours(owned.objects, await read_own(connection))]
    async with reading(
        server, old, of_plan=True
    ) as connection:  # what the plan's queries read depends on the owner's search_path
        secured = await read_secured(connection, comparisons, of_new=False)
    async with reading(server, new, of_plan=True) as connection:
        taken = await read_secured(connection, comparisons, of_new=True)
    async with reading(server, old) as connection:
        gained = await not_held(connection, now.given)
    lost = [*_lost(missing), *_unable(before, now), *_defaults(before, now), *_policies(before, now)]
    widened = [*find_widened(before, now, gained), *find_unsecured(secured, taken, before)]
    return RightsDifference(before, lost, widened, [*_warnings(before, now), *find_wider(before, now, gained)], ours)


def _lost(missing: Sequence[Given]) -> Iterator[RightsFinding]:
    """On what new has under the same name, whether it was cloned or made anew."""
    for kind, name, role, privilege in missing:
        what = name if kind in ("table", "sequence") else f"{kind} {name}"
        yield RightsFinding("grant is lost", role, name, f"{privilege} on {what} to {role}")


def _unable(before: Rights, now: Rights) -> Iterator[RightsFinding]:
    """A role whose tables or functions are gone must be able to do something of the kind with those that came."""
    nothing = Reach(False, False, False, False, False)
    for role, could in before.reach.items():
        can = now.reach.get(role, nothing)
        lost = [could.reads and not can.reads, could.writes and not can.writes, could.granted and not can.runs]
        for able, is_lost in zip(ABLE, lost, strict=True):
            if is_lost:
                yield RightsFinding(f"nothing can be {able} any more by", role, "", role)


def _defaults(before: Rights, now: Rights) -> Iterator[RightsFinding]:
    for schema, what, role, privilege in sorted(before.defaults - now.defaults):
        if not schema or schema in now.schemas:
            yield RightsFinding("grant is lost", role, schema, f"{privilege} by {what} to {role}")


def _policies(before: Rights, now: Rights) -> Iterator[RightsFinding]:
    """Where the table keeps its name, and is a table still."""
    for table in sorted((before.policies.keys() & now.policies.keys()) - now.views.keys()):
        was, now_there = before.policies[table].policies, now.policies[table].policies
        for name in sorted(was):
            if name not in now_there or was[name][:3] != now_there[name][:3]:
                yield RightsFinding("policy is lost or for others", "", table, f"{name} on {table}")


def _warnings(before: Rights, now: Rights) -> Iterator[str]:
    for role, could in sorted(before.reach.items()):
        can = now.reach.get(role)
        if role != PUBLIC and (could.reads or could.writes) and can and not can.anew:
            yield f"{role} reaches no table that old did not have"


def waiver_of(finding: RightsFinding, waive: Mapping[str, str]) -> str | None:
    """Why the plan says that it may be so; None if it says nothing of it."""
    return next((waive[name] for name in finding.waivers if name in waive), None)


def _failure(sides: Sequence[Sequence[RightsFinding]]) -> CheckFailed:
    """`sides`: what is lost, what is wider, what is ours."""
    by_kind: dict[str, list[str]] = {}
    for each in (each for side in sides for each in side):
        by_kind.setdefault(each.what, []).append(each.text)
    lines = [f"{what}: {', '.join(texts[:SHOWN])}{', …' if len(texts) > SHOWN else ''}" for what, texts in by_kind.items()]
    hints = [hint for side, hint in zip(sides, (HINT_LOST, HINT_WIDER, HINT_OURS), strict=True) if side]
    return CheckFailed("; ".join(lines), hint=", ".join([*hints, HINT_WAIVE]), evidence={"found": by_kind})
