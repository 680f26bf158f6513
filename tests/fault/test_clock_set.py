"""The clock of the daemon's machine is set back and forward while a real run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night, until
from support.paths import SUPPORT
from support.servers import Cluster

from cutoverd.events import facts

PROGRAM = SUPPORT / "set_clock.py"
WATCH_SECONDS = 15.0
HOUR = 3600.0


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_clock_set_back_and_then_far_forward_shortens_no_watch_and_turns_no_order(cluster: Cluster, tmp_path: Path) -> None:
    """The daemon believes the clock of people for what is written, and never for how long something took."""
    check = {"name": "machines", "sql": "SELECT count(*) FROM store.machine", "below": 1, "for": "1s"}
    monitor = {"for": f"{WATCH_SECONDS:g}s", "every": "500ms", "checks": [check]}
    with a_night(cluster, tmp_path, gates=["cutover"], monitor=monitor) as night:
        set_clock(night, 0)
        start(night)
        night.wait_for(facts.GateReached, gate="cutover")
        set_clock(night, -3 * HOUR)
        assert night.cli("send", "advance").returncode == 0
        night.wait_for(facts.StepStarted, step="monitor.watch")
        status = json.loads(night.cli("status", "-f", "json").stdout)
        assert all(seconds >= 0 for seconds in status["state_seconds"].values())
        assert status["downtime_seconds"] < HOUR, "it has ended, although the clock says that it has not begun"
        set_clock(night, 60 * HOUR)
        until(lambda: night.daemons[-1].poll() is not None, "the watch is over")
        assert_completed(night)
        journal = night.journal()
        between = [(second.envelope.time - first.envelope.time).total_seconds() for first, second in pairwise(journal)]
        assert min(between) < -3 * HOUR + 60
        assert max(between) > 60 * HOUR
        assert [each.envelope.n for each in journal] == list(range(1, len(journal) + 1))
        outcomes = [each.event for each in journal if isinstance(each.event, facts.StepSucceeded)]
        assert all(0 <= event.seconds < 60 for event in outcomes)
        [watched] = [event for event in outcomes if event.step == "monitor.watch"]
        assert watched.seconds > WATCH_SECONDS - 1, "by the clock that nobody sets"
        assert WATCH_SECONDS <= watched.evidence["elapsed_seconds"] < WATCH_SECONDS + 10
        assert watched.evidence["clock_set_seconds"] == pytest.approx(63 * HOUR, abs=5)


def start(night: Night) -> None:
    command = [sys.executable, str(PROGRAM), str(night.folder / "clock"), "run", str(night.plan_file)]
    with (night.folder / "daemon.log").open("ab") as log:
        night.daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))


def set_clock(night: Night, seconds: float) -> None:
    """For the daemon, from its next look at it on."""
    (night.folder / "clock.part").write_text(str(seconds))
    os.replace(night.folder / "clock.part", night.folder / "clock")
