"""Bad luck on real nights: its reason is in the event, on the terminal and in `status`, and production is as it was.

The same one by one, and much more: test_scripts, test_validation_scripts, test_systems_services, test_systems_checks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.aftermath import assert_rolled_back
from support.night import Night, a_night
from support.production import log_in, photograph
from support.servers import Cluster

from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
EVENT_BYTES_MAX = 64 * 1024


def assert_failed(night: Night, step: str, reason: str) -> facts.StepFailed:
    """One step failed, and each place gives its reason."""
    [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
    assert (failed.step, failed.reason) == (step, reason)
    assert failed.hint
    assert f"✖ {step}  {reason}" in night.output
    assert f"{step}: {reason}" in night.cli("status").stdout
    return failed


def assert_nothing_was_touched(night: Night) -> None:
    """PreCheck failed and waits for a person; production answers."""
    assert night.exit_code() == 5, night.output
    assert json.loads(night.cli("status", "-f", "json").stdout)["state"] == "precheck"
    assert photograph(night.cluster) == night.before
    assert log_in(night.cluster) == 500
    assert night.systems() == {"worker.old", "api.old", "door.door"}
    assert night.witnessed() == []


def test_a_commit_and_a_connect_in_what_a_script_includes_are_refused_before_anything_is_touched(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path) as night:
        (tmp_path / "parts").mkdir()
        (tmp_path / "data/015.sql").write_text("SELECT 1;\n\\i parts/outer.sql\n")
        (tmp_path / "parts/outer.sql").write_text("\\ir inner.sql\n")
        (tmp_path / "parts/inner.sql").write_text("SELECT 2;\nCOMMIT;\n\\connect app\nDROP SCHEMA store CASCADE;\n")
        night.start("--auto")
        assert_nothing_was_touched(night)
        [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
        assert_failed(night, "precheck.check_files", failed.reason)
        inner = tmp_path / "parts" / "inner.sql"
        assert f"{inner}:2: COMMIT" in failed.reason
        assert f"{inner}:3: \\connect" in failed.reason


def test_an_error_on_line_7_of_the_third_schema_file_names_both_before_anything_is_touched(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path, rehearsal={}) as night:
        (tmp_path / "schema/002.sql").write_text("SELECT 1;\n")
        (tmp_path / "schema/003.sql").write_text("-- one\n\n\nSELECT 4;\n\n-- six\nCREATE TABLE fleet.part (machine bigin);\n")
        night.start("--auto")
        assert_nothing_was_touched(night)
        failed = assert_failed(
            night, "precheck.rehearse:schema.apply_schema", 'schema/003.sql:7: type "bigin" does not exist (SQLSTATE 42704)'
        )
        assert failed.evidence["line"] == 7


def test_a_data_script_that_fails_half_way_leaves_nothing_and_takes_the_run_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        half = "INSERT INTO fleet.tally (machines) VALUES (1);\n\nINSERT INTO fleet.machine SELECT * FROM fleet.machine;\n"
        (tmp_path / "data/015.sql").write_text(half)
        night.start("--auto")
        assert_rolled_back(night)
        reason = 'data/015.sql:3: duplicate key value violates unique constraint "machine_pkey" (SQLSTATE 23505)'
        failed = assert_failed(night, "data.run_script:data/015.sql", reason)
        assert "nothing of it was kept" in failed.hint
        last = [line.strip() for line in night.output.splitlines() if line.startswith("           ")][-4:]
        assert last[:2] == [f"turned back: data.run_script:data/015.sql: {reason}", f"→ {failed.hint}"]
        assert last[2] == "left over: app_closed, app_next"
        assert last[3].startswith("next: `cutoverd history -p PLAN`")
        cluster.execute("ALTER DATABASE app_next ALLOW_CONNECTIONS true")
        assert cluster.execute("SELECT count(*) FROM fleet.tally", "app_next") == [(0,)]


@pytest.mark.long
def test_a_service_whose_stop_hangs_takes_the_run_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.write_plan(timeouts={**night.plan["timeouts"], "service": "2s"})
        night.knob("stop api old", pause="before")
        night.start("--auto")
        assert_rolled_back(night)
        [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
        assert_failed(night, "downtime.stop_service:api", failed.reason)
        assert failed.reason.startswith("service api (old): stop did not end in time, status still says running after ")


FLOODS_AND_KILLS = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is told at once when its parent is gone, maybe before it gets to its group
for _ in range(100):
    os.write(1, b"x" * 1_000_000)
os.write(1, b"the end of the flood")
os.kill(os.getppid(), signal.SIGKILL)
os.killpg(0, signal.SIGKILL)
"""


@pytest.mark.long
def test_a_smoke_test_that_floods_its_output_and_kills_its_parent_and_its_group_takes_the_run_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path) as night:
        (tmp_path / "mad.py").write_text(FLOODS_AND_KILLS)
        night.write_plan(smoke=[{"name": "mad", "command": [sys.executable, "-I", "-S", "mad.py"]}])
        night.start("--auto")
        assert_rolled_back(night)
        [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
        assert_failed(night, "smoke.smoke_test:mad", failed.reason)
        assert "mad.py] exited -9, expected 0; it said: …" in failed.reason
        assert failed.reason.endswith("the end of the flood")
        assert len(failed.evidence["output"]) <= 2048
        assert len(night.output) < EVENT_BYTES_MAX
