"""What a run that is left says of production is so, whatever happened before: the world in memory knows who gets in."""

from __future__ import annotations

from collections import Counter

import pytest
from fakes.databases import Databases
from fakes.simulation import Simulation
from fakes.situations import ITEMS, about_to, entering, failing, is_next, night, saying
from unit.states.test_core_properties import stormy

from cutoverd.daemon.views.production_now import production_now
from cutoverd.events import facts
from cutoverd.events.commands import Command
from cutoverd.states.run import StepKey

TWO_DOORS = {**ITEMS, "traffic": ["lb", "dns"]}
CLOSE, CLOSE_DNS = (StepKey("downtime", "close_traffic", door) for door in ("lb", "dns"))
STOP = StepKey("downtime", "stop_service", "worker")
FENCE = StepKey("downtime", "fence_old")
ADMIT = StepKey("cutover", "admit_clients")
HEALTH = StepKey("cutover", "prove_health", "page")
OPEN = StepKey("cutover", "open_traffic", "lb")
PAST_IT = "closed to clients of the traffic switch; whoever connects past it may get into the {} database"
UNKNOWN = "not known to be closed: {}"


def check_claim(simulation: Simulation) -> str:
    """What is claimed, without its details; fails if it is not so in the world."""
    claim, _, details = production_now(simulation.run).partition(" of the traffic switch; ")
    whose, lets_in = Databases(simulation.world).names()["app"].split()
    doors, is_in = simulation.world.open_doors, lets_in == "open"
    if claim.startswith("open"):
        assert is_in, f"{claim}, and {whose} is {lets_in}"
        assert all(doors.values()), f"{claim}, and the doors are {doors}"
        assert whose == ("new" if claim == "open, and new" else "old")
    elif details:
        assert not any(doors.values()), f"{claim}, and the doors are {doors}"
        assert not is_in or f"the {whose} database" in details
    elif claim == "closed to clients":
        assert not is_in, f"{claim}, and {whose} lets them in"
    return f"{claim}{' at the door' if details else ''}".partition(":")[0]


def test_in_a_storm_of_kills_failures_and_commands_every_claim_is_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found: "closed to clients" as soon as anything of Downtime was begun."""
    claims, append = Counter[str](), Simulation.append

    def append_and_check(simulation: Simulation, event: facts.Event, command: Command | None = None) -> str:
        event_id = append(simulation, event, command)
        claims[check_claim(simulation)] += 1
        return event_id

    monkeypatch.setattr(Simulation, "append", append_and_check)
    for seed in range(60):
        simulation = stormy(seed)
        simulation.drive()
        simulation.finish(going_on=bool(seed % 3))
    assert claims.keys() == {
        "open, as it was found",
        "open, and new",
        "open again, and old",
        "closed to clients",
        "closed to clients at the door",
        "not known to be closed",
    }


@pytest.mark.parametrize(
    ("simulation", "production"),
    [
        (night(), "open, as it was found"),
        (night(gates=("downtime",)), "open, as it was found"),
        (failing(night()), "open, as it was found"),
        (failing(about_to(CLOSE)), UNKNOWN.format("downtime.close_traffic:lb is not done")),
        (about_to(CLOSE_DNS, items=TWO_DOORS), UNKNOWN.format("downtime.close_traffic:dns is not done")),
        (about_to(STOP), PAST_IT.format("old")),
        (failing(about_to(FENCE)), PAST_IT.format("old")),
        (entering("schema"), "closed to clients"),
        (about_to(ADMIT), PAST_IT.format("new")),
        (about_to(ADMIT, smoke_roles=True), "closed to clients"),
        (about_to(OPEN, smoke_roles=True), PAST_IT.format("new")),
        (about_to(HEALTH), UNKNOWN.format("cutover.open_traffic:lb may have let clients in")),
        (entering("monitor"), "open, and new"),
    ],
)
def test_what_keeps_clients_out_is_named(simulation: Simulation, production: str) -> None:
    check_claim(simulation)
    assert production_now(simulation.run) == production


def test_a_step_that_was_begun_and_has_no_outcome_is_not_known() -> None:
    simulation = about_to(OPEN)
    simulation.append(facts.StepStarted(step=str(OPEN), direction="forward", attempt=1))
    assert production_now(simulation.run) == UNKNOWN.format("cutover.open_traffic:lb may have let clients in")


def test_on_the_way_back_production_is_open_again_only_once_all_is_undone() -> None:
    simulation = saying(entering("data"), "rollback", reason="x")
    assert production_now(simulation.run) == "closed to clients"
    simulation.until(lambda run: is_next(run, CLOSE))
    assert production_now(simulation.run) == PAST_IT.format("old")
    failing(simulation).drive()
    assert production_now(simulation.run) == UNKNOWN.format("downtime.close_traffic:lb may have let clients in")
    saying(simulation, "retry").drive()
    assert production_now(simulation.run) == "open again, and old"
