"""A window that would end too late, on real servers: the run goes back by itself while that still ends in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.night import a_night
from support.production import photograph
from support.servers import Cluster

from cutoverd.events import facts

STATES = {"downtime": "2s", "smoke": "6s", "cutover": "6s", "rollback": "3s"}
WINDOW = {"budget": "20s", "on_overrun": "rollback", "states": STATES}


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_gate_that_nobody_passes_in_time_takes_the_run_back_inside_of_its_window(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, rehearsal={}, window=WINDOW, gates=["downtime", "data"]) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="downtime")
        assert night.cli("send", "advance").returncode == 0
        night.wait_for(facts.GateReached, gate="data")
        found = night.wait_for(facts.WindowOverrun)
        assert (found.turns, found.forward_seconds > 12.0) == ("rollback", True), found
        assert night.exit_code() == 3, night.output
        moved = {each.event.target: each.envelope.time for each in night.journal() if isinstance(each.event, facts.Transitioned)}
        assert (moved["rolledback"] - moved["downtime"]).total_seconds() < 20
        assert photograph(cluster, "app") == night.before
