"""The state machine as a diagram and a list of steps, drawn from the table: docs/state-machine.md is its output."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from cutoverd.states import ENDS, MACHINE, STATES, TABLE
from cutoverd.states.machine import transitions_of
from cutoverd.states.step import Effect, Step

EFFECTS = {
    Effect.NONE: "taken again",
    Effect.LEDGER: "taken again, finds “already done”",
    Effect.PROBED: "probed first",
}


def document() -> str:
    """The whole page."""
    return "\n".join([*_diagram(), "", *_steps(), ""])


def _diagram() -> Iterator[str]:
    yield "# The state machine"
    yield "Drawn from the table in `states/__init__.py` by `python -m cutoverd.daemon.views.diagram`."
    yield "```mermaid\nstateDiagram-v2\n  [*] --> precheck"
    for source, trigger, there, guard in transitions_of(MACHINE):
        yield f"  {source} --> {there}: {trigger}" + (f" [{guard}]" if guard else "")
    for end in ENDS:
        yield f"  {end} --> [*]"
    yield "```"
    yield "| from | trigger | to | when |\n|---|---|---|---|"
    yield from (f"| {row.source} | {row.trigger} | {row.target} | {row.when} |" for row in TABLE)
    yield "\nIn brackets in the diagram: what must be true besides."
    yield "| guard | true when |\n|---|---|"
    yield from (f"| {guard.__name__} | {inspect.getdoc(guard)} |" for guard in dict.fromkeys(row.guard for row in TABLE) if guard)


def _steps() -> Iterator[str]:
    yield "## Steps"
    yield "The last column: what a daemon does with a step whose outcome nobody saw."
    yield "| state | step | what is true afterwards | way back | when in doubt |\n|---|---|---|---|---|"
    for state in STATES.values():
        for step in state.steps:
            each = f" (each of {step.per_item.replace('_', ' ')})" if step.per_item else ""
            yield f"| {state.name} | {step.name}{each} | {step.summary} | {_way_back(step)} | {EFFECTS[step.effect]} |"


def _way_back(step: Step) -> str:
    return step.undo.__name__ if step.undo else step.no_way_back or "leaves nothing to undo"


if __name__ == "__main__":
    print(document(), end="")
