"""SIGKILL of psql, of PostgreSQL, of the nats-server; and of the daemon right after an effect that nobody recorded."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.aftermath import LATE, assert_completed, assert_rolled_back
from support.night import Night, a_night, until
from support.production import names
from support.servers import Cluster, pause

from cutoverd.daemon.embedded import nats
from cutoverd.events import facts

SCRIPT = "data.run_script:data/010.sql"
on_18 = pytest.mark.parametrize("cluster", ["18"], indirect=True)


@on_18
def test_a_killed_psql_takes_its_script_and_the_run_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.stall(SCRIPT)
        night.start("--auto")
        night.wait_for_step(SCRIPT)
        for pid in night.children(SCRIPT):
            os.kill(pid, signal.SIGKILL)
        night.release()
        assert_rolled_back(night)
        [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
        assert (failed.step, failed.reason) == (SCRIPT, "psql was killed by signal 9")


def crash(night: Night, step: str, direction: str = "forward") -> None:
    """The whole PostgreSQL is killed in the middle of that step, and started again."""
    night.stall(step, direction)
    night.start("--auto")
    night.wait_for_step(step, direction)
    night.cluster.kill()
    night.cluster.start()
    night.release()


@on_18
def test_a_crash_of_the_server_in_a_script_takes_the_run_back(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        crash(night, SCRIPT)
        assert_rolled_back(night)
        [failed] = [each.event for each in night.journal() if isinstance(each.event, facts.StepFailed)]
        assert failed.step == SCRIPT
        assert "nothing of it was kept" in failed.hint, "that was read from the ledger once the server was back"


@pytest.mark.long
@pytest.mark.parametrize("step", ["downtime.fence_old", "smoke.exchange_names"])
@on_18
def test_a_crash_of_the_server_in_a_change_of_names_is_waited_out_and_the_step_taken_again(
    cluster: Cluster, tmp_path: Path, step: str
) -> None:
    with a_night(cluster, tmp_path) as night:
        crash(night, step)
        assert_completed(night)
        [interrupted] = [each.event for each in night.journal() if isinstance(each.event, facts.StepInterrupted)]
        assert interrupted.step == step
        [done] = [e.event for e in night.journal() if isinstance(e.event, facts.StepSucceeded) and e.event.step == step]
        compared = ["machines"] if step == "smoke.exchange_names" else None
        assert done.evidence.get("compared_again") == compared, "its counters went with the crash: the content has to say it"


@pytest.mark.long
@on_18
def test_after_a_crash_of_the_server_its_counters_prove_nothing_and_content_is_compared_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    with a_night(cluster, tmp_path) as night:
        crash(night, "schema.build_new")
        assert_completed(night)
        succeeded = [each.event for each in night.journal() if isinstance(each.event, facts.StepSucceeded)]
        [unchanged] = [event for event in succeeded if event.step == "smoke.check_old_unchanged"]
        assert "were reset since the fence" in unchanged.evidence["counters"]
        assert unchanged.evidence["compared_again"] == ["machines"]


@pytest.mark.long
@on_18
def test_a_crash_of_the_server_on_the_way_back_does_not_keep_production_away(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        crash(night, "downtime.fence_old", "back")
        assert_rolled_back(night)


def kill_the_nats_server(night: Night, killed: set[int]) -> None:
    """The one that came after those that were killed before."""
    server = until(lambda: (it := nats.find(night.state_dir / "nats")) and it.pid not in killed and it, "another nats-server")
    os.kill(server.pid, signal.SIGKILL)
    killed.add(server.pid)


@on_18
def test_a_nats_server_killed_again_and_again_loses_and_doubles_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """The night stands still before its last kill: it would be over, and its server ended, before a slow test looks again."""
    exchange, killed = "smoke.exchange_names", set[int]()
    with a_night(cluster, tmp_path) as night:
        night.stall(exchange)
        night.start("--auto")
        for event_count in (5, 25, 45):
            until(lambda count=event_count: len(night.recorded()) >= count, f"{event_count} events")
            kill_the_nats_server(night, killed)
        night.wait_for_step(exchange)
        kill_the_nats_server(night, killed)
        night.release()
        assert_completed(night)
        assert len(killed) == 4
        assert night.witnesses()[LATE] == 1
        ids = [each.envelope.id for each in night.journal()]
        assert len(set(ids)) == len(ids)


def is_fenced(cluster: Cluster) -> bool:
    return "app_previous" in names(cluster)


def is_exchanged(cluster: Cluster) -> bool:
    return "app_next" not in names(cluster)


def has_machines(cluster: Cluster) -> bool:
    return cluster.execute("SELECT count(*) FROM store.witness WHERE script = 'data_010'", "app_next") == [(1,)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("step", "direction", "is_done", "attempts"),
    [
        ("downtime.fence_old", "forward", is_fenced, 2),
        (SCRIPT, "forward", has_machines, 1),  # its probe finds it
        ("smoke.exchange_names", "forward", is_exchanged, 2),
        ("smoke.exchange_names", "back", lambda cluster: not is_exchanged(cluster), 2),
    ],
)
@on_18
def test_an_effect_whose_outcome_was_never_recorded_is_found_and_not_repeated(
    cluster: Cluster, tmp_path: Path, step: str, direction: str, is_done: Callable[[Cluster], bool], attempts: int
) -> None:
    """The nats-server stands still while the effect commits, then it and the daemon are killed: the outcome is nowhere."""
    with a_night(cluster, tmp_path) as night:
        if direction == "back":
            night.knob("smoke api test", exit=1)
        night.stall(step, direction)
        night.start("--auto")
        night.wait_for_step(step, direction)
        server = nats.find(night.state_dir / "nats")
        assert server is not None
        pause(server.pid)
        night.release()
        until(lambda: is_done(cluster), f"the effect of {step}")
        night.kill()
        os.kill(server.pid, signal.SIGKILL)
        night.start("--auto")
        (assert_rolled_back if direction == "back" else assert_completed)(night)
        started = [e.event for e in night.journal() if isinstance(e.event, facts.StepStarted)]
        assert [(e.step, e.direction) for e in started].count((step, direction)) == attempts
