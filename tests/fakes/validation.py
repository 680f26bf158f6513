"""Proofs in memory: right, unless the world says what is wrong, and with the evidence of the real ones either way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutoverd.states.errors import CheckFailed, OutcomeUnknown
from cutoverd.states.ports import AttemptId, Evidence

if TYPE_CHECKING:
    from fakes.world import World

DIFFERENCES = {
    "missing": 0, "extra": 0, "changed": 1, "repeated_old": 0, "repeated_new": 0, "rows_old": 1, "rows_new": 1,
    "keys": [{"kind": "changed", "key": {"id": "1"}, "columns": ["v"]}], "file": "/differences/0.jsonl", "sha256": "0",
}  # fmt: skip
FAST, SLOW = (dict.fromkeys(("median", "fastest", "slowest"), ms) for ms in (1.0, 9.0))
TIMES = {"old_ms": FAST, "allowed": 2.0, "rounds": 9, "rows_old": 1, "rows_new": 1}


@dataclass
class Validation:
    """`wrong` of the world: the method, and the name of what it is asked to look at: "compare:flights"."""

    world: World

    async def check_script(self, attempt_id: AttemptId, name: str) -> Evidence:
        self._find(f"check_script:{name}", {"checks": 1, "failed": ["sum"], "failed_count": 1})
        return {"checks": 1, "failed": []}

    async def compare(self, attempt_id: AttemptId, name: str) -> Evidence:
        self._reach_fenced_old()
        if self.world.old_written:
            raise CheckFailed(f"comparison {name}: 1 changed", evidence=DIFFERENCES)
        self._find(f"compare:{name}", DIFFERENCES)
        return {"rows_old": 1, "rows_new": 1, "differing": 0}

    async def check_coverage(self, attempt_id: AttemptId) -> Evidence:
        self._reach_old()
        self._find("check_coverage", {"unread": ["public.flights"], "unknown": [], "unexplained": []})
        return {"tables": 1, "compared": {"public.flights": ["flights"]}, "waived": {}}

    async def check_invariants(self, attempt_id: AttemptId) -> Evidence:
        self._reach_fenced_old()
        self._find("check_invariants", {"found": {"sequence is behind": ["public.flights_id_seq"]}})
        return {"relations": 1, "sequences": 1, "inherited": []}

    async def check_grants(self, attempt_id: AttemptId) -> Evidence:
        self._reach_fenced_old()
        self._find("check_grants", {"found": {"cannot": ["app_user"]}})
        return {"roles": 1, "grants": 1, "waived": {}, "unused": [], "warnings": []}

    async def check_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        self._reach_old()
        self._find(f"check_query:{name}", {})
        return {"columns": 1, "old_ms": 1.0}

    async def time_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        self._reach_fenced_old()
        assert not self.world.dumping, "the dump competes with what is timed"
        self._find(f"time_query:{name}", {**TIMES, "new_ms": SLOW, "ratio": 9.0})
        return {**TIMES, "new_ms": FAST, "ratio": 1.0}

    async def set_sequences(self, attempt_id: AttemptId) -> Evidence:
        self._reach_fenced_old()
        self._find("set_sequences", {"exhausted": {"public.flights_id_seq": 9}})
        return {"set": {}, "right": 1, "unjudged": []}

    async def analyze(self, attempt_id: AttemptId) -> Evidence:
        return {"tables": 1, "seconds": 0.1, "skipped": []}

    def _find(self, what: str, evidence: dict[str, Any]) -> None:
        if what in self.world.wrong:
            raise CheckFailed(f"{what} found something wrong", evidence=evidence)

    def _reach_old(self) -> None:
        """Fenced, or production as long as it is not."""
        if self.world.fenced:
            self._reach_fenced_old()

    def _reach_fenced_old(self) -> None:
        if not self.world.old_readable:
            raise OutcomeUnknown("old refuses connections: nothing can be asked of it")
