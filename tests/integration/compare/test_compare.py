"""Old and new are the same only if every row is, and each difference is counted and named."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison, compare
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.validation.validation import PostgresValidation
from cutoverd.states.errors import CheckFailed, OutcomeUnknown
from cutoverd.states.ports import AttemptId, Direction, Evidence

T = "SELECT * FROM t"
WHOLE = "CREATE TABLE t AS SELECT i AS id, 'row ' || i AS v FROM generate_series(1, 1000) i"


def both(cluster: Cluster, old: str, new: str | None = None) -> None:
    """Databases app_previous and app_next with `old` and `new` run in them."""
    for database, statements in (("app_previous", old), ("app_next", old if new is None else new)):
        cluster.execute(f"CREATE DATABASE {database} OWNER app_owner TEMPLATE template0")
        cluster.execute("SELECT 1;" + statements, database)


async def same(cluster: Cluster, old: str = T, new: str | None = None, *, key: tuple[str, ...] = ("id",)) -> Evidence:
    comparison = Comparison("rows", old, new or old, key)
    return await compare(cluster.server(), comparison, old="app_previous", new="app_next", folder=cluster.folder / "differences")


async def differing(cluster: Cluster, old: str = T, new: str | None = None, *, key: tuple[str, ...] = ("id",)) -> CheckFailed:
    with pytest.raises(CheckFailed) as failed:
        await same(cluster, old, new, key=key)
    return failed.value


def counts(failed: CheckFailed) -> dict[str, int]:
    return {
        k: v for k, v in failed.evidence.items() if k in ("missing", "extra", "changed", "repeated_old", "repeated_new") and v
    }


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def lines(failed: CheckFailed) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(failed.evidence["file"]).read_text().splitlines()]


async def test_equal_rows_are_counted_and_leave_no_file(cluster: Cluster) -> None:
    both(cluster, WHOLE)
    assert await same(cluster) == {"rows_old": 1000, "rows_new": 1000, "differing": 0}
    assert not (cluster.folder / "differences").exists()


async def test_no_rows_equal_no_rows(cluster: Cluster) -> None:
    both(cluster, "CREATE TABLE t (id int)")
    assert await same(cluster) == {"rows_old": 0, "rows_new": 0, "differing": 0}


async def test_missing_extra_and_changed_rows_are_counted_exactly(cluster: Cluster) -> None:
    change = (
        "DELETE FROM t WHERE id IN (5, 6, 7); INSERT INTO t VALUES (2000, 'x'), (2001, 'y'); UPDATE t SET v = 'z' WHERE id = 9"
    )
    both(cluster, WHOLE, f"{WHOLE}; {change}")
    failed = await differing(cluster)
    assert counts(failed) == {"missing": 3, "extra": 2, "changed": 1}
    assert (failed.evidence["rows_old"], failed.evidence["rows_new"]) == (1000, 999)
    assert {(e["kind"], e["key"]["id"]) for e in failed.evidence["keys"]} == {
        ("missing", "5"), ("missing", "6"), ("missing", "7"), ("extra", "2000"), ("extra", "2001"), ("changed", "9"),
    }  # fmt: skip
    assert "3 missing, 2 extra, 1 changed (1000 rows in old, 999 in new); " in str(failed)


async def test_the_file_holds_every_difference_and_is_named_by_its_hash(cluster: Cluster) -> None:
    both(cluster, WHOLE, f"{WHOLE}; UPDATE t SET v = NULL WHERE id <= 50; DELETE FROM t WHERE id = 60")
    failed = await differing(cluster)
    file = Path(failed.evidence["file"])
    assert sha256(file) == failed.evidence["sha256"] == file.stem
    assert mode(file) == 0o600
    found = lines(failed)
    assert len(found) == 51
    assert {"kind": "changed", "key": {"id": "7"}, "columns": {"v": ["row 7", None]}} in found
    assert {"kind": "missing", "key": {"id": "60"}, "row": {"id": "60", "v": "row 60"}} in found
    assert names(file.parent) == [file.name]


async def test_the_event_names_keys_and_columns_but_no_values(cluster: Cluster) -> None:
    both(cluster, WHOLE, f"{WHOLE}; UPDATE t SET v = 'personal' WHERE id <= 50")
    failed = await differing(cluster)
    assert len(failed.evidence["keys"]) == 20
    assert failed.evidence["keys"][0] == {"kind": "changed", "key": {"id": "1"}, "columns": ["v"]}
    text = json.dumps(failed.evidence) + str(failed) + failed.hint
    assert "personal" not in text
    assert "row 1" not in text


async def test_values_are_written_as_they_are(cluster: Cluster) -> None:
    odd = r"E'tab\tline\nback\\slash\rq\"é\x01'"
    both(cluster, f"CREATE TABLE t AS SELECT 1 AS id, {odd} AS v", "CREATE TABLE t AS SELECT 1 AS id, E'\\\\N' AS v")
    [found] = lines(await differing(cluster))
    assert found["columns"] == {"v": ['tab\tline\nback\\slash\rq"é\x01', "\\N"]}


async def test_a_composite_key_may_hold_nulls(cluster: Cluster) -> None:
    old = (
        "CREATE TABLE t (a int, b text, v int);"
        "INSERT INTO t VALUES (1, NULL, 1), (1, '', 2), (NULL, NULL, 3), (NULL, 'x', 4), (2, NULL, 5)"
    )
    both(cluster, old, f"{old}; UPDATE t SET v = 9 WHERE b IS NULL AND a IS NULL; UPDATE t SET b = NULL WHERE b = ''")
    failed = await differing(cluster, key=("a", "b"))
    assert {(e["kind"], e["key"]["a"], e["key"]["b"]) for e in failed.evidence["keys"]} == {
        ("changed", None, None), ("missing", "1", ""), ("extra", "1", None), ("repeated in new", "1", None),
    }  # fmt: skip


async def test_a_key_that_repeats_on_both_sides_alike_is_a_failure_of_its_own(cluster: Cluster) -> None:
    both(cluster, f"{WHOLE}; INSERT INTO t VALUES (5, 'five'), (5, 'cinq'), (6, 'row 6')")
    failed = await differing(cluster)
    assert counts(failed) == {"repeated_old": 2, "repeated_new": 2}
    assert {(e["kind"], e["key"]["id"], e["times"]) for e in failed.evidence["keys"]} == {
        ("repeated in old", "5", 3), ("repeated in new", "5", 3), ("repeated in old", "6", 2), ("repeated in new", "6", 2),
    }  # fmt: skip


async def test_rows_that_come_twice_do_not_cancel_each_other(cluster: Cluster) -> None:
    """A bucket's hashes are one by XOR: of these two, with as many rows, they are the same."""
    alike = "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), {}) AS t (id, v)"
    both(cluster, alike.format("(5, 'x'), (5, 'x')"), alike.format("(6, 'y'), (6, 'y')"))
    assert counts(await differing(cluster)) == {"missing": 2, "extra": 2, "repeated_old": 1, "repeated_new": 1}


async def test_keys_of_the_same_hash_are_no_repeated_key(cluster: Cluster) -> None:
    """Found: equal rows were a failure where two of their keys had one hash, as NULL and the empty text have."""
    nearly = "CREATE TABLE t AS SELECT nullif(i::text, '1') AS id, i AS v FROM generate_series(1, 500) i"
    both(cluster, f"{nearly}; INSERT INTO t VALUES ('', 0)")
    assert await same(cluster) == {"rows_old": 501, "rows_new": 501, "differing": 0}
    assert names(cluster.folder / "differences") == []
    cluster.execute("UPDATE t SET v = -1 WHERE id = '' OR id = '9'; INSERT INTO t VALUES (NULL, 1)", "app_next")
    failed = await differing(cluster)
    assert {(e["kind"], e["key"]["id"]) for e in failed.evidence["keys"]} == {
        ("changed", ""), ("changed", "9"), ("extra", None), ("repeated in new", None),
    }  # fmt: skip


@pytest.mark.parametrize(("changed", "times"), [(0, 1), (9, 3)], ids=["equal", "one differs"])
async def test_a_query_is_executed_once_and_where_rows_differ_twice_more(cluster: Cluster, changed: int, times: int) -> None:
    both(cluster, WHOLE, WHOLE.replace("'row '", f"CASE WHEN i = {changed} THEN '' ELSE 'row ' END"))
    await (differing if changed else same)(cluster)
    await until(lambda: min(scans(cluster)) >= times)
    assert scans(cluster) == [times, times]


def scans(cluster: Cluster) -> list[int]:
    """How often `t` was read in old and in new, by sessions that have ended."""
    scanned = "SELECT coalesce(sum(seq_scan), 0)::int FROM pg_stat_user_tables WHERE relname = 't'"
    return [cluster.execute(scanned, database)[0][0] for database in ("app_previous", "app_next")]


async def test_a_repeat_in_old_alone_is_a_missing_row_too(cluster: Cluster) -> None:
    both(cluster, f"{WHOLE}; INSERT INTO t VALUES (5, 'row 5')", WHOLE)
    assert counts(await differing(cluster)) == {"missing": 1, "repeated_old": 1}


@pytest.mark.parametrize("rows_new", [25_000, 1])
async def test_a_key_that_is_none_still_ends_with_every_row_told(cluster: Cluster, rows_new: int) -> None:
    rows = "CREATE TABLE t AS SELECT 1 AS id, {} AS v FROM generate_series(1, {}) i"
    both(cluster, rows.format("i", 25_000), rows.format("-i", rows_new))
    found = counts(await differing(cluster))
    assert found["repeated_old"] == 1
    assert found.get("changed", 0) + found.get("missing", 0) == 25_000
    assert found.get("changed", 0) + found.get("extra", 0) == rows_new


async def test_when_every_row_differs_every_row_is_named(cluster: Cluster) -> None:
    rows = "CREATE TABLE t AS SELECT i AS id, i {} AS v FROM generate_series(1, 30000) i"
    both(cluster, rows.format(""), rows.format("+ 1"))
    failed = await differing(cluster)
    assert counts(failed) == {"changed": 30000}
    assert {int(each["key"]["id"]) for each in lines(failed)} == set(range(1, 30001))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SELECT 1 AS id, 2 AS v", "SELECT 1::bigint AS id, 2::smallint AS v"),
        ("SELECT 1 AS id, 'a'::text AS v", "SELECT 1 AS id, 'a'::varchar(5) AS v"),
        ("SELECT 1 AS id, 'a'::text AS v", "SELECT 1 AS id, 'a'::char(5) AS v"),
        ("SELECT 1 AS id, ARRAY['a'] AS v", "SELECT 1 AS id, ARRAY['a'::char(5)] AS v"),
        ("SELECT 1 AS id, 1.50 AS v", "SELECT 1 AS id, 1.5::numeric(9,2) AS v"),
        ("SELECT 1 AS id, 'now'::name AS v;", "SELECT 1 AS id, 'now' AS v -- a comment"),
        ("SELECT 1 AS id, '100%' AS v", "SELECT 1 AS id, concat(100, '%') AS v"),
        ("WITH x AS (VALUES (1, true)) SELECT column1 AS id, column2 AS v FROM x ; \n", "SELECT 1 AS id, 1 = 1 AS v"),
    ],
)
async def test_types_that_print_alike_are_compared(cluster: Cluster, old: str, new: str) -> None:
    both(cluster, "")
    assert (await same(cluster, old, new))["rows_old"] == 1


async def test_an_enum_equals_the_text_that_it_was(cluster: Cluster) -> None:
    both(cluster, "CREATE TABLE t AS SELECT 1 AS id, 'ok' AS v",
         "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t AS SELECT 1 AS id, 'ok'::mood AS v")  # fmt: skip
    assert (await same(cluster))["differing"] == 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("SELECT 1 AS id, 2 AS v", "SELECT 1 AS id, 2 AS w", r"\(id integer, v integer\); new gives \(id integer, w integer\)"),
        ("SELECT 1 AS id, 2 AS v", "SELECT 2 AS v, 1 AS id", "not the same, in the same order"),
        ("SELECT 1 AS id, 2 AS v", "SELECT 1 AS id", "not the same, in the same order"),
        ("SELECT 1 AS id, 2 AS id", "SELECT 1 AS id, 2 AS id", "each column needs a name of its own"),
        ("SELECT 1 AS v", "SELECT 1 AS v", r"the key \(id\) is not among the columns"),
        ("SELECT 1 AS id, 2 AS v", "SELECT 1 AS id, 2.0 AS v", "v: integer in old, numeric in new"),
        ("SELECT 1 AS id, 2.00::numeric(9,2) AS v", "SELECT 1 AS id, 2::numeric(9,3) AS v", r"numeric\(9,2\) in old, numeric"),
        ("SELECT 1 AS id, now() AS v", "SELECT 1 AS id, now()::timestamp AS v", "timestamp with time zone in old, timestamp"),
        ("SELECT 1 AS id, '1'::json AS v", "SELECT 1 AS id, '1'::jsonb AS v", "v: json in old, jsonb in new"),
        ("SELECT 1 AS id, 1::real AS v", "SELECT 1 AS id, 1::float8 AS v", "v: real in old, double precision in new"),
        ("SELECT 1 AS id, ARRAY[1] AS v", "SELECT 1 AS id, ARRAY['1'] AS v", r"v: integer\[\] in old, text\[\] in new"),
        ("SELECT 1 AS id", "SELECT nothing AS id", 'the query of new: .*"nothing" does not exist'),
        ("SELECT 1 AS id; DELETE FROM t", "SELECT 1 AS id", "the query of old: .*syntax error"),
        ("SELECT 1 AS id) AS q; DROP TABLE t; SELECT * FROM (SELECT 1 AS id", "SELECT 1 AS id", "insert multiple commands"),
        ("DELETE FROM t RETURNING id", "SELECT 1 AS id", "the query of old: "),
        ("SELECT 1/(id - 5) AS id, 'x' AS v FROM t", "SELECT * FROM t", "division by zero"),
    ],
)  # fmt: skip
async def test_what_cannot_be_compared_is_explained(cluster: Cluster, old: str, new: str, reason: str) -> None:
    both(cluster, WHOLE)
    with pytest.raises(CheckFailed, match=reason):
        await same(cluster, old, new)


async def test_hidden_rows_are_an_error_not_a_smaller_count(cluster: Cluster) -> None:
    hide = "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id < 10)"
    both(cluster, f"{WHOLE}; {hide}")
    with pytest.raises(CheckFailed, match="row-level security"):
        await same(cluster)


async def test_settings_of_a_database_do_not_change_its_content(cluster: Cluster) -> None:
    both(cluster, "CREATE TABLE t AS SELECT 1 AS id, now() AS a, date '2024-02-01' AS b, interval '1 mon' AS c, 0.1::float8 AS d,"
                  r" '\x00ff'::bytea AS e, 12.5::money AS f, 1/3.0::float4 AS g",
         "")  # fmt: skip
    cluster.execute("DROP DATABASE app_next")
    cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous")
    for setting in (
        "timezone = 'Asia/Kolkata'", "datestyle = 'German'", "intervalstyle = 'iso_8601'", "extra_float_digits = -10",
        "bytea_output = 'escape'", "lc_monetary = 'C.UTF-8'", "client_encoding = 'LATIN1'", "statement_timeout = '1ms'",
    ):  # fmt: skip
        cluster.execute(f"ALTER DATABASE app_next SET {setting}")
    assert (await same(cluster))["differing"] == 0


async def test_the_queries_mean_what_they_mean_in_the_database(cluster: Cluster) -> None:
    """Found: the hour was UTC and the order of dates year, month, day, whatever the database had."""
    both(cluster, "SELECT")
    for setting in ("timezone = 'Europe/Berlin'", "datestyle = 'German, DMY'"):
        cluster.execute(f"ALTER DATABASE app_previous SET {setting}")
    instant = "SELECT 1 AS id, {} AS at"
    given, meant = "'01/02/2026 00:30'::timestamptz", "'2026-01-31 23:30+00'::timestamptz"
    assert (await same(cluster, instant.format(given), instant.format(meant)))["differing"] == 0
    assert (await same(cluster, instant.format(meant), instant.format(given)))["differing"] == 0, "the same in new"
    winter, summer = "'2026-10-25 00:30+00'::timestamptz", "'2026-10-25 01:30+00'::timestamptz"
    assert counts(await differing(cluster, instant.format(winter), instant.format(summer))) == {"changed": 1}


async def test_functions_of_theirs_do_not_count_for_ours(cluster: Cluster) -> None:
    shadows = (
        "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;"
        "CREATE FUNCTION evil.hashtextextended(text, integer) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';"
        "CREATE TABLE t (id int, v int); GRANT SELECT ON t TO PUBLIC;"
    )
    both(cluster, f"{shadows} INSERT INTO t VALUES (1, 1)", f"{shadows} INSERT INTO t VALUES (1, 2)")
    for database in ("app_previous", "app_next"):
        cluster.execute(f"ALTER DATABASE {database} SET search_path = evil, pg_catalog, public")
    assert counts(await differing(cluster)) == {"changed": 1}


async def test_collations_do_not_change_the_order_of_keys(cluster: Cluster) -> None:
    rows = (
        "CREATE TABLE t AS SELECT v AS id, 1 AS n FROM unnest(ARRAY['a', 'B', 'b', 'A', 'é', 'z', 'ä', '-', ' ', 'a-b', 'ab']) v"
    )
    cluster.execute("CREATE DATABASE app_previous TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'UTF8'")
    cluster.execute("CREATE DATABASE app_next TEMPLATE template0 LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' ENCODING 'UTF8'")
    cluster.execute(rows, "app_previous")
    cluster.execute(f"{rows}; UPDATE t SET n = 2 WHERE id IN ('B', 'é', '-')", "app_next")
    failed = await differing(cluster)
    assert counts(failed) == {"changed": 3}
    assert {e["key"]["id"] for e in failed.evidence["keys"]} == {"B", "é", "-"}


async def test_bytes_of_no_encoding_are_compared(cluster: Cluster) -> None:
    rows = r"CREATE TABLE t AS SELECT 1 AS id, E'caf\xe9' AS v"
    for database in ("app_previous", "app_next"):
        cluster.execute(f"CREATE DATABASE {database} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING 'SQL_ASCII'")
        cluster.execute(rows, database)
    assert (await same(cluster))["rows_old"] == 1
    cluster.execute(r"UPDATE t SET v = E'caf\xe8'", "app_next")
    [found] = lines(await differing(cluster))
    assert found["columns"] == {"v": ["caf\\xe9", "caf\\xe8"]}


async def test_xml_is_compared_by_its_text(cluster: Cluster) -> None:
    both(cluster, "CREATE TABLE t (id int, v xml)")
    try:
        cluster.execute("INSERT INTO t VALUES (1, '<a b=\"1\"/>')", "app_previous")
    except psycopg.errors.FeatureNotSupported:
        assert (await same(cluster))["rows_old"] == 0  # a server without libxml has the type and no values
        return
    cluster.execute("INSERT INTO t VALUES (1, '<a b=\"2\"/>')", "app_next")
    assert counts(await differing(cluster)) == {"changed": 1}


async def test_a_query_that_gives_other_rows_each_time_is_refused(cluster: Cluster) -> None:
    both(cluster, WHOLE)
    failed = await differing(cluster, "SELECT id, random() AS v FROM t", "SELECT id, random() AS v FROM t")
    assert counts(failed) == {"changed": 1000}


async def test_rows_that_differ_only_when_counted_are_no_success(cluster: Cluster) -> None:
    both(cluster, WHOLE)
    failed = await differing(
        cluster, T, "SELECT id, v || CASE WHEN current_query() LIKE '%TO STD' || 'OUT%' THEN '' ELSE 'x' END AS v FROM t"
    )
    assert counts(failed) == {}
    assert "the same when looked at one by one" in str(failed)


SLOW = "SELECT id, pg_sleep(0.05)::text AS v FROM t"


async def test_a_cancelled_comparison_leaves_no_backend(cluster: Cluster) -> None:
    both(cluster, WHOLE)
    await ledger.prepare(cluster.server())
    task = asyncio.create_task(same(cluster, SLOW))
    await until(lambda: len(backends(cluster)) == 2)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backends(cluster) == []
    assert time.monotonic() - began < 10


async def test_of_two_comparisons_at_once_the_cancel_of_one_is_none_of_the_other(cluster: Cluster) -> None:
    """They share a role, an application_name and a folder, and nothing else."""
    both(cluster, WHOLE, f"{WHOLE}; UPDATE t SET v = 'z' WHERE id <= 30")
    await ledger.prepare(cluster.server())
    cancelled = asyncio.create_task(same(cluster, SLOW))
    await until(lambda: len(backends(cluster)) == 2)
    beside = [
        asyncio.create_task(differing(cluster, f"{T} WHERE id <= {last} AND pg_sleep(0.015) IS NOT NULL")) for last in (40, 50)
    ]
    await until(lambda: len(backends(cluster)) == 6)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert not any(each.done() for each in beside), "they ended before it was cancelled: nothing was proven"
    first, second = [await each for each in beside]
    assert [counts(each) for each in (first, second)] == [{"changed": 30}] * 2
    assert [each.evidence["rows_old"] for each in (first, second)] == [40, 50]
    file = Path(first.evidence["file"])  # of the same differences: one file for both, whole, whoever wrote it last
    assert file == Path(second.evidence["file"])
    assert names(file.parent) == [file.name]
    assert (sha256(file), len(lines(first))) == (file.stem, 30)


async def test_a_lost_connection_is_no_verdict(cluster: Cluster) -> None:
    both(cluster, WHOLE)
    task = asyncio.create_task(same(cluster, SLOW))
    await until(lambda: len(backends(cluster)) == 2)
    cluster.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app_next'")
    with pytest.raises(OutcomeUnknown, match="comparison rows: "):
        await task


def backends(cluster: Cluster) -> list[tuple[Any, ...]]:
    running = "SELECT pid FROM pg_stat_activity WHERE datname IN ('app_previous', 'app_next') AND query LIKE '%pg_sleep%'"
    return cluster.execute(running)


async def until(true: Any) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_the_port_compares_fenced_old_with_next(cluster: Cluster) -> None:
    both(cluster, WHOLE)
    validation = PostgresValidation(cluster.server(), [Comparison("rows", T, T, ("id",))], {}, {}, cluster.folder)
    attempt_id = AttemptId("r1", 1, "validate.compare:rows", Direction.FORWARD, "e1")
    assert (await validation.compare(attempt_id, "rows"))["rows_new"] == 1000
