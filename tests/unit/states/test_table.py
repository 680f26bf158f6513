"""Proofs about the table and the steps: they hold for every state and step that is added later."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import cutoverd.events
import cutoverd.states
from cutoverd.events import facts
from cutoverd.events.commands import Verb
from cutoverd.states import ENDS, MACHINE, STATES, STUCK, TABLE, WAY, NotInTable, target, triggers
from cutoverd.states import decide as decide_module
from cutoverd.states import evolve as evolve_module
from cutoverd.states import next_action as next_action_module
from cutoverd.states.decide import _ANSWERS
from cutoverd.states.evolve import _MEANING
from cutoverd.states.guards import loss_accepted, nothing_written
from cutoverd.states.machine import Row, UnknownName, machine_of, transitions_of
from cutoverd.states.run import StepKey
from cutoverd.states.step import Effect, Step, step

ALL = (*STATES, STUCK, *ENDS)
STEPS = [(state, each) for state in STATES.values() for each in state.steps]
EVERY_STEP = pytest.mark.parametrize(("state", "each"), STEPS, ids=[f"{state.name}.{each.name}" for state, each in STEPS])


def reachable(start: str) -> set[str]:
    reached, left = set[str](), [start]
    while left:
        here = left.pop()
        reached.add(here)
        left += [row.target for row in TABLE if row.source == here and row.target not in reached]
    return reached


@pytest.mark.parametrize("state", ALL)
def test_every_state_is_reached_from_the_first(state):
    assert state in reachable("precheck")


@pytest.mark.parametrize("state", [state for state in ALL if state not in ENDS])
def test_no_state_is_a_dead_end(state):
    assert reachable(state) & set(ENDS)


@pytest.mark.parametrize("state", ENDS)
def test_nothing_leads_on_from_an_end(state):
    assert not triggers(state)


@pytest.mark.parametrize("state", [state.name for state in WAY[1:]])
def test_rollback_is_one_step_away_from_every_state_after_precheck(state):
    assert target(state, "rollback") == "rollback"


def test_precheck_touches_nothing_so_it_has_no_way_back_but_abort():
    assert set(triggers("precheck")) == {"proceed", "abort"}


def test_the_way_there_goes_through_the_states_in_their_order():
    names = [state.name for state in WAY]
    assert [target(name, "proceed") for name in names] == [*names[1:], "completed"]


def test_a_failure_turns_every_state_by_itself_until_clients_are_in():
    turning = {row.source for row in TABLE if row.trigger == "fail" and row.target == "rollback"}
    assert turning == {"downtime", "schema", "data", "validate", "smoke", "cutover"}


def test_a_way_back_that_fails_gets_stuck_and_only_retry_leads_out():
    assert target("rollback", "fail") == STUCK
    assert triggers(STUCK) == ["retry"]
    assert target(STUCK, "retry") == "rollback"


def test_one_trigger_leads_from_a_state_to_one_place():
    ways = [(row.source, row.trigger) for row in TABLE]
    assert len(ways) == len(set(ways))


def test_the_machine_is_the_table_and_nothing_more():
    rows = {(row.source, row.trigger, row.target, row.guard.__name__ if row.guard else "") for row in TABLE}
    assert sorted(transitions_of(MACHINE)) == sorted(rows)
    assert set(MACHINE.states) == set(ALL)


def test_the_triggers_of_a_state_are_those_of_its_rows():
    assert {state: triggers(state) for state in ALL} == {
        state: [row.trigger for row in TABLE if row.source == state] for state in ALL
    }


def test_what_clients_may_have_written_is_guarded_wherever_it_can_be_lost():
    guarded = {(row.source, row.trigger): row.guard for row in TABLE if row.guard}
    assert guarded == {
        ("smoke", "fail"): nothing_written,
        ("smoke", "rollback"): loss_accepted,
        ("cutover", "fail"): nothing_written,
        ("cutover", "rollback"): loss_accepted,
        ("monitor", "rollback"): loss_accepted,
    }
    opening = {state.name for state, each in STEPS if each.opens_traffic or each.exposes_new} | {"monitor"}
    assert {row.source for row in TABLE if row.target == "rollback" and row.source in opening and not row.guard} == set()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("schema", "fail", "rolback", ""), "schema ─fail▶ rolback: no state is 'rolback'; there are precheck, downtime, "),
        (Row("schemata", "fail", "rollback", ""), "schemata ─fail▶ rollback: no state is 'schemata'; there are precheck, "),
        (Row("schema", "fails", "rollback", ""), "schema ─fails▶ rollback: no trigger is 'fails'; there are proceed, abort, "),
    ],
)
def test_a_row_that_names_what_there_is_not_is_refused_at_import(row, message):
    with pytest.raises(UnknownName, match=message):
        machine_of([*TABLE, row], ALL)
    source, table = inspect.getsource(cutoverd.states), "TABLE: tuple[Row, ...] = ("
    assert table in source
    misspelt = source.replace(table, f"{table}\n    Row({row.source!r}, {row.trigger!r}, {row.target!r}, ''),")
    with pytest.raises(UnknownName, match=message):
        exec(compile(misspelt, "states/__init__.py", "exec"), {"__name__": "cutoverd.states"})


@pytest.mark.parametrize("state", ALL)
@pytest.mark.parametrize("trigger", sorted({row.trigger for row in TABLE}))
def test_what_the_table_does_not_have_is_refused_with_what_may_be_done_instead(state, trigger):
    if trigger in triggers(state):
        assert target(state, trigger) in ALL
        return
    with pytest.raises(NotInTable, match=f"{trigger!r} leads nowhere from {state!r}") as refused:
        target(state, trigger)
    assert all(other in str(refused.value) for other in triggers(state))


def test_every_row_says_when():
    assert all(row.when for row in TABLE)


def test_the_drawing_names_every_state():
    classes = [*(state.__name__ for state in STATES.values()), "Completed", "RolledBack", "Aborted", "Stuck"]
    assert all(name in (cutoverd.states.__doc__ or "") for name in classes)


@EVERY_STEP
def test_side_by_side_is_only_what_changes_nothing_and_hides_nothing(state, each):
    if each.grouped:
        assert each.effect is Effect.NONE
        assert each.undo is None
        assert each.collected, "a failure of it must not turn a run in which others still run"
        assert not any((each.untimed, each.copied_first, each.opens_traffic, each.exposes_new, each.while_held))


def test_queries_are_timed_alone():
    assert {str(each) for _, each in STEPS if each.grouped} == {"validate.check_script", "validate.compare"}


@EVERY_STEP
def test_a_step_has_its_way_back_or_says_why_it_needs_none_or_changes_nothing(state, each):
    changes = each.effect is not Effect.NONE
    assert not (changes and each.undo is None and not each.no_way_back)
    assert not (each.undo and each.no_way_back), "it has a way back and says that it needs none"


@EVERY_STEP
def test_a_step_that_cannot_be_in_a_transaction_has_a_probe_and_no_other_has_one(state, each):
    assert (each.probe is not None) == (each.effect is Effect.PROBED)


@EVERY_STEP
def test_a_step_says_what_is_true_afterwards(state, each):
    assert each.summary
    assert each.summary[0].islower()
    assert not each.summary.endswith(".")


@EVERY_STEP
def test_what_a_step_does_can_be_awaited(state, each):
    acts = [act for act in (each.run, each.undo, each.probe) if act]
    assert all(inspect.iscoroutinefunction(act) for act in acts)


@EVERY_STEP
def test_the_name_of_a_step_leads_back_to_it(state, each):
    for item in ("", "api", "db/001: users.sql", "http http://127.0.0.1:8080/health"):
        key = StepKey(state.name, each.name, item)
        assert StepKey.of(str(key)) == key
        assert key.definition is each


@EVERY_STEP
def test_only_a_check_that_changes_nothing_is_made_again_after_the_gate(state, each):
    assert not each.recheck_after_gate or (state.name == "precheck" and each.effect is Effect.NONE)


def test_the_steps_that_open_traffic_are_in_cutover_and_can_be_probed():
    opening = [(state.name, each) for state, each in STEPS if each.opens_traffic]
    assert opening
    assert all(state == "cutover" and each.probe and each.undo for state, each in opening)


def test_no_two_steps_of_a_state_have_one_name():
    for state in STATES.values():
        names = [each.name for each in state.steps]
        assert len(names) == len(set(names))


def test_every_state_says_what_it_is_for():
    assert all(state.__doc__ and state.name == state.__name__.lower() for state in STATES.values())


def test_a_step_that_names_an_unknown_option_is_refused():
    async def do_nothing(at): ...

    with pytest.raises(TypeError, match="undoo"):
        step(Effect.NONE, undoo=do_nothing)(do_nothing)


def test_a_step_cannot_be_changed_after_it_was_made():
    each = STEPS[0][1]
    assert isinstance(each, Step)
    with pytest.raises(AttributeError):
        each.effect = Effect.LEDGER


def test_every_event_has_a_type_of_its_own_on_the_wire_and_a_meaning():
    classes = [cls for _, cls in inspect.getmembers(facts, inspect.isclass) if issubclass(cls, facts.Event)]
    assert {facts.Event, *facts.TYPES.values()} == set(classes)
    assert len(facts.TYPES) == len(classes) - 1
    assert set(_MEANING) == set(facts.TYPES.values())


def test_the_types_on_the_wire_are_never_renamed():
    assert set(facts.TYPES) == {
        "abort_requested", "check_breached", "check_recovered", "collecting_ended", "command_rejected", "commands_rejected",
        "failure_reported",
        "foreign_messages_found", "gate_passed",
        "gate_reached", "leader_acquired", "leftover_dropped", "note_taken", "operator_ready", "retry_requested", "run_held",
        "run_resumed", "run_started", "step_failed", "step_interrupted", "step_probed", "step_started", "step_succeeded",
        "transitioned", "validation_failed", "window_extended", "window_overrun",
    }  # fmt: skip


def test_every_verb_is_answered():
    assert set(_ANSWERS) == set(Verb)


# the core is pure

UNWANTED = {"asyncio", "time", "nats", "psycopg", "socket", "threading", "subprocess", "os", "random", "httpx", "structlog"}
CORE = [
    path for package in (cutoverd.events, cutoverd.states) for path in sorted(Path(str(package.__file__)).parent.glob("*.py"))
]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", CORE, ids=[f"{path.parent.name}/{path.name}" for path in CORE])
def test_the_core_knows_no_clock_no_socket_and_no_adapter(path):
    tree = ast.parse(path.read_text())
    modules = set(imported(tree))
    assert not {module.split(".")[0] for module in modules} & UNWANTED
    assert not {module for module in modules if module.startswith("cutoverd.daemon")}
    if path.parent.name == "events":
        assert not {module for module in modules if module.startswith("cutoverd.states")}
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"utcnow", "today"}
    assert "datetime.now" not in path.read_text()


@pytest.mark.parametrize("module", [decide_module, evolve_module, next_action_module])
def test_what_decides_waits_for_nothing(module):
    tree = ast.parse(inspect.getsource(module))
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield)
    assert not [node for node in ast.walk(tree) if isinstance(node, waiting)]
