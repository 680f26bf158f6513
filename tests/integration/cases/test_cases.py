"""Every folder beside this file: `check` and `run --auto` end as its `expected.yaml` has it, on 15 and on 18."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cases import CASES, Case, found
from support.production import catalogs, dump
from support.servers import Cluster

# reported by users, each on both versions; of others of the same kinds CI tries on 18 those that are refused, `make soak` all
REPORTED = {
    "datestyle", "deferred-fk", "do-commit", "ext-view", "file-latin1", "flag-file", "force-rls", "foreign-owner", "large-object",
    "multihost", "nats-nojs", "psql-stop-off", "role-settings", "sentinel-id", "view-invoker",
}  # fmt: skip
ON_EACH = [
    pytest.param(
        version,
        case,
        id=f"{version}-{case.folder.name}",
        marks=[pytest.mark.soak] if case.folder.name not in REPORTED and (version == "15" or case.completes) else [],
    )
    for case in found()
    for version in case.expected.versions
]


def test_what_was_reported_is_tried() -> None:
    assert {case.folder.name for case in found()} >= REPORTED


@pytest.mark.long
@pytest.mark.parametrize(("cluster", "case"), ON_EACH, indirect=["cluster"])
def test_case(cluster: Cluster, case: Case, tmp_path: Path) -> None:
    expected = case.expected
    with case.set_up(cluster, tmp_path / "case") as trial:
        expected.check.hold(trial.main("check", "plan.yaml"))
        if expected.run:
            expected.run.hold(trial.main("run", "--auto", "-f", "lines", "plan.yaml"))
        for each in expected.rows:
            assert trial.rows(each["query"], each["database"]) == each["are"], each["query"]


@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_rehearsal_under_a_ledger_of_another_role_is_refused_and_nothing_is_made(cluster: Cluster, tmp_path: Path) -> None:
    case = Case(CASES / "foreign-ledger")
    assert case.expected.run
    with case.set_up(cluster, tmp_path / "case") as trial:
        before = [dump(cluster, database) for database in ("app", "cutoverd")], catalogs(cluster)
        for words in ([], ["--keep"], ["--again"], ["--drop"]):
            case.expected.run.hold(trial.main("rehearse", *words, "plan.yaml"))
            assert ([dump(cluster, database) for database in ("app", "cutoverd")], catalogs(cluster)) == before
        assert not (trial.work / "backups").exists()
