"""Sequences of new: beyond the data of every column that they feed, and beyond what old has given out. Only ever forwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql
from psycopg.rows import class_row

from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import reading
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

SEQUENCES = Path(__file__).with_name("sequences.sql").read_bytes()
LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1, "numeric": 2**63 - 1}
# numeric may hold NaN and what no sequence gives; the bounds keep indexes of integer columns useful
DATA = (
    "SELECT trunc({}({column})::numeric)::bigint FROM {table} WHERE {column} BETWEEN -(2::numeric ^ 63) AND 2::numeric ^ 63 - 1"
)
A_MARK_LEAVES = 4  # one in so many of all numbers free before it
LOCK_WAIT = "SET LOCAL lock_timeout = '10s'"
VALUES = "SELECT trunc({column}::numeric) FROM {table} WHERE {column} BETWEEN -(2::numeric ^ 63) AND 2::numeric ^ 63 - 1"
# The furthest value behind which so many numbers are free.
LAST_FREE = """
SELECT max(value) FROM (
    SELECT value, lead(value) OVER (ORDER BY value) AS following
      FROM (SELECT {sign} * used AS value FROM ({values}) AS given (used)) AS signed
) AS placed
 WHERE least(following, {end}::numeric + 1) - value >= {free}
"""


@dataclass(frozen=True)
class Definition:
    """A sequence as the catalog has it; `tables`, `columns` and `types` go side by side: what it feeds."""

    schema: str
    name: str
    increment: int
    lowest: int
    highest: int
    cycles: bool
    tables: Sequence[str]  # quoted
    columns: Sequence[str]
    types: Sequence[str]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def numbered(self) -> list[tuple[str, str]]:
        """The fed columns whose values are the sequence's own; text made of a number cannot be judged."""
        fed = zip(self.tables, self.columns, self.types, strict=True)
        return [(table, column) for table, column, type_ in fed if type_ in LARGEST]

    @property
    def unjudged(self) -> list[str]:
        fed = zip(self.tables, self.columns, self.types, strict=True)
        return [f"{table}.{column} ({type_})" for table, column, type_ in fed if type_ not in LARGEST]

    def furthest(self, values: Iterable[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return (max(known) if self.increment > 0 else min(known)) if known else None

    def is_beyond(self, value: int, other: int) -> bool:
        return value > other if self.increment > 0 else value < other

    @property
    def end(self) -> int:
        """The furthest number that it may give out and that the columns can hold."""
        largest = min((LARGEST[t] for t in self.types if t in LARGEST), default=self.highest)
        return min(self.highest, largest) if self.increment > 0 else max(self.lowest, -largest - 1)

    def has_room_after(self, value: int) -> bool:
        """Whether one more can be given out, that the columns can hold."""
        return not self.is_beyond(value + self.increment, self.end)


@dataclass(frozen=True)
class SequencePosition:
    """Where a sequence is, and where it has to be at least; None: nothing given out, nothing needed."""

    definition: Definition
    last_value: int
    is_called: bool
    needed: int | None
    end: int | None = None  # what the data holds at the end of the type, if the sequence goes on below it

    @property
    def next_value(self) -> int:
        return self.last_value + (self.definition.increment if self.is_called else 0)

    @property
    def is_behind(self) -> bool:
        if self.needed is None:
            return False
        return not self.definition.is_beyond(self.next_value, self.needed)

    @property
    def target(self) -> int:
        """The first of the sequence's own numbers that is not before `needed`: a step of 10 stays on its tens."""
        steps = -((self.last_value - (self.needed or 0)) // self.definition.increment)
        return self.last_value + max(steps, 0) * self.definition.increment

    @property
    def is_exhausted(self) -> bool:
        position = self.target if self.is_behind else self.last_value
        given_out = self.is_called or self.is_behind
        return (
            bool(given_out and (self.definition.tables or self.is_behind))
            and not self.definition.cycles
            and not self.definition.has_room_after(position)
        )

    @property
    def warning(self) -> str | None:
        """Of one that goes on below what the data holds at the end, or has come to its own end."""
        columns = ", ".join(f"{table}.{column}" for table, column in self.definition.numbered) or "what it feeds"
        name = self.definition.full_name
        if self.end is not None:
            position = self.target + self.definition.increment if self.is_behind else self.next_value
            return (
                f"sequence {name}: {columns} holds {self.end}, beyond which there is no number; it goes on with {position}, "
                "below that one"
            )
        return f"sequence {name} has no number left to give: {columns} is at {self.last_value}" if self.is_exhausted else None


async def set_sequences(server: Server, *, new: str, old: str, waive: Mapping[str, str] | None = None) -> Evidence:
    """{"set": {sequence: value}, "right": n, "unjudged": [...]}; `unjudged` are columns that are not integers.

    A sequence that may cycle is held against old alone: behind its data is where it belongs. Where the data holds the last
    number of the type it goes on below it. With "waived" and "warnings" if there are any. Raises CheckFailed with evidence
    {"exhausted"}, and sets none, where one has no number left to give and had one in old; `waive`: reasons by schema.sequence,
    which is left where it is.
    """
    given_out = await positions(server, old)
    async with session(server, new) as connection:
        found = await standing(connection, given_out)
        waived = {
            each.definition.full_name: (waive or {})[each.definition.full_name] for each in found if _is_waived(each, waive)
        }
        standings = [each for each in found if each.definition.full_name not in waived]
        _check_room([each for each in standings if given_out.get(each.definition.full_name) != each.last_value])
        behind = [each for each in standings if each.is_behind]
        for each in behind:
            await connection.execute("SELECT setval(%s::regclass, %s, true)", (_quoted(connection, each), each.target))
    warnings = [each.warning for each in standings if each.warning]
    return {
        "set": {each.definition.full_name: each.target for each in behind},
        "right": len(standings) - len(behind),
        "unjudged": sorted(column for each in standings for column in each.definition.unjudged),
        **({"waived": waived} if waived else {}),
        **({"warnings": warnings} if warnings else {}),
    }


def _is_waived(position: SequencePosition, waive: Mapping[str, str] | None) -> bool:
    """One that the data alone would move, or that is at its end; any other is judged though it is named."""
    return position.definition.full_name in (waive or {}) and (position.is_exhausted or position.end is not None)


async def at_their_end(server: Server, database: str) -> list[str]:
    """Warnings of a database as it is: its sequences that data keeps from going on, or that have come to their end."""
    async with reading(server, database) as connection:
        await connection.execute(LOCK_WAIT)
        return [each.warning for each in await standing(connection, {}) if each.warning]


async def positions(server: Server, database: str) -> Mapping[str, int]:
    """The last number that each sequence has given out, by schema.name."""
    async with reading(server, database) as connection:
        places = {each.full_name: await _place(connection, each) for each in await definitions(connection)}
    return {name: last_value for name, (last_value, is_called) in places.items() if is_called}


async def standing(connection: Connection, given_out: Mapping[str, int]) -> list[SequencePosition]:
    """Every sequence of this database, held against its data and against what old has given out."""
    found = []
    for each in await definitions(connection):
        data = None if each.cycles else await _data(connection, each)
        place, of_old = await _place(connection, each), _of_old(each, given_out)
        position = SequencePosition(each, *place, each.furthest([data, of_old]))
        if position.is_exhausted and position.is_behind:
            position = await _below_the_end(connection, position, of_old)
        found.append(position)
    return found


async def _below_the_end(connection: Connection, position: SequencePosition, of_old: int | None) -> SequencePosition:
    """Somebody has put the last number of the type into the data, as a mark: the sequence goes on where the next are free.

    It is taken for a mark where old's sequence is below it, or where much is free before it; else the numbers are used up.
    """
    each = position.definition
    given = [of_old, position.last_value - (0 if position.is_called else each.increment)]
    values = sql.SQL(" UNION ").join(
        [
            *(sql.SQL(VALUES).format(column=sql.Identifier(column), table=sql.SQL(table)) for table, column in each.numbered),
            *(sql.SQL("SELECT {}::numeric").format(sql.Literal(value)) for value in given if value is not None),
        ]
    )
    sign = 1 if each.increment > 0 else -1
    much = abs(each.end - (each.lowest if sign > 0 else each.highest)) // A_MARK_LEAVES
    rounded = 2 * abs(each.increment)  # it stays on numbers of its own
    wanted = rounded if of_old is not None and each.has_room_after(of_old) else max(rounded, much)
    words = {"sign": sign, "end": each.end * sign, "free": wanted}
    query = sql.SQL(LAST_FREE).format(values=values, **{name: sql.Literal(value) for name, value in words.items()})
    [[free]] = await fetch_all(connection, query)
    if free is None:
        return position
    return replace(position, needed=int(free) * sign, end=position.needed)


async def definitions(connection: Connection) -> list[Definition]:
    async with connection.cursor(row_factory=class_row(Definition)) as cursor:
        return await (await cursor.execute(SEQUENCES)).fetchall()


def _of_old(definition: Definition, given_out: Mapping[str, int]) -> int | None:
    """Of the sequence of the same name; in another schema if there is just one and its numbers fit here."""
    if definition.full_name in given_out:
        return given_out[definition.full_name]
    same = [value for name, value in given_out.items() if name.rpartition(".")[2] == definition.name]
    return same[0] if len(same) == 1 and definition.has_room_after(same[0]) else None


async def _data(connection: Connection, definition: Definition) -> int | None:
    aggregate = sql.SQL("max" if definition.increment > 0 else "min")
    values = []
    for table, column in definition.numbered:
        query = sql.SQL(DATA).format(aggregate, column=sql.Identifier(column), table=sql.SQL(table))  # quoted by the server
        [[value]] = await fetch_all(connection, query)
        values.append(value)
    return definition.furthest(values)


async def _place(connection: Connection, definition: Definition) -> tuple[int, bool]:
    query = sql.SQL("SELECT last_value, is_called FROM {}").format(definition.identifier)
    [[last_value, is_called]] = await fetch_all(connection, query)
    return last_value, is_called


def _quoted(connection: Connection, standing: SequencePosition) -> str:
    return standing.definition.identifier.as_string(connection)


def _check_room(standings: Sequence[SequencePosition]) -> None:
    exhausted = {each.definition.full_name: each.target for each in standings if each.is_exhausted}
    if exhausted:
        listed = ", ".join(f"{name} at {value}" for name, value in exhausted.items())
        raise CheckFailed(
            f"sequences with no number left to give, for themselves or for their column's type: {listed}",
            hint="widen the column and the sequence (AS bigint, MAXVALUE) in the schema files, or say in the plan why it may "
            "stay so (validate.invariants.waive)",
            evidence={"exhausted": exhausted},
        )
