"""What each verb means in each situation; a refusal says what was seen and names only what would be heard."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.simulation import BEGINNING, Simulation
from fakes.situations import (
    DOOR,
    ITEMS,
    SCRIPT,
    abort_failed,
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
)

from cutoverd.events import facts
from cutoverd.events.commands import Command, Verb
from cutoverd.states.decide import allowed_verbs, decide
from cutoverd.states.next_action import AwaitOperator, Finished, next_action
from cutoverd.states.ports import Direction, Found
from cutoverd.states.run import Run

ON_THE_WAY = {"hold", "rollback", "fail", "note"}
SITUATIONS: dict[str, tuple[Callable[[], Simulation], set[str]]] = {
    "precheck": (night, {"hold", "abort", "fail", "note"}),
    "precheck failed": (lambda: failing(night()), {"retry", "abort", "hold", "fail", "note"}),
    "precheck, a failure reported": (lambda: waiting(night(), "fail"), {"retry", "abort", "hold", "fail", "note"}),
    "precheck held": (lambda: waiting(night(), "hold"), {"resume", "hold", "abort", "fail", "note"}),
    "precheck held now": (lambda: waiting(night(), "hold", now=True), {"resume", "abort", "fail", "note"}),
    "precheck failed and held": (
        lambda: waiting(failing(night()), "hold"),
        {"resume", "hold", "abort", "fail", "note"},
    ),
    "at the gate before downtime": (
        lambda: waiting(night(("downtime",))),
        {"advance", "hold", "abort", "fail", "note"},
    ),
    "held at the gate before downtime": (
        lambda: waiting(waiting(night(("downtime",))), "hold"),
        {"resume", "hold", "abort", "fail", "note"},
    ),
    "precheck, operators missing": (lambda: waiting(night(operators=["alice"])), {"ready", "hold", "abort", "fail", "note"}),
    "precheck, all operators ready": (lambda: saying(night(operators=["alice"]), "ready"), {"hold", "abort", "fail", "note"}),
    "aborting": (lambda: saying(night(), "abort"), {"hold", "note"}),
    "aborting, held": (lambda: saying(saying(night(), "abort"), "hold"), {"resume", "hold", "note"}),
    "abort failed": (abort_failed, {"retry", "hold", "note"}),
    **{state: (lambda state=state: entering(state), ON_THE_WAY) for state in ("downtime", "schema", "data", "smoke")},
    "validate, failed": (lambda: failing(entering("validate")), ON_THE_WAY),
    "data held": (lambda: waiting(entering("data"), "hold"), {"resume", *ON_THE_WAY}),
    "data, an outcome unknown": (unknown, {"resume", *ON_THE_WAY}),
    "in the middle of a script": (lambda: in_the_middle_of(SCRIPT), ON_THE_WAY),
    "at the gate before cutover": (lambda: waiting(night(("cutover",))), {"advance", *ON_THE_WAY}),
    "cutover": (lambda: entering("cutover"), ON_THE_WAY),
    "opening traffic": (lambda: in_the_middle_of(DOOR), ON_THE_WAY),
    "clients are in": (clients_in, ON_THE_WAY),
    "clients are in, a failure": (lambda: waiting(clients_in(), "fail"), {"resume", *ON_THE_WAY}),
    "monitor": (lambda: entering("monitor"), ON_THE_WAY),
    "rollback": (lambda: saying(entering("schema"), "rollback"), {"hold", "note"}),
    "rollback held": (lambda: waiting(saying(entering("schema"), "rollback"), "hold"), {"resume", "hold", "note"}),
    "stuck": (stuck, {"retry", "note"}),
    "completed": (lambda: waiting(night()), set()),
    "rolled back": (lambda: waiting(entering("data"), "rollback"), set()),
    "aborted": (lambda: waiting(night(), "abort"), set()),
}


def fresh(to: Run, verb: str, /, **fields: Any) -> Command:
    """A command that nothing is wrong with but, perhaps, its verb."""
    fields = {"reason": "because", "accept_loss": True, "now": True, **fields}
    return Command(verb=Verb(verb), seq=to.last_seq + 1, sent_at=BEGINNING, by="alice", **fields)


def answer(to: Run, verb: str, at: datetime = BEGINNING, /, **fields: Any) -> facts.Event:
    (event,) = decide(to, fresh(to, verb, **fields), at)
    return event


def refusal(event: facts.Event) -> str:
    assert isinstance(event, facts.CommandRejected), event
    return event.reason


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_verb_counts_where_it_should_and_is_refused_with_what_counts_instead(situation, verb):
    bring, counting = SITUATIONS[situation]
    run = bring().run
    event = answer(run, verb)
    if verb in counting:
        assert not isinstance(event, facts.CommandRejected)
        return
    assert len(refusal(event)) > 10
    assert set(event.next) == counting
    assert event.verb == verb
    assert event.by == "alice"
    named = set(re.findall(r"`(\w+)`", event.reason))
    assert named <= counting | {"retry"}, f"{event.reason!r} names what would be refused too"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_is_said_to_be_allowed_is_what_counts(situation):
    bring, counting = SITUATIONS[situation]
    simulation = bring()
    assert set(allowed_verbs(simulation.run)) == counting


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_verb_that_counts_leaves_a_run_that_ends(situation):
    bring, counting = SITUATIONS[situation]
    for verb in sorted(counting):
        simulation = bring()
        simulation.append(answer(simulation.run, verb), fresh(simulation.run, verb))
        assert simulation.finish().is_over, verb


# staleness


def test_advance_before_the_gate_is_refused_and_passes_it_not_even_later():
    simulation = night(("downtime",))
    simulation.say("advance")
    waits = simulation.drive()
    assert isinstance(waits, AwaitOperator)
    assert waits.gate == "downtime"
    (refused,) = [event for event in recorded(simulation) if isinstance(event, facts.CommandRejected)]
    assert "no gate is waiting in precheck" in refused.reason


def test_advance_that_was_sent_before_the_gate_was_reached_is_refused():
    """The daemon was away when it was sent, and reads it only once it waits at the gate."""
    simulation = night(("downtime",))
    sent = simulation.seq + 1
    simulation.drive()
    late = Command(verb=Verb.ADVANCE, seq=sent, by="bob")
    assert sent < simulation.run.gate.seq
    assert "sent before the gate before downtime was reached" in refusal(decide(simulation.run, late, BEGINNING)[0])


def test_advance_sent_twice_passes_one_gate_and_the_second_is_refused():
    simulation = night(("downtime", "schema"))
    simulation.drive()
    simulation.say("advance")
    simulation.say("advance")
    waits = simulation.drive()
    assert isinstance(waits, AwaitOperator)
    assert waits.gate == "schema"
    events = [event for event in recorded(simulation) if isinstance(event, facts.GatePassed | facts.CommandRejected)]
    assert [event.wire_type() for event in events] == ["gate_passed", "command_rejected"]


@pytest.mark.parametrize(
    ("verb", "bring"),
    [
        ("resume", lambda: waiting(entering("data"), "hold")),
        ("resume", lambda: waiting(clients_in(), "fail")),
        ("retry", lambda: failing(night())),
        ("retry", stuck),
    ],
)
def test_what_answers_a_question_counts_only_if_it_was_sent_after_it(verb, bring):
    run = bring().run
    asked = max(run.failure.seq if run.failure else 0, run.held.seq if run.held else 0, run.entered_seq)
    before = Command(verb=Verb(verb), seq=asked - 1, by="bob")
    after = Command(verb=Verb(verb), seq=asked + 1, by="bob")
    assert "sent before" in refusal(decide(run, before, BEGINNING)[0])
    assert not isinstance(decide(run, after, BEGINNING)[0], facts.CommandRejected)


def test_a_resume_sent_before_the_failure_that_came_while_held_is_refused():
    simulation = waiting(clients_in(), "hold")
    sent = Command(verb=Verb.RESUME, seq=simulation.seq + 1, by="bob")
    simulation.seq += 1
    saying(simulation, "fail", reason="errors everywhere")
    assert "errors everywhere" in refusal(decide(simulation.run, sent, BEGINNING)[0])


@pytest.mark.parametrize("verb", ["hold", "rollback", "fail", "note"])
def test_what_warns_never_goes_stale(verb):
    run = entering("data").run
    old = Command(verb=Verb(verb), seq=run.started_seq + 1, reason="because")
    assert run.entered_seq > old.seq
    assert not isinstance(decide(run, old, BEGINNING)[0], facts.CommandRejected)


@pytest.mark.parametrize("verb", Verb)
def test_a_command_sent_before_the_run_started_never_counts(verb):
    """Found: the position of RunStarted was lost, so that last night's `hold` would have held tonight's run."""
    simulation = Simulation(ITEMS, ["downtime"], ran={"api"})
    simulation.say(verb, reason="meant for the run before")
    simulation.start()
    assert simulation.run.command_position == simulation.run.started_seq
    old = Command(verb=Verb(verb), seq=simulation.run.started_seq - 1, reason="because")
    assert "before the run started" in refusal(decide(simulation.run, old, BEGINNING)[0])
    waits = simulation.drive()
    assert isinstance(waits, AwaitOperator)
    assert waits.gate == "downtime"
    assert not [event for event in recorded(simulation) if isinstance(event, facts.CommandRejected)]


# to whom, where, until when


def test_a_command_for_another_run_is_refused():
    assert "'tuesday'; this is 'night'" in refusal(answer(night().run, "hold", run="tuesday"))


def test_a_command_for_another_state_is_refused():
    assert "expects state 'cutover'; the run is in 'precheck'" in refusal(answer(night().run, "hold", expect_state="cutover"))


def test_a_command_counts_for_as_long_as_it_says():
    run = night().run
    assert isinstance(answer(run, "hold", BEGINNING + timedelta(seconds=5), ttl=5.0), facts.RunHeld)
    late = answer(run, "hold", BEGINNING + timedelta(seconds=6), ttl=5.0)
    assert "to count for 5 s" in refusal(late)


def test_advance_before_the_window_opens_is_refused_and_after_it_counts():
    opens = datetime(2026, 12, 5, 22, 0, tzinfo=UTC)
    run = waiting(night(("downtime",), opens=opens)).run
    assert "the window opens at 2026-12-05T22:00:00+00:00" in refusal(answer(run, "advance", opens - timedelta(seconds=1)))
    assert isinstance(answer(run, "advance", opens), facts.GatePassed)


def test_a_gate_is_passed_by_somebody_even_if_nobody_said_who():
    run = waiting(night(("downtime",))).run
    (event,) = decide(run, Command(verb=Verb.ADVANCE, seq=run.last_seq + 1), BEGINNING)
    assert event == facts.GatePassed(gate="downtime", by="anonymous")


# going back


@pytest.mark.parametrize("bring", [lambda: in_the_middle_of(DOOR), clients_in, lambda: entering("monitor")])
@pytest.mark.parametrize(
    "fields", [{"accept_loss": False}, {"reason": ""}, {"reason": "  "}, {"accept_loss": False, "reason": ""}]
)
def test_once_clients_may_be_in_going_back_wants_accept_loss_and_a_reason(bring, fields):
    run = bring().run
    assert "a reason" in refusal(answer(run, "rollback", **fields))
    event = answer(run, "rollback")
    assert isinstance(event, facts.Transitioned)
    assert (event.target, event.by, event.accept_loss, event.reason) == ("rollback", "alice", True, "because")


@pytest.mark.parametrize("verb_fields", [{"reason": ""}, {"reason": "  "}])
def test_who_accepts_the_loss_is_told_that_only_the_reason_is_missing(verb_fields):
    """Found: it was refused in the same words as without `--accept-loss`."""
    reason = refusal(answer(clients_in().run, "rollback", **verb_fields))
    assert reason.endswith("Say it with a reason too (`--reason …`): only that is missing")


def test_who_goes_back_without_a_word_is_told_both_as_the_terminal_spells_them():
    reason = refusal(answer(clients_in().run, "rollback", accept_loss=False, reason=""))
    assert reason.endswith("Say it with accept_loss and a reason (`--accept-loss --reason …`)")


@pytest.mark.parametrize("state", ["downtime", "schema", "data", "validate", "smoke"])
def test_before_the_names_change_hands_going_back_is_free(state):
    assert isinstance(answer(entering(state).run, "rollback", accept_loss=False, reason=""), facts.Transitioned)


def test_once_somebody_may_have_written_to_new_going_back_is_decided_by_a_count():
    """Found: cron jobs and consoles wrote to new past the traffic switch, and `rollback` gave it up without a word."""
    reported = answer(entering("cutover").run, "rollback", accept_loss=False, reason="")
    assert reported == facts.FailureReported(by="alice", reason="rollback")
    assert isinstance(answer(entering("cutover").run, "rollback", accept_loss=True), facts.Transitioned)
    assert waiting(entering("cutover"), "rollback").run.state == "rolledback"
    stranger = waiting(entering("cutover", strangers=True), "rollback", reason="slow")
    assert "rollback: slow; production was written to since" in stranger.run.held.reason
    assert "was written to since the names changed hands (public.orders)" in refusal(
        answer(stranger.run, "rollback", accept_loss=False)
    )
    assert waiting(stranger, "rollback", accept_loss=True, reason="worse").run.state == "rolledback"


def test_a_probe_that_proves_the_door_shut_makes_going_back_free_again():
    simulation = in_the_middle_of(DOOR)
    simulation.append(facts.StepProbed(step=str(DOOR), direction=Direction.FORWARD, found=Found.ABSENT))
    assert waiting(simulation, "rollback").run.state == "rolledback"


# hold and note


def test_hold_now_sharpens_a_hold_and_nothing_sharpens_that():
    run = waiting(entering("data"), "hold").run
    assert "already held" in refusal(answer(run, "hold", now=False))
    assert answer(run, "hold", now=True) == facts.RunHeld(reason="because", by="alice", now=True)
    sharp = waiting(entering("data"), "hold", now=True).run
    assert "already held" in refusal(answer(sharp, "hold", now=True))


def test_a_note_without_a_text_is_refused_and_told_how():
    assert '`--reason …`, or on the bus {"verb": "note"' in refusal(answer(night().run, "note", reason=""))


def test_a_hold_of_whom_nobody_knows_is_not_the_daemons():
    """Found: `cutoverd send hold` without `--as` was told as `held by the daemon`."""
    run = entering("data").run
    (event,) = decide(run, Command(verb=Verb.HOLD, seq=run.last_seq + 1), BEGINNING)
    assert event == facts.RunHeld(reason="hold", by="anonymous")


def test_an_ended_run_hears_nothing():
    simulation = waiting(night())
    assert isinstance(next_action(simulation.run), Finished)
    assert "run night has ended: completed" in refusal(answer(simulation.run, "rollback"))


def test_stuck_cannot_be_held_for_then_retry_would_be_refused():
    """Found: a run that was stuck could be held, and then neither `retry` nor the hold's own advice led on."""
    run = stuck().run
    assert "`retry`" in refusal(answer(run, "hold"))
    assert isinstance(answer(run, "retry"), facts.Transitioned)
