"""Who is named in the plan says `ready` in PreCheck, by a subject of his own; nobody goes down without them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from fakes.simulation import Simulation
from fakes.situations import entering, failing, night, recorded, saying, waiting

from cutoverd.daemon.metrics.run_metrics import RunMetrics
from cutoverd.daemon.terminal.event_printer import TextFormat
from cutoverd.daemon.views.event_json import json_line
from cutoverd.events import facts
from cutoverd.events.codec import Recorded, decode
from cutoverd.events.commands import Command, Verb
from cutoverd.states.decide import allowed_verbs, decide
from cutoverd.states.next_action import AppendEvent, AwaitOperator, next_action
from cutoverd.states.run import Run

BOTH = ("alice", "bob")


def ready(to: Run, by: str | None) -> facts.Event:
    (event,) = decide(to, Command(verb=Verb.READY, seq=to.last_seq + 1, by=by), to.entered_at)
    return event


def says_ready(simulation: Simulation, by: str) -> Simulation:
    simulation.append(ready(simulation.run, by), Command(verb=Verb.READY, seq=simulation.run.last_seq + 1, by=by))
    return simulation


def refusal(event: facts.Event) -> str:
    assert isinstance(event, facts.CommandRejected), event
    return event.reason


def test_the_gate_is_reached_only_when_all_are_ready_and_who_is_missing_is_named() -> None:
    simulation = waiting(night(("downtime",), operators=BOTH))
    assert next_action(simulation.run) == AwaitOperator("waits for `ready` of alice, bob", operators=BOTH)
    says_ready(simulation, "alice")
    assert next_action(simulation.run) == AwaitOperator("waits for `ready` of bob", operators=("bob",))
    assert "ready" in allowed_verbs(simulation.run)
    says_ready(simulation, "bob")
    assert next_action(simulation.run) == AppendEvent(facts.GateReached(gate="downtime"))
    assert "ready" not in allowed_verbs(simulation.run)


def test_without_a_gate_they_are_waited_for_all_the_same() -> None:
    simulation = waiting(night(operators=("alice",)))
    assert simulation.run.state == "precheck"
    says_ready(simulation, "alice")
    simulation.drive()
    assert simulation.run.state == "completed"


def test_ready_from_somebody_whom_the_plan_does_not_name_is_refused() -> None:
    run = night(operators=BOTH).run
    assert refusal(ready(run, "mallory")) == "it came from mallory: it counts from alice, bob alone, whom the plan names"
    assert "say it on the subject cutover.cmd.<operator>" in refusal(ready(run, None))
    assert "names no operators" in refusal(ready(night().run, "alice"))


def test_ready_said_twice_is_refused_and_says_who_is_missing() -> None:
    simulation = says_ready(night(operators=BOTH), "alice")
    assert refusal(ready(simulation.run, "alice")) == "alice is ready already; who is missing: bob"


def test_ready_counts_in_precheck_alone() -> None:
    simulation = entering("data")
    assert "PreCheck alone" in refusal(ready(simulation.run, "alice"))


@pytest.mark.parametrize("fails", [failing, lambda night: waiting(night, "fail", reason="the pager is dead")])
def test_a_failure_of_precheck_asks_them_again(fails) -> None:
    simulation = fails(says_ready(night(operators=("alice",)), "alice"))
    assert simulation.run.missing == ("alice",)
    assert "`retry` first" in refusal(ready(simulation.run, "alice"))
    saying(simulation, "retry")
    assert isinstance(ready(simulation.run, "alice"), facts.OperatorReady)
    assert simulation.finish().state == "completed"
    assert [type(event) for event in recorded(simulation)].count(facts.OperatorReady) == 2


def test_a_failure_after_the_gate_asks_them_again() -> None:
    simulation = waiting(says_ready(night(("downtime",), operators=("alice",)), "alice"))
    failing(saying(simulation, "advance"))
    assert simulation.run.state == "precheck"
    assert (simulation.run.passed, simulation.run.missing) == (frozenset(), ("alice",))


def test_a_scrape_is_told_that_an_operator_is_waited_for() -> None:
    simulation, metrics = waiting(night(("downtime",), operators=("alice",))), RunMetrics("night", "1")
    for run, (seq, message) in zip(simulation.lived, simulation.messages, strict=True):
        metrics(run, Recorded(seq, decode(message)))
    assert metrics.registry.get_sample_value("cutover_waiting_for_operator", {"run": "night"}) == 1
    says_ready(simulation, "alice")
    metrics(simulation.run, Recorded(simulation.messages[-1][0], decode(simulation.messages[-1][1])))
    assert metrics.registry.get_sample_value("cutover_waiting_for_operator", {"run": "night"}) == 0


def printed_lines(simulation: Simulation, text: Callable[[Run, Recorded], str]) -> list[str]:
    """What is printed for each event."""
    pairs = zip(simulation.lived, simulation.messages, strict=True)
    return [text(run, Recorded(seq, decode(message))) for run, (seq, message) in pairs]


def test_the_wait_for_ready_is_told_once_though_it_is_no_event() -> None:
    """Found: the last line was that of the last step of PreCheck, and then nothing; only `status` knew of the wait."""
    simulation = waiting(waiting(says_ready(waiting(night(operators=BOTH)), "alice")), "hold")
    lines = [
        each for each in "\n".join(printed_lines(simulation, TextFormat())).splitlines() if " ◷ waits for `ready` of " in each
    ]
    assert [each[9:] for each in lines] == [
        "◷ waits for `ready` of alice, bob: cutoverd send ready --as alice -p PLAN; cutoverd send ready --as bob -p PLAN",
        "◷ waits for `ready` of bob: cutoverd send ready --as bob -p PLAN",
    ]
    waits = [json.loads(each)["waits_for"] for each in printed_lines(simulation, json_line)]
    assert [bool(each) for each in waits[:4]] == [False] * 4
    assert waits[-2] == lines[1][11:]
    assert waits[-1] == "held: hold", "that is what it waits for first"


def test_advance_while_a_ready_is_missing_names_who_has_not_said_it() -> None:
    """Found: it said no more than that no gate was waiting."""
    simulation = waiting(night(("downtime",), operators=BOTH))
    advance = Command(verb=Verb.ADVANCE, seq=simulation.run.last_seq + 1)
    (event,) = decide(simulation.run, advance, simulation.run.entered_at)
    assert refusal(event) == "no gate is waiting in precheck: `ready` of alice, bob is missing"
