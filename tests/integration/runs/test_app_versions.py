"""Two real versions of an application, one for each schema, and what is noticed of the new one before clients are in.

That it does not start and that the old one does not stop: tests/integration/examples/test_demo.py, `cutover` and `service`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.app_night import AppNight, an_app_night
from support.production import log_in, photograph
from support.servers import Cluster

from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)


def assert_back(app: AppNight, *running: str) -> facts.StepFailed:
    """By itself, before the door was opened; production and what ran of it are as they were. Gives the failure."""
    night = app.night
    assert night.exit_code() == 3, night.output
    assert photograph(night.cluster) == night.before
    assert log_in(night.cluster) == 500
    assert app.running() == set(running)
    journal = [each.event for each in night.journal()]
    assert not [each for each in journal if isinstance(each, facts.StepStarted) and each.step.startswith("cutover.open_traffic")]
    [failed] = [each for each in journal if isinstance(each, facts.StepFailed)]
    assert failed.reason.splitlines()[0] in night.output
    [turned] = [each for each in journal if isinstance(each, facts.Transitioned) and each.target == "rollback"]
    assert turned.by is None
    assert failed.reason.splitlines()[0] in turned.reason
    return failed


@pytest.mark.long
def test_a_test_instance_that_dies_during_the_smoke_tests_takes_the_run_back(cluster: Cluster, tmp_path: Path) -> None:
    with an_app_night(cluster, tmp_path) as app:
        (tmp_path / "kill").write_text(str(app.pidfile("api", "test")))
        app.night.start("--auto")
        failed = assert_back(app, "board.old", "api.old")
        assert failed.step == "smoke.check_test_again:api"
        assert failed.reason.startswith(
            "service api (test) has ended by itself: its start was seen, and now its status says stopped"
        )


@pytest.mark.long
def test_a_new_version_that_dies_after_its_start_is_noticed_before_clients_are_in(cluster: Cluster, tmp_path: Path) -> None:
    """Board was not running before; the way back leaves it so. Closing the door exits 1 after it did its work."""
    with an_app_night(cluster, tmp_path) as app:
        app.night.knob("close door", exit=1)
        app.ctl("stop", "board", "old")
        neighbour = "import json, os, signal, subprocess, sys; os.kill(json.load(open(sys.argv[1]))['pid'], signal.SIGKILL); "
        neighbour += "sys.exit(subprocess.call(sys.argv[2:]))"
        services = app.plan()["services"]
        board = services[0]["new"]
        board["start"] = [sys.executable, "-c", neighbour, str(app.pidfile("api", "new")), *board["start"]]
        app.night.write_plan(services=services)
        app.night.start("--auto")
        failed = assert_back(app, "api.old")
        assert failed.step == "cutover.check_service:api"
        assert failed.reason.startswith("service api (new) has ended by itself")
        succeeded = {(e.step, e.direction): e for e in app.night.events(facts.StepSucceeded)}
        assert succeeded["downtime.close_traffic:door", "forward"].evidence["exit"] == 1
        assert succeeded["downtime.stop_service:board", "forward"].evidence == {"found": "already stopped"}
        written = succeeded["smoke.record_written", "forward"].evidence
        assert written["written"] == ["fleet.note"]
        assert written["tables"]["fleet.note"]["inserted"] == 1
        assert '⚠ written: ["fleet.note"]' in app.night.output


@pytest.mark.long
def test_a_new_version_that_answers_for_the_old_one_is_noticed_before_clients_are_in(cluster: Cluster, tmp_path: Path) -> None:
    """It finds the old tables, which were cloned: everything looks fine but what it says of itself."""
    with an_app_night(cluster, tmp_path) as app:
        app.configure("api", "new", queries="old")
        app.night.start("--auto")
        failed = assert_back(app, "board.old", "api.old")
        assert failed.step == "cutover.check_service:api"
        assert failed.reason.startswith("service api (new): GET http://127.0.0.1:")
        saw, expected = failed.evidence["seen"], failed.evidence["expected"]
        assert '"version": "old"' in saw
        assert json.dumps('"version": "new"')[1:-1].replace("\\", "") in expected


@pytest.mark.long
def test_a_new_version_that_dies_while_it_is_watched_holds_the_run_and_no_completion_is_claimed(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Opening the door exits 1 after it did its work; once the service runs again, `resume` goes on to the end."""
    with an_app_night(cluster, tmp_path, monitor={"for": "3s"}) as app:
        app.night.knob("open door", exit=1)
        app.night.start("--auto")
        app.night.wait_for(facts.StepStarted, step="monitor.watch")
        app.kill("api", "new")
        assert app.night.exit_code() == 6, app.night.output
        held = app.night.wait_for(facts.RunHeld)
        assert held.reason.startswith("monitor.check_service:api: service api (new) has ended by itself")
        assert held.reason.endswith("clients may have written: `rollback` needs accept_loss")
        assert app.running() == {"board.new"}
        opened = app.night.wait_for(facts.StepSucceeded, step="cutover.open_traffic:door")
        assert opened.evidence["exit"] == 1
        assert app.ctl("start", "api", "new") == 0
        assert app.night.cli("send", "resume", "--wait", "0.2").returncode == 6
        app.night.start("--auto")
        assert app.night.exit_code() == 0, app.night.output
