"""SIGKILL of the daemon in each state and on the way back, in the middle of a step; started again it finishes.

A kill comes once StepStarted is acknowledged and the step's child or backend is at work. What the steps did is counted by
witnesses outside the ledger: a transactional effect is there once, any other was repeated only after a probe said that it was
missing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.aftermath import assert_completed, assert_rolled_back, times
from support.night import Night, a_night, until
from support.servers import Cluster

from cutoverd.events import facts

Kill = tuple[str, str]  # the step, and whether its command stands still "before" its effect or "after" it
THERE: dict[str, list[Kill]] = {
    "precheck": [
        ("precheck.prove_health:page", "before"),
        ("precheck.prove_backup", "before"),
        ("precheck.make_placeholder", "before"),
    ],
    "downtime": [
        ("downtime.close_traffic:door", "before"),
        ("downtime.stop_service:worker", "after"),
        ("downtime.stop_service:api", "before"),
        ("downtime.fence_old", "before"),
    ],
    "schema": [
        ("schema.build_new", "before"),
        ("schema.open_old", "before"),
        ("schema.apply_schema", "before"),
    ],
    "data": [
        ("data.run_script:data/010.sql", "before"),
        ("data.run_script:data/020.sql", "before"),
        ("data.run_script:data/020.sql", "before"),
        ("data.run_script:late/900.sql", "before"),
    ],
    "smoke": [
        ("smoke.exchange_names", "before"),
        ("smoke.start_test:api", "after"),
        ("smoke.smoke_test:page", "before"),
        ("smoke.stop_test:api", "before"),
    ],
    "cutover": [
        ("cutover.start_service:api", "before"),
        ("cutover.start_service:worker", "after"),
        ("cutover.open_traffic:door", "before"),
        ("cutover.open_traffic:door", "after"),
        ("cutover.prove_health:page", "before"),
    ],
}
BACK: dict[str, list[Kill]] = {
    "names": [
        ("smoke.exchange_names", "before"),
        ("schema.open_old", "before"),
        ("schema.build_new", "before"),
        ("downtime.fence_old", "before"),
    ],
    "systems": [
        ("smoke.start_test:api", "before"),
        ("downtime.stop_service:api", "after"),
        ("downtime.stop_service:worker", "before"),
        ("downtime.close_traffic:door", "before"),
        ("rollback.prove_health:page", "before"),
    ],
}
SOON = ("schema",)  # in `make test`; the others in `make test-all`
ON_15 = ("downtime", "data", "smoke")


def kill_at_each(night: Night, kills: list[Kill], direction: str = "forward") -> None:
    """Kill the daemon in the middle of each of these steps; another one takes over each time."""
    for step, when in kills:
        way = "forward" if step.startswith("rollback.") else direction
        night.stall(step, way, when)
        night.take_over("--auto")
        night.wait_for_step(step, way)
        night.kill()
    night.take_over("--auto")


@pytest.mark.parametrize(
    ("cluster", "state"),
    [
        *(pytest.param("18", state, marks=[] if state in SOON else pytest.mark.long) for state in THERE),
        *(pytest.param("15", state, marks=[] if state == "data" else pytest.mark.soak) for state in ON_15),
    ],
    indirect=["cluster"],
)
def test_a_daemon_killed_in_a_state_is_carried_on_by_the_next(cluster: Cluster, tmp_path: Path, state: str) -> None:
    with a_night(cluster, tmp_path) as night:
        kill_at_each(night, THERE[state])
        assert_completed(night)
        assert len(night.daemons) == len(THERE[state]) + 1
        assert_probed_before_any_was_repeated(night, THERE[state], "forward")


def assert_probed_before_any_was_repeated(night: Night, kills: list[Kill], direction: str) -> None:
    """A command that had its effect is not given again; one that had not is, both after a probe."""
    journal, there = night.journal(), "present" if direction == "forward" else "absent"
    for step in {step for step, _ in kills if times(night, step, direction) is not None}:
        probes = [e.event for e in journal if isinstance(e.event, facts.StepProbed)]
        found = [probe.found for probe in probes if (probe.step, probe.direction) == (step, direction)]
        whens = [when for killed, when in kills if killed == step]
        assert found.count(there) == whens.count("after"), (step, found)
        assert times(night, step, direction) == 1 + whens.count("before"), (step, found)


SIDE_BY_SIDE = ("validate.check_script:validate/001.sql", "validate.compare:machines")


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_of_two_checks_that_ran_side_by_side_when_the_daemon_was_killed_both_are_taken_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Then one of them ends, and the next kill leaves only the other."""
    script, comparison = SIDE_BY_SIDE
    with a_night(cluster, tmp_path) as night:
        for step in SIDE_BY_SIDE:
            night.stall(step)
        night.start("--auto")
        for step in SIDE_BY_SIDE:
            night.wait_for_step(step)
        until(lambda: [wait for _, wait in night.backends()].count("PgSleep") == 2, "both stand still")
        night.kill()
        night.stall(comparison)  # once more: a takeover lets go what the dead daemon had begun
        night.take_over("--auto")
        night.wait_for(facts.StepSucceeded, step=script)
        night.wait_for_step(comparison)
        night.kill()
        night.release()
        night.take_over("--auto")
        assert_completed(night)
        begun = [each.event for each in night.journal() if isinstance(each.event, facts.StepStarted)]
        attempts = Counter(event.step for event in begun if event.step.startswith("validate."))
        assert {step: times for step, times in attempts.items() if times > 1} == {script: 2, comparison: 3}


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_closing_old_killed_half_way_is_not_taken_for_done(cluster: Cluster, tmp_path: Path) -> None:
    """It refused connections already; that nobody was in it any more was yet to be proven."""
    with a_night(cluster, tmp_path) as night:
        kill_at_each(night, [("validate.close_old", "before")])
        assert_completed(night)
        succeeded = [each.event for each in night.journal() if isinstance(each.event, facts.StepSucceeded)]
        [closed] = [event for event in succeeded if event.step == "validate.close_old"]
        assert closed.evidence["attempts"] >= 1


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_daemon_killed_while_it_watches_is_carried_on_by_the_next(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path, monitor={"for": "8s"}) as night:
        night.start("--auto")
        night.wait_for(facts.StepStarted, step="monitor.watch")
        night.kill()
        night.start("--auto")
        assert_completed(night)


@pytest.mark.parametrize(
    ("cluster", "part"),
    [("18", "names"), pytest.param("18", "systems", marks=pytest.mark.long), pytest.param("15", "names", marks=pytest.mark.soak)],
    indirect=["cluster"],
)
def test_a_daemon_killed_on_the_way_back_is_carried_on_by_the_next(cluster: Cluster, tmp_path: Path, part: str) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        kill_at_each(night, BACK[part], "back")
        assert_rolled_back(night)
        assert_probed_before_any_was_repeated(night, BACK[part], "back")


@pytest.mark.long
@pytest.mark.parametrize("cluster", ["18"], indirect=True)
def test_a_daemon_killed_as_it_turns_back_is_carried_on_by_the_next(cluster: Cluster, tmp_path: Path) -> None:
    with a_night(cluster, tmp_path) as night:
        night.knob("smoke api test", exit=1)
        night.start("--auto")
        night.wait_for(facts.Transitioned, target="rollback")
        night.kill()
        night.start("--auto")
        assert_rolled_back(night)
