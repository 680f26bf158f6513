"""The rows of a table as a machine of `transitions`: a checked table, never the engine.

Its asynchronous and automatic sides lose and invent transitions (docs/measured.md, "transitions as a table"), so they stay off.
It answers what leads where; in the tests it drives a model beside `evolve`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from transitions import Machine

from cutoverd.states import guards

TRIGGERS = ("proceed", "abort", "fail", "rollback", "retry")


class Row(NamedTuple):
    """One line of the table."""

    source: str
    trigger: str
    target: str
    when: str
    guard: Callable[..., bool] | None = None  # what must be true besides; one of `states/guards.py`


class UnknownName(ValueError):
    """a row names a state, a trigger or a guard that there is not"""


def machine_of(table: Sequence[Row], states: Sequence[str], model: object = None) -> Machine:
    """The table as a machine that starts in the first state, and drives `model` if there is one; raises `UnknownName`."""
    for row in table:
        _check(row, states)
    return Machine(
        model=model,
        states=list(states),
        transitions=[_transition(row) for row in table],
        initial=states[0],
        auto_transitions=False,
    )


def transitions_of(machine: Machine) -> Iterator[tuple[str, str, str, str]]:
    """Source, trigger, target and guard ("" for none) of all that the machine knows, trigger by trigger."""
    for trigger in machine.events:
        for each in machine.get_transitions(trigger):
            yield each.source, trigger, str(each.dest), ", ".join(str(condition.func) for condition in each.conditions)


def _transition(row: Row) -> dict[str, Any]:
    conditions = [row.guard.__name__] if row.guard else []  # a name: the machine asks the model that it drives
    return {"trigger": row.trigger, "source": row.source, "dest": row.target, "conditions": conditions}


def _check(row: Row, states: Sequence[str]) -> None:
    """`transitions` itself takes a state that there is not, and fails when it is entered."""
    if row.guard and getattr(guards, row.guard.__name__, None) is not row.guard:
        raise UnknownName(f"{row.source} ─{row.trigger}▶ {row.target}: {row.guard.__name__} is no guard of states/guards.py")
    for kind, name, known in (("state", row.source, states), ("state", row.target, states), ("trigger", row.trigger, TRIGGERS)):
        if name not in known:
            raise UnknownName(f"{row.source} ─{row.trigger}▶ {row.target}: no {kind} is {name!r}; there are {', '.join(known)}")
