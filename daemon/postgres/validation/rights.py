"""What rights a database gives, as the server tells it: who may do what, whose each object is, and what shows rows to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import explained

PUBLIC = "public"  # as the role of everybody
Given = tuple[str, str, str, str]  # kind, name, role, privilege


def _sql(*names: str) -> bytes:
    folder = Path(__file__).parent / "grants_sql"
    return b"".join((folder / f"{name}.sql").read_bytes() for name in names)


GIVEN, MISSING, REACH = _sql("objects", "given"), _sql("objects", "missing"), _sql("objects", "reach")
DEFAULTS, POLICIES, OWNERS = _sql("defaults"), _sql("objects", "policies"), _sql("objects", "owners")
VIEWS, ROUTINES, SECURED = _sql("objects", "views"), _sql("objects", "routines"), _sql("objects", "secured")
EXPOSED = _sql("objects", "exposed")
SCHEMAS = b"SELECT nspname::text FROM pg_catalog.pg_namespace"


class RightsFinding(NamedTuple):
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
    """Row level security of a table; `policies`: [command, permissive, roles, using, with check, as kept] by name."""

    is_on: bool
    is_forced: bool  # on the owner too
    oid: int
    policies: Mapping[str, Sequence[Any]]


class Reach(NamedTuple):
    """Whether a role can do anything of a kind; `granted`: run a function that not everybody may run."""

    reads: bool
    writes: bool
    runs: bool
    granted: bool
    anew: bool  # reaches a table that old did not have, or there is none


class View(NamedTuple):
    """What a view shows, and with whose rights."""

    as_caller: bool  # security_invoker
    is_barrier: bool
    owner: str
    is_shared: bool  # others than the owner may read it
    past: Sequence[str]  # tables whose row level security it reads past
    checks: str  # WITH CHECK OPTION, "local" or "cascaded": nobody writes a row by it that it does not show; "": none


class Exposed(NamedTuple):
    """A table without row level security that others may use, below one that has it: a query that names it is not asked."""

    table: str
    above: str
    above_oid: int  # which a clone keeps
    role: str


class Routine(NamedTuple):
    """A function or procedure, and with whose rights it runs."""

    as_owner: bool  # SECURITY DEFINER
    has_path: bool
    owner: str
    by_everybody: bool


@dataclass(frozen=True)
class Rights:
    """One database as far as rights go."""

    given: frozenset[Given]
    reach: Mapping[str, Reach]
    defaults: frozenset[Given]  # schema, what, role, privilege
    policies: Mapping[str, Security]  # by table
    schemas: frozenset[str]
    owners: Mapping[tuple[str, str], str] = field(default_factory=dict)  # by kind and name
    views: Mapping[str, View] = field(default_factory=dict)
    routines: Mapping[str, Routine] = field(default_factory=dict)
    exposed: Sequence[Exposed] = ()


async def read_rights(connection: Connection, known: Sequence[str]) -> Rights:
    """`known`: the tables that old has."""
    return Rights(
        given=frozenset(tuple(row) for row in await rows(connection, GIVEN)),
        reach={role: Reach(*row) for role, *row in await rows(connection, REACH, [list(known)])},
        defaults=frozenset(tuple(row) for row in await rows(connection, DEFAULTS)),
        policies={table: Security(*row) for table, *row in await rows(connection, POLICIES)},
        schemas=frozenset(name for (name,) in await rows(connection, SCHEMAS)),
        owners={(kind, name): owner for kind, name, owner in await rows(connection, OWNERS)},
        views={name: View(*row) for name, *row in await rows(connection, VIEWS)},
        routines={name: Routine(*row) for name, *row in await rows(connection, ROUTINES)},
        exposed=[Exposed(*row) for row in await rows(connection, EXPOSED)],
    )


async def not_held(connection: Connection, given: frozenset[Given]) -> list[Given]:
    """Which of the given are not held here, by whatever way, on the object of the same name."""
    columns = [list(column) for column in zip(*sorted(given), strict=True)] or [[]] * 4
    return [(kind, name, role, privilege) for kind, name, role, privilege in await rows(connection, MISSING, columns)]


async def rows(connection: Connection, query: bytes, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    with explained("the rights of all roles"):
        return await fetch_all(connection, query, values)
