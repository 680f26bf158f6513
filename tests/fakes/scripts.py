"""SQL files in memory: each runs once, all or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoverd.states.errors import CheckFailed, OutcomeUnknown, StepError
from cutoverd.states.ports import AttemptId, Evidence, Found, Probed

if TYPE_CHECKING:
    from fakes.world import World


@dataclass
class Scripts:
    """`wrong` of the world: "check_files", "apply_schema", "run_script:NAME", "probe_script:NAME"."""

    world: World

    async def check_files(self) -> Evidence:
        if "check_files" in self.world.wrong:
            raise CheckFailed("1 line(s) cannot be run: schema.sql:2: COMMIT", evidence={"findings": ["schema.sql:2: COMMIT"]})
        return {"files": 1 + len(self.world.items.get("data_scripts", ()))}

    async def apply_schema(self, attempt_id: AttemptId, sha256: str) -> Evidence:
        self._reach_new()
        done = self.world.schema_applied
        self._may_run(attempt_id, "apply_schema", done=done)
        return {**self.world.recorded(attempt_id, {"files": 1}, schema_applied=True), "already_done": done}

    async def run_script(self, attempt_id: AttemptId, name: str) -> Evidence:
        self._reach_new()
        assert self.world.schema_applied, "the schema is missing"
        if f"probe_script:{name}" in self.world.wrong:
            raise OutcomeUnknown("the probe does not answer")
        done = name in self.world.scripts_done
        self._may_run(attempt_id, f"run_script:{name}", done=done)
        if not done:
            self.world.scripts_done.add(name)
            self.world.happened(attempt_id)
        return {"files": 1, "already_done": done}

    async def probe_script(self, attempt_id: AttemptId, name: str) -> Probed:
        try:
            self._reach_new()
        except OutcomeUnknown as error:
            return Probed(Found.UNKNOWN, {"error": str(error)})
        if f"probe_script:{name}" in self.world.wrong:
            return Probed(Found.UNKNOWN, {"error": "one boolean expected"})
        return Probed(Found.PRESENT if name in self.world.scripts_done else Found.ABSENT, {})

    def _may_run(self, attempt_id: AttemptId, what: str, *, done: bool) -> None:
        self.world.refuse_stale(attempt_id)
        if what in self.world.wrong and not done:
            raise StepError(f"{what}: division by zero; nothing of it was kept")

    def _reach_new(self) -> None:
        if not self.world.built or self.world.new_closed:
            raise OutcomeUnknown("database app_next was not reached")
