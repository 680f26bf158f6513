"""The last lines of a run whose daemon ends before it: nobody drives, and the reader knows what production is."""

from __future__ import annotations

import pytest
from fakes.simulation import Simulation
from fakes.situations import (
    DOOR,
    SCRIPT,
    about_to,
    clients_in,
    entering,
    failing,
    in_the_middle_of,
    is_next,
    night,
    saying,
    stuck,
    waiting,
)
from unit.views.test_run_tree import moment

from cutoverd.daemon.views.unfinished import GOES_ON, UNTIL_MENDED, format_left, production_now
from cutoverd.states.run import StepKey

PAST_IT = "closed to clients of the traffic switch; whoever connects past it may get into the new database"
CLOSE = StepKey("downtime", "close_traffic", "lb")


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


@pytest.mark.parametrize(
    ("simulation", "production"),
    [
        (night(), "open, as it was found"),
        (night(gates=("downtime",)), "open, as it was found"),
        (failing(night()), "open, as it was found"),
        (entering("schema"), "closed to clients"),
        (about_to(DOOR), PAST_IT),
        (in_the_middle_of(DOOR), "not known to be closed: cutover.open_traffic:lb may have let clients in"),
        (clients_in(), "not known to be closed: cutover.open_traffic:lb may have let clients in"),
        (entering("monitor"), "open, and new"),
        (saying(entering("data"), "rollback", reason="x"), "closed to clients"),
    ],
)
def test_production_is_never_called_closed_or_open_where_nobody_knows(simulation: Simulation, production: str) -> None:
    assert production_now(simulation.run) == production


def test_on_the_way_back_production_is_open_again_only_once_all_is_undone() -> None:
    simulation = saying(entering("data"), "rollback", reason="x")
    simulation.until(lambda run: is_next(run, CLOSE))
    assert production_now(simulation.run) == "closed to clients"
    failing(simulation).drive()
    assert production_now(simulation.run) == "not known to be closed: downtime.close_traffic:lb may have let clients in"
    saying(simulation, "retry").drive()
    assert production_now(simulation.run) == "open again, and old"


def test_without_a_door_clients_are_in_once_they_may_connect() -> None:
    simulation = entering("smoke", items={})
    assert production_now(simulation.run) == "closed to clients"
    simulation.until(lambda run: run.state == "monitor" or "cutover.admit_clients" in {str(key) for key in run.begun()})
    assert "cutover.admit_clients may have let clients in" in production_now(simulation.run)
