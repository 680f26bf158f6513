"""Kills that know nothing of steps: at any moment, again and again, on the way there and on the way back."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from support.aftermath import assert_completed, assert_rolled_back
from support.night import Night, a_night, until
from support.servers import Cluster

from cutoverd.daemon.embedded import nats
from cutoverd.events import facts
from cutoverd.states import ENDS

LONGEST_LIFE_SECONDS = 4.0


def kill_again_and_again(night: Night, chance: random.Random, kills: int) -> None:
    """Each daemon lives for a while after it began to take the run; now and then the nats-server goes with it."""
    for _ in range(kills):
        daemon = night.start("--auto")
        time.sleep(chance.uniform(1.0, LONGEST_LIFE_SECONDS))
        if daemon.poll() is not None or is_over(night):
            return
        night.kill()
        server = nats.find(night.state_dir / "nats")
        if server and chance.random() < 0.3:
            os.kill(server.pid, signal.SIGKILL)
    night.start("--auto")


def is_over(night: Night) -> bool:
    """An ended run is never continued, so its last daemon is left to say how it ended."""
    return any(event.target in ENDS for event in night.events(facts.Transitioned))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("ends", ["completed", "rolledback"])
def test_a_daemon_killed_at_any_moment_is_carried_on_by_the_next(cluster: Cluster, tmp_path: Path, ends: str, seed: int) -> None:
    with a_night(cluster, tmp_path) as night:
        if ends == "rolledback":
            night.knob("smoke api test", exit=1, always=True)
        kill_again_and_again(night, random.Random(seed), kills=8)
        (assert_completed if ends == "completed" else assert_rolled_back)(night)


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_daemon_killed_while_it_takes_the_run_over_is_carried_on_by_the_next(cluster: Cluster, tmp_path: Path) -> None:
    """The orphans of the first are ended, the fence is not yet taken: somebody holds on to its row."""
    script = "data.run_script:data/010.sql"
    with a_night(cluster, tmp_path) as night:
        night.stall(script)
        night.start("--auto")
        night.wait_for_step(script)
        night.kill()
        with cluster.superuser("cutoverd") as holder, holder.transaction():
            holder.execute("SELECT FROM cutoverd.fence FOR UPDATE")
            night.start("--auto")
            until(lambda: not night.children(script), "the orphans are ended")
            until(lambda: any(wait == "transactionid" for _, wait in night.backends()), "the fence row is waited for")
            night.kill()
        night.release()
        night.start("--auto")
        assert_completed(night)
        first, last = [e.event.epoch for e in night.journal() if isinstance(e.event, facts.LeaderAcquired)]
        assert first == 1
        assert last in (2, 3), "the one that was killed may have raised the fence, but never led"
