"""What spares a run whose window would end too late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.rehearsed import ITEMS, NOW, a_run, done
from fakes.situations import DOOR

from cutoverd.events import facts
from cutoverd.events.codec import Envelope, Recorded
from cutoverd.events.commands import Command, Verb, encode, parse
from cutoverd.states.decide import allowed_verbs, decide
from cutoverd.states.evolve import evolve
from cutoverd.states.overrun import overrun
from cutoverd.states.ports import Direction
from cutoverd.states.run import Failure, Hold, Run

WITH_HEALTH = {**ITEMS, "health": ["page"]}
TURNS = {"on_overrun": "rollback", "state_budgets": {"rollback": 20.0}}


def late(state: str = "downtime", *, budget: float = 100.0, **given: Any) -> Run:
    """214.5 s are yet to come, by the rehearsal."""
    return replace(a_run(state, **{"budget_seconds": budget, **TURNS, **given}), window_began=NOW)


def found(run: Run, *, is_clock_steady: bool = True) -> facts.WindowOverrun:
    event = overrun(run, NOW, is_clock_steady=is_clock_steady)
    assert event is not None
    return event


def test_it_turns_what_is_late_while_a_rollback_ends_in_time() -> None:
    event = found(late())
    assert (event.turns, event.spared, event.forward_seconds, event.late_seconds) == ("rollback", "", 214.5, 114.5)
    assert found(late(on_overrun="hold")).turns == "hold"


def test_a_window_that_is_kept_is_no_event() -> None:
    assert overrun(late(budget=214.5), NOW) is None
    assert overrun(late(budget=214.4), NOW) is not None


@pytest.mark.parametrize(
    ("run", "spared"),
    [
        (late(on_overrun=""), "the plan does not say what then (window.on_overrun)"),
        (late(items=WITH_HEALTH, state_budgets={}), "how long the rollback takes is not known (window.states)"),
        (
            late(state_budgets={"rollback": 300.0}, items=WITH_HEALTH),
            "going on takes no longer than going back",
        ),
        (
            late(budget=15.0, state_budgets={"rollback": 20.0}, items=WITH_HEALTH),
            "the rollback would not end in time either",
        ),
        (
            late("cutover", budget=-1.0, items={**ITEMS, "traffic": ["lb"]}, tried={str(DOOR): done()}),
            "clients may be in",
        ),
    ],
    ids=["no word", "rollback unknown", "rollback longer", "rollback late", "clients in"],
)
def test_what_going_back_does_not_help_is_only_said(run: Run, spared: str) -> None:
    assert (found(run).turns, found(run).spared) == ("", spared)


def test_by_a_clock_that_was_set_nothing_is_turned() -> None:
    assert found(late(), is_clock_steady=False).spared == "the clock was set"


@pytest.mark.parametrize(
    "run",
    [
        replace(late(), held=Hold("look", "bob", now=False, seq=1)),
        replace(late(), failure=Failure("data.analyze", Direction.FORWARD, "no", 1)),
        replace(late(), aborting=True),
        replace(late(), is_overrun=True),
        replace(late(), window_began=None),
        late("monitor"),
        late("rollback"),
        late(found={}),
        replace(late(), plan=None),
    ],
    ids=["held", "failed", "aborting", "said", "before", "monitor", "rollback", "not rehearsed", "not started"],
)
def test_where_nothing_is_to_be_turned_it_is_not_asked(run: Run) -> None:
    assert overrun(run, NOW) is None


def test_whoever_moves_the_deadline_says_for_how_long_and_why() -> None:
    run = late()
    said = Command(verb=Verb.EXTEND, seq=run.last_seq + 1, by="alice", reason="the last script", extension=600.0)
    assert decide(run, said, NOW) == [facts.WindowExtended(seconds=600.0, by="alice", reason="the last script")]
    for missing, words in (({"extension": None}, "for how long is missing"), ({"reason": ""}, "why is missing")):
        [refused] = decide(run, said.model_copy(update=missing), NOW)
        assert isinstance(refused, facts.CommandRejected)
        assert words in refused.reason
        assert '{"verb": "extend", "for": 900' in refused.reason


@pytest.mark.parametrize("run", [late("monitor"), late("rollback"), replace(late(), window_began=None)])
def test_without_a_deadline_none_is_moved(run: Run) -> None:
    assert "extend" not in allowed_verbs(run)
    assert "extend" in allowed_verbs(late())


def test_by_the_new_deadline_it_is_asked_anew() -> None:
    event = facts.WindowExtended(seconds=50.0, by="alice", reason="?")
    said = replace(late(), is_overrun=True)
    again = evolve(said, Recorded(9, Envelope("e", "r1", NOW, 9, "", 1, 0, event)))
    assert found(again).late_seconds == 64.5


def test_on_the_bus_it_is_called_for() -> None:
    command = parse("cutover.cmd.alice", b'{"verb": "extend", "for": 900, "reason": "x"}', 5, NOW)
    assert command.extension == 900.0
    assert b'"for":900.0' in encode(command)
