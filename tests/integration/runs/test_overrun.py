"""A window that would end too late, on real servers: the run goes back by itself while that still ends in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.night import Night, a_night, until
from support.production import photograph
from support.servers import Cluster

from cutoverd.events import facts

STATES = {"downtime": "2s", "smoke": "6s", "cutover": "6s", "rollback": "3s"}
WINDOW = {"budget": "30s", "on_overrun": "rollback", "states": STATES}


def begin_window(night: Night) -> datetime:
    """Up to the gate before Data, which nobody passes; when PreCheck was left."""
    night.wait_for(facts.GateReached, gate="downtime")
    assert night.cli("send", "advance").returncode == 0
    night.wait_for(facts.GateReached, gate="data")
    return next(each.envelope.time for each in night.recorded() if getattr(each.event, "target", "") == "downtime")


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_gate_that_nobody_passes_in_time_takes_the_run_back_inside_of_its_window(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}, window=WINDOW, gates=["downtime", "data"]) as night:
        night.start()
        begin_window(night)
        found = night.wait_for(facts.WindowOverrun)
        assert (found.turns, found.forward_seconds > 12.0) == ("rollback", True), found
        assert night.exit_code() == 3, night.output
        moved = {each.event.target: each.envelope.time for each in night.journal() if isinstance(each.event, facts.Transitioned)}
        assert (moved["rolledback"] - moved["downtime"]).total_seconds() < 30
        assert photograph(cluster, "app") == night.before


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_an_operator_who_moves_the_deadline_is_given_that_time(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}, window=WINDOW, gates=["downtime", "data"]) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        refused = night.cli("send", "extend", "--for", "10m", "--reason", "early")
        assert (refused.returncode, "there is no deadline to move" in refused.stdout) == (1, True), refused.stdout
        deadline = begin_window(night) + timedelta(seconds=30)
        assert night.cli("send", "extend", "--for", "15", "--reason", "no unit").returncode == 2
        extended = night.cli("send", "extend", "--for", "10m", "--reason", "the load is slow tonight")
        assert (extended.returncode, "10:00 later" in extended.stdout) == (0, True), extended.stdout + extended.stderr
        until(lambda: datetime.now(UTC) > deadline, "the first deadline is over: by that it would have gone back")
        assert not night.events(facts.WindowOverrun)
        assert night.cli("send", "advance").returncode == 0
        assert night.exit_code() == 0, night.output
