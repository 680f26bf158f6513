"""Each kind of corruption, in each type of column, is caught and named by its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison, compare
from cutoverd.states.errors import CheckFailed

NULL_ID = 100
EXTRA_ID = 101
ROWS = Comparison("rows", "SELECT id, v FROM o.t", "SELECT id, v FROM n.t", ("id",))


@dataclass(frozen=True)
class Case:
    """A type, distinct values that rows 1, 2, … have, and what else a value may wrongly become: (row, new value)."""

    type: str
    values: tuple[str, ...]
    becomes: Mapping[str, tuple[int, str]] = field(default_factory=dict)


CASES = [
    Case("smallint", ("1", "2", "-3"), {"off by one": (1, "4"), "sign lost": (3, "3")}),
    Case("integer", ("1", "2", "-3"), {"off by one": (1, "0"), "sign lost": (3, "3")}),
    Case(
        "bigint",
        ("1", "9007199254740993", "-1"),
        # PostgreSQL's own hash of a bigint folds both halves into one: these collide under every seed
        {"through a float": (2, "9007199254740992"), "halves folded": (1, "4294967296"), "sign folded": (3, "0")},
    ),
    Case(
        "numeric",
        ("12.34", "1.0", "'NaN'", "100000000000000000000", "0", "1e-30"),
        {
            "off by 0.01": (1, "12.35"),
            "smallest step": (4, "100000000000000000000.00000000000000000001"),
            "scale gained": (2, "1.00"),
            "scale lost": (2, "1"),
            "NaN lost": (3, "0.0"),
            "rounded": (6, "0"),
        },
    ),
    Case("numeric(12,2)", ("12.34", "56.78", "-0.01"), {"off by 0.01": (1, "12.33"), "sign lost": (3, "0.01")}),
    Case("real", ("0.1", "0", "'NaN'", "16777216"), {"smallest step": (1, "0.10000001"), "sign of zero": (2, "'-0'")}),
    Case(
        "double precision",
        ("0.1", "0", "'NaN'", "'Infinity'", "1e-300"),
        {
            "smallest step": (1, "0.10000000000000002"),
            "through a real": (1, "0.1::real"),
            "sign of zero": (2, "'-0'"),
            "NaN lost": (3, "'Infinity'"),
            "sign of infinity": (4, "'-Infinity'"),
            "underflow": (5, "0"),
        },
    ),
    Case("boolean", ("true", "false"), {"inverted": (1, "false")}),
    Case(
        "text",
        ("'Meier'", "''", "'NULL'", "E'caf\u00e9'", r"E'a\nb'", r"E'\\N'", r"E'a\tb'"),
        {
            "trailing blank": (1, "'Meier '"),
            "leading blank": (1, "' Meier'"),
            "case": (1, "'meier'"),
            "empty to NULL": (2, "NULL"),
            "word to NULL": (3, "NULL"),
            "copy's NULL to NULL": (6, "NULL"),
            "accent lost": (4, "'cafe'"),
            "accent decomposed": (4, r"E'cafe\u0301'"),
            "twice encoded": (4, "'caf\u00c3\u00a9'"),
            "line ending": (5, r"E'a\r\nb'"),
            "tab to blank": (7, "'a b'"),
        },
    ),
    Case(
        "varchar(20)",
        ("'one'", "''", "'three'"),
        {"trailing blank": (1, "'one '"), "cut": (3, "'thre'"), "empty to NULL": (2, "NULL")},
    ),
    Case("char(5)", ("'ab'", "'cd'", "''"), {"case": (1, "'aB'"), "leading blank": (1, "' ab'"), "empty to NULL": (3, "NULL")}),
    Case('text COLLATE "de_blind"', ("'straße'", "'Ä'", "'b'"), {"case": (3, "'B'"), "sharp s": (1, "'strasse'")}),
    Case(
        "bytea",
        (r"'\x00ff'", r"'\x'", r"'\x5c4e'"),
        {
            "trailing zero": (1, r"'\x00ff00'"),
            "a bit": (1, r"'\x00fe'"),
            "empty to NULL": (2, "NULL"),
            "escaped twice": (3, r"'\x5c5c4e'"),
        },
    ),
    Case("date", ("'2024-02-29'", "'infinity'", "'0044-03-15 BC'"), {"a day": (1, "'2024-03-01'"), "era": (3, "'0044-03-15'")}),
    Case(
        "time",
        ("'12:00:00'", "'00:00'", "'23:59:59.999999'"),
        {"microsecond": (1, "'12:00:00.000001'"), "midnight": (2, "'24:00'")},
    ),
    Case("timetz", ("'12:00+00'", "'13:00+02'"), {"same instant elsewhere": (1, "'13:00+01'")}),
    Case(
        "timestamp",
        ("'2024-03-31 02:30'", "'2024-01-01'", "'infinity'"),
        {
            "microsecond": (2, "'2024-01-01 00:00:00.000001'"),
            "daylight saving": (1, "'2024-03-31 03:30'"),
            "sign": (3, "'-infinity'"),
        },
    ),
    Case(
        "timestamptz",
        ("'2024-10-27 02:30+02'", "'2024-01-01 00:00+00'", "'1969-12-31 23:59:59+00'"),
        {
            "daylight saving": (1, "'2024-10-27 02:30+01'"),
            "zone lost": (2, "'2024-01-01 00:00+01'"),
            "microsecond": (2, "'2024-01-01 00:00:00.000001+00'"),
        },
    ),
    Case(
        "interval",
        ("'1 mon'", "'1 day'", "'-1 day +02:00'"),
        {"month to days": (1, "'30 days'"), "day to hours": (2, "'24 hours'"), "sign": (3, "'-1 day -02:00'")},
    ),
    Case(
        "uuid",
        ("'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
        {"a bit": (1, "'00000000-0000-0000-0000-000000000000'")},
    ),
    Case(
        "json",
        ("""'{"a": 1, "b": 2}'""", "'null'", "'1.0'"),
        {
            "blank": (1, """'{"a":1, "b": 2}'"""),
            "key order": (1, """'{"b": 2, "a": 1}'"""),
            "null to NULL": (2, "NULL"),
            "scale": (3, "'1.00'"),
        },
    ),
    Case(
        "jsonb",
        ("""'{"a": 1, "b": [1, 2]}'""", "'null'", "'1.0'", """'""'"""),
        {
            "scale": (3, "'1.00'"),
            "number to text": (1, """'{"a": "1", "b": [1, 2]}'"""),
            "order of an array": (1, """'{"a": 1, "b": [2, 1]}'"""),
            "null to NULL": (2, "NULL"),
            "empty text to NULL": (4, "NULL"),
        },
    ),
    Case(
        "integer[]",
        ("'{1,2}'", "'{}'", "'{1,NULL}'", "'{{1,2},{3,4}}'"),
        {
            "order": (1, "'{2,1}'"),
            "lower bound": (1, "'[0:1]={1,2}'"),
            "element to NULL": (1, "'{1,NULL}'"),
            "NULL element lost": (3, "'{1}'"),
            "empty to NULL": (2, "NULL"),
            "flattened": (4, "'{1,2,3,4}'"),
        },
    ),
    Case(
        "text[]",
        ("""'{a,"NULL"}'""", """'{"a,b"}'""", """'{""}'"""),
        {"word to NULL": (1, "'{a,NULL}'"), "comma": (2, "'{a,b}'"), "empty element": (3, "'{}'")},
    ),
    Case(
        "double precision[]",
        ("'{0,NaN}'", "'{0.1}'"),
        {"sign of zero": (1, "'{-0,NaN}'"), "smallest step": (2, "'{0.10000000000000002}'")},
    ),
    Case("mood", ("'sad'", "'ok'", "'happy'"), {"other label": (1, "'happy'")}),
    Case(
        "pair",
        ("ROW(1, 'a')", "ROW(NULL, NULL)", "ROW(1, '')"),
        {"field": (1, "ROW(1, 'b')"), "all NULL to NULL": (2, "NULL"), "empty field": (3, "ROW(1, NULL)")},
    ),
    Case("positive", ("1.0", "2"), {"scale": (1, "1.00")}),
    Case(
        "int4range",
        ("'[1,5)'", "'empty'", "'[1,)'"),
        {"bound": (1, "'[1,6)'"), "empty to NULL": (2, "NULL"), "bound lost": (3, "'(,)'")},
    ),
    Case("numrange", ("'[1,5)'", "'(1,2]'"), {"inclusive": (1, "'[1,5]'"), "scale": (2, "'(1,2.0]'")}),
    Case("int8multirange", ("'{[1,3),[5,7)}'", "'{}'"), {"gap lost": (1, "'{[1,7)}'")}),
    Case("bit(4)", ("B'0101'", "B'0000'"), {"a bit": (1, "B'0100'")}),
    Case("varbit", ("B'0101'", "B''"), {"trailing zero": (1, "B'01010'"), "empty to NULL": (2, "NULL")}),
    Case("money", ("12.34", "-1"), {"off by 0.01": (1, "12.35"), "sign lost": (2, "1")}),
    Case("point", ("'(0,1)'", "'(0.1,0)'"), {"sign of zero": (1, "'(-0,1)'"), "smallest step": (2, "'(0.10000000000000002,0)'")}),
    Case(
        "tsvector",
        ("'a:1 b:2'", "'a'"),
        {"position": (1, "'a:1 b:3'"), "weight": (1, "'a:1A b:2'"), "positions lost": (1, "'a b'")},
    ),
    Case("inet", ("'10.0.0.1'", "'::1'"), {"mask": (1, "'10.0.0.1/24'"), "family": (2, "'0.0.0.1'")}),
]


def generic(case: Case) -> Iterator[tuple[str, str, dict[int, set[str]]]]:
    """(what happens, the statements that do it to n.t, the kinds of difference by id)."""
    first, second = case.values[:2]
    yield "a pair swapped", f"{becomes(1, second)}; {becomes(2, first)}", {1: {"changed"}, 2: {"changed"}}
    yield "a NULL lost", becomes(NULL_ID, first), {NULL_ID: {"changed"}}
    yield "a NULL gained", becomes(1, "NULL"), {1: {"changed"}}
    yield "a row lost", "DELETE FROM n.t WHERE id = 1", {1: {"missing"}}
    yield "a row made up", f"INSERT INTO n.t VALUES ({EXTRA_ID}, NULL)", {EXTRA_ID: {"extra"}}
    doubled = "INSERT INTO n.t SELECT * FROM n.t WHERE id = 1"
    yield "a row doubled", doubled, {1: {"extra", "repeated in new"}}
    lost = "DELETE FROM n.t WHERE id = 2"
    yield "one doubled, one lost", f"{doubled}; {lost}", {1: {"extra", "repeated in new"}, 2: {"missing"}}
    yield "a key exchanged", f"UPDATE n.t SET id = {EXTRA_ID} WHERE id = 1", {1: {"missing"}, EXTRA_ID: {"extra"}}


def becomes(row: int, value: str) -> str:
    return f"UPDATE n.t SET v = {value} WHERE id = {row}"


def corruptions(case: Case) -> Iterator[tuple[str, str, dict[int, set[str]]]]:
    yield from generic(case)
    for what, (row, value) in case.becomes.items():
        yield what, becomes(row, value), {row: {"changed"}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
async def test_every_corruption_is_caught_by_key(cluster: Cluster, case: Case) -> None:
    missed = []
    with cluster.superuser("app") as connection:
        prepare(connection, case)
        assert await found(cluster) == {}
        for what, statements, expected in corruptions(case):
            connection.execute("TRUNCATE n.t")
            connection.execute("INSERT INTO n.t SELECT * FROM o.t")
            connection.execute(statements.encode())
            if (differences := await found(cluster)) != expected:
                missed.append((what, differences))
    assert missed == []


def prepare(connection: psycopg.Connection[tuple[Any, ...]], case: Case) -> None:
    connection.execute("CREATE SCHEMA o; CREATE SCHEMA n; CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
    connection.execute("CREATE TYPE pair AS (a int, b text); CREATE DOMAIN positive AS numeric CHECK (VALUE > 0)")
    connection.execute("CREATE COLLATION de_blind (provider = libc, locale = 'C')")
    connection.execute(f"CREATE TABLE o.t (id int, v {case.type}); CREATE TABLE n.t (LIKE o.t)".encode())
    for row, value in (*enumerate(case.values, 1), (NULL_ID, "NULL")):
        connection.execute(f"INSERT INTO o.t VALUES ({row}, {value})".encode())
    connection.execute("INSERT INTO n.t SELECT * FROM o.t")


async def found(cluster: Cluster) -> dict[int, set[str]]:
    """The kinds of difference by id, as the event would name them."""
    try:
        await compare(cluster.server(), ROWS, old="app", new="app", folder=cluster.folder)
    except CheckFailed as failed:
        kinds: dict[int, set[str]] = {}
        for entry in failed.evidence["keys"]:
            kinds.setdefault(int(entry["key"]["id"]), set()).add(entry["kind"])
        return kinds
    return {}
