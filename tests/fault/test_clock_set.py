"""The clock of the daemon's machine is set back and forward while a real run goes on."""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from aftermath import assert_completed
from night import a_night, until
from servers import Cluster, skip

from cutoverd.events import facts

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
WATCH_SECONDS = 6.0


@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_clock_set_back_and_then_far_forward_shortens_no_watch_and_turns_no_order(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon believes the clock of people for what is written, and never for how long something took."""
    if LIBRARY is None:
        skip("libfaketime is not installed: apt-get install faketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    faked = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    check = {"name": "machines", "sql": "SELECT count(*) FROM store.machine", "below": 1, "for": "1s"}
    monitor = {"for": f"{WATCH_SECONDS:g}s", "every": "500ms", "checks": [check]}
    with a_night(cluster, tmp_path, gates=["cutover"], monitor=monitor) as night:
        with monkeypatch.context() as patched:
            for name, value in {**faked, "DONT_FAKE_MONOTONIC": "1"}.items():
                patched.setenv(name, value)
            night.start()
        night.wait_for(facts.GateReached, gate="cutover")
        set_clock(clock, "-3h")
        assert night.cli("send", "advance").returncode == 0
        night.wait_for(facts.StepStarted, step="monitor.watch")
        began = time.monotonic()
        told = json.loads(night.cli("status", "-f", "json").stdout)
        assert all(seconds >= 0 for seconds in told["state_seconds"].values())
        assert told["downtime_seconds"] < 3600, "it has ended, although the clock says that it has not begun"
        set_clock(clock, "+60h")
        until(lambda: night.daemons[-1].poll() is not None, "the watch is over")
        assert time.monotonic() - began > WATCH_SECONDS - 3, "it began a moment before it was seen to"
        assert_completed(night)
        journal = night.journal()
        steps = [second.envelope.time - first.envelope.time for first, second in pairwise(journal)]
        assert min(step.total_seconds() for step in steps) < -3 * 3600 + 60
        assert max(step.total_seconds() for step in steps) > 60 * 3600
        assert [each.envelope.n for each in journal] == list(range(1, len(journal) + 1))
        outcomes = [each.event for each in journal if isinstance(each.event, facts.StepSucceeded)]
        assert all(0 <= event.seconds < 60 for event in outcomes)
        [watched] = [event for event in outcomes if event.step == "monitor.watch"]
        assert WATCH_SECONDS <= watched.evidence["elapsed_seconds"] < WATCH_SECONDS + 3
        assert watched.evidence["clock_set_seconds"] == pytest.approx(63 * 3600, abs=5)


def set_clock(clock: Path, by: str) -> None:
    """For the daemon, from its next look at it on."""
    part = clock.with_suffix(".part")
    part.write_text(by)
    os.replace(part, clock)
