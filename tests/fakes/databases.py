"""The four names in memory: what each operation does to them, what it finds done already, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cutoverd.states.errors import CheckFailed, StepError, Unfit, Unproven
from cutoverd.states.ports import AttemptId, Evidence

if TYPE_CHECKING:
    from fakes.world import World

OLD, NEW, PLACEHOLDER = 16400, 16500, 16600  # oids
ONCE = {"inserted": 1, "updated": 0, "deleted": 0, "replaced": False}
NOBODY_IN: Evidence = {"sessions_ended": 0, "sessions_refused": []}


@dataclass
class Databases:
    world: World

    async def check_fit(self, attempt_id: AttemptId) -> Evidence:
        if reasons := [f"{name} is in the way of run {attempt_id.run}" for name in sorted(self.world.taken_names)]:
            raise Unfit("; ".join(reasons), evidence={"reasons": reasons, "warnings": []})
        return {"server_version": 180000, "not_carried": [], "warnings": []}

    async def keep_found(self, attempt_id: AttemptId, found: Evidence) -> None:
        self.world.refuse_stale(attempt_id)
        self.world.found[attempt_id.step] = dict(found)

    async def make_placeholder(self, attempt_id: AttemptId) -> Evidence:
        self._refuse_taken("app_closed")
        return self.world.recorded(attempt_id, {"database": "app_closed", "oid": PLACEHOLDER}, placeholder=True)

    async def drop_placeholder(self, attempt_id: AttemptId) -> Evidence:
        self.world.refuse_stale(attempt_id)
        if self.world.fenced and not self.world.exchanged:
            raise StepError("the placeholder is called app now and is in use")
        dropped = ["app_closed"] if self.world.placeholder else []
        self.world.recorded(attempt_id, {"dropped": dropped}, placeholder=False)
        return {"dropped": dropped}

    async def fence(self, attempt_id: AttemptId) -> Evidence:
        world = self.world
        assert not any(world.open_doors.values()), "clients would be thrown out through an open door"
        world.refuse_stale(attempt_id)
        if not world.placeholder:
            raise Unfit("the placeholder is missing")
        world.was_fenced, world.production_closed = True, False
        self._refuse_taken("app_previous")
        return world.recorded(attempt_id, {"database": "app_previous", "oid": OLD, **NOBODY_IN}, fenced=True)

    async def lift_fence(self, attempt_id: AttemptId) -> Evidence:
        self._refuse_exchanged()
        if not self.world.was_fenced:
            return self.world.recorded(attempt_id, {"nothing_to_lift": True})
        as_it_was = {"database": "app", "oid": OLD, "differs": list[str]()}
        return self.world.recorded(attempt_id, as_it_was, fenced=False, old_readable=False, production_closed=False)

    async def record_position(self, attempt_id: AttemptId) -> Evidence:
        self._need_fence()
        return {"lsn": "0/16B3748", "counters": {"inserted": 0, "updated": 0, "deleted": 0}, "stats_reset": None}

    async def build_new(self, attempt_id: AttemptId) -> Evidence:
        self._need_fence()
        self.world.refuse_stale(attempt_id)
        self.world.unfinished_build = ""
        built = {"database": "app_next", "oid": NEW, "bytes": 1, "clone_seconds": 0.1, "not_carried": list[str]()}
        return self.world.recorded(attempt_id, built, built=True)

    async def keep_new(self, attempt_id: AttemptId) -> Evidence:
        self._refuse_exchanged()
        left = [*(["app_next"] if self.world.built else []), *filter(None, [self.world.unfinished_build])]
        return self.world.recorded(attempt_id, {"left_over": left, **NOBODY_IN}, new_closed=self.world.built)

    async def open_old(self, attempt_id: AttemptId, *, again: bool = False) -> Evidence:
        self._need_fence()
        evidence = self.world.recorded(attempt_id, {"database": "app_previous", "tables": 1}, old_readable=True)
        if again:
            self.world.compared_again, self.world.counters_reset, self.world.counted = True, False, False
        return evidence

    async def close_old(self, attempt_id: AttemptId) -> Evidence:
        if not self.world.fenced:
            return self.world.recorded(attempt_id, {"nothing_to_close": True})
        return self.world.recorded(attempt_id, {"database": "app_previous"}, old_readable=False)

    async def check_unchanged(self, attempt_id: AttemptId, position: Evidence) -> Evidence:
        self._need_fence()
        assert position["lsn"], "nothing to compare with"
        if self.world.compared_again:
            raise Unproven("old was opened once more to be compared by content, and that was not finished")
        self._refuse_written()
        return {"counters": position["counters"], "autovacuum": False}

    async def exchange(self, attempt_id: AttemptId) -> Evidence:
        if not self.world.built:
            raise StepError("there is no new database")
        if not self.world.exchanged:
            self._prove_old_unchanged(attempt_id)
        exchanged = {"database": "app", "oid": NEW, "differs": list[str](), **NOBODY_IN}
        if self.world.exchanged:
            return self.world.recorded(attempt_id, exchanged, exchanged=True)
        return self.world.recorded(attempt_id, exchanged, exchanged=True, new_closed=False, withheld=self.world.smoke_roles)

    async def admit_clients(self, attempt_id: AttemptId, shared: Sequence[str] = ()) -> Evidence:
        world = self.world
        if not world.withheld:
            return world.recorded(attempt_id, {"withheld": False})
        if not world.exchanged:
            raise StepError("app is not the new database yet")
        written = dict.fromkeys(sorted(world.new_written), ONCE)
        if not shared:
            world.new_written = set()
        admitted = {"written": written, "complete": True, "outsiders": list(shared), "differs": list[str](), **NOBODY_IN}
        return world.recorded(attempt_id, admitted, withheld=False, new_closed=False)

    async def count_writes(self, attempt_id: AttemptId, shared: Sequence[str] = ()) -> Evidence:
        world = self.world
        if not world.exchanged:
            return {"writes": "none", "reason": "the names did not change hands", "tables": {}}
        world.refuse_stale(attempt_id)
        tables = {} if world.withheld and not shared else dict.fromkeys(sorted(world.new_written), ONCE)
        world.new_closed = not tables
        return {"writes": "some" if tables else "none", "reason": ", ".join(tables), "tables": tables}

    async def check_logins(self, attempt_id: AttemptId) -> Evidence:
        if not self.world.exchanged:
            raise StepError("app is not the new database yet")
        if "check_logins" in self.world.wrong:
            raise CheckFailed(
                "could log in to app before the fence and cannot now: app_user", evidence={"shut_out": ["app_user"]}
            )
        return {"withheld_but_for": ["app_user"]} if self.world.withheld else {"roles": 1, "warnings": []}

    async def exchange_back(self, attempt_id: AttemptId) -> Evidence:
        world = self.world
        assert not any(world.open_doors.values()), "clients write to the database that loses the name"
        if not world.built:
            return world.recorded(attempt_id, {"nothing_exchanged": True})
        evidence: dict[str, Any] = {"database": "app_next", "oid": NEW} if world.exchanged else {"nothing_exchanged": True}
        back = {**evidence, "left_over": ["app_next"]}
        return world.recorded(attempt_id, back, exchanged=False, new_closed=True, withheld=False)

    async def written(self, attempt_id: AttemptId) -> Evidence:
        return {"tables": dict.fromkeys(sorted(self.world.new_written), ONCE), "complete": True}

    async def leftovers(self) -> Evidence:
        return {"databases": sorted(self.names().keys() - {"app"})}

    def names(self) -> dict[str, str]:
        """Which database of the run has which name, and who gets in."""
        world = self.world
        old = ("ours" if world.old_readable else "closed") if world.fenced else ("closed" if world.production_closed else "open")
        named = {"app_previous" if world.fenced else "app": f"old {old}"}
        if world.placeholder:
            named["app" if world.fenced and not world.exchanged else "app_closed"] = "placeholder closed"
        if world.built:
            named["app" if world.exchanged else "app_next"] = f"new {self._new_lets_in()}"
        return {**named, **({world.unfinished_build: "unfinished"} if world.unfinished_build else {})}

    def _new_lets_in(self) -> str:
        if self.world.new_closed:
            return "closed"
        if self.world.withheld:
            return "ours"
        return "open" if self.world.exchanged else "ours"

    def _refuse_taken(self, name: str) -> None:
        if name in self.world.taken_names:
            raise Unfit(f"there is a database {name} already")

    def _need_fence(self) -> None:
        if not self.world.fenced:
            raise StepError("there is no fenced app_previous")

    def _refuse_exchanged(self) -> None:
        if self.world.exchanged:
            raise StepError("app is the new database still")

    def _prove_old_unchanged(self, attempt_id: AttemptId) -> None:
        self.world.refuse_stale(attempt_id)
        if self.world.old_readable:
            raise StepError("app_previous is open to us still")
        try:
            self._refuse_written()
        except Unproven:
            self.world.new_closed = False  # its content is to be compared
            raise

    def _refuse_written(self) -> None:
        if self.world.counters_reset:
            raise Unproven("the counters were reset")
        if self.world.counted:
            raise CheckFailed("app_previous was written to")
