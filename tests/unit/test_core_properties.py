"""The core under arbitrary commands, outcomes and kills: whatever happens, what must be true stays true."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.simulation import Fate, Simulation

from cutoverd.states import WAY
from cutoverd.states.decide import allowed
from cutoverd.states.plan import Await, Over
from cutoverd.states.ports import Version

LAST_MOMENT = 160  # a run of three services to Completed has about so many

KINDS = {"data_scripts": "abc", "validation_scripts": "v", "comparisons": "xy", "smoke": "s", "health": "h"}


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """What RunStarted froze, and which services ran before."""
    names = st.sampled_from(["worker", "api", "importer"])
    services = draw(st.lists(names, unique=True, max_size=3))
    items = {
        "services": services,
        "tested_services": [name for name in services if draw(st.booleans())],
        "new_services": [name for name in services if draw(st.booleans())],
        "traffic": draw(st.sampled_from([["lb"], ["lb", "dns"]])),
        **{kind: list(of[: draw(st.integers(0, len(of)))]) for kind, of in KINDS.items()},
    }
    gates = [state.name for state in WAY[1:] if draw(st.booleans())]
    return {"items": items, "gates": gates, "ran": {name for name in services if draw(st.booleans())}}


def commands() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "verb": st.sampled_from(["advance", "hold", "resume", "retry", "abort", "rollback", "fail", "note"]),
            "reason": st.sampled_from(["", "seen", " "]),
            "now": st.booleans(),
            "accept_loss": st.booleans(),
        },
        optional={
            "expect_state": st.sampled_from(["precheck", "cutover", "rollback"]),
            "run": st.sampled_from(["night", "another"]),
            "ttl": st.sampled_from([0.5, 3600.0]),
        },
    )


moments = st.integers(1, LAST_MOMENT)
fates = st.dictionaries(moments, st.sampled_from(Fate), max_size=12)
mails = st.dictionaries(moments, st.lists(commands(), min_size=1, max_size=3), max_size=12)


def advancing(mail: dict[int, list[dict[str, Any]]]) -> dict[int, list[dict[str, Any]]]:
    """The same, and somebody who says `advance` every few moments, so that most runs get far."""
    steady = {moment: [{"verb": "advance"}] for moment in range(10, LAST_MOMENT, 10)}
    return {moment: [*mail.get(moment, []), *steady.get(moment, [])] for moment in sorted({*mail, *steady})}


def as_it_was(simulation: Simulation) -> bool:
    return simulation.world.facade() == simulation.facade


def check_the_end(simulation: Simulation) -> None:
    """What the end of a run claims is so in the world."""
    world, state = simulation.world, simulation.run.state
    if state in ("rolledback", "aborted"):
        assert as_it_was(simulation), f"{state}, but {world.facade()} is not {simulation.facade}"
    if state == "aborted":
        assert not world.placeholder
    if state == "completed":
        assert world.exchanged
        assert all(world.open_doors.values())
        assert not world.dumping
        assert {name for (name, version), runs in world.running.items() if runs and version is Version.NEW} == set(
            simulation.items["new_services"]
        )
        assert world.scripts_done == set(simulation.items["data_scripts"])
        repeated = {where: times for where, times in world.effects.items() if times > 1 and "back" not in where}
        assert not repeated


@settings(max_examples=150)
@given(plan_of=plans(), fate=fates, mail=mails, steady=st.booleans(), going_on=st.booleans())
def test_whatever_happens_a_run_ends_well_or_waits_for_a_person_with_a_reason(
    plan_of: dict[str, Any], fate: dict[int, Fate], mail: dict[int, list[dict[str, Any]]], steady: bool, going_on: bool
) -> None:
    simulation = Simulation(**plan_of, fates=fate, mail=advancing(mail) if steady else mail).start()
    waiting = simulation.drive()
    assert isinstance(waiting, Await | Over)
    check_the_end(simulation)
    if isinstance(waiting, Await):
        assert set(waiting.verbs) <= set(allowed(simulation.run))
        simulation.finish(going_on=going_on)
    check_the_end(simulation)
