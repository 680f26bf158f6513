"""A production to be cut over, in memory: it keeps what the steps did to it and refuses what must never be done to it.

The real steps of the states run against it, so that their probes and their ways back are tried too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cutoverd.states.check_rules import ClockReading, Rule, Rules, Sample, Watched
from cutoverd.states.errors import Unproven
from cutoverd.states.ports import AttemptId, Evidence, Found, Ports, Probed, Version

Items = Mapping[str, list[str]]


def finished(act: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        act.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("something in the world made a step wait")


@dataclass
class World:
    """What is true, beside what the journal says of it."""

    items: Items
    running: dict[tuple[str, Version], bool]
    open_doors: dict[str, bool]
    placeholder: bool = False
    fenced: bool = False
    old_readable: bool = False
    built: bool = False
    schema_applied: bool = False
    exchanged: bool = False
    dumping: bool = False
    counters_reset: bool = False  # a crash of the server did it
    scripts_done: set[str] = field(default_factory=set)
    ledger: set[tuple[str, str]] = field(default_factory=set)
    effects: Counter[tuple[str, str]] = field(default_factory=Counter)  # by step and direction
    clients_were_let_in: bool = False  # to new
    ailing: int = 0  # rounds of Monitor's checks that will see errors

    @classmethod
    def before_the_window(cls, items: Items, ran: set[str]) -> World:
        return cls(
            items,
            running={(name, Version.OLD): name in ran for name in items.get("services", ())},
            open_doors=dict.fromkeys(items.get("traffic", ()), True),
        )

    def ports(self) -> Ports:
        return Ports(
            Databases(self),
            Scripts(self),
            Validation(self),
            Backups(self),
            Services(self),
            Traffic(self),
            Checks(),
            Watching(self),
            Clock(),
        )

    def facade(self) -> dict[str, Any]:
        """What production looks like from outside."""
        return {
            "fenced": self.fenced,
            "exchanged": self.exchanged,
            "dumping": self.dumping,
            "doors": dict(self.open_doors),
            "services": {name for (name, version), runs in self.running.items() if runs and version is Version.OLD},
            "others": {key for key, runs in self.running.items() if runs and key[1] is not Version.OLD},
        }

    def happened(self, attempt_id: AttemptId) -> None:
        self.effects[attempt_id.step, attempt_id.direction] += 1

    def recorded(self, attempt_id: AttemptId, change: Callable[[], None]) -> Evidence:
        """The effect and its ledger row, as one."""
        row = (attempt_id.step, str(attempt_id.direction))
        if row in self.ledger:
            return {"already_done": True}
        change()
        self.ledger.add(row)
        self.happened(attempt_id)
        return {"already_done": False}

    def set(self, **values: bool) -> Callable[[], None]:
        return lambda: self.__dict__.update(values)


@dataclass
class Databases:
    world: World

    async def check_fit(self, attempt_id: AttemptId) -> Evidence:
        return {}

    async def make_placeholder(self, attempt_id: AttemptId) -> Evidence:
        return self.world.recorded(attempt_id, self.world.set(placeholder=True))

    async def drop_placeholder(self, attempt_id: AttemptId) -> Evidence:
        return self.world.recorded(attempt_id, self.world.set(placeholder=False))

    async def fence(self, attempt_id: AttemptId) -> Evidence:
        assert self.world.placeholder, "the name would belong to nobody"
        assert not any(self.world.open_doors.values()), "clients would be thrown out through an open door"
        return self.world.recorded(attempt_id, self.world.set(fenced=True))

    async def lift_fence(self, attempt_id: AttemptId) -> Evidence:
        assert not self.world.exchanged, "new has the name"
        return self.world.recorded(attempt_id, self.world.set(fenced=False, old_readable=False))

    async def record_position(self, attempt_id: AttemptId) -> Evidence:
        assert self.world.fenced, "the position still moves"
        return {"lsn": "0/16B3748"}

    async def build_new(self, attempt_id: AttemptId) -> Evidence:
        assert self.world.fenced, "writes would be lost"
        return self.world.recorded(attempt_id, self.world.set(built=True))

    async def keep_new(self, attempt_id: AttemptId) -> Evidence:
        assert not self.world.exchanged, "new has the name"
        return self.world.recorded(attempt_id, lambda: None)

    async def open_old(self, attempt_id: AttemptId, *, again: bool = False) -> Evidence:
        self.world.counters_reset &= not again
        return self.world.recorded(attempt_id, self.world.set(old_readable=True))

    async def close_old(self, attempt_id: AttemptId) -> Evidence:
        return self.world.recorded(attempt_id, self.world.set(old_readable=False))

    async def check_unchanged(self, attempt_id: AttemptId, position: Evidence) -> Evidence:
        assert position["lsn"], "nothing to compare with"
        if self.world.counters_reset:
            raise Unproven("the counters were reset")
        return {}

    async def exchange(self, attempt_id: AttemptId) -> Evidence:
        assert self.world.built, "there is no new database"
        assert not self.world.old_readable, "old could still be read under its old name"
        if self.world.counters_reset:
            raise Unproven("the counters were reset")
        return self.world.recorded(attempt_id, self.world.set(exchanged=True))

    async def check_logins(self, attempt_id: AttemptId) -> Evidence:
        assert self.world.exchanged, "production is not new yet"
        return {"roles": 1}

    async def exchange_back(self, attempt_id: AttemptId) -> Evidence:
        assert not any(self.world.open_doors.values()), "clients write to the database that loses the name"
        return self.world.recorded(attempt_id, self.world.set(exchanged=False))

    async def written(self, attempt_id: AttemptId) -> Evidence:
        return {"tables": {}}

    async def leftovers(self) -> Evidence:
        return {"databases": ["app_next"] if self.world.built else []}


@dataclass
class Scripts:
    world: World

    async def check_files(self) -> Evidence:
        return {}

    async def apply_schema(self, attempt_id: AttemptId, sha256: str) -> Evidence:
        assert self.world.built, "there is no new database"
        return self.world.recorded(attempt_id, self.world.set(schema_applied=True))

    async def run_script(self, attempt_id: AttemptId, name: str) -> Evidence:
        assert self.world.schema_applied, "the schema is missing"
        assert name not in self.world.scripts_done, f"{name} moved its rows twice"
        self.world.scripts_done.add(name)
        self.world.happened(attempt_id)
        return {}

    async def probe_script(self, attempt_id: AttemptId, name: str) -> Probed:
        return Probed(Found.PRESENT if name in self.world.scripts_done else Found.ABSENT, {})


@dataclass
class Validation:
    world: World

    async def check_script(self, attempt_id: AttemptId, name: str) -> Evidence:
        return {}

    async def compare(self, attempt_id: AttemptId, name: str) -> Evidence:
        assert self.world.old_readable, "old refuses connections: nothing can be compared"
        return {"differing": 0}

    async def check_coverage(self, attempt_id: AttemptId) -> Evidence:
        return {}

    async def check_invariants(self, attempt_id: AttemptId) -> Evidence:
        return {}

    async def check_grants(self, attempt_id: AttemptId) -> Evidence:
        assert self.world.old_readable, "old refuses connections: nothing can be compared"
        return {"roles": 1}

    async def check_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        return {"columns": 1}

    async def time_query(self, attempt_id: AttemptId, name: str) -> Evidence:
        assert self.world.old_readable, "old refuses connections: nothing can be asked of it"
        assert not self.world.dumping, "the dump competes with what is timed"
        return {"ratio": 1.0}

    async def set_sequences(self, attempt_id: AttemptId) -> Evidence:
        return {}

    async def analyze(self, attempt_id: AttemptId) -> Evidence:
        return {}


@dataclass
class Backups:
    world: World

    async def check_room(self, attempt_id: AttemptId, dumped_bytes: int | None) -> Evidence:
        return {}

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        return {"rows": 1, "bytes": 1}

    async def clear(self, attempt_id: AttemptId) -> Evidence:
        return {"removed": []}

    async def start(self, attempt_id: AttemptId) -> Evidence:
        self.world.dumping = True
        return {}

    async def finish(self, attempt_id: AttemptId) -> Evidence:
        self.world.dumping = False
        return {}

    async def end(self, attempt_id: AttemptId) -> Evidence:
        self.world.dumping = False
        return {}


@dataclass
class Services:
    world: World

    async def is_running(self, name: str, version: Version) -> bool:
        return self.world.running.get((name, version), False)

    async def start(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        if version is Version.OLD:
            assert not self.world.fenced, "old is fenced: the service cannot work"
            assert not self.world.exchanged, "the old version would write to new"
        else:
            assert self.world.exchanged, "the new version would write to old"
            assert not self._any(Version.OLD), "two versions at once"
        self.world.running[name, version] = True
        self.world.happened(attempt_id)
        return {"running": True}

    async def stop(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        self.world.running[name, version] = False
        self.world.happened(attempt_id)
        return {"running": False}

    async def check(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        assert self.world.running.get((name, version)), "nothing that was started is running"
        return {"running": True}

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        return {}

    def _any(self, version: Version) -> bool:
        return any(runs for (_, which), runs in self.world.running.items() if which is version)


@dataclass
class Traffic:
    world: World

    async def is_open(self, name: str) -> bool:
        return self.world.open_doors[name]

    async def open(self, attempt_id: AttemptId, name: str) -> Evidence:
        world = self.world
        assert world.exchanged or not world.fenced, "clients would find no database"
        if world.exchanged:
            new = {service for (service, version), runs in world.running.items() if runs and version is Version.NEW}
            assert new == set(world.items["new_services"]), "clients would find no service"
            assert len(new) == sum(world.running.values()), "another version still runs"
            world.clients_were_let_in = True
        world.open_doors[name] = True
        world.happened(attempt_id)
        return {"open": True}

    async def close(self, attempt_id: AttemptId, name: str) -> Evidence:
        self.world.open_doors[name] = False
        self.world.happened(attempt_id)
        return {"open": False}

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        return {}


class Checks:
    async def check_programs(self, attempt_id: AttemptId) -> Evidence:
        return {}

    async def prove_health(self, attempt_id: AttemptId, name: str) -> Evidence:
        return {}

    async def smoke(self, attempt_id: AttemptId, name: str) -> Evidence:
        return {}

    async def prove_dashboard(self, attempt_id: AttemptId, name: str) -> Evidence:
        return {}

    async def prove_scraped(self, attempt_id: AttemptId) -> Evidence:
        return {}


class Clock:
    def now(self) -> datetime:
        raise AssertionError("no step asks for the time")

    def reading(self) -> ClockReading:
        return ClockReading(datetime.max.replace(tzinfo=UTC), "here", 0.0)

    async def sleep(self, seconds: float) -> None:
        return None


@dataclass
class Watching:
    world: World
    rules = Rules({"errors": Rule(0.0, above=1.0)})

    async def sample(self, attempt_id: AttemptId) -> dict[str, Sample]:
        self.world.ailing -= 1
        return {"errors": Sample(True, 2.0 if self.world.ailing >= 0 else 0.0, "errors")}

    async def recall(self) -> Watched | None:
        return None

    async def keep(self, watched: Watched) -> None:
        return None
