"""`cutoverd plan new`: a draft from a live database, which is only read; filled in, it is a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from integration.runs.test_cli_refusals import cutoverd
from support.servers import Cluster

from cutoverd.daemon.plan.load import BadPlan, load

pytestmark = pytest.mark.both_versions
OLD = '''
CREATE TABLE machine (id serial PRIMARY KEY, serial text NOT NULL UNIQUE, "it's: odd" text);
CREATE TABLE tag (machine int NOT NULL, name text NOT NULL, note text, UNIQUE (name, machine));
CREATE TABLE log (at timestamptz, line text UNIQUE);
CREATE TABLE part (id int, at date NOT NULL, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE SCHEMA "Odd One";
CREATE TABLE "Odd One"."a ""b""" (k uuid PRIMARY KEY);
INSERT INTO machine (serial) SELECT n::text FROM generate_series(1, 500) n;
ANALYZE machine;
'''


def states_of(cluster: Cluster) -> list[tuple[object, ...]]:
    return cluster.execute("SELECT datname FROM pg_database UNION ALL SELECT relname FROM pg_class ORDER BY 1", "app")


def test_a_draft_of_a_live_database_is_a_plan_once_it_is_filled_in(cluster: Cluster, tmp_path: Path) -> None:
    cluster.execute(OLD, "app")
    before, path = states_of(cluster), tmp_path / "plan.yaml"
    assert cutoverd("plan", "new", "--url", cluster.url(), "--to", str(path)) == (0, "")
    assert states_of(cluster) == before, "it was only read"

    text = path.read_text()
    assert "passfile" in cluster.url()
    with pytest.raises(BadPlan) as refused:
        load(path)
    marked = [n for n, line in enumerate(text.splitlines(), 1) if "FILL_IN" in line.partition("#")[0]]
    assert str(refused.value).splitlines() == [f"{path}:{n}: FILL_IN is still there: write what it stands for" for n in marked]

    for name in ("schema/1.sql", "data/1.sql"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("SELECT 1;\n")
    filled = text.replace("FILL_IN/**/*.sql", "schema/*.sql").replace("FILL_IN/*.sql", "data/*.sql").replace("FILL_IN", "x.y")
    path.write_text(filled)
    plan = load(path).plan
    assert {each.name: each.key for each in plan.validate_.compare} == {
        "public.machine": ["id"],
        "public.tag": ["name", "machine"],
        "public.part": ["at", "id"],
        'Odd One.a "b"': ["k"],
    }
    [machine] = [each for each in plan.validate_.compare if each.name == "public.machine"]
    assert machine.old == 'SELECT id, serial, "it\'s: odd" FROM public.machine'
    assert "about 500 rows" in text
    assert "# public.log (never analysed) has no key: compare it" in text
    for each in plan.validate_.compare:
        assert cluster.execute(f"SELECT count(*) FROM ({each.old}) q", "app")


def test_a_file_that_is_there_is_left_alone(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("mine")
    code, output = cutoverd("plan", "new", "--url", cluster.url(), "--to", str(tmp_path / "plan.yaml"))
    assert (code, "is there already, and was left as it is" in output) == (2, True)
    assert (tmp_path / "plan.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("url", "code", "reason"),
    [
        ("postgresql://cutover:hunter2@127.0.0.1/app", 2, "a plan holds no password"),
        ("postgresql://cutover@127.0.0.1:1/app", 1, "the database cannot be looked at"),
        ("postgresql://cutover@127.0.0.1:1", 2, "it names no database"),
    ],
)
def test_what_cannot_be_drafted_is_told_without_a_secret(url: str, code: int, reason: str) -> None:
    exit_code, output = cutoverd("plan", "new", "--url", url)
    assert (exit_code, reason in " ".join(output.replace("│", "").split())) == (code, True), output
    assert "hunter2" not in output


def test_the_schema_is_written_as_json() -> None:
    code, output = cutoverd("schema")
    assert (code, json.loads(output)["$id"]) == (0, "urn:cutoverd:plan")
    assert yaml.safe_load(output)["properties"]["run"]["type"] == "string"
