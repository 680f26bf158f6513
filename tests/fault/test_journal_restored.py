"""The stream of a run is lost, in any way and at any moment; `cutoverd journal restore` makes it again, and the run goes on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from support.lost_stream import (
    Loss,
    a_byte_is_flipped,
    a_byte_is_flipped_and_no_index_is_there,
    assert_restored,
    bodies,
    folder_is_deleted,
    goes_on,
    is_deleted,
    is_remade,
    is_wiped,
    lost,
    restore,
)
from support.night import Night, a_night, at_the_first_gate, stalled_at, until
from support.production import photograph
from support.rivals import Rivals
from support.servers import Cluster

from cutoverd.events import facts

pytestmark = [pytest.mark.long, pytest.mark.parametrize("cluster", ["18"], indirect=True)]
# the other two in CI by tests/integration/bus/test_make_anew.py and tests/unit/engine/test_chains.py
IN_CI = (is_deleted, is_remade, folder_is_deleted, a_byte_is_flipped)
LOSSES: list[Loss] = [
    is_deleted,
    is_remade,
    is_wiped,
    folder_is_deleted,
    a_byte_is_flipped,
    a_byte_is_flipped_and_no_index_is_there,
]
MOMENTS = [
    "smoke.smoke_test:page",
    pytest.param("smoke.exchange_names", marks=pytest.mark.soak),
    pytest.param("schema.build_new", marks=pytest.mark.soak),
    pytest.param("cutover.open_traffic:door", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("loss", [pytest.param(each, marks=[] if each in IN_CI else pytest.mark.soak) for each in LOSSES])
def test_whatever_became_of_the_stream_the_journal_is_made_again_and_the_run_goes_on(
    cluster: Cluster, tmp_path: Path, loss: Loss
) -> None:
    """In the middle of Data, production closed."""
    with stalled_at("data.run_script:data/010.sql", cluster, tmp_path) as night:
        highest = night.journal()[-1].seq
        was = lost(night, loss)
        night.start("--auto")
        assert night.exit_code() == 1, night.output[-3000:]
        assert "cutoverd journal restore" in night.output
        night.close_reader()
        observed = night.cli("status")
        assert (observed.returncode, "cutoverd journal restore" in observed.stderr) == (1, True), "found: it had not started"
        dry = restore(night, "--dry-run")
        assert (dry.returncode, f"a journal of {len(was)} events is made again" in dry.stdout) == (0, True), dry
        done = restore(night)
        assert done.returncode == 0, done
        assert_restored(night, was)
        assert bodies(night)[0][0] > highest
        again = restore(night)
        assert (again.returncode, "nothing is to be restored" in again.stdout) == (0, True), again
        goes_on(night)


@pytest.mark.parametrize("step", MOMENTS)
def test_at_any_moment_of_the_night_the_run_goes_on_from_where_it_was(cluster: Cluster, tmp_path: Path, step: str) -> None:
    with a_night(cluster, tmp_path) as night:
        night.stall(step)
        night.start("--auto")
        night.wait_for_step(step)
        was = lost(night, is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        goes_on(night)


def test_on_the_way_back_the_run_goes_on_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        night.stall("smoke.exchange_names", "back")
        night.start("--auto")
        night.wait_for_step("smoke.exchange_names", "back")
        was = lost(night, is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        night.release()
        night.start("--auto")
        assert night.exit_code(120) == 3, night.output[-4000:]
        assert photograph(cluster) == night.before


def test_in_monitor_the_watch_goes_on_as_if_the_stream_had_never_been_lost(cluster: Cluster, tmp_path: Path) -> None:
    """After a `resume`, whose sequence is another one now."""
    with a_night(cluster, tmp_path) as night:
        night.write_plan(monitor={"for": "10m", "every": "1s"}, gates=[])
        night.start()
        night.wait_for(facts.StepStarted, step="monitor.watch")
        assert night.cli("send", "hold", "--now").returncode == 0
        assert night.cli("send", "resume").returncode == 0
        until(lambda: watch_of(night).get("answered_seq"), "a round is kept that knows of the resume")
        watched = watch_of(night)
        was = lost(night, is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        night.start()
        until(lambda: watch_of(night)["rounds"] > watched["rounds"], f"it watches\n{night.output[-3000:]}")
        assert watch_of(night)["answered_seq"] == watched["answered_seq"]
        assert night.cli("send", "hold").returncode == 0, "it is heard at its new sequence"


def watch_of(night: Night) -> dict[str, Any]:
    """As the daemon has kept it."""
    kept = night.run_dir / "watch.json"
    return dict(json.loads(kept.read_text())) if kept.exists() else {}


def test_a_run_that_was_held_is_held_still_and_hears_what_is_said_now(cluster: Cluster, tmp_path: Path) -> None:
    with at_the_first_gate(cluster, tmp_path) as night:
        assert night.cli("send", "hold", "--reason", "look").returncode == 0
        was = lost(night, folder_is_deleted)
        assert restore(night).returncode == 0
        assert_restored(night, was)
        night.start()
        for verb in ("resume", "advance"):
            answer = night.cli("send", verb)
            assert answer.returncode == 0, answer
        night.wait_for(facts.GatePassed, gate="downtime")
        night.kill()
        goes_on(night)


def test_a_daemon_that_waits_for_its_lost_stream_elsewhere_steps_down(cluster: Cluster, tmp_path: Path) -> None:
    """It has another `state_dir`, so no lock tells of it."""
    with a_night(cluster, tmp_path, state_dir="state") as night:
        night.nats()
        night.stall("data.run_script:data/010.sql")
        old = Rivals(night, random.Random(1)).start("--auto")
        night.wait_for_step("data.run_script:data/010.sql")
        was = [body for _, body in bodies(night)]
        is_deleted(night)
        night.close_reader()
        done = restore(night)
        assert done.returncode == 0, done
        assert [body for _, body in bodies(night)][: len(was)] == was
        assert old.wait(60) == 7, night.output[-4000:]
        goes_on(night)


def test_a_daemon_whose_stream_is_deleted_while_it_works_ends_and_says_what_helps(cluster: Cluster, tmp_path: Path) -> None:
    """Found: it waited for it without end, production closed."""
    with stalled_at("data.run_script:data/010.sql", cluster, tmp_path) as night:
        is_deleted(night)
        night.close_reader()
        night.release()
        assert night.exit_code(120) == 1, night.output[-4000:]
        assert "cutoverd journal restore" in night.output
        assert restore(night).returncode == 0
        goes_on(night)
