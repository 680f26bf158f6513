"""What must hold in new beside its rows is found, all at once; what old had the same way is let through."""

from __future__ import annotations

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.validation.analyze import analyze
from cutoverd.daemon.postgres.validation.invariants import check_invariants
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence

pytestmark = pytest.mark.both_versions
LEGACY = """
CREATE TABLE a (id serial PRIMARY KEY, v text);
CREATE TABLE b (id int, a_id int REFERENCES a);
INSERT INTO a SELECT FROM generate_series(1, 5);
GRANT SELECT ON a TO app_user;
"""


def clone(cluster: Cluster, scripts: str = "", *, legacy: str = LEGACY) -> None:
    """Old with `legacy` in it, and new made from it with `scripts` run there."""
    cluster.execute("GRANT ALL ON SCHEMA public TO app_owner", "app")
    cluster.execute("SET ROLE app_owner;" + legacy, "app")
    cluster.execute("ALTER DATABASE app RENAME TO app_previous")
    cluster.execute("CREATE DATABASE app_next TEMPLATE app_previous OWNER app_owner")
    cluster.execute("SELECT 1;" + scripts, "app_next")


async def judged(cluster: Cluster) -> Evidence:
    return await check_invariants(cluster.server(), new="app_next", old="app_previous")


async def test_a_plain_clone_holds(cluster: Cluster) -> None:
    clone(cluster)
    assert await judged(cluster) == {"relations": 3, "sequences": 1, "inherited": []}


INVALID_INDEX = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'a_v'::regclass"  # as a failed CONCURRENTLY leaves it
BROKEN = [
    (
        "ALTER TABLE b ADD CONSTRAINT late FOREIGN KEY (a_id) REFERENCES a NOT VALID",
        "foreign key is not validated",
        "late on public.b",
    ),
    ("ALTER TABLE b ADD CONSTRAINT big CHECK (id > 0) NOT VALID", "constraint is not validated", "big on public.b"),
    (
        "CREATE DOMAIN d AS int; ALTER DOMAIN d ADD CONSTRAINT pos CHECK (VALUE > 0) NOT VALID",
        "constraint is not validated",
        "pos on domain public.d",
    ),
    (f"CREATE INDEX a_v ON a (v); {INVALID_INDEX}", "index is not valid", "public.a_v"),
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER audit BEFORE INSERT ON a EXECUTE FUNCTION f(); ALTER TABLE a DISABLE TRIGGER audit",
        "trigger is disabled",
        "audit on public.a",
    ),
    ("ALTER TABLE b DISABLE TRIGGER ALL", "constraint is not watched: its trigger is disabled", "b_a_id_fkey on public.b"),
    ("CREATE UNLOGGED TABLE fast (id int)", "table is unlogged: a crash empties it", "public.fast"),
    ("SELECT setval('a_id_seq', 2)", "sequence is behind", "public.a_id_seq: at 2, used up to 5"),
    ("CREATE MATERIALIZED VIEW m AS SELECT 1 WITH NO DATA", "materialized view is not populated", "public.m"),
]


@pytest.mark.parametrize(("scripts", "what", "name"), BROKEN, ids=[what for _, what, _ in BROKEN])
async def test_what_does_not_hold_is_named(cluster: Cluster, scripts: str, what: str, name: str) -> None:
    clone(cluster, scripts)
    with pytest.raises(CheckFailed) as failed:
        await judged(cluster)
    assert failed.value.evidence == {"found": {what: [name]}}


async def test_everything_is_found_at_once(cluster: Cluster) -> None:
    clone(cluster, "CREATE UNLOGGED TABLE fast (id int); SELECT setval('a_id_seq', 2)")
    with pytest.raises(CheckFailed, match=r"sequence is behind: .*; table is unlogged"):
        await judged(cluster)


async def test_what_old_has_too_is_let_through_and_named(cluster: Cluster) -> None:
    clone(
        cluster, legacy=LEGACY + "ALTER TABLE b ADD CONSTRAINT big CHECK (id > 0) NOT VALID; CREATE UNLOGGED TABLE cache (id int)"
    )
    assert (await judged(cluster))["inherited"] == [
        "constraint is not validated: big on public.b",
        "table is unlogged: a crash empties it: public.cache",
    ]


async def test_not_enforced_constraints_are_named(cluster: Cluster) -> None:
    if cluster.major < 18:
        clone(cluster)
        assert (await judged(cluster))["inherited"] == []  # the catalog of 15 has no such column, and that is no error
        return
    clone(cluster, "ALTER TABLE b ADD CONSTRAINT big CHECK (id > 0) NOT ENFORCED")
    with pytest.raises(CheckFailed, match=r"constraint is not enforced: big on public\.b"):
        await judged(cluster)


async def test_analyze_gives_the_planner_its_figures(cluster: Cluster) -> None:
    clone(
        cluster,
        "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT;"
        "INSERT INTO p SELECT generate_series(1, 1000); CREATE MATERIALIZED VIEW m AS SELECT * FROM p;"
        "ALTER TABLE p OWNER TO app_owner; ALTER TABLE p1 OWNER TO app_owner; ALTER MATERIALIZED VIEW m OWNER TO app_owner",
    )
    evidence = await analyze(cluster.server(), new="app_next")
    assert (evidence["tables"], evidence["skipped"]) == (4, [])
    known = cluster.execute("SELECT relname, reltuples FROM pg_class WHERE relname IN ('a', 'p', 'p1', 'm')", "app_next")
    assert dict(known) == {"a": 5, "p": 1000, "p1": 1000, "m": 1000}


async def test_a_table_that_may_not_be_analyzed_is_named(cluster: Cluster) -> None:
    clone(cluster, "CREATE TABLE of_another (id int)")
    cluster.execute("ALTER DATABASE app_next OWNER TO postgres")
    [skipped] = (await analyze(cluster.server(), new="app_next"))["skipped"]
    assert "of_another" in skipped


NOT_ENFORCED = "ALTER TABLE b ADD CONSTRAINT loose CHECK (id > 0) NOT ENFORCED, ADD FOREIGN KEY (id) REFERENCES a NOT ENFORCED"


async def test_a_constraint_that_is_not_enforced_is_named_once_and_can_be_waived(cluster: Cluster) -> None:
    """Found: each was named twice, as not validated as well, and nothing could be done about it."""
    if cluster.major < 18:
        pytest.skip("constraints can be NOT ENFORCED since 18")
    clone(cluster, NOT_ENFORCED)
    with pytest.raises(CheckFailed) as failed:
        await judged(cluster)
    assert failed.value.evidence == {"found": {"constraint is not enforced": ["b_id_fkey on public.b", "loose on public.b"]}}
    waive = {"loose on public.b": "for the planner alone", "b_id_fkey on public.b": "the loader checks it"}
    done = await check_invariants(cluster.server(), new="app_next", old="app_previous", waive=waive)
    assert done["waived"] == {f"constraint is not enforced: {name}": reason for name, reason in waive.items()}


async def test_a_waiver_is_for_the_one_that_it_names(cluster: Cluster) -> None:
    clone(cluster, "CREATE UNLOGGED TABLE fast (id int); SELECT setval('a_id_seq', 2)")
    with pytest.raises(CheckFailed) as failed:
        await check_invariants(cluster.server(), new="app_next", old="app_previous", waive={"public.fast": "a cache"})
    assert failed.value.evidence == {"found": {"sequence is behind": ["public.a_id_seq: at 2, used up to 5"]}}


OBJECTS = "SELECT lo_create(7), lo_create(8), lo_create(9);"


async def test_large_objects_that_new_has_not_are_found_and_can_be_waived(cluster: Cluster) -> None:
    """Found: a script unlinked them, no comparison of tables sees them, and the run completed."""
    clone(cluster, "SELECT lo_unlink(7), lo_unlink(9), lo_create(10)", legacy=LEGACY + OBJECTS)
    with pytest.raises(CheckFailed) as failed:
        await judged(cluster)
    assert failed.value.evidence == {"found": {"something of old is lost": ["large objects: 2 are not in new (7, 9)"]}}
    waive = {"large objects": "they are bytea now"}
    done = await check_invariants(cluster.server(), new="app_next", old="app_previous", waive=waive)
    assert list(done["waived"].values()) == ["they are bytea now"]


async def test_large_objects_that_only_new_has_are_no_loss(cluster: Cluster) -> None:
    clone(cluster, "SELECT lo_create(10)", legacy=LEGACY + OBJECTS)
    await judged(cluster)
