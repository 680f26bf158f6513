"""What a plan may say of Monitor, and how its mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.plan.test_freeze import plan_of
from unit.plan.test_plan_file import PLAN

from cutoverd.daemon.plan.load import BadPlan, LoadedPlan, load


def monitored(folder: Path, text: str) -> LoadedPlan:
    plan_of(folder, 1)
    (folder / "plan.yaml").write_text(f"{PLAN}monitor:\n  for: 48h\n{text}")
    return load(folder / "plan.yaml")


def test_checks_of_every_kind_are_read(tmp_path: Path) -> None:
    (tmp_path / "queue.py").write_text("print(3)\n")
    loaded = monitored(
        tmp_path,
        """\
  every: 30s
  checks:
    - {name: page, http: {url: "http://127.0.0.1:1/health", contains: ok}}
    - {name: errors, http: {url: "http://127.0.0.1:1/metrics", number: 'errors_total (\\S+)'}, above: 5, for: 1m}
    - {name: logins, sql: SELECT count(*) FROM login, below: 1, for: 0s}
    - {name: queue, command: [python3, queue.py], above: 100}
""",
    )
    assert loaded.items()["watched"] == ["page", "errors", "logins", "queue"]
    assert [check.duration for check in loaded.plan.monitor.checks] == [120, 60, 0, 120]
    assert loaded.plan.monitor.every == 30
    assert "queue.py" in loaded.hashes(), "what a check runs is frozen with the plan"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("{name: e, prometheus: {query: up}, above: 1}", "plan.yaml:21: monitor.checks.0; `prometheus` is not built yet"),
        (
            "{name: e}",
            "plan.yaml:21: monitor.checks.0; a check is one of `http: {url}`, `sql: SELECT …` and `command: [word, …]`",
        ),
        ("{name: e, sql: SELECT 1, command: ['true']}", "a check is one of"),
        ("{sql: SELECT 1, above: 1}", "plan.yaml:21: monitor.checks.0.name; it is missing"),
        ("{name: e, sql: SELECT 1, above: .nan}", "monitor.checks.0.above: saw nan; Input should be a finite number"),
        ("{name: e, sql: SELECT 1, above: 1, below: 2}", "no number is good that may be neither above 1 nor below 2"),
        ("{name: e, sql: SELECT 1, above: 1, for: 3d}", "check 'e' could never be breached: it has to be bad for 259200 s"),
        ("{name: e, http: {url: 'http://h/', number: '('}, above: 1}", "it is no regular expression"),
        ("{name: e, http: {url: 'http://h/', number: '(.)(.)'}, above: 1}", "it has 2 groups"),
        ("{name: e, http: {url: 'http://h/', number: '.'}}", "`above` or `below` says what is too much or too little"),
        ("{name: e, http: {url: 'http://me:hunter2@h/'}}", "a plan holds no user and password"),
        ("{name: e, command: curl h}", "a command is a list of words"),
    ],
)
def test_a_mistake_in_a_check_is_told_with_its_place(tmp_path: Path, check: str, message: str) -> None:
    with pytest.raises(BadPlan) as refused:
        monitored(tmp_path, f"  checks:\n    - {check}\n")
    assert message in str(refused.value)


def test_two_checks_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="watched: e is there twice; give each its own `name`"):
        monitored(tmp_path, "  checks:\n    - {name: e, sql: SELECT true}\n    - {name: e, sql: SELECT true}\n")


def test_checks_without_a_pause_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="every: at least 100ms"):
        monitored(tmp_path, "  every: 0s\n")
