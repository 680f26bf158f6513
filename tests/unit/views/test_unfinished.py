"""The last lines of a run whose daemon ends before it: nobody drives, and the reader knows what production is."""

from __future__ import annotations

from fakes.simulation import Simulation
from fakes.situations import SCRIPT, entering, in_the_middle_of, stuck, waiting
from unit.views.test_run_tree import moment

from cutoverd.daemon.views.unfinished import GOES_ON, UNTIL_MENDED, format_left


def left(simulation: Simulation, *, by_error: bool = False) -> list[str]:
    at = moment(simulation)
    return format_left(at.run, at.timeline, at.now, by_error=by_error)


def test_a_run_that_is_held_in_the_window_says_that_production_is_closed_and_what_is_waited_for() -> None:
    """Found: `hold --now` in Data under `run --auto` ended by 6, and its last line was `interrupted: held now: hold`."""
    state, production, waits, verbs, goes_on = left(waiting(in_the_middle_of(SCRIPT), "hold", now=True, reason="look at it"))
    assert state == "run night is left in data, and nobody drives it"
    assert production.startswith("production is closed to clients; downtime ")
    assert waits == "it waits for a person: held: look at it"
    assert verbs == "next: resume, rollback, fail, note"
    assert goes_on == f"→ {GOES_ON}"


def test_after_an_error_what_has_to_be_mended_comes_first() -> None:
    *_, waits, _, goes_on = left(entering("data"), by_error=True)
    assert (waits, goes_on) == ("it waits for nobody: it was stopped on its way", f"→ {UNTIL_MENDED}")


def test_a_run_that_is_stuck_says_that_too() -> None:
    state, production, waits, verbs, _ = left(stuck())
    assert "left in stuck" in state
    assert production.startswith("production is ")
    assert "the way back failed" in waits
    assert "retry" in verbs
