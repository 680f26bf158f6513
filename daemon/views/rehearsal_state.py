"""Whether and how the window was rehearsed: every gate says it. Pure; from the events alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from cutoverd.daemon.progress import format_seconds
from cutoverd.states.ports import Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rehearsal import KIND, UNDO, describe_maker, on_place
from cutoverd.states.run import Run, Status, StepKey

FIRST_TIME = "scripts and validations run in the window for the first time"


class How(StrEnum):
    """Whether it is rehearsed, and where that is known from."""

    SKIPPED = "skipped"  # by the plan's word
    ON_RECORD = "on record"  # it was, before this run
    HERE = "here"  # in this run's PreCheck


@dataclass(frozen=True)
class RehearsalState:
    """How far it is, and what it found; the steps are those of the window."""

    how: How
    reason: str = ""  # of the plan, to leave it out
    record: Mapping[str, Any] = field(default_factory=dict)  # of one on record: when, by whom
    place: str = ""  # of a copy that the team has made
    steps: int = 0
    done: int = 0
    seconds: float = 0.0  # that those took
    failed: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()  # because of what has failed

    @property
    def is_proven(self) -> bool:
        """Whether the window was taken on a copy, and nothing was wrong."""
        return self.how is How.ON_RECORD or (self.how is How.HERE and self.done == self.steps)

    @property
    def counted(self) -> str:
        """`34 of 60 steps, 2 failed, 17 not looked at`."""
        wrong = f", {len(self.failed)} failed" if self.failed else ""
        hidden = f", {len(self.not_checked)} not looked at" if self.not_checked else ""
        return f"{self.done} of {self.steps} steps{wrong}{hidden}"

    def describe(self) -> str:
        """One sentence, for a gate."""
        if self.how is How.SKIPPED:
            return f"the window was not rehearsed ({self.reason}): {FIRST_TIME}"
        if self.how is How.ON_RECORD:
            return f"the window was rehearsed {when_and_by_whom(self.record)}, with the same catalog, SQL files and plan"
        if self.is_proven:
            took = f"{self.steps} steps, there and back, in {format_seconds(self.seconds)}"
            return f"the window was rehearsed in PreCheck{on_place(self.place)}: {took}"
        return f"the window is rehearsed in PreCheck{on_place(self.place)}: {self.counted}"

    def as_json(self) -> dict[str, Any]:
        return {
            "how": self.how.value,
            "reason": self.reason,
            "on_record": {name: self.record[name] for name in ("at", "made_by", "place") if name in self.record},
            "place": self.place,
            "steps": self.steps,
            "done": self.done,
            "failed": list(self.failed),
            "not_looked_at": list(self.not_checked),
            "says": self.describe(),
        }


def when_and_by_whom(record: Mapping[str, Any]) -> str:
    """`on 2026-12-01 12:00 UTC by run night`."""
    at = datetime.fromisoformat(record["at"])
    return f"on {f'{at:%Y-%m-%d %H:%M %Z}'.rstrip()} by {describe_maker(record['made_by'])}{on_place(record.get('place', ''))}"


def rehearsal_state(run: Run) -> RehearsalState | None:
    """None before it is known, and of a run that an older version began."""
    found = run.evidence().get(str(PreCheck.find_rehearsal))
    if not found or run.plan is None:
        return None
    if reason := found.get("skipped"):
        return RehearsalState(How.SKIPPED, reason=str(reason))
    if record := found.get("on_record"):
        return RehearsalState(How.ON_RECORD, record=record)
    keys = list(rehearsed_keys(run))
    return replace(_made_here(run, keys), place=str(found.get("place", ""))) if keys else None


def rehearsed_keys(run: Run) -> Iterator[StepKey]:
    return (key for key in run.keys(PreCheck.name) if key.definition.per_item == KIND)


def _made_here(run: Run, keys: list[StepKey]) -> RehearsalState:
    by_status: dict[Status, list[StepKey]] = {status: [] for status in Status}
    for key in keys:
        by_status[run.of(key, Direction.FORWARD).status].append(key)
    failed, done = by_status[Status.FAILED], by_status[Status.DONE]
    hidden = [*by_status[Status.BEGUN], *by_status[Status.UNTOUCHED]] if failed and run.failure else []
    return RehearsalState(
        How.HERE,
        steps=len(keys),
        done=len(done),
        seconds=sum(run.of(key, Direction.FORWARD).seconds for key in done),
        failed=tuple(map(window_step, failed)),
        not_checked=tuple(map(window_step, hidden)),
    )


def window_step(key: StepKey) -> str:
    """The step of the window that is taken on the copy, as every other view names it: `back: …` of a way back."""
    return f"back: {key.item.removeprefix(UNDO)}" if key.item.startswith(UNDO) else key.item
