"""Every folder beside this file: `check` and `run --auto` end as its `expected.yaml` has it, on 15 and on 18."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cases import Case, found
from support.servers import Cluster

ON_EACH = [
    pytest.param(version, case, id=f"{version}-{case.folder.name}") for case in found() for version in case.expected.versions
]


@pytest.mark.parametrize(("cluster", "case"), ON_EACH, indirect=["cluster"])
def test_case(cluster: Cluster, case: Case, tmp_path: Path) -> None:
    expected = case.expected
    with case.set_up(cluster, tmp_path / "case") as trial:
        expected.check.hold(trial.main("check", "plan.yaml"))
        if expected.run:
            expected.run.hold(trial.main("run", "--auto", "-f", "lines", "plan.yaml"))
        for each in expected.rows:
            assert trial.rows(each["query"], each["database"]) == each["are"], each["query"]
