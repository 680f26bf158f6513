"""How long the window is yet to take, by what the rehearsal took. Pure; the time of day comes from outside.

What no rehearsal knows, the commands of the team and a gate that waits, comes from `window.states`; else what is known is "at
least".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, takewhile

from cutoverd.states import WAY
from cutoverd.states.monitor import Monitor
from cutoverd.states.ports import Direction, Evidence
from cutoverd.states.precheck import REHEARSED, PreCheck
from cutoverd.states.rehearsal import KIND, UNDO
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import Run, Status, StepKey
from cutoverd.states.schema import Schema
from cutoverd.states.validate import Validate

WINDOW = tuple(state.name for state in WAY[1 : WAY.index(Monitor)])
# a command of the team's, and what answers it: no rehearsal takes those
OF_THE_TEAM = frozenset({"services", "new_services", "tested_services", "traffic", "smoke", "health"})
FORWARD = Direction.FORWARD


@dataclass(frozen=True)
class Stretch:
    """Seconds that a part of the window is yet to take."""

    seconds: float = 0.0
    is_at_least: bool = False  # nobody knows all of it

    def __add__(self, other: Stretch) -> Stretch:
        return Stretch(self.seconds + other.seconds, self.is_at_least or other.is_at_least)


@dataclass(frozen=True)
class Forecast:
    """From one moment on."""

    states: Mapping[str, Stretch]  # of the window, from the current one on, in order
    rollback: Stretch  # if it began at that moment

    @property
    def window(self) -> Stretch:
        """To its end: Monitor begins."""
        return sum(self.states.values(), start=Stretch())


def forecast(run: Run, now: datetime) -> Forecast | None:
    """None outside of the window and of PreCheck, and where no rehearsal says how long this server takes."""
    took = rehearsed_seconds(run)
    if not took or run.state not in (PreCheck.name, *WINDOW):
        return None
    states, passed, dump_ends = dict[str, Stretch](), 0.0, _dump_ends(run, now)
    for state in WINDOW[WINDOW.index(run.state) if run.state in WINDOW else 0 :]:
        if state == Schema.name and dump_ends is None:
            dump_ends = passed + _before_dump(run, took, now) + _dump_seconds(run)
        states[state] = _of_state(run, state, took, now)
        if state == Validate.name and dump_ends is not None:
            waits = max(0.0, dump_ends - passed - states[state].seconds)
            states[state] += Stretch(waits)
        passed += states[state].seconds
    return Forecast(states, _rollback(run, took))


def rehearsed_seconds(run: Run) -> dict[str, float]:
    """By step of the window, `undo ` before its rollback; {} where nothing was rehearsed, not all of it, or on another server."""
    found: Evidence = run.evidence().get(str(PreCheck.find_rehearsal), {})
    if known := found.get("on_record"):
        return {} if known.get("is_elsewhere") else dict(known["seconds"])
    here = [key for key in run.keys(PreCheck.name) if key.definition.per_item == KIND] if found.get("identity") else []
    if found.get("is_elsewhere") or not here or not all(map(run.is_done, here)):  # half of it would be taken for the whole
        return {}
    taken = run.seconds().items()
    return {key.removeprefix(REHEARSED): seconds for key, seconds in taken if key.startswith(REHEARSED)}


def _of_state(run: Run, state: str, took: Mapping[str, float], now: datetime) -> Stretch:
    """What is known of its steps; where commands of the team are among them, or a gate, as long as the plan says it takes."""
    left = [key for key in run.keys(state) if not run.is_done(key)]
    known = sum(_each(run, left, took, now))
    is_known = not any(key.definition.per_item in OF_THE_TEAM for key in left) and not _has_gate(run, state)
    budget = run.frozen.state_budgets.get(state)
    if is_known or budget is None:
        return Stretch(known, not is_known)
    spent = _seconds_between(run.entered_at, now) if state == run.state else 0.0
    return Stretch(max(known, budget - spent))


def _each(run: Run, keys: Sequence[StepKey], took: Mapping[str, float], now: datetime) -> Iterator[float]:
    """Side by side they take half of what they could save: the server has its cores once (docs/performance.md)."""
    for is_grouped, group in groupby(keys, key=lambda key: key.definition.grouped):
        each = [_of_step(run, key, took, now) for key in group]
        share = (1 + 1 / run.frozen.validate_jobs) / 2 if is_grouped else 1.0
        yield max(max(each), sum(each) * share)


def _of_step(run: Run, key: StepKey, took: Mapping[str, float], now: datetime) -> float:
    """One that runs already takes what is left of it."""
    seconds, tried = took.get(str(key), 0.0), run.of(key, FORWARD)
    if tried.status is Status.BEGUN and tried.began:
        return max(0.0, seconds - _seconds_between(tried.began, now))
    return seconds


def _has_gate(run: Run, state: str) -> bool:
    """Whether somebody is waited for at its end, who has not come yet."""
    after = WAY[[each.name for each in WAY].index(state) + 1].name
    return after in run.frozen.gates and after not in run.passed


def _before_dump(run: Run, took: Mapping[str, float], now: datetime) -> float:
    begins = str(Schema.start_backup)
    before = takewhile(lambda key: str(key) != begins, run.keys(Schema.name))
    return sum(_of_step(run, key, took, now) for key in before if not run.is_done(key))


def _dump_ends(run: Run, now: datetime) -> float | None:
    """Seconds until the final backup is written; None before it is begun."""
    tried = run.of(StepKey.of(str(Schema.start_backup)), FORWARD)
    if tried.began is None:
        return None
    return _dump_seconds(run) - _seconds_between(tried.began, now)


def _dump_seconds(run: Run) -> float:
    """As the one of PreCheck took."""
    parts: Mapping[str, float] = run.evidence().get(str(PreCheck.prove_backup), {}).get("parts", {})
    return float(parts.get("dump", 0.0))


def _rollback(run: Run, took: Mapping[str, float]) -> Stretch:
    """What was begun is undone; where the team's commands are among it, as long as the plan says that it takes."""
    begun = [key for key in run.begun() if key.state in WINDOW and key.definition.undo]
    known = sum(took.get(f"{UNDO}{key}", 0.0) for key in begun)
    is_known = not any(key.definition.per_item in OF_THE_TEAM for key in (*begun, *run.keys(Rollback.name)))
    budget = run.frozen.state_budgets.get(Rollback.name)
    return Stretch(known, not is_known) if is_known or budget is None else Stretch(max(known, budget))


def _seconds_between(began: datetime, ended: datetime) -> float:
    """None of a clock that was set back."""
    return max(0.0, (ended - began).total_seconds())
