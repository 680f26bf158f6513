"""The oracle is not blind: a core that breaks one rule is found by it alone, with the referee silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from fakes.oracle import Disagreement, Oracle
from fakes.simulation import Referee, Simulation
from fakes.situations import DOOR, ITEMS, about_to, clients_in, entering, failing, night, saying

from cutoverd.events import facts
from cutoverd.states import TABLE, decide, evolve, next_action
from cutoverd.states.ports import Found
from cutoverd.states.run import Run, StepKey, Writes

Mutation = Callable[[pytest.MonkeyPatch], None]


def door_begun() -> Simulation:
    """Traffic is about to be opened, and nobody knows whether it was."""
    simulation = about_to(DOOR)
    simulation.append(facts.StepStarted(step=str(DOOR), direction="forward", attempt=1))
    return simulation


def probed(found: str) -> Simulation:
    simulation = door_begun()
    simulation.append(facts.StepProbed(step=str(DOOR), direction="forward", found=found))
    return simulation


# a rule each: how a core breaks it, and the history in which that counts


def ignore_accept_loss(mutate: pytest.MonkeyPatch) -> None:
    mutate.setattr(decide, "loss_accepted", lambda run, command: True)


def want_no_reason(mutate: pytest.MonkeyPatch) -> None:
    mutate.setattr(decide, "loss_accepted", lambda run, command: command.accept_loss)


def turn_back_with_clients_in(mutate: pytest.MonkeyPatch) -> None:
    mutate.setattr(next_action, "nothing_written", lambda run: True)


def forget_what_was_opened(mutate: pytest.MonkeyPatch) -> None:
    mutate.setattr(Run, "opened", [])


def take_a_shrug_for_a_proof(mutate: pytest.MonkeyPatch) -> None:
    meaning, shrug = evolve._MEANING[facts.StepProbed], {"found": Found.ABSENT}
    mutate.setitem(evolve._MEANING, facts.StepProbed, lambda run, event, at: meaning(run, event.model_copy(update=shrug), at))


def trust_the_proof_of_another_daemon(mutate: pytest.MonkeyPatch) -> None:
    mutate.setitem(evolve._MEANING, facts.LeaderAcquired, lambda run, event, at: replace(run, epoch=event.epoch))


def trust_a_proof_from_before_a_person_came(mutate: pytest.MonkeyPatch) -> None:
    mutate.setitem(evolve._MEANING, facts.RunResumed, lambda run, event, at: replace(run, held=None, failure=None))


def stay_where_it_is(mutate: pytest.MonkeyPatch) -> None:
    mutate.setitem(evolve._MEANING, facts.Transitioned, lambda run, event, at: run)


def leave_out_a_state(mutate: pytest.MonkeyPatch) -> None:
    mutate.setattr(next_action, "target", lambda source, trigger: "cutover")
    mutate.setitem(evolve._MEANING, facts.Transitioned, lambda run, event, at: replace(run, state=event.target))


def go_back_from_precheck(mutate: pytest.MonkeyPatch) -> None:
    for asked, answer in (("triggers", lambda source: ["rollback"]), ("target", lambda source, trigger: "rollback")):
        mutate.setattr(decide, asked, answer)
    mutate.setitem(evolve._MEANING, facts.Transitioned, lambda run, event, at: replace(run, state=event.target))


def held_and_resumed() -> None:
    simulation = saying(probed("absent"), "hold")
    saying(simulation, "resume")


def forget_the_swap(mutate: pytest.MonkeyPatch) -> None:
    mutate.setattr(Run, "is_exposed", False)


def trust_a_count_from_before_the_failure(mutate: pytest.MonkeyPatch) -> None:
    mutate.setattr(evolve, "_uncounted", lambda run: run)


def take_a_failed_count_for_none(mutate: pytest.MonkeyPatch) -> None:
    writes = Run.writes.fget  # type: ignore[attr-defined]
    mutate.setattr(Run, "writes", property(lambda run: Writes.NONE if writes(run) is Writes.UNKNOWN else writes(run)))


def counted_twice() -> None:
    """Nothing was written when it was counted, and then something else fails."""
    simulation = failing(smoke_tested())
    simulation.turn()
    saying(simulation, "fail", reason="look again")


def smoke_tested() -> Simulation:
    return about_to(StepKey("smoke", "smoke_test", "page"), items={**ITEMS, "smoke": ["page"]})


def count_failed() -> None:
    failing(failing(smoke_tested()))


REFUSED = "which its guard refuses"
UNGUARDED = "traffic may be open: True; evolve in cutover, may lose writes: True, traffic may be open: False"
UNCOUNTED = "may lose writes: True, traffic may be open: False; evolve in smoke, may lose writes: False"
RULES: list[tuple[Mutation, Callable[[], object], str]] = [
    (ignore_accept_loss, lambda: saying(clients_in(), "rollback", reason="errors"), REFUSED),
    (ignore_accept_loss, lambda: saying(entering("monitor"), "rollback", reason="errors"), REFUSED),
    (want_no_reason, lambda: saying(clients_in(), "rollback", accept_loss=True), REFUSED),
    (turn_back_with_clients_in, lambda: failing(clients_in()).drive(), REFUSED),
    (forget_what_was_opened, door_begun, UNGUARDED),
    (take_a_shrug_for_a_proof, lambda: probed("unknown"), UNGUARDED),
    (trust_the_proof_of_another_daemon, lambda: probed("absent").take_over(), UNGUARDED),
    (trust_a_proof_from_before_a_person_came, held_and_resumed, UNGUARDED),
    (forget_the_swap, smoke_tested, UNCOUNTED),
    (trust_a_count_from_before_the_failure, counted_twice, UNCOUNTED),
    (take_a_failed_count_for_none, count_failed, UNCOUNTED),
    (
        stay_where_it_is,
        lambda: entering("downtime"),
        "the table is in downtime, may lose writes: False, traffic may be open: False; evolve in precheck",
    ),
    (leave_out_a_state, lambda: entering("cutover"), "but the table leads to downtime"),
    (go_back_from_precheck, lambda: saying(night(), "rollback"), "Can't trigger event rollback from state precheck"),
]
EVERY_RULE = pytest.mark.parametrize(
    ("mutation", "history", "complaint"), RULES, ids=[f"{n} {mutation.__name__}" for n, (mutation, _, _) in enumerate(RULES)]
)


@EVERY_RULE
def test_a_core_that_breaks_a_rule_is_found(
    mutation: Mutation, history: Callable[[], object], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Referee, "judge", lambda *_: None)
    mutation(monkeypatch)
    with pytest.raises(Disagreement, match=complaint):
        history()


@EVERY_RULE
def test_the_same_history_of_the_core_as_it_is_has_no_fault(
    mutation: Mutation, history: Callable[[], object], complaint: str
) -> None:
    history()


def test_every_guard_of_the_table_is_one_that_the_oracle_knows() -> None:
    assert {row.guard.__name__ for row in TABLE if row.guard} == {"nothing_written", "loss_accepted"}
    assert all(callable(getattr(Oracle, row.guard.__name__)) for row in TABLE if row.guard)
