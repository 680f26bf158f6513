"""A production to be cut over, in memory: it keeps what the steps did to it and refuses what must never be done to it.

The real steps of the states run against it, so that their probes and their ways back are tried too. What an adapter refuses is
a `StepError` here as well, held to by tests/contract; what only the order of the steps rules out, and no adapter sees, is an
assertion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fakes.backups import Backups
from fakes.databases import Databases
from fakes.scripts import Scripts
from fakes.validation import Validation

from cutoverd.states.check_rules import ClockReading, Rule, Rules, Sample, Watched
from cutoverd.states.errors import NotLeader
from cutoverd.states.ports import AttemptId, Evidence, Version
from cutoverd.states.step import Ports

ON_COPY = "copy "
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
    production_closed: bool = False  # by a fence that got half-way
    fenced: bool = False
    was_fenced: bool = False  # old is on record
    old_readable: bool = False
    unfinished_build: str = ""  # the database of a clone that got half-way
    built: bool = False
    new_closed: bool = False
    schema_applied: bool = False
    exchanged: bool = False
    dumping: bool = False  # the final dump is under way, or the one who took it is gone
    dumps: list[str] = field(default_factory=list)  # whole ones
    unfinished_proof: list[str] = field(default_factory=list)  # what a proof that was killed has left
    counters_reset: bool = False  # a crash of the server did it
    compared_again: bool = False  # for which old was opened once more
    old_written: bool = False
    counted: bool = False  # that write, by the counters since old was last opened
    new_written: set[str] = field(default_factory=set)  # tables
    smoke_roles: bool = False  # the plan names who may connect until clients are admitted
    withheld: bool = False  # from all others
    strangers: bool = False  # who write whenever they get into production's name
    stranger_wrote: bool = False  # to new
    taken_names: set[str] = field(default_factory=set)  # by databases of somebody else
    wrong: set[str] = field(default_factory=set)  # what fails: "compare:flights", "run_script:1.sql", "analyze"
    scripts_done: set[str] = field(default_factory=set)
    epoch: int = 0  # of the daemon that may act
    ledger: dict[tuple[str, str], Evidence] = field(default_factory=dict)
    found: dict[str, dict[str, Any]] = field(default_factory=dict)  # before the window, by the step that looked
    effects: Counter[tuple[str, str]] = field(default_factory=Counter)  # by step and direction
    clients_were_let_in: bool = False  # to new
    ailing: int = 0  # rounds of Monitor's checks that will see errors
    copy: World | None = None  # that the window is rehearsed on
    rehearsed: dict[str, float] = field(default_factory=dict)  # what is on record of it
    identities: set[str] = field(default_factory=set)  # of what is

    @classmethod
    def before_the_window(cls, items: Items, ran: set[str]) -> World:
        return cls(
            items,
            running={(name, Version.OLD): name in ran for name in items.get("services", ())},
            open_doors=dict.fromkeys(items.get("traffic", ()), True),
        )

    def make_copy(self) -> None:
        """As a backup that was restored; what is wrong with it is "copy compare:flights"."""
        self.copy = World.before_the_window({**self.items, "services": [], "traffic": []}, set())
        self.copy.wrong = {each.removeprefix(ON_COPY) for each in self.wrong if each.startswith(ON_COPY)}

    def ports(self) -> Ports:
        if self.copy:
            self.copy.epoch = self.epoch
        return Ports(
            Databases(self),
            Scripts(self),
            Validation(self),
            Backups(self),
            Services(self),
            Traffic(self),
            Checks(),
            MonitorChecks(self),
            Clock(),
            self.copy.ports() if self.copy else None,
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

    def let_strangers_write(self) -> None:
        """Past the traffic switch: a cron job, a console."""
        if self.strangers and self.exchanged and not (self.withheld or self.new_closed):
            self.new_written.add("public.orders")
            self.stranger_wrote = True

    def refuse_stale(self, attempt_id: AttemptId) -> None:
        if attempt_id.epoch != self.epoch:
            raise NotLeader(f"epoch {attempt_id.epoch} of run {attempt_id.run} may not act: epoch {self.epoch} has it")

    def recorded(self, attempt_id: AttemptId, evidence: Evidence, **changes: bool) -> Evidence:
        """The effect and its ledger row, as one; what is so already is told as it was recorded."""
        self.refuse_stale(attempt_id)
        row = (attempt_id.step, str(attempt_id.direction))
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self.ledger.setdefault(row, evidence)
        self.__dict__.update(changes)
        self.ledger.setdefault(row, evidence)
        self.happened(attempt_id)
        return evidence


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
            assert not world.new_closed, "clients would be refused by the database"
            assert not world.withheld, "only the smoke tests may connect"
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
class MonitorChecks:
    world: World
    rules = Rules({"errors": Rule(0.0, above=1.0)})

    async def sample(self, attempt_id: AttemptId) -> dict[str, Sample]:
        self.world.ailing -= 1
        return {"errors": Sample(True, 2.0 if self.world.ailing >= 0 else 0.0, "errors")}

    async def recall(self) -> Watched | None:
        return None

    async def keep(self, watched: Watched) -> None:
        return None
