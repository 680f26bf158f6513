"""Whether the window is long enough, by what the rehearsal took. Pure arithmetic, and all of it is said."""

from __future__ import annotations

from collections.abc import Mapping

from cutoverd.states.errors import Unfit
from cutoverd.states.ports import Evidence
from cutoverd.states.rehearsal import UNDO

ROLLBACK = "rollback"
NOT_KNOWN = "services, the traffic switch, smoke tests and gates take as long as they take"

SAYS_NOTHING = "the rehearsal took {:g} s on {}, another server, which says nothing of production's"


def check_window(budget_seconds: float | None, rehearsed: Mapping[str, float], *, elsewhere: str = "") -> Evidence:
    """{"rehearsed": seconds by state, "seconds": their sum there, "rollback_seconds", "budget_seconds"}.

    `rehearsed`: seconds of each step of the window, by its key, and of each way back. Without a budget nothing is judged, and
    before anything was rehearsed nothing is known: {"not_looked_at": why}. Raises `Unfit` if what was rehearsed does not fit in.
    `elsewhere`: the copy, where it was on another server: what that took is shown, and is no measure of this one.
    """
    if not rehearsed:
        return {"not_looked_at": "nothing was rehearsed"}
    by_state = _by_state(rehearsed)
    back = by_state.pop(ROLLBACK, 0.0)
    needed = round(sum(by_state.values()), 3)
    evidence = {"rehearsed": by_state, "seconds": needed, "rollback_seconds": back, "budget_seconds": budget_seconds}
    if elsewhere:
        enough = "" if budget_seconds is None else f": whether window.budget ({budget_seconds:g} s) is enough is not known"
        return {**evidence, "elsewhere": elsewhere, "warnings": [SAYS_NOTHING.format(needed, elsewhere) + enough]}
    if budget_seconds is None or needed <= budget_seconds:
        return evidence
    sum_of = " + ".join(f"{seconds:g} s {state}" for state, seconds in by_state.items())
    raise Unfit(
        f"the window is too short: the rehearsal took {needed:g} s, and window.budget is {budget_seconds:g} s: {sum_of};"
        f" {NOT_KNOWN}",
        hint="a longer window.budget, faster scripts or disks; a plan that was changed is a new run",
        evidence=evidence,
    )


def _by_state(rehearsed: Mapping[str, float]) -> dict[str, float]:
    """Of what is taken before the window, the placeholder, nothing counts."""
    by_state: dict[str, float] = {}
    for key, seconds in rehearsed.items():
        state = ROLLBACK if key.startswith(UNDO) else key.partition(".")[0]
        if state != "precheck":
            by_state[state] = round(by_state.get(state, 0.0) + seconds, 3)
    return by_state
