"""The rehearsal: steps of the window and their ways back, in PreCheck, on a copy of production, by the window's own functions.

An item of `precheck.rehearse` is the key of such a step, or `undo ` and that key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cutoverd.states.ports import Direction, Evidence
from cutoverd.states.step import Context, State, step_of

KIND = "rehearsal"  # of the items of a plan
UNDO = "undo "
RUN = "/try"  # behind the run's name, in the ledger
WITHOUT_RUN = "rehearsal."  # what stands for a run's name where there is none: no plan can give it
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,24}")


def name_without_run(production: str) -> str:
    """What stands for a run's name where that database is rehearsed on any day: a server may have many of them.

    Short enough for the name of a session, and fit for that of a file.
    """
    plain = _PLAIN.fullmatch(production)
    return f"{WITHOUT_RUN}{production if plain else hashlib.sha256(production.encode()).hexdigest()[:24]}"


def is_without_run(name: str) -> bool:
    """Whether no run made it, but a rehearsal on any day."""
    return name.startswith(WITHOUT_RUN)


def describe_maker(made_by: str) -> str:
    """Of a rehearsal on record: `run night`, or the command."""
    return "`cutoverd rehearse`" if is_without_run(made_by) else f"run {made_by}"


def on_place(place: str) -> str:
    """Where, of a copy that the team has made; "" of one that was restored."""
    return f" on {place}" if place else ""


def items(states: Iterable[type[State]], planned: Mapping[str, Sequence[str]]) -> list[str]:
    """There in the order of the window, and back, newest first; `planned`: the items of the plan by kind."""
    there = [
        step.of(item)
        for state in states
        for step in state.steps
        if step.rehearsed
        for item in (planned.get(step.per_item, ()) if step.per_item else ("",))
    ]
    return [*there, *(f"{UNDO}{key}" for key in reversed(there) if step_of(key)[0].undo)]


def summary(item: str) -> str:
    """What is true of the copy once it is done."""
    done = step_of(item.removeprefix(UNDO))[0].summary
    return f"on the copy it was undone that {done}" if item.startswith(UNDO) else f"on the copy {done}"


def is_collected(item: str) -> bool:
    """Whether a failure of it hides nothing of what comes after it."""
    return not item.startswith(UNDO) and step_of(item)[0].collected


async def take(at: Context, before: str) -> Evidence:
    """The step that the item of `at` names, on the copy; `before`: what the keys of rehearsed steps begin with."""
    assert at.ports.rehearsal is not None, "a plan whose rehearsal is frozen has one"  # noqa: S101
    back = at.item.startswith(UNDO)
    step, item = step_of(at.item.removeprefix(UNDO))
    act = step.undo if back else step.run
    assert act is not None, f"{at.item} has no way back"  # noqa: S101  # `items` has only those that have one
    attempt_id = replace(
        at.attempt_id,
        run=f"{at.attempt_id.run}{RUN}",
        step=step.of(item),
        direction=Direction.BACK if back else Direction.FORWARD,
    )
    await at.ports.backups.take_copy(at.attempt_id)
    own = {key.removeprefix(before): evidence for key, evidence in at.evidence.items() if key.startswith(before)}
    return await act(replace(at, ports=at.ports.rehearsal, item=item, attempt_id=attempt_id, evidence={**at.evidence, **own}))
