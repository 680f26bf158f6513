"""What is to be done next, where it matters most: unseen outcomes, failures, clients that may be in, and the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.simulation import BEGINNING, Fate
from fakes.situations import (
    DOOR,
    ITEMS,
    SCRIPT,
    STOP,
    about_to,
    clients_in,
    entering,
    failing,
    in_the_middle_of,
    night,
    recorded,
    saying,
    stuck,
    unknown,
    waiting,
)  # fmt: skip

from cutoverd.events import facts
from cutoverd.events.codec import Envelope, Recorded
from cutoverd.states.evolve import evolve
from cutoverd.states.next_action import (
    AppendEvent,
    AttemptGroup,
    AttemptStep,
    AwaitOperator,
    Finished,
    ProbeStep,
    next_action,
)
from cutoverd.states.ports import Direction
from cutoverd.states.run import Run, Status, StepKey

FORWARD, BACK = Direction.FORWARD, Direction.BACK
FENCE = StepKey("downtime", "fence_old")


def probed(simulation, key, found, direction=FORWARD):
    simulation.append(facts.StepProbed(step=str(key), direction=direction, found=found))
    return simulation


def failed(simulation, key, direction=FORWARD):
    simulation.append(facts.StepFailed(step=str(key), direction=direction, seconds=0.1, error="CheckFailed", reason="no answer"))
    return simulation


# an attempt that nobody saw the end of


def test_a_ledger_step_of_unseen_outcome_is_taken_again_for_its_ledger_knows():
    assert next_action(in_the_middle_of(FENCE).run) == AttemptStep(FENCE, FORWARD, 2)


@pytest.mark.parametrize("key", [SCRIPT, STOP, DOOR])
def test_a_probed_step_of_unseen_outcome_is_looked_at_first(key):
    assert next_action(in_the_middle_of(key).run) == ProbeStep(key, FORWARD)


def test_an_effect_that_is_absent_is_made():
    assert next_action(probed(in_the_middle_of(SCRIPT), SCRIPT, "absent").run) == AttemptStep(SCRIPT, FORWARD, 2)


def test_an_effect_that_is_present_is_not_made_again():
    upcoming = next_action(probed(in_the_middle_of(SCRIPT), SCRIPT, "present").run)
    assert upcoming == AppendEvent(facts.StepSucceeded(step=str(SCRIPT), direction="forward", seconds=0.0, found=True))


def test_an_effect_that_cannot_be_known_holds_the_run_and_resume_looks_again():
    simulation = unknown()
    waits = next_action(simulation.run)
    assert isinstance(waits, AwaitOperator)
    assert "whether data.run_script:a.sql took effect cannot be known" in waits.reason
    assert next_action(saying(simulation, "resume").run) == ProbeStep(SCRIPT, FORWARD)


def test_a_probe_from_before_the_last_attempt_is_not_trusted():
    simulation = probed(in_the_middle_of(SCRIPT), SCRIPT, "absent")
    simulation.append(facts.StepStarted(step=str(SCRIPT), direction="forward", attempt=2))
    simulation.append(facts.StepInterrupted(step=str(SCRIPT), direction="forward", seconds=0.1, reason="lost"))
    assert simulation.run.of(SCRIPT, FORWARD).status is Status.BEGUN, "nobody saw it fail"
    assert next_action(simulation.run) == ProbeStep(SCRIPT, FORWARD)


def test_a_probe_of_an_earlier_daemon_is_not_trusted():
    """Found: an "absent" seen before a daemon died was still acted upon by the next, hours later."""
    simulation = probed(in_the_middle_of(SCRIPT), SCRIPT, "absent")
    assert next_action(simulation.start().run) == ProbeStep(SCRIPT, FORWARD)


def test_a_probe_from_before_a_hold_is_not_trusted():
    """Found: an "absent" seen before a hold was still acted upon after it, whatever a person had done meanwhile."""
    simulation = probed(in_the_middle_of(SCRIPT), SCRIPT, "absent")
    assert next_action(saying(saying(simulation, "hold"), "resume").run) == ProbeStep(SCRIPT, FORWARD)


def test_an_undo_of_unseen_outcome_is_looked_at_first():
    simulation = saying(in_the_middle_of(STOP), "rollback")
    simulation.append(facts.StepStarted(step=str(STOP), direction=BACK, attempt=1))
    assert next_action(simulation.run) == ProbeStep(STOP, BACK)
    assert next_action(probed(simulation, STOP, "present", BACK).run) == AttemptStep(STOP, BACK, 2)


# failures


@pytest.mark.parametrize("state", ["downtime", "schema", "data", "validate", "smoke", "cutover"])
def test_a_failure_before_clients_are_in_turns_the_run_and_nobody_is_asked(state):
    simulation = failing(entering(state))
    assert isinstance(simulation.drive(), Finished)
    assert simulation.run.state == "rolledback"
    (turn,) = [event for event in recorded(simulation) if getattr(event, "target", "") == "rollback"]
    assert (turn.by, turn.trigger) == (None, "fail")
    assert turn.reason


# checks of Validate: what else is wrong is asked before the run turns

CHECKED = {**ITEMS, "validation_scripts": ["v.sql"], "comparisons": ["x", "y"]}


def validating(**more):
    return entering("validate", items=CHECKED, **more)


def the_verdict(simulation):
    (event,) = [event for event in recorded(simulation) if isinstance(event, facts.ValidationFailed)]
    return [each.step for each in event.failures], event.not_checked


def test_found_a_window_was_lost_for_each_mistake_because_validate_ended_at_its_first():
    simulation = failing(validating())
    simulation.fates = {simulation.moment + 2 + 2 * n: Fate.FAILED_AFTER for n in (3, 5)}
    assert isinstance(simulation.drive(), Finished)
    failures, _ = the_verdict(simulation)
    assert failures == ["validate.check_coverage", "validate.compare:x", "validate.time_query:overview"][: len(failures)]
    assert len(failures) >= 2
    assert simulation.run.state == "rolledback"


def test_nothing_is_waited_for_once_the_run_will_turn():
    simulation = failing(validating())
    simulation.drive()
    begun = [event.step for event in recorded(simulation) if isinstance(event, facts.StepStarted)]
    assert "validate.finish_backup" not in begun
    assert the_verdict(simulation) == (["validate.check_coverage"], ["validate.time_query:overview"])


def test_the_reason_of_the_turn_names_the_first_failure_and_how_many_more_there_are():
    simulation = validating()
    simulation.fates = {simulation.moment + 2 * n: Fate.FAILED_BEFORE for n in range(1, 7)}
    simulation.drive()
    (turn,) = [event for event in recorded(simulation) if getattr(event, "trigger", "") == "fail"]
    failures, _ = the_verdict(simulation)
    assert turn.reason.startswith(f"{failures[0]}: failed, and nothing was done; and {len(failures) - 1} more: {failures[1]}")


def test_once_its_time_is_over_no_more_is_asked():
    simulation = failing(validating(patience=2))
    simulation.drive()
    failures, not_checked = the_verdict(simulation)
    assert failures == ["validate.check_coverage"]
    assert {"validate.compare:y", "validate.time_query:overview"} <= set(not_checked)


def test_a_daemon_that_takes_over_asks_on_and_asks_nothing_twice():
    simulation = failing(validating())
    simulation.start().drive()
    assert the_verdict(simulation) == (["validate.check_coverage"], ["validate.time_query:overview"])


@pytest.mark.parametrize(("verb", "by"), [("fail", None), ("rollback", "alice")])
def test_a_word_that_turns_the_run_waits_for_no_check(verb, by):
    simulation = saying(failing(validating()), verb, reason="enough")
    simulation.drive()
    assert not [event for event in recorded(simulation) if isinstance(event, facts.ValidationFailed)]
    assert simulation.run.state == "rolledback"


def test_an_unseen_outcome_is_asked_again_among_the_others():
    simulation = failing(failing(validating()), Fate.UNSEEN_BEFORE)
    simulation.drive()
    assert the_verdict(simulation) == (["validate.check_coverage"], ["validate.time_query:overview"])


V, X, Y = (StepKey("validate", step, item) for step, item in (("check_script", "v.sql"), ("compare", "x"), ("compare", "y")))


def group_of(simulation):
    upcoming = next_action(simulation.run)
    assert isinstance(upcoming, AttemptGroup)
    return [(take.key, take.attempt) for take in upcoming.attempts]


def side_by_side(jobs):
    return about_to(V, items=CHECKED, jobs=jobs)


def test_a_journal_from_before_there_were_groups_is_decided_one_step_after_the_other():
    simulation = side_by_side(2)
    written = facts.RunStarted(plan_sha256="", files={}, items=CHECKED, gates=[]).model_dump()
    del written["validate_jobs"]
    older = evolve(Run("night"), Recorded(1, Envelope("", "night", BEGINNING, 1, "", 1, 0, facts.RunStarted(**written))))
    simulation.run = replace(simulation.run, plan=older.plan)
    assert group_of(simulation) == [(V, 1)]


@pytest.mark.parametrize(("jobs", "group"), [(0, [V]), (1, [V]), (2, [V, X]), (8, [V, X, Y])])
def test_of_what_changes_nothing_as_many_as_the_plan_says_are_taken_side_by_side(jobs, group):
    assert group_of(side_by_side(jobs)) == [(key, 1) for key in group]


def test_the_place_of_what_has_ended_is_filled_however_it_ended():
    simulation = side_by_side(2)
    for key in (V, X):
        simulation.append(facts.StepStarted(step=str(key), direction="forward", attempt=1))
    failed(simulation, X)
    assert group_of(simulation) == [(V, 2), (Y, 1)], "the first runs; the loop does not begin it again"
    simulation.append(facts.StepSucceeded(step=str(V), direction="forward", seconds=0.1))
    assert group_of(simulation) == [(Y, 1)], "and nothing of what comes after the backup"


def test_what_a_kill_left_is_taken_first_and_the_rest_of_the_group_with_it():
    simulation = side_by_side(2)
    for key in (V, X):
        simulation.append(facts.StepStarted(step=str(key), direction="forward", attempt=1))
    simulation.append(facts.StepSucceeded(step=str(V), direction="forward", seconds=0.1))
    assert group_of(simulation.start()) == [(X, 2), (Y, 1)]


def test_more_failures_than_a_message_holds_are_counted():
    many = [f"c{n:04}" for n in range(400)]
    simulation = entering("validate", items={**ITEMS, "comparisons": many})
    simulation.fates = dict.fromkeys(range(simulation.moment, simulation.moment + 2000), Fate.FAILED_BEFORE)
    simulation.until(lambda run: run.failure)
    (event,) = [event for event in recorded(simulation) if isinstance(event, facts.ValidationFailed)]
    assert (event.failed, len(event.failures)) == (403, 100)


def test_a_failure_in_precheck_stays_there():
    waits = next_action(failing(night()).run)
    assert isinstance(waits, AwaitOperator)
    assert waits.reason.startswith("PreCheck failed: precheck.check_files: ")


def test_a_door_that_fails_to_open_is_looked_at_and_if_shut_the_run_turns():
    simulation = failed(in_the_middle_of(DOOR), DOOR)
    assert next_action(simulation.run) == ProbeStep(DOOR, FORWARD)
    assert next_action(probed(simulation, DOOR, "absent").run) == AttemptStep(StepKey("cutover", "count_writes"), FORWARD, 1)
    simulation.turn()
    upcoming = next_action(simulation.run)
    assert isinstance(upcoming, AppendEvent)
    assert upcoming.event.target == "rollback"


@pytest.mark.parametrize("found", ["present", "unknown"])
def test_a_door_that_fails_to_open_and_may_be_open_holds_the_run(found):
    simulation = probed(failed(in_the_middle_of(DOOR), DOOR), DOOR, found)
    upcoming = next_action(simulation.run)
    assert isinstance(upcoming, AppendEvent)
    assert isinstance(upcoming.event, facts.RunHeld)
    assert "accept_loss" in upcoming.event.reason


@pytest.mark.parametrize("bring", [clients_in, lambda: entering("monitor")])
def test_a_failure_once_clients_are_in_holds_the_run_and_says_what_it_would_cost(bring):
    simulation = waiting(bring(), "fail", reason="error rate")
    waits = next_action(simulation.run)
    assert isinstance(waits, AwaitOperator)
    assert "error rate" in waits.reason
    assert "clients may have written" in waits.reason


def test_monitor_of_a_run_without_doors_holds_on_a_failure_and_does_not_go_back_for_nothing():
    """Found: without a door nothing counted as opened: a failure asked the table for a way that Monitor does not have,
    and `rollback` gave up what clients wrote without being told to."""
    simulation = entering("monitor", items={**ITEMS, "traffic": []})
    waits = next_action(waiting(simulation, "fail").run)
    assert isinstance(waits, AwaitOperator)
    assert "accept_loss" in waits.reason
    saying(simulation, "rollback")
    assert isinstance(recorded(simulation)[-1], facts.CommandRejected)
    assert simulation.run.state == "monitor"


def test_a_count_of_which_nobody_saw_the_end_is_made_again_before_the_run_goes_on():
    """Found: it had closed the new database, `resume` went on, and the traffic was opened to it."""
    simulation = failing(about_to(StepKey("cutover", "start_service", "api"), strangers=True))
    simulation.fates = {simulation.moment + 2: Fate.FAILED_AFTER}  # the count
    assert "`resume` counts again, `rollback` needs accept_loss" in simulation.drive().reason
    simulation.world.new_closed = True  # as one leaves it whose server was gone before it gave the access back
    counted = StepKey("cutover", "count_writes")
    assert next_action(saying(simulation, "resume").run) == AttemptStep(counted, FORWARD, 1)
    assert "public.orders" in simulation.drive().reason
    assert not simulation.world.new_closed, "rows hold the run, and whoever had access has it again"
    assert saying(simulation, "resume").until(lambda run: run.state == "monitor")


def test_a_failure_reported_after_the_gate_before_downtime_closes_it_again():
    """Found: a check that failed closed the gate again, a reported failure left it open."""
    simulation = night(("downtime",))
    simulation.drive()
    saying(simulation, "advance")
    assert "downtime" in simulation.run.passed
    waiting(simulation, "fail")
    waits = waiting(simulation, "retry").drive()
    assert isinstance(waits, AwaitOperator)
    assert waits.gate == "downtime"


def test_a_cheap_check_that_fails_after_the_gate_closes_it_again():
    simulation = night(("downtime",))
    simulation.drive()
    failing(saying(simulation, "advance"))
    waits = waiting(simulation, "retry").drive()
    assert isinstance(waits, AwaitOperator)
    assert waits.gate == "downtime"


def test_cheap_checks_are_made_again_after_the_gate_and_the_others_are_not():
    simulation = night(("downtime",))
    simulation.drive()
    already = len(simulation.messages)
    saying(simulation, "advance").until(lambda run: run.state == "downtime")
    again = [event.step for event in recorded(simulation)[already:] if isinstance(event, facts.StepStarted)]
    cheap = ("check_server", "check_room", "prove_health:page", "check_rehearsal")
    assert again == [f"precheck.{step}" for step in cheap]


# a hold


def test_a_failure_while_held_still_turns_the_run_when_the_hold_is_over():
    simulation = waiting(entering("validate"), "hold")
    waiting(simulation, "fail", reason="rows differ")
    assert simulation.run.state == "validate"
    waiting(simulation, "resume")
    assert simulation.run.state == "rolledback"


def test_a_failure_of_the_way_back_while_held_leads_to_stuck_even_if_clients_had_been_in():
    """Found: after a way back with accept_loss, `resume` forgot a failure of the way back, as if clients were still in."""
    simulation = saying(clients_in(), "rollback", accept_loss=True, reason="errors")
    simulation.mail = {simulation.moment + 2: [{"verb": "hold"}]}
    failing(simulation)
    assert simulation.run.held
    assert simulation.run.failure
    waiting(simulation, "resume")
    assert simulation.run.state == "stuck"


def test_rollback_while_held_takes_the_way_back_at_once():
    simulation = waiting(entering("data"), "hold")
    assert simulation.run.held
    waiting(simulation, "rollback")
    assert simulation.run.state == "rolledback"


def test_abort_while_held_ends_the_run_at_once():
    assert waiting(waiting(night(), "hold"), "abort").run.state == "aborted"


# the way back


def undone(simulation):
    return [event.step for event in recorded(simulation) if isinstance(event, facts.StepStarted) and event.direction == BACK]


def test_what_was_begun_is_undone_newest_first():
    simulation = waiting(in_the_middle_of(StepKey("smoke", "start_test", "api")), "rollback")
    assert simulation.run.state == "rolledback"
    assert undone(simulation) == [
        "smoke.start_test:api",
        "smoke.exchange_names",
        "schema.start_backup",
        "schema.open_old",
        "schema.build_new",
        "downtime.fence_old",
        "downtime.stop_service:api",
        "downtime.stop_service:worker",
        "downtime.close_traffic:lb",
    ]


def test_a_service_that_did_not_run_before_is_left_stopped_by_the_way_back():
    simulation = waiting(entering("schema", ran={"api"}), "rollback")
    assert simulation.world.facade()["services"] == {"api"}


def test_the_way_back_proves_the_health_that_precheck_proved():
    simulation = waiting(entering("data"), "rollback")
    assert simulation.run.is_done(StepKey("rollback", "prove_health", "page"))


def test_a_way_back_with_nothing_to_undo_ends():
    simulation = waiting(entering("downtime"), "rollback")
    assert simulation.run.state == "rolledback"
    assert undone(simulation) == []


def test_the_placeholder_is_dropped_by_abort_and_never_by_the_way_back():
    assert waiting(entering("data"), "rollback").world.placeholder
    at_the_gate = waiting(night(("downtime",)))
    assert at_the_gate.world.placeholder
    assert not waiting(at_the_gate, "abort").world.placeholder


def test_a_step_that_fails_when_the_run_has_already_turned_is_not_a_failure_of_the_way_back():
    """Found: `rollback` in the middle of a script whose end was a failure led to Stuck."""
    simulation = failed(saying(in_the_middle_of(SCRIPT), "rollback"), SCRIPT)
    assert simulation.run.failure is None
    simulation.drive()
    assert simulation.run.state == "rolledback"


def test_a_check_that_fails_when_the_run_is_already_aborting_is_not_a_failure_of_the_abort():
    """Found: `abort` in the middle of a check whose end was a failure waited for `retry`."""
    check = StepKey("precheck", "check_server")
    simulation = failed(saying(in_the_middle_of(check), "abort"), check)
    simulation.drive()
    assert simulation.run.state == "aborted"


def test_stuck_says_what_failed():
    waits = next_action(stuck().run)
    assert isinstance(waits, AwaitOperator)
    assert waits.reason == "the way back failed: downtime.fence_old: failed, and nothing was done"


def test_stuck_by_an_outcome_that_cannot_be_known_names_the_step():
    """Found: it said that an outcome was unknown, and not of what; after a restart not even that."""
    simulation = saying(entering("schema"), "rollback").until(lambda run: run.is_done(FENCE, BACK))
    simulation.append(facts.StepStarted(step=str(STOP), direction=BACK, attempt=1))
    probed(simulation, STOP, "unknown", BACK).drive()
    for _ in ("at once", "after a restart"):
        waits = next_action(simulation.run)
        assert simulation.run.is_stuck
        assert isinstance(waits, AwaitOperator)
        assert "downtime.stop_service:api" in waits.reason
        simulation.start()
    assert waiting(simulation, "retry").run.state == "rolledback"


SAW = "[./api, status] exited 1, expected 0 (it runs) or 3 (it is stopped); it said: no route\nto the host"


def test_a_probe_that_could_not_tell_says_what_it_saw_to_whoever_has_to_look():
    """Found: Stuck named the step and not what its status command had said, and wanted a `resume` that it would refuse."""
    simulation = saying(entering("schema"), "rollback").until(lambda run: run.is_done(FENCE, BACK))
    simulation.append(facts.StepStarted(step=str(STOP), direction=BACK, attempt=1))
    simulation.append(facts.StepInterrupted(step=str(STOP), direction=BACK, seconds=1.0, reason=SAW))
    simulation.append(
        facts.StepProbed(step=str(STOP), direction=BACK, found="unknown", evidence={"error": f"OutcomeUnknown: {SAW}"})
    )
    simulation.drive()
    words = f"(the probe: {' '.join(SAW.split())})"
    for _ in ("at once", "after a restart"):
        waits = next_action(simulation.run)
        assert isinstance(waits, AwaitOperator)
        assert waits.reason == (
            f"the way back failed: whether it is undone cannot be known: downtime.stop_service:api {words}; "
            "look at it, then `retry` probes again"
        )
        simulation.start()
    (turned,) = [event for event in recorded(simulation) if getattr(event, "target", "") == "stuck"]
    assert turned.reason == (
        f"whether downtime.stop_service:api is undone cannot be known {words}: look at it, then `retry` probes again"
    )


def test_stuck_tries_nothing_by_itself():
    simulation = stuck()
    before = len(simulation.messages)
    simulation.start()
    assert isinstance(simulation.drive(), AwaitOperator)
    assert [event.wire_type() for event in recorded(simulation)[before:]] == ["leader_acquired"]


@pytest.mark.parametrize("what", [Fate.FAILED_AFTER, Fate.UNSEEN_AFTER, Fate.KILLED_AFTER])
def test_a_service_whose_start_was_not_seen_to_work_is_stopped_by_the_way_back(what):
    simulation = about_to(StepKey("cutover", "start_service", "api"))
    simulation.fates = {simulation.moment + 2: what}
    simulation.mail = {simulation.moment + 3: [{"verb": "rollback"}]}
    simulation.drive()
    assert simulation.run.state == "rolledback"
    assert simulation.world.facade() == simulation.facade
