"""Dumps in memory: by their names, whole or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoverd.states.errors import CheckFailed, Unfit
from cutoverd.states.ports import AttemptId, Evidence

if TYPE_CHECKING:
    from fakes.world import World

FREE_BYTES = 10**12
FINAL = "final"
THERE_AND_BACK = {"seconds": {"build_new": 0.1}, "exchange_seconds": 0.1, "way_back_seconds": 0.1}


@dataclass
class Backups:
    """`wrong` of the world: "prove"."""

    world: World

    async def check_room(self, attempt_id: AttemptId, dumped_bytes: int | None) -> Evidence:
        needed = {"folder": "/backups", "needed_bytes": dumped_bytes or 1, "free_bytes": FREE_BYTES}
        if needed["needed_bytes"] > FREE_BYTES:
            raise Unfit("too little disk", evidence={"reasons": ["too little disk"]})
        return {"production_bytes": 1, "backup": needed, "data": needed}

    async def check_dumpable(self, attempt_id: AttemptId) -> Evidence:
        if "dumpable" in self.world.wrong:
            raise Unfit("large object 7 may not be read", evidence={"reasons": ["large object 7 may not be read"]})
        return {"warnings": [], "left_out": []}

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        self.world.refuse_stale(attempt_id)
        self.world.unfinished_proof.clear()
        if "prove" in self.world.wrong:
            raise CheckFailed("the schema does not build")
        file = self._keep(f"{attempt_id.run}-before-{len(self.world.dumps)}")
        parts = {"dump": 0.1, "restore": 0.1, "schema": 0.1}
        return {"file": file, "bytes": 1, "tables": 1, "rows": 1, "parts": parts, "way_back": THERE_AND_BACK, "warnings": []}

    async def clear(self, attempt_id: AttemptId) -> Evidence:
        self.world.refuse_stale(attempt_id)
        removed, self.world.unfinished_proof = self.world.unfinished_proof, []
        return {"removed": removed}

    async def start(self, attempt_id: AttemptId) -> Evidence:
        done = FINAL in self.world.dumps
        self.world.dumping = not done
        return {"file": FINAL, "already_done": done}

    async def finish(self, attempt_id: AttemptId) -> Evidence:
        self.world.dumping = False
        return {"file": FINAL if FINAL in self.world.dumps else self._keep(FINAL), "bytes": 1}

    async def end(self, attempt_id: AttemptId) -> Evidence:
        removed = [f"{FINAL}.part"] if self.world.dumping else []
        self.world.dumping = False
        return {"removed": removed}

    def _keep(self, name: str) -> str:
        self.world.dumps.append(name)
        return name
