"""Room is asked for what is yet to be made: for a rehearsal only where one is made here, and no more once it is over."""

from __future__ import annotations

from fakes.simulation import Simulation
from fakes.situations import night

from cutoverd.states.precheck import PreCheck


def copies(simulation: Simulation) -> int:
    """Of production, that room was asked for last."""
    return int(simulation.run.evidence()[str(PreCheck.check_room)]["data"]["needed_bytes"])


def test_a_rehearsal_takes_a_copy_more_until_it_is_over() -> None:
    simulation = night(("downtime",), rehearses=True)
    simulation.drive()
    assert copies(simulation) == 3
    simulation.say("advance")
    simulation.until(lambda run: run.state == "downtime")
    assert copies(simulation) == 2, "asked once more after the gate"


def test_one_that_is_on_record_takes_none() -> None:
    simulation = night(("downtime",), rehearses=True)
    simulation.world.rehearsed = {"schema.build_new": 1.0}
    simulation.drive()
    assert copies(simulation) == 2
