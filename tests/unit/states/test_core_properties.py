"""The core under arbitrary commands, outcomes and kills: whatever happens, what must be true stays true."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain, product, repeat
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
from cutoverd.states.next_action import AttemptGroup, AwaitOperator, Finished, next_action
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
    orders = st.lists(st.integers(0, 4), max_size=20)
    side_by_side = {"jobs": draw(st.integers(1, 4)), "ends": chain(draw(orders), repeat(0))}
    return {"items": items, "gates": gates, "ran": ran, **chances, **side_by_side}


def commands() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "verb": st.sampled_from(["advance", "hold", "resume", "retry", "abort", "rollback", "fail", "note", "extend"]),
            "reason": st.sampled_from(["", "seen", " "]),
            "now": st.booleans(),
            "accept_loss": st.booleans(),
        },
        optional={
            "expect_state": st.sampled_from(["precheck", "cutover", "rollback"]),
            "run": st.sampled_from(["night", "another"]),
            "extension": st.sampled_from([1.0, 60.0]),
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
    order = random.Random(seed)
    world |= {"jobs": order.choice([1, 2, 3, 8]), "ends": (order.randrange(8) for _ in repeat(None))}
    world |= {"budget": order.choice([None, 10.0, 60.0, 150.0]), "on_overrun": order.choice(["", "rollback", "hold"])}
    return Simulation(items, gates, fates=fates, mail=mail, **world).start()


def a_word(chance: random.Random) -> dict[str, Any]:
    """What a hasty operator says: mostly what leads on, at times with all the consequences."""
    verb = chance.choices([*Verb], weights=[6, 1, 6, 3, 1, 0.3, 0.5, 2, 1, 0.3])[0]
    more = {"extension": 5.0} if verb is Verb.EXTEND else {}
    return {"verb": verb, "reason": "hasty", "now": chance.random() < 0.5, "accept_loss": chance.random() < 0.5, **more}


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


def most_left(events: list[facts.Event]) -> int:
    """Of a group, under way when a daemon was killed."""
    under_way, most = set[str](), 0
    for event in events:
        match event:
            case facts.StepStarted():
                under_way.add(event.step)
            case facts.StepSucceeded() | facts.StepFailed() | facts.StepInterrupted():
                under_way.discard(event.step)
            case facts.LeaderAcquired():
                most = max(most, len(under_way))
                under_way.clear()
    return most


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


GROUP = ("validate.check_script:v", "validate.compare:x", "validate.compare:y")
CHECKS = {"validation_scripts": ["v"], "comparisons": ["x", "y"]}
FEW = {"services": [], "new_services": [], "tested_services": [], "traffic": ["lb"], "data_scripts": [], **CHECKS}
ORDERS = list(product((0, 1), repeat=2))  # of three, two at once: which ends first, and which then
WRONG: tuple[set[str], ...] = (set(), {"compare:x"}, {"check_script:v", "compare:y"})


def with_group(order: tuple[int, ...], **more: Any) -> Simulation:
    """A run whose checks run two at a time."""
    return Simulation(FEW, [], ran=set(), jobs=2, ends=chain(order, repeat(0)), **more).start()


def after_group(order: tuple[int, ...], wrong: set[str], **more: Any) -> Simulation:
    simulation = with_group(order, **more)
    simulation.world.wrong |= wrong
    simulation.drive()
    return simulation


def of_group(simulation: Simulation, *types: type[facts.Event]) -> Counter[str]:
    events = (event for event in recorded(simulation) if isinstance(event, types))
    return Counter(event.step for event in events if event.step in GROUP)


@pytest.mark.parametrize("wrong", WRONG, ids=["all good", "one fails", "two fail"])
def test_a_group_in_every_order_with_a_kill_before_each_of_its_messages_is_judged_once(wrong: set[str]) -> None:
    """After one is before the next: nothing that lasts is done between them."""
    left = set[int]()
    for order in ORDERS:
        undisturbed = recorded(after_group(order, wrong))
        of_it = [n for n, event in enumerate(undisturbed, 1) if getattr(event, "step", "") in GROUP]
        for n in range(of_it[0], of_it[-1] + 2):
            simulation = after_group(order, wrong, killed_before=n)
            assert simulation.run.state == ("rolledback" if wrong else "completed")
            assert of_group(simulation, facts.StepSucceeded, facts.StepFailed) == Counter(GROUP)
            assert {f"validate.{name}" for name in wrong} == {*of_group(simulation, facts.StepFailed)}
            assert simulation.epoch == 2
            check_the_end(simulation)
            left.add(most_left(recorded(simulation)))
    assert left == {0, 1, 2}, "a kill that leaves none, one, or two of them without an outcome"


@pytest.mark.parametrize(
    "word",
    [{"verb": "rollback"}, {"verb": "fail"}, {"verb": "hold", "now": True}, {"verb": "hold"}],
    ids=["rollback", "fail", "hold now", "hold"],
)
def test_a_word_in_every_moment_of_a_group_ends_all_of_it_or_none(word: dict[str, Any]) -> None:
    """The referee sees to it that nothing is under way when the run waits, or begins anything else."""
    first = with_group(ORDERS[0]).until(lambda run: isinstance(next_action(run), AttemptGroup)).moment
    ended = Counter[int]()
    for order, moment in product((ORDERS[0], ORDERS[-1]), range(first, first + 2 * len(GROUP) + 2)):
        simulation = after_group(order, set(), mail={moment: [word | {"reason": "?"}]})
        interrupted = of_group(simulation, facts.StepInterrupted)
        ended[interrupted.total()] += 1
        begun = of_group(simulation, facts.StepStarted)
        assert of_group(simulation, facts.StepSucceeded, facts.StepInterrupted) == begun
        simulation.finish()
        check_the_end(simulation)
    assert ended.keys() == ({0} if word == {"verb": "hold"} else {0, 1, 2})


@pytest.mark.parametrize("wrong", [set(), {"check_script:v"}], ids=["nothing else", "another failed before"])
def test_a_check_whose_outcome_stays_unknown_turns_the_run_at_once_and_nothing_that_was_found_is_left_out(
    wrong: set[str],
) -> None:
    """Found: it was collected, and for two more minutes a server was asked that had just been lost six times."""
    first = with_group(ORDERS[0]).until(lambda run: isinstance(next_action(run), AttemptGroup)).moment
    left = set[int]()
    for order, moment in product(ORDERS, range(first, first + 2 * len(GROUP) + 2)):
        simulation = after_group(order, wrong, fates={moment: Fate.UNKNOWN})
        failed = [event for event in recorded(simulation) if isinstance(event, facts.StepFailed) and event.step in GROUP]
        if not any(event.error == "OutcomeUnknown" for event in failed):
            continue
        after = recorded(simulation)[recorded(simulation).index(failed[-1]) + 1 :]
        verdict = next(event for event in after if isinstance(event, facts.ValidationFailed))
        cut = after[: after.index(verdict)]
        assert all(isinstance(event, facts.StepInterrupted) for event in cut)
        assert {each.step for each in verdict.failures} == {event.step for event in failed}
        assert isinstance(after[len(cut) + 1], facts.Transitioned)
        assert simulation.run.state == "rolledback"
        left.add(len(cut))
    assert left == {0, 1}, "another ran beside it, or none did"


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
