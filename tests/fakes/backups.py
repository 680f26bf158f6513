"""Dumps in memory: by their names, whole or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoverd.states.errors import CheckFailed, Unfit
from cutoverd.states.ports import AttemptId, Evidence

if TYPE_CHECKING:
    from fakes.world import World

FREE_BYTES = 10**12
FINAL = "final"


@dataclass
class Backups:
    """`wrong` of the world: "prove"."""

    world: World

    async def check_room(self, attempt_id: AttemptId, dumped_bytes: int | None, *, rehearses: bool = False) -> Evidence:
        needed = {"folder": "/backups", "needed_bytes": dumped_bytes or 1, "free_bytes": FREE_BYTES}
        if needed["needed_bytes"] > FREE_BYTES:
            raise Unfit("too little disk", evidence={"reasons": ["too little disk"]})
        data = {**needed, "needed_bytes": 3 if rehearses else 2}
        return {"production_bytes": 1, "backup": needed, "data": data, "wal": needed, "warnings": []}

    async def check_dumpable(self, attempt_id: AttemptId) -> Evidence:
        if "dumpable" in self.world.wrong:
            raise Unfit("large object 7 may not be read", evidence={"reasons": ["large object 7 may not be read"]})
        return {"warnings": [], "left_out": []}

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        self.world.refuse_stale(attempt_id)
        self.world.unfinished_proof.clear()
        if "prove" in self.world.wrong:
            raise CheckFailed("it does not dump")
        file = self._keep(f"{attempt_id.run}-before-{len(self.world.dumps)}")
        self.world.make_copy()
        return {
            "file": file,
            "bytes": 1,
            "tables": 1,
            "rows": 1,
            "parts": {"dump": 0.1, "restore": 0.1},
            "copy": {},
            "warnings": [],
        }

    async def find_rehearsal(self, attempt_id: AttemptId) -> Evidence:
        seconds = self.world.rehearsed
        known = (
            {"at": "2026-12-01T12:00:00+00:00", "made_by": "another", "seconds": seconds, "place": "", "is_elsewhere": False}
            if seconds
            else None
        )
        return {"identity": "of these files", "on_record": known, "why": ""}

    async def record_rehearsal(
        self, attempt_id: AttemptId, identity: str, seconds: Mapping[str, float], parts: Mapping[str, float]
    ) -> Evidence:
        self.world.refuse_stale(attempt_id)
        self.world.rehearsed = dict(seconds)
        self.world.identities.add(identity)
        return {"identity": identity}

    async def check_rehearsal(self, attempt_id: AttemptId, identity: str) -> Evidence:
        if not self.world.rehearsed and identity not in self.world.identities:
            raise Unfit("it is no more on record")
        return {"age_seconds": 1.0}

    async def take_copy(self, attempt_id: AttemptId) -> None:
        """Its copy is always one that was restored: there is nobody else's to be taken."""

    async def reset_copy(self, attempt_id: AttemptId) -> Evidence:
        self.world.refuse_stale(attempt_id)
        assert self.world.copy, "there is no copy to reset"
        self.world.make_copy()
        return {"dropped": []}

    async def check_copy(self, attempt_id: AttemptId, proven: Evidence) -> Evidence:
        self.world.refuse_stale(attempt_id)
        copy = self.world.copy
        assert copy, "there is no copy to look at"
        if copy.fenced or copy.exchanged:
            raise CheckFailed("the copy is not as it was")
        return {"tables": 1, "rows": 1}

    async def clear(self, attempt_id: AttemptId) -> Evidence:
        self.world.refuse_stale(attempt_id)
        copy = ["app_try"] if self.world.copy and "app_try" not in self.world.unfinished_proof else []
        removed, self.world.unfinished_proof, self.world.copy = [*copy, *self.world.unfinished_proof], [], None
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
