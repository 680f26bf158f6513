"""A run that only a person can lead on says so, and nobody waits for it for ever."""

from __future__ import annotations

import pytest
from fakes.simulation import Simulation
from fakes.situations import entering, failing, night, saying, stuck, waiting

from cutoverd.daemon.cli.status import _code, _has_come
from cutoverd.daemon.control.observe import Observation
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.views.event_json import as_json
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Recorded, decode


def sight(simulation: Simulation) -> Observation:
    timeline = Timeline()
    for seq, message in simulation.messages:
        timeline.apply(Recorded(seq, decode(message)))
    return Observation(simulation.run, timeline)


def test_who_waits_for_a_run_whose_precheck_failed_is_told_and_does_not_wait_for_ever() -> None:
    """Found: without --auto the daemon waited for a person, and `status --wait` for the daemon."""
    observation = sight(failing(night()))
    assert _has_come(observation, None)
    assert _code(observation, None, True) is Exit.ABORTED


@pytest.mark.parametrize(
    ("simulation", "has_come"),
    [
        (failing(night()), True),
        (waiting(failing(night()), "hold"), True),
        (night(), False),
        (saying(failing(night()), "retry"), False),
        (failing(entering("schema")), False),
        (stuck(), False),
    ],
    ids=["PreCheck failed", "and was held", "PreCheck", "tried again", "a failure that leads back", "stuck"],
)
def test_a_script_may_wait_until_precheck_has_failed(simulation: Simulation, has_come: bool) -> None:
    assert _has_come(sight(simulation), "failed") is has_come


def test_who_held_a_failed_precheck_is_at_it_so_the_wait_goes_on() -> None:
    assert not _has_come(sight(waiting(failing(night()), "hold")), None)


def taken(simulation: Simulation) -> dict[str, object]:
    """What is printed when another daemon takes the run."""
    simulation.append(facts.LeaderAcquired(epoch=2, host="here", pid=1))
    seq, message = list(simulation.messages)[-1]
    return as_json(simulation.run, Recorded(seq, decode(message)))


@pytest.mark.parametrize(
    ("simulation", "waits_for", "words"),
    [
        (failing(night()), "PreCheck failed: ", "; waits for `retry` or `abort`"),
        (stuck(), "the way back failed: ", "; waits for `retry`"),
        (waiting(entering("data"), "hold"), "held: hold", "; waits for `resume`"),
        (waiting(night(("downtime",))), "the gate before downtime waits for `advance`", "`advance`"),
    ],
    ids=["PreCheck failed", "stuck", "held", "a gate"],
)
def test_a_daemon_that_comes_to_a_run_that_waits_for_a_person_says_for_what(
    simulation: Simulation, waits_for: str, words: str
) -> None:
    """Found: started again on a failed PreCheck it said that it led the run, and nothing more."""
    document = taken(simulation)
    assert str(document["waits_for"]).startswith(waits_for)
    assert str(document["line"]).endswith(words)
    assert f"\n           ◷ {waits_for}" in str(document["line"])


def test_a_daemon_that_goes_on_waits_for_nobody() -> None:
    document = taken(entering("data"))
    assert document["waits_for"] == ""
    assert "waits" not in str(document["line"])
