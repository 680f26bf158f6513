"""The core under arbitrary commands, outcomes and kills: whatever happens, what must be true stays true."""

from __future__ import annotations

import random
from typing import Any

import pytest
from fakes.oracle import Disagreement
from fakes.simulation import NAME, Fate, Referee, Simulation
from fakes.situations import ITEMS, recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from cutoverd.events import facts
from cutoverd.events.codec import Chain
from cutoverd.events.commands import Verb
from cutoverd.states import WAY
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.evolve import evolve
from cutoverd.states.next_action import AwaitOperator, Finished, next_action
from cutoverd.states.ports import Version
from cutoverd.states.run import Run

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
    ran = {name for name in services if draw(st.booleans())}
    chances = {name: draw(st.booleans()) for name in ("strangers", "smoke_roles", "rehearses")}
    return {"items": items, "gates": gates, "ran": ran, **chances}


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


@settings(max_examples=100)
@given(plan_of=plans(), fate=fates, mail=mails, steady=st.booleans(), going_on=st.booleans())
def test_whatever_happens_a_run_ends_well_or_waits_for_a_person_with_a_reason(
    plan_of: dict[str, Any], fate: dict[int, Fate], mail: dict[int, list[dict[str, Any]]], steady: bool, going_on: bool
) -> None:
    simulation = Simulation(**plan_of, fates=fate, mail=advancing(mail) if steady else mail).start()
    waiting = simulation.drive()
    assert isinstance(waiting, AwaitOperator | Finished)
    check_the_end(simulation)
    if isinstance(waiting, AwaitOperator):
        simulation.finish(going_on=going_on)
    check_the_end(simulation)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_a_storm_of_kills_failures_and_commands_is_weathered(seed: int) -> None:
    simulation = stormy(seed)
    simulation.drive()
    check_the_end(simulation)
    simulation.finish(going_on=bool(seed % 2))
    check_the_end(simulation)


def stormy(seed: int) -> Simulation:
    """A night on which attempts go wrong, at times several in a row, and every eighth moment somebody says something."""
    chance = random.Random(seed)
    services = ["worker", "api", "importer"][: chance.randint(0, 3)]
    items = {
        **dict.fromkeys(("services", "new_services", "tested_services"), services),
        "traffic": ["lb", "dns"][: chance.randint(1, 2)],
        **{kind: list(of) for kind, of in KINDS.items()},
    }
    fates = {}
    for moment in range(4 * LAST_MOMENT):
        in_trouble = fates.keys() & range(moment - 4, moment)  # which seldom comes alone
        if chance.random() < (0.3 if in_trouble else 0.05):
            fates[moment] = chance.choice(list(Fate))
    mail = {moment: [a_word(chance)] for moment in range(1, LAST_MOMENT) if chance.random() < 0.125}
    gates = [state.name for state in WAY[1:] if chance.random() < 0.3]
    operators = ["alice"] if chance.random() < 0.5 else []
    world = {"ran": set(services[1:]), "operators": operators, "ailing": chance.randint(0, 2)}
    world |= {"strangers": chance.random() < 0.3, "smoke_roles": chance.random() < 0.5}
    world["rehearses"] = chance.random() < 0.5
    world["patience"] = chance.choice([None, 0, 1, 3])
    return Simulation(items, gates, fates=fates, mail=mail, **world).start()


def a_word(chance: random.Random) -> dict[str, Any]:
    """What a hasty operator says: mostly what leads on, at times with all the consequences."""
    verb = chance.choices([*Verb], weights=[6, 1, 6, 3, 1, 0.3, 0.5, 2, 1])[0]
    return {"verb": verb, "reason": "hasty", "now": chance.random() < 0.5, "accept_loss": chance.random() < 0.5}


def test_the_storms_reach_every_end_and_every_trouble() -> None:
    """What guards the properties above from proving nothing."""
    reached = set[str]()
    for seed in range(140):
        simulation = stormy(seed)
        simulation.drive()
        simulation.finish(going_on=bool(seed % 3))
        for event in recorded(simulation):
            reached |= {event.wire_type(), getattr(event, "target", ""), getattr(event, "found", "") and "found"}
            reached |= {"lossy"} if getattr(event, "accept_loss", False) else set()
    after_the_end = {facts.LeftoverDropped.wire_type()}
    of_the_loop = {"commands_rejected", "foreign_messages_found"}  # nothing in the core decides that there is a flood
    assert reached | after_the_end | of_the_loop >= {
        *facts.TYPES,
        "completed",
        "rolledback",
        "aborted",
        "stuck",
        "monitor",
        "found",
        "lossy",
    }


def test_the_oracle_follows_the_storms_to_where_its_guards_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the oracle that finds a run that forgets what was opened: the referee is silent."""
    monkeypatch.setattr(Referee, "judge", lambda *_: None)
    monkeypatch.setattr(Run, "opened", [])
    storms = (stormy(seed) for seed in range(50))
    with pytest.raises(Disagreement, match=r"traffic may be open: True; evolve in cutover, .*traffic may be open: False"):
        any(simulation.drive() is None for simulation in storms)


SMALL = {**ITEMS, "services": ["api"], "new_services": ["api"], "tested_services": []}
ADVANCE = {50: [{"verb": "advance"}]}
NIGHTS: dict[str, dict[str, Any]] = {
    "completed": {"mail": ADVANCE},
    "rolledback": {"mail": ADVANCE | {66: [{"verb": "rollback", "accept_loss": True, "reason": "errors"}]}},
    "aborted": {"mail": {9: [{"verb": "abort"}]}},
}


def a_night(end: str, **killed: int) -> Simulation:
    """To its end, but for one daemon that may die on the way; its successor makes up for it."""
    simulation = Simulation(SMALL, ["cutover"], ran={"api"}, **NIGHTS[end], **killed).start()
    simulation.drive()
    simulation.finish()
    return simulation


@pytest.mark.long
@pytest.mark.parametrize("end", NIGHTS)
def test_a_daemon_killed_around_any_message_is_followed_by_one_that_ends_the_night_well(end: str) -> None:
    undisturbed = a_night(end)
    assert undisturbed.run.state == end
    for n, event in enumerate(recorded(undisturbed), 1):
        check_the_end(a_night(end, killed_before=n))
        if isinstance(event, facts.StepStarted):  # announced and not yet begun; after any other message it is the same
            check_the_end(a_night(end, killed_after=n))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_every_prefix_of_a_journal_is_a_run_that_goes_on(seed: int) -> None:
    """Replayed as far as it goes, it tells what was lived up to there, and something can be done next."""
    simulation = stormy(seed)
    simulation.drive()
    assert len(simulation.lived) == len(simulation.messages)
    run, chain = Run(NAME), Chain()
    for (seq, message), lived in zip(simulation.messages, simulation.lived, strict=True):
        run, chain = evolve(run, chain.checked(message, seq)), chain.extended(message, seq)
        assert run == lived
        assert run.plan is None or next_action(run)
        assert run.plan is None or run.is_over or allowed_verbs(run)
