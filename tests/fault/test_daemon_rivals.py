"""Two daemons for one run: on this machine the second is turned away; past that, the epoch stops the older one."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night, until
from support.preloaded import Process
from support.rivals import Rivals
from support.servers import Cluster, pause

from cutoverd.daemon.host import launcher
from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)


def test_a_second_daemon_on_the_same_run_is_turned_away(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.stall("precheck.prove_health:page")
        first = night.start()
        night.wait_for_step("precheck.prove_health:page")
        pause(first.pid)
        night.start()
        assert night.exit_code() == 7
        assert f"run night is driven by process {first.pid} already" in night.output
        [leader] = night.events(facts.LeaderAcquired)
        assert (leader.epoch, leader.orphans) == (1, []), "nor is a session of its own an orphan"


@pytest.mark.long
@pytest.mark.parametrize(
    "step",
    ["data.run_script:data/010.sql", pytest.param("downtime.fence_old", marks=pytest.mark.soak), "downtime.stop_service:worker"],
)
def test_a_daemon_that_wakes_up_after_another_took_the_run_does_nothing_more(cluster: Cluster, tmp_path: Path, step: str) -> None:
    """The lock is gone, as it is on another machine; only the epoch stands between the two."""
    with a_night(cluster, tmp_path) as night:
        night.stall(step)
        stale = night.start("--auto")
        night.wait_for_step(step)
        pause(stale.pid)
        (night.run_dir / "daemon.lock").unlink()
        night.stalled.clear()
        night.stall("smoke.exchange_names")
        night.orphaned = [(step, "forward")]
        night.take_over("--auto")
        assert launcher.fence(str(night.run_dir / "children")) == 2, "no command of the stale one may begin"
        woken_at = time.time()
        assert wake(stale) == 7, night.output
        night.wait_for_step("smoke.exchange_names")
        assert_the_stale_one_did_nothing(night, stale.pid, woken_at)
        night.release()
        assert_completed(night)


def wake(daemon: Process) -> int:
    os.kill(daemon.pid, signal.SIGCONT)
    return until(lambda: None if daemon.poll() is None else (daemon.returncode,), "the stale daemon ends")[0]


def assert_the_stale_one_did_nothing(night: Night, pid: int, since: float) -> None:
    journal = night.recorded()
    taken = next(n for n, each in enumerate(journal) if each.envelope.epoch == 2)
    assert {each.envelope.epoch for each in journal[taken:]} == {2}
    assert [line for line in night.witnessed() if line["by"] == pid and line["at"] > since] == []
    assert "another daemon has taken run night (epoch 2)" in night.output or "a daemon of epoch 2 took over" in night.output


@pytest.mark.long
@pytest.mark.parametrize("step", ["data.run_script:data/010.sql", pytest.param("gate", marks=pytest.mark.soak)])
def test_overlapping_daemons_end_with_one_that_drives(cluster: Cluster, tmp_path: Path, step: str) -> None:
    """Found: what the older one recorded while it was fenced was a conflict on which the newer one gave up, and both ended."""
    overlap(cluster, tmp_path, step, rounds=3, seed=7)


@pytest.mark.soak
@pytest.mark.parametrize("step", ["data.run_script:data/010.sql", "downtime.fence_old", "gate"])
def test_many_overlapping_daemons_end_with_one_that_drives(cluster: Cluster, tmp_path: Path, step: str) -> None:
    overlap(cluster, tmp_path, step, rounds=int(os.environ.get("ROUNDS", "67")), seed=int(os.environ.get("SEED", "1")))


def overlap(cluster: Cluster, tmp_path: Path, step: str, *, rounds: int, seed: int) -> None:
    with a_night(cluster, tmp_path, state_dir="state", gates=["downtime"] if step == "gate" else []) as night:
        night.nats()
        rivals = Rivals(night, random.Random(seed))
        if step == "gate":
            rivals.start()
            night.wait_for(facts.GateReached)
        else:
            night.stall(step)
            rivals.start("--auto")
            night.wait_for(facts.StepStarted, step=step)
        for _ in range(rounds):
            rivals.overlap()
            rivals.settle()
        assert night.events(facts.StepFailed) == [], "what a takeover ends is no failed step"
