"""SIGKILL of the daemon while the way back is tried in PreCheck: the next one clears it, and production knew nothing of it."""

from __future__ import annotations

from pathlib import Path

from support.night import Night, a_night, until
from support.production import names, photograph
from support.servers import Cluster

from cutoverd.events import facts

PROOF = "precheck.prove_backup"


def kill_in_the_trial(night: Night, operation: str, direction: str) -> None:
    """The names of the scratch database stand half-way, and its session waits, when its daemon dies."""
    night.stall(operation, direction)
    night.start()
    night.wait_for(facts.StepStarted, step=PROOF)
    until(lambda: ("PgSleep",) in [(wait,) for _, wait in night.backends()], f"{operation} of the trial\n{night.output[-3000:]}")
    night.kill()
    assert {name for name in names(night.cluster) if name.startswith("app_try_")}


def test_a_daemon_killed_in_the_trial_of_the_way_back_leaves_nothing_over(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        kill_in_the_trial(night, "exchange", "forward")
        night.take_over()
        proven = night.wait_for(facts.StepSucceeded, step=PROOF).evidence
        assert proven["way_back"]["exchange_seconds"] > 0
        night.wait_for(facts.GateReached, gate="downtime")
        assert names(cluster) == {"app", "app_closed"}
        tried = "SELECT count(*) FROM cutoverd.step_log WHERE run LIKE '%/try'"
        assert cluster.execute(tried, "cutoverd") == [(0,)]
        assert photograph(cluster) == night.before


def test_an_abort_after_a_kill_in_the_trial_leaves_nothing_over(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        kill_in_the_trial(night, "fence", "back")
        assert night.cli("send", "abort", "--wait", "0.2").returncode == 6
        night.take_over()
        assert night.exit_code() == 5, night.output
        assert night.last_transition().target == "aborted"
        assert names(cluster) == {"app"}
        assert photograph(cluster) == night.before
