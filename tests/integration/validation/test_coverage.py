"""A table of old counts as compared only if the server really reads it."""

from __future__ import annotations

from typing import Any

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.validation.coverage import check_coverage
from cutoverd.daemon.postgres.validation.validation import PostgresValidation
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import AttemptId, Direction, Evidence

pytestmark = pytest.mark.both_versions
TABLES = """
CREATE TABLE a (id int PRIMARY KEY, v text);
CREATE TABLE b (id int PRIMARY KEY, a_id int);
CREATE SCHEMA "Odd Name"; CREATE TABLE "Odd Name"."T" (id int);
CREATE VIEW both_tables AS SELECT a.id, b.id AS b_id FROM a JOIN b ON b.a_id = a.id;
CREATE MATERIALIZED VIEW derived AS SELECT * FROM a;
CREATE SCHEMA cutoverd; CREATE TABLE cutoverd.step_log (id int);
"""
PARTITIONS = """
CREATE TABLE p (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (v);
CREATE TABLE p2x PARTITION OF p2 FOR VALUES IN ('x');
"""


def reads(*queries: str) -> list[Comparison]:
    return [Comparison(f"c{n}", query, query, ("id",)) for n, query in enumerate(queries)]


async def covered(cluster: Cluster, comparisons: list[Comparison], waive: dict[str, str] | None = None) -> Evidence:
    return await check_coverage(cluster.server(), comparisons, waive or {}, old="app")


async def uncovered(cluster: Cluster, comparisons: list[Comparison], waive: dict[str, str] | None = None) -> dict[str, Any]:
    with pytest.raises(CheckFailed) as failed:
        await covered(cluster, comparisons, waive)
    return failed.value.evidence


async def test_every_table_is_read_or_waived(cluster: Cluster) -> None:
    cluster.execute(TABLES, "app")
    evidence = await covered(cluster, reads("SELECT * FROM a", "SELECT id FROM b;"), {"Odd Name.T": "scratch"})
    assert evidence == {
        "tables": 3,
        "compared": {"public.a": ["c0"], "public.b": ["c1"]},
        "waived": {"Odd Name.T": "scratch"},
    }


async def test_a_table_that_nothing_reads_is_named(cluster: Cluster) -> None:
    cluster.execute(TABLES, "app")
    assert (await uncovered(cluster, reads("SELECT * FROM a")))["unread"] == ["Odd Name.T", "public.b"]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM a WHERE false",
        "SELECT * FROM a WHERE 1 = 2 AND v = 'x'",
        "SELECT b.id FROM b LEFT JOIN a ON a.id = b.a_id",
        "WITH unused AS (SELECT * FROM a) SELECT 1 AS id",
        "SELECT 1 AS id /* FROM a */",
    ],
)
async def test_a_table_that_is_named_but_not_read_is_not_covered(cluster: Cluster, query: str) -> None:
    cluster.execute(TABLES, "app")
    assert "public.a" in (await uncovered(cluster, reads(query)))["unread"]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM both_tables",
        "WITH x AS MATERIALIZED (SELECT * FROM a) SELECT x.id FROM x, b",
        "SELECT id, (SELECT max(v) FROM a WHERE a.id = b.a_id) FROM b",
        "SELECT id FROM a UNION ALL SELECT id FROM b",
        "SELECT id FROM b WHERE a_id IN (SELECT id FROM a WHERE v LIKE '%x')",
    ],
)
async def test_tables_behind_views_and_in_subqueries_are_seen(cluster: Cluster, query: str) -> None:
    cluster.execute(TABLES, "app")
    assert (await uncovered(cluster, reads(query)))["unread"] == ["Odd Name.T"]


async def test_each_partition_has_to_be_read(cluster: Cluster) -> None:
    cluster.execute(PARTITIONS, "app")
    assert (await covered(cluster, reads("SELECT * FROM p")))["tables"] == 2
    assert (await uncovered(cluster, reads("SELECT * FROM p WHERE id < 10")))["unread"] == ["public.p2x"]


@pytest.mark.parametrize("name", ["public.p", "public.p2", "public.p2x"])
async def test_a_waived_parent_waives_its_partitions(cluster: Cluster, name: str) -> None:
    cluster.execute(PARTITIONS, "app")
    evidence = await covered(cluster, reads("SELECT * FROM p WHERE id < 10"), {name: "emptied every night"})
    assert evidence["waived"]["public.p2x"] == "emptied every night"


async def test_children_of_an_inherited_table_are_tables_of_their_own(cluster: Cluster) -> None:
    cluster.execute("CREATE TABLE base (id int); CREATE TABLE child () INHERITS (base)", "app")
    assert (await covered(cluster, reads("SELECT * FROM base")))["tables"] == 2
    assert (await uncovered(cluster, reads("SELECT * FROM ONLY base")))["unread"] == ["public.child"]


async def test_a_waiver_needs_a_table_and_a_reason(cluster: Cluster) -> None:
    cluster.execute("CREATE TABLE a (id int)", "app")
    evidence = await uncovered(cluster, reads("SELECT * FROM a"), {"public.gone": "was dropped", "public.a": " "})
    assert evidence == {"unread": [], "unknown": ["public.gone"], "unexplained": ["public.a"]}


async def test_a_query_that_does_not_parse_is_named(cluster: Cluster) -> None:
    with pytest.raises(CheckFailed, match=r"comparison c0, the query of old: .*does not exist"):
        await covered(cluster, reads("SELECT * FROM nowhere"))


async def test_every_query_that_does_not_parse_is_named_at_once(cluster: Cluster) -> None:
    cluster.execute("CREATE TABLE a (id int)", "app")
    wrong = r"comparison c0, the query of old: .*nowhere.*; comparison c2, the query of old: .*nobody"
    with pytest.raises(CheckFailed, match=f"(?s){wrong}"):
        await covered(cluster, reads("SELECT * FROM nowhere", "SELECT * FROM a", "SELECT nobody FROM a"))


async def test_what_a_wrong_query_does_not_hide_is_said_with_it(cluster: Cluster) -> None:
    """Found: who had misspelt a waiver as well learned it once the query was right. What nothing reads is not known before."""
    cluster.execute("CREATE TABLE a (id int); CREATE TABLE b (id int)", "app")
    with pytest.raises(CheckFailed) as failed:
        await covered(cluster, reads("SELECT * FROM a", "SELECT nobody FROM b"), {"public.gone": "was dropped"})
    assert "the query of old" in str(failed.value)
    assert failed.value.evidence == {"unread": [], "unknown": ["public.gone"], "unexplained": []}


async def test_old_is_asked_under_the_name_that_it_has(cluster: Cluster) -> None:
    cluster.execute("CREATE TABLE a (id int)", "app")
    server, attempt_id = cluster.server(), AttemptId("r1", 1, "validate.check_coverage", Direction.FORWARD, "e1")
    await ledger.prepare(server)
    validation = PostgresValidation(server, reads("SELECT * FROM a"), {}, {}, cluster.folder)
    assert (await validation.check_coverage(attempt_id))["tables"] == 1
    cluster.execute("ALTER DATABASE app RENAME TO app_previous")
    cluster.execute("CREATE TABLE late (id int)", "app_previous")
    with pytest.raises(CheckFailed, match=r"no comparison reads public\.late"):
        await validation.check_coverage(attempt_id)


async def test_a_key_that_is_no_column_of_old_is_found_before_the_window(cluster: Cluster) -> None:
    """Found: it was first seen in Validate, with a hint about something else."""
    cluster.execute("CREATE TABLE a (id int PRIMARY KEY, v text)", "app")
    wrong = [
        Comparison("a", "SELECT id, v AS word FROM a", "", ("idd",)),
        Comparison("twice", "SELECT id, id FROM a", "", ("id",)),
    ]
    with pytest.raises(CheckFailed) as failed:
        await covered(cluster, wrong)
    assert str(failed.value) == (
        "comparison a: the key (idd) is not among the columns — old gives (id integer, word text); "
        "comparison twice: each column needs a name of its own — old gives (id integer, id integer)"
    )
    assert failed.value.hint == "name in `key` columns that both queries give, by the names that they have there"
