"""What `retry` takes again of a rehearsal that failed: what hangs on the copy, and the copy too where it was spoilt."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.simulation import Fate, Simulation
from fakes.situations import about_to, failing, recorded, saying

from cutoverd.events import facts
from cutoverd.states.ports import Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run, StepKey

CHECK, RESET, PROVE = (StepKey.of(str(step)) for step in (PreCheck.check_copy, PreCheck.reset_copy, PreCheck.prove_backup))


def spoilt(how: Fate = Fate.FAILED_BEFORE) -> Simulation:
    """The copy was compared after the rehearsal, and is not what it was."""
    return failing(about_to(CHECK, rehearses=True), how)


def begun_since(simulation: Simulation, seq: int) -> list[str]:
    began = [event.step for event in recorded(simulation)[seq:] if isinstance(event, facts.StepStarted)]
    return [step for step in began if step.startswith("precheck.")]


def retried(simulation: Simulation) -> list[str]:
    """What is taken of PreCheck after `retry`, in its order."""
    saying(simulation, "retry")
    seq = len(simulation.messages)
    simulation.drive()
    return begun_since(simulation, seq)


def test_a_copy_that_is_no_more_what_it_was_is_made_anew_and_rehearsed_on_once_more() -> None:
    """Found: `retry` repeated the one comparison of the same copy, for ever."""
    simulation = spoilt()
    rehearsed = [str(key) for key in simulation.run.keys("precheck") if key.item and key.step == "rehearse"]
    again = retried(simulation)
    assert again[: again.index(str(CHECK)) + 1] == [str(PROVE), str(RESET), *rehearsed, str(CHECK)]
    assert simulation.run.state == "completed"


def test_a_copy_of_the_teams_is_put_right_and_rehearsed_on_once_more() -> None:
    """What it holds is asked of it by each reset: the backup was proven, and is no part of it."""
    simulation = about_to(RESET, rehearses=True)
    simulation.append(facts.StepSucceeded(step=str(PROVE), direction="forward", seconds=0.1, evidence={"bytes": 1}))
    failing(simulation.until(lambda run: is_open(run, CHECK)))
    again = retried(simulation)
    assert again[0] == str(RESET)
    assert str(PROVE) not in again


def is_open(run: Run, key: StepKey) -> bool:
    upcoming = next((each for each in run.keys("precheck") if not run.is_done(each)), None)
    return upcoming == key


def test_a_comparison_of_the_copy_that_nobody_saw_the_end_of_says_nothing_of_it_and_is_made_again_alone() -> None:
    simulation = about_to(CHECK, rehearses=True)
    failed: Any = {"step": str(CHECK), "direction": "forward", "seconds": 0.1, "reason": "the server is gone"}
    simulation.append(facts.StepStarted(step=str(CHECK), direction="forward", attempt=6))
    simulation.append(facts.StepFailed(**failed, error="OutcomeUnknown"))
    assert retried(simulation)[0] == str(CHECK)


@pytest.mark.parametrize("killed", [False, True])
def test_a_copy_that_is_yet_to_be_made_anew_is_dropped_by_an_abort(killed: bool) -> None:
    simulation = saying(spoilt(), "retry")
    if killed:
        simulation.start()
    saying(simulation, "abort").drive()
    assert simulation.run.is_done(PROVE, Direction.BACK)
    assert simulation.world.copy is None
    assert simulation.run.state == "aborted"


def test_after_a_retry_all_that_is_wrong_is_asked_for_once_more() -> None:
    """An outcome that stays unknown ends the collecting at once: of that rehearsal, not of the next."""
    simulation = failing(about_to(COVERAGE, rehearses=True), Fate.UNKNOWN)
    simulation.drive()
    [verdict] = verdicts(simulation)
    assert [each.step for each in verdict.failures] == [str(COVERAGE)]
    assert verdict.not_checked
    saying(simulation, "retry").until(lambda run: is_open(run, COVERAGE))
    failing(simulation).drive()
    assert verdicts(simulation)[-1].not_checked == []


COVERAGE = StepKey.of("precheck.rehearse:validate.check_coverage")


def verdicts(simulation: Simulation) -> list[facts.ValidationFailed]:
    return [event for event in recorded(simulation) if isinstance(event, facts.ValidationFailed)]
