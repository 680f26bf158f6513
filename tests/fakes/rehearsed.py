"""A run of which a rehearsal says how long it takes, put together by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from cutoverd.states.ports import Direction, Evidence
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Attempts, FrozenPlan, Run, Status

NOW = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)
ITEMS = {"data_scripts": ["a.sql", "b.sql"], "comparisons": ["t", "u"]}
TOOK = {
    "downtime.fence_old": 1.0,
    "schema.build_new": 10.0,
    "schema.apply_schema": 5.0,
    "data.run_script:a.sql": 100.0,
    "data.run_script:b.sql": 50.0,
    "data.analyze": 8.0,
    "validate.compare:t": 30.0,
    "validate.compare:u": 10.0,
    "smoke.exchange_names": 0.5,
    "undo downtime.fence_old": 2.0,
    "undo schema.build_new": 1.0,
    "undo smoke.exchange_names": 0.5,
}
FOUND = {"identity": "x", "on_record": {"at": "2026-11-30T12:00:00+00:00", "made_by": "rehearsal.app", "seconds": TOOK}}
FORWARD = Direction.FORWARD


def done(seconds: float = 0.0, evidence: Evidence | None = None, began: datetime | None = None) -> Attempts:
    return Attempts(Status.DONE, 1, evidence=evidence or {}, seconds=seconds, began=began)


def running(seconds: float) -> Attempts:
    """For so long."""
    return Attempts(Status.BEGUN, 1, began=NOW - timedelta(seconds=seconds))


def a_run(
    state: str = "downtime", found: Evidence = FOUND, tried: Mapping[str, Attempts] = MappingProxyType({}), **plan: Any
) -> Run:
    attempts = {str(PreCheck.find_rehearsal): done(evidence=found), **tried}
    frozen = FrozenPlan(**{"items": ITEMS, "rehearses": True, **plan})
    began = None if state == "precheck" else NOW
    known = {(key, FORWARD): each for key, each in attempts.items()}
    return Run("r1", state=state, plan=frozen, entered_at=NOW, window_began=began, attempts=known)
