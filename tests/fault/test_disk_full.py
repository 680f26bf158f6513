"""The disk is full while events are written, or while the run's own files are; then there is room again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.aftermath import assert_completed
from support.night import Night, a_night, until
from support.servers import Cluster
from support.small_disk import small_disk

from cutoverd.events import facts

pytestmark = pytest.mark.parametrize("cluster", ["18"], indirect=True)
SCRIPT = "data.run_script:data/010.sql"


def in_the_middle_of_a_script(night: Night) -> None:
    night.stall(SCRIPT)
    night.start("--auto")
    night.wait_for_step(SCRIPT)


@pytest.mark.long
def test_a_disk_that_is_full_while_events_are_written_stops_the_run_until_there_is_room(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing is done that could not be recorded; what was acknowledged is kept, and what was offered is there once."""
    with small_disk(tmp_path / "state/nats") as disk, a_night(cluster, tmp_path) as night:
        in_the_middle_of_a_script(night)
        disk.fill()
        night.release()
        until(lambda: "disk_full" in night.output, f"the full disk is named\n{night.output[-3000:]}", 90)
        assert "doing='nothing else until it answers'" in night.output
        assert night.daemons[-1].poll() is None
        acknowledged = [line for line in night.output.splitlines() if line[2:3] == ":"]
        disk.make_room()
        night.exit_code(120)
        assert [line for line in night.output.splitlines() if line[2:3] == ":"][: len(acknowledged)] == acknowledged
        assert_completed(night)
        events = [each.event for each in night.journal()]
        assert len([e for e in events if isinstance(e, facts.StepSucceeded) and e.step == SCRIPT]) == 1


def test_a_disk_that_is_full_for_the_runs_own_files_holds_the_run_and_resume_goes_on_once_there_is_room(
    cluster: Cluster, tmp_path: Path
) -> None:
    """No child can be recorded, so none is started, and whether a service runs cannot be asked: nothing is guessed."""
    with small_disk(tmp_path / "state/runs") as disk, a_night(cluster, tmp_path, gates=["cutover"]) as night:
        night.start()
        night.wait_for(facts.GateReached, gate="cutover")
        disk.fill()
        assert night.cli("send", "advance").returncode == 0
        held = night.wait_for(facts.RunHeld)
        assert held.reason.startswith("whether cutover.start_service:api took effect cannot be known (")
        assert "No space left on device" in held.reason
        assert "No space left on device" in night.cli("status").stdout
        assert "No space left on device" in night.output
        assert night.systems() == set(), "neither version was started"
        disk.make_room()
        assert night.cli("send", "resume").returncode == 0
        assert_completed(night)
