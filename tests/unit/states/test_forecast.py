"""How long the window is yet to take: the sum of what the rehearsal took, and what nobody knows is not called known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes.rehearsed import FOUND, ITEMS, NOW, TOOK, a_run, done, running
from fakes.situations import night, saying

from cutoverd.states.forecast import WINDOW, Forecast, Stretch, forecast
from cutoverd.states.ports import Direction, Evidence
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Attempts, Run


def foreseen(run: Run) -> Forecast:
    found = forecast(run, NOW)
    assert found is not None
    return found


def test_the_window_is_the_sum_of_its_steps() -> None:
    found = foreseen(a_run())
    assert {name: each.seconds for name, each in found.states.items()} == {
        "downtime": 1.0,
        "schema": 15.0,
        "data": 158.0,
        "validate": 40.0,
        "smoke": 0.5,
        "cutover": 0.0,
    }
    assert (found.window, found.rollback) == (Stretch(214.5), Stretch(0.0))


def test_before_the_window_all_of_it_is_to_come() -> None:
    assert list(foreseen(a_run("precheck")).states) == list(WINDOW)


def test_what_is_done_takes_nothing_more_and_what_runs_the_rest_of_it() -> None:
    run = a_run("data", tried={"data.run_script:a.sql": done(90.0), "data.run_script:b.sql": running(20.0)})
    assert foreseen(run).states["data"] == Stretch(30.0 + 8.0)
    late = a_run("data", tried={"data.run_script:a.sql": running(1000.0)})
    assert foreseen(late).states["data"] == Stretch(50.0 + 8.0)


def test_what_was_interrupted_takes_all_of_it_again() -> None:
    run = a_run("data", tried={"data.run_script:a.sql": replace(running(50.0), began=None)})
    assert foreseen(run).states["data"] == Stretch(158.0)


def test_side_by_side_is_never_shorter_than_the_longest() -> None:
    assert foreseen(a_run("validate", validate_jobs=2)).states["validate"] == Stretch(30.0)
    assert foreseen(a_run("validate", validate_jobs=2, items={"comparisons": ["u"]})).states["validate"] == Stretch(10.0)


def test_the_final_backup_is_waited_for_as_long_as_that_of_precheck_took() -> None:
    backup = {str(PreCheck.prove_backup): done(evidence={"parts": {"dump": 300.0}})}
    # begun after 1 s of Downtime and 10 s of the clone: its end is at 311 s, and Data is through at 174 s
    assert foreseen(a_run(tried=backup)).states["validate"].seconds == pytest.approx(311.0 - 174.0)
    begun = {**backup, "schema.start_backup": done(began=NOW - timedelta(seconds=290))}
    assert foreseen(a_run("validate", tried=begun)).states["validate"] == Stretch(40.0)
    assert foreseen(a_run("smoke", tried=begun)).states == {"smoke": Stretch(0.5), "cutover": Stretch(0.0)}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"items": {**ITEMS, "services": ["api"]}}, Stretch(1.0, is_at_least=True)),
        ({"gates": ("schema",)}, Stretch(1.0, is_at_least=True)),
        ({"items": {**ITEMS, "services": ["api"]}, "state_budgets": {"downtime": 60.0}}, Stretch(60.0)),
        ({"gates": ("schema",), "state_budgets": {"downtime": 0.1}}, Stretch(1.0)),
        ({"state_budgets": {"downtime": 60.0}}, Stretch(1.0)),
    ],
    ids=["services", "gate", "services in the plan", "what was rehearsed is longer", "nothing unknown"],
)
def test_what_no_rehearsal_knows_comes_from_the_plan_or_is_not_known(plan: dict[str, Any], expected: Stretch) -> None:
    assert foreseen(a_run(**plan)).states["downtime"] == expected


def test_a_rollback_takes_what_undoing_took_on_the_copy() -> None:
    tried = {"downtime.fence_old": done(), "schema.build_new": done(), "data.run_script:a.sql": running(1.0)}
    assert foreseen(a_run("data", tried=tried)).rollback == Stretch(3.0)
    with_services = {"items": {**ITEMS, "services": ["api"]}}
    stopped = {**tried, "downtime.stop_service:api": done()}
    assert foreseen(a_run("data", tried=stopped, **with_services)).rollback == Stretch(3.0, is_at_least=True)
    assert foreseen(a_run("data", tried=stopped, state_budgets={"rollback": 45.0}, **with_services)).rollback == Stretch(45.0)


def test_a_rehearsal_in_this_precheck_counts_as_one_on_record() -> None:
    found: Evidence = {"identity": "x", "on_record": None}
    keys = [key for key in a_run().keys("precheck") if key.item and key.step == "rehearse"]
    here = {str(key): done(TOOK.get(key.item, 0.0)) for key in keys}
    assert foreseen(a_run(found=found, tried=here)).window == Stretch(214.5)
    last = str(keys[-1])
    assert forecast(a_run("precheck", found=found, tried={**here, last: Attempts()}), NOW) is None


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"skipped": "no time"},
        {"identity": "x", "is_elsewhere": True},
        {"identity": "x", "on_record": {"at": "", "seconds": TOOK, "is_elsewhere": True}},
    ],
)
def test_what_was_not_rehearsed_on_this_server_foretells_nothing(found: Evidence) -> None:
    assert forecast(a_run(found=found), NOW) is None


def test_a_clock_that_is_set_back_makes_nothing_longer_than_it_was() -> None:
    run = a_run("data", tried={"data.run_script:a.sql": running(-3600.0)})
    assert foreseen(run).states["data"] == Stretch(158.0)


@pytest.mark.parametrize("state", ["monitor", "rollback", "completed", "stuck"])
def test_outside_of_the_window_nothing_is_foretold(state: str) -> None:
    assert forecast(a_run(state), NOW) is None


def test_nothing_of_a_night_takes_less_than_no_time() -> None:
    """Every moment of a run that is taken back: its end is foretold as far as there is one, and nothing raises."""
    states, known = set[str](), {(str(PreCheck.find_rehearsal), Direction.FORWARD): done(evidence=FOUND)}

    def judge(run: Run) -> None:
        states.add(run.state)
        found = forecast(replace(run, attempts={**run.attempts, **known}), NOW) if run.plan else None
        assert found is None or all(each.seconds >= 0 for each in (*found.states.values(), found.rollback, found.window))

    there = night().until(lambda run: judge(run) or run.state == "cutover")
    saying(there, "rollback", accept_loss=True, reason="?").until(lambda run: judge(run) or run.is_over)
    assert states >= {"precheck", "validate", "cutover", "rollback"}
