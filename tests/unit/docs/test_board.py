"""The board is what its generator makes of today's table of states."""

from __future__ import annotations

import importlib.util
import warnings
from types import ModuleType

import pytest
import yaml
from support.paths import DOCS, GRAFANA

from cutoverd.daemon.metrics.run_metrics import ALL_STATES


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", GRAFANA / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():  # it wants the second form of dashboards, which not every Grafana reads
        warnings.simplefilter("ignore", DeprecationWarning)
        spec.loader.exec_module(module)
    return module


def test_making_the_board_again_gives_the_committed_file(generate: ModuleType) -> None:
    assert generate.document() == (GRAFANA / "dashboards" / "cutoverd.json").read_text(encoding="utf-8")


def test_every_state_has_a_colour_of_its_own_name(generate: ModuleType) -> None:
    assert sorted(generate.COLORS) == sorted(ALL_STATES)


def test_every_alert_says_what_to_do_in_a_section_that_exists() -> None:
    rules = yaml.safe_load((GRAFANA / "alerts" / "cutoverd.rules.yaml").read_text(encoding="utf-8"))
    sections = {line[3:].lower() for line in (DOCS / "alerts.md").read_text(encoding="utf-8").splitlines() if line[:3] == "## "}
    alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules["groups"][0]["rules"]}
    assert alerts == {name: f"docs/alerts.md#{name.lower()}" for name in alerts}
    assert {name.lower() for name in alerts} == sections


def test_every_alert_is_tried_by_promtool() -> None:
    rules = yaml.safe_load((GRAFANA / "alerts" / "cutoverd.rules.yaml").read_text(encoding="utf-8"))
    tests = yaml.safe_load((GRAFANA / "alerts" / "cutoverd.test.yaml").read_text(encoding="utf-8"))
    fired = {case["alertname"] for test in tests["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules["groups"][0]["rules"]}
