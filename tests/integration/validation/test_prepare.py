"""What Validate will ask of new is prepared where there is only the schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.servers import Cluster

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.validation.prepare import ValidationPlan
from cutoverd.daemon.postgres.validation.query_timing import TimedQuery
from cutoverd.states.errors import CheckFailed

on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)
SCHEMA = """
CREATE TABLE old (id int PRIMARY KEY, v text);
CREATE TABLE new (id int PRIMARY KEY, v text);
CREATE FUNCTION ask() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it was run'; END $$;
"""
GOOD = """SELECT ask() AS ok, 'asked' AS "check";\nSET work_mem = '1MB';\nSELECT nothing;\n"""


def questions(folder: Path, script: str, new: str, query: str, key: str = "id") -> ValidationPlan:
    (folder / "v.sql").write_text(script)
    return ValidationPlan(
        [Comparison("c", "SELECT id, v FROM old", new, (key,))],
        [TimedQuery("q", "SELECT 1", query, 1.5)],
        {"v.sql": folder / "v.sql"},
    )


async def refused(asked: ValidationPlan, cluster: Cluster) -> list[Any]:
    with pytest.raises(CheckFailed) as failed:
        await asked.try_on(cluster.server(), "app")
    return list(failed.value.evidence["reasons"])


@on_18
async def test_what_can_be_asked_is_not_run(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute(SCHEMA, "app")
    asked = questions(tmp_path, GOOD, "SELECT id, v FROM new WHERE ask()", "SELECT ask() FROM new")
    assert await asked.try_on(cluster.server(), "app") == []


@on_18
async def test_a_validation_or_a_comparison_of_a_wrong_shape_is_found_before_the_window(cluster: Cluster, tmp_path: Path) -> None:
    """Found: a validation without `ok` was seen in Validate, and the night was over."""
    cluster.execute(SCHEMA, "app")
    asked = questions(tmp_path, 'SELECT 1;\nSELECT true AS fine, 1 AS "check"', "SELECT id, id AS v FROM new", "SELEC 1")
    comparison, query, script = await refused(asked, cluster)
    assert comparison.startswith("comparison c: v: text in old, integer in new — old gives (id integer, v text)")
    assert query.startswith("query q, on new: syntax error")
    assert script.startswith("v.sql:1: columns seen: ?column? (a result set needs a boolean column `ok`")
    [committing, *_] = reversed(await refused(questions(tmp_path, "COMMIT;", "SELECT 1 AS id, 'x'", "SELECT 1"), cluster))
    assert committing.startswith("v.sql:1: COMMIT: the script is run in one read-only transaction")


@on_18
async def test_a_name_that_only_a_data_script_can_make_is_a_warning(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute(SCHEMA, "app")
    asked = questions(tmp_path, "SELECT k AS ok FROM late", "SELECT id, w FROM new", "SELECT 1")
    comparison, script = await asked.try_on(cluster.server(), "app")
    assert comparison.startswith('comparison c, the query of new: column "w" does not exist while there is only the schema; ')
    assert script.startswith('v.sql:1: relation "late" does not exist while there is only the schema')


@on_18
async def test_a_constraint_of_the_schema_files_that_does_not_hold_is_found_before_the_window(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Found: it was seen in Validate, and the night was over."""
    cluster.execute(SCHEMA, "app")
    cluster.execute("CREATE DATABASE app_try TEMPLATE app")
    added = "ALTER TABLE new ADD CONSTRAINT loose CHECK (id > 0) NOT ENFORCED, ADD CONSTRAINT late CHECK (id > 1) NOT VALID"
    cluster.execute(added, "app_try")
    (tmp_path / "data.sql").write_text("INSERT INTO new SELECT * FROM old;\n")
    asked = replace(questions(tmp_path, GOOD, "SELECT id, v FROM new", "SELECT 1"), data_scripts=[tmp_path / "data.sql"])
    with pytest.raises(CheckFailed) as failed:
        await asked.try_on(cluster.server(), "app_try")
    assert [reason.partition(",")[0] for reason in failed.value.evidence["reasons"]] == [
        "constraint is not enforced: loose on public.new",
        "constraint is not validated: late on public.new",
    ]
    (tmp_path / "data.sql").write_text("ALTER TABLE new VALIDATE CONSTRAINT late;\n")
    waived = replace(asked, waive_invariants={"loose on public.new": "for the planner alone"})
    [warning] = await waived.try_on(cluster.server(), "app_try")
    assert warning.startswith("constraint is not validated: late on public.new; right only if a data script makes it so")


async def test_a_right_that_the_schema_files_widen_is_said_before_the_window(cluster: Cluster, tmp_path: Path) -> None:
    """Found: a view that lost security_invoker was seen by nobody; only a data script could still put it right."""
    cluster.execute(
        "CREATE TABLE old (id int, v text); ALTER TABLE old ENABLE ROW LEVEL SECURITY; ALTER TABLE old OWNER TO app_owner;"
        "CREATE VIEW seen WITH (security_invoker) AS SELECT * FROM old; ALTER VIEW seen OWNER TO app_owner",
        "app",
    )
    cluster.execute("CREATE DATABASE app_try TEMPLATE app OWNER app_owner")
    cluster.execute("REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC", "app")  # which a restore by our role cannot take away
    cluster.execute("CREATE TABLE new (id int, v text); ALTER VIEW seen RESET (security_invoker)", "app_try")
    asked = questions(tmp_path, GOOD.replace("ask()", "true"), "SELECT id, v FROM new", "SELECT 1")
    cluster.execute("ALTER ROLE cutover BYPASSRLS")
    view, rows = [w for w in await asked.try_on(cluster.server(), "app_try") if "Validate refuses that" in w]
    assert view.startswith("a view has lost security_invoker: it shows what its owner may see: public.seen: ")
    assert rows.startswith("row level security does not follow the rows: public.old → public.new (comparison c): ")
    waived = replace(asked, waive_grants={"public.seen": "meant", "public.new": "meant"})
    assert not [w for w in await waived.try_on(cluster.server(), "app_try") if "Validate refuses that" in w]
