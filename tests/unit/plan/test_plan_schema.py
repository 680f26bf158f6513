"""The JSON Schema of a plan: what the examples say is right by it, and what is wrong is wrong."""

from __future__ import annotations

import json
from collections import defaultdict
from string import Template
from typing import Any

import jsonschema
import pytest
import yaml
from support.paths import EXAMPLES
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.plan.durations import format_duration, seconds_of
from cutoverd.daemon.plan.json_schema import schema

PLANS = sorted(EXAMPLES.glob("*/plan.yaml"))
WORDS = defaultdict(lambda: "words", GATES="[downtime, cutover]", OPERATORS="[dba, sre]", MONITOR="2s", METRICS_PORT="9000")


def judged(text: str) -> list[str]:
    """Where the schema finds a mistake."""
    given = json.loads(json.dumps(yaml.safe_load(text), default=str))
    found = jsonschema.Draft202012Validator(schema()).iter_errors(given)
    return [".".join(map(str, error.absolute_path)) for error in found]


def test_it_is_a_schema_with_a_name_that_needs_no_network():
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    assert (made["$id"], made["title"]) == ("urn:cutoverd:plan", "A cutoverd plan")
    assert made["description"] == "One cutover."


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.parent.name)
def test_every_example_is_right_by_it(path):
    assert judged(Template(path.read_text()).substitute(WORDS)) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("run: night-1\n", "", ""),
        ("smoke:", "smoek:", ""),
        ("run: night-1", "run: night-1\nmonitor: {for: 48}", "monitor.for"),
        ("run: night-1", "run: night-1\nwindow: {budget: 4 weeks}", "window.budget"),
        ("run: night-1", "run: night-1\nbackup: {jobs: 0}", "backup.jobs"),
        ("start: [./api, start]", "start: ./api start", "services.0.old.start"),
        ("key: [id]", "key: []", "validate.compare.0.key"),
        ('"data/*.sql"', "{probe: SELECT true}", "data.scripts.0"),
        ("http://127.0.0.1:1/h", "ftp://127.0.0.1:1/h", "health.0.http.url"),
    ],
)
def test_a_mistake_is_found_where_it_is(old, new, where):
    assert old in PLAN
    assert judged(PLAN) == []
    found = judged(PLAN.replace(old, new, 1))
    assert found
    assert all(each == where or not where or each == where.rpartition(".")[0] for each in found), found


def test_its_parts_are_called_as_in_a_plan_and_not_as_our_classes():
    """Found: a class was given another name, and editors showed it."""
    document = schema()
    names = {*document["$defs"], *(part.get("title") for part in document["$defs"].values())}
    assert {"Monitor", "Check", "Commands", "Timeouts", "Window"} <= names
    assert not [name for name in names if str(name).endswith(("Section", "Commands")) and name != "Commands"]


def test_durations_stand_in_it_as_they_are_written():
    timeouts = schema()["$defs"]["Timeouts"]["properties"]
    assert (timeouts["step"]["default"], timeouts["step"]["type"]) == ("4h", "string")
    assert [format_duration(n) for n in (0, 0.5, 90, 600, 86400, 1.5)] == ["0s", "500ms", "90s", "10m", "1d", "1500ms"]
    assert all(seconds_of(each["default"]) for each in _with_default(timeouts))


def _with_default(properties: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in properties.values() if isinstance(each.get("default"), str)]


def test_every_key_says_what_it_is_for():
    """Found: an editor had nothing to say of `run`, `gates` or a comparison's `key`."""
    made = schema()
    for name, part in {"the plan": made, **made["$defs"]}.items():
        silent = [key for key, node in part["properties"].items() if not node.get("description")]
        assert silent == [], name
