"""The plan: one cutover, all its parts, and what must be true of them together."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from cutoverd.daemon.plan.parts import (
    Backup,
    Bus,
    Check,
    Data,
    Database,
    Door,
    Metrics,
    Part,
    Schema,
    Service,
    Timeouts,
    Validate,
    Window,
)
from cutoverd.daemon.plan.values import Gate, HttpUrl, OperatorName, RunName
from cutoverd.daemon.plan.watching import SERVICE_FOR_SECONDS, Monitor, of_service


class Plan(Part):
    """One cutover."""

    run: RunName
    state_dir: Path
    window: Window = Window()
    operators: list[OperatorName] = Field(default_factory=list)
    database: Database
    bus: Bus | None = None
    metrics: Metrics | None = None
    dashboards: list[HttpUrl] = Field(default_factory=list)
    health: list[Check] = Field(min_length=1)
    services: list[Service] = Field(default_factory=list)
    backup: Backup = Backup()
    schema_: Schema = Field(alias="schema")
    data: Data
    validate_: Validate = Field(alias="validate")
    smoke: list[Check] = Field(min_length=1)
    traffic: list[Door] = Field(min_length=1)
    monitor: Monitor = Monitor()
    gates: list[Gate] = Field(default=["downtime", "cutover"])
    timeouts: Timeouts = Timeouts()
    client_tools: Path | None = None  # folder of psql, pg_dump and pg_restore; without it the PATH's

    @model_validator(mode="after")
    def _names_are_unique(self) -> Plan:
        for what, names in self._named().items():
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what}: {', '.join(twice)} is there twice; give each its own `name`")
        return self

    @model_validator(mode="after")
    def _a_window_has_a_gate(self) -> Plan:
        if self.window.opens and "downtime" not in self.gates:
            raise ValueError("window.opens holds back `advance`, so `gates` must name downtime")
        return self

    def _named(self) -> dict[str, list[str]]:
        return {
            "operators": list(self.operators),
            "dashboards": list(self.dashboards),
            "services": [service.name for service in self.services],
            "traffic": [door.name for door in self.traffic],
            "health": [check.title for check in self.health],
            "smoke": [check.title for check in self.smoke],
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
        """What steps are made once per: kind → names, in the plan's order; scripts are added by loaded.py."""
        services = self.services
        return {
            **self._named(),
            "metrics": [self.metrics.listen] if self.metrics and self.metrics.scraped_within else [],
            "tested_services": [service.name for service in services if service.test],
            "new_services": [service.name for service in services if service.new],
        }
