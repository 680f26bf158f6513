"""The plan: one cutover, all its parts, and what must be true of them together."""

from __future__ import annotations

from collections import Counter

from pydantic import Field, model_validator

from cutoverd.daemon.plan.base import Part
from cutoverd.daemon.plan.fields import FilePath, Gate, HttpUrl, OperatorName, RunName
from cutoverd.daemon.plan.migration import DataSection, SchemaSection
from cutoverd.daemon.plan.monitor import SERVICE_FOR_SECONDS, MonitorSection, of_service
from cutoverd.daemon.plan.settings import Backup, Bus, DatabaseSection, Metrics, RehearsalSection, TimeoutsSection, Window
from cutoverd.daemon.plan.systems import CheckSection, Door, Service
from cutoverd.daemon.plan.validation import ValidateSection
from cutoverd.daemon.plan.window_access import CutoverSection, Smoke
from cutoverd.states.downtime import Downtime


class Plan(Part):
    """One cutover."""

    run: RunName
    """The name of this run: new for every run, an ended one's name is never used again. Letters, digits, - and _."""
    state_dir: FilePath
    """What the daemon keeps on this machine; relative to the plan's folder. It has to outlive the daemon."""
    window: Window = Window()
    """When the night may begin, and how long it should take."""
    operators: list[OperatorName] = Field(default_factory=list)
    """Who has to say `ready` in PreCheck, each by a name of his own on the bus: nothing goes down before all have."""
    database: DatabaseSection
    """The production database that is moved."""
    bus: Bus | None = None
    """A NATS of the team's; left out: a nats-server of the daemon's own, in state_dir."""
    metrics: Metrics | None = None
    """Where Prometheus finds /metrics; left out: nowhere."""
    dashboards: list[HttpUrl] = Field(default_factory=list)
    """Pages that have to answer with 200 in PreCheck."""
    health: list[CheckSection] = Field(min_length=1)
    """Proof that what runs today is well: asked in PreCheck, and again after a way back."""
    services: list[Service] = Field(default_factory=list)
    """The applications on the database: stopped in this order, started in reverse."""
    backup: Backup = Backup()
    """The dumps: one that is proven by a restore in PreCheck, and the final one of the night."""
    rehearsal: RehearsalSection = RehearsalSection()
    """The window, taken in PreCheck on the copy that the backup was restored into."""
    schema_: SchemaSection = Field(alias="schema")
    """What makes the new tables, in the copy of the database that has the old ones too."""
    data: DataSection
    """What moves the rows from the old tables to the new, and drops the old at last."""
    validate_: ValidateSection = Field(alias="validate")
    """What has to be true of the new database before any client sees it."""
    smoke: Smoke
    """Checks of the new version before any client sees it: a list, or `tests` with the `roles` that they connect as."""
    cutover: CutoverSection = CutoverSection()
    """What may be given up when the run goes back before clients are let in."""
    traffic: list[Door] = Field(min_length=1)
    """The doors between clients and services: closed first, opened last."""
    monitor: MonitorSection = MonitorSection()
    """How long production is watched once clients are in, and by which checks."""
    gates: list[Gate] = Field(default=["downtime", "cutover"])
    """The states before which the run waits for `advance`."""
    timeouts: TimeoutsSection = TimeoutsSection()
    """How long a step, a command, a check may take."""
    freeze: list[str] = Field(default_factory=list)
    """Patterns of further files that have to stay as they are for the whole run: configuration, modules that a program loads."""
    client_tools: FilePath | None = None
    """Folder of psql, pg_dump and pg_restore, an absolute path; left out: they are found on the PATH."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Plan:
        for what, names in self._named().items():
            if twice := sorted(name for name, count in Counter(names).items() if count > 1):
                raise ValueError(f"{what}: {', '.join(twice)} is there twice; give each its own `name`")
        return self

    @model_validator(mode="after")
    def _a_window_has_a_gate(self) -> Plan:
        if self.window.opens and Downtime.name not in self.gates:
            raise ValueError("window.opens holds back `advance`, so `gates` must name downtime")
        return self

    def _named(self) -> dict[str, list[str]]:
        return {
            "operators": list(self.operators),
            "dashboards": list(self.dashboards),
            "services": [service.name for service in self.services],
            "traffic": [door.name for door in self.traffic],
            "health": [check.title for check in self.health],
            "smoke": [check.title for check in self.smoke.tests],
            "comparisons": [comparison.name for comparison in self.validate_.compare],
            "queries": [query.name for query in self.validate_.queries],
            "watched": [*self.watched_services(), *(check.name for check in self.monitor.checks)],
        }

    def watched_services(self) -> dict[str, str]:
        """Services by the check that asks each new version for its status; a watch no longer than a breach takes has none.

        That one is over so soon that the step after it, which asks as well, is early enough.
        """
        new = [service.name for service in self.services if service.new]
        return {of_service(name): name for name in new} if self.monitor.duration > SERVICE_FOR_SECONDS else {}

    def items(self) -> dict[str, list[str]]:
        """What steps are made once per: kind → names, in the plan's order; scripts are added by load.py."""
        services = self.services
        return {
            **self._named(),
            "metrics": [self.metrics.listen] if self.metrics and self.metrics.scraped_within else [],
            "tested_services": [service.name for service in services if service.test],
            "new_services": [service.name for service in services if service.new],
        }
