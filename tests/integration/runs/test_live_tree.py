"""`cutoverd run` on a real terminal shows the tree; elsewhere a JSON object for each event."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.night import a_night
from support.servers import Cluster
from support.terminal import on_a_terminal

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
SCRIPT = "data.run_script:data/010.sql"


@pytest.mark.long
def test_the_tree_on_a_terminal_shows_the_running_script_fits_when_it_shrinks_and_ends_as_the_run_does(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path, window={"budget": "4h"}) as night:
        (tmp_path / "daemon.log").touch()
        night.stall(SCRIPT)
        with on_a_terminal("run", str(night.plan_file), "--auto", columns=140) as terminal:
            night.daemons.append(terminal.process)
            terminal.read_until(lambda: "67%  2 of 3 statements, data/010.sql:3, SELECT store.stand_still(?)" in terminal.text)
            assert "▶ run_script:data/010.sql" in terminal.text
            assert "◌ monitor" in terminal.text
            assert "next: hold, rollback, fail, note" in terminal.text
            assert " of 4:00:00" in terminal.text
            terminal.resize(14, 4)
            written = len(terminal.raw)
            terminal.read_until(lambda: len(terminal.raw) > written + 200)
            terminal.resize(140, 40)
            night.release()
            assert terminal.read_to_the_end() == 0
        assert "✔ the run has ended: completed" in terminal.text
        assert "left over: app_closed, app_previous" in terminal.text
        assert "▶ precheck → downtime" in terminal.text, "what must not scroll away is printed above"
        assert "Traceback" not in terminal.text
        assert night.last_transition().target == "completed"


def test_elsewhere_each_event_is_a_json_object_with_the_state_after_it(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        command = [sys.executable, "-m", "cutoverd.daemon", "run", str(night.plan_file), "--auto"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
        documents = [json.loads(line) for line in done.stdout.splitlines()]
        recorded = night.journal()
        assert [each["seq"] for each in documents] == [each.seq for each in recorded]
        assert [each["data"] for each in documents] == [each.event.model_dump(mode="json") for each in recorded]
        assert (documents[-1]["type"], documents[-1]["state"], documents[-1]["next"]) == ("transitioned", "completed", [])
        assert documents[-1]["line"].endswith("▶ monitor → completed")
