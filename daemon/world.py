"""The ports of a plan: every adapter, set up as the plan says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from cutoverd.daemon.confiture import Confiture
from cutoverd.daemon.plan.loaded import LoadedPlan
from cutoverd.daemon.plan.parts import Check, Commands, Door, Service
from cutoverd.daemon.postgres.backup import PgDump
from cutoverd.daemon.postgres.compare import Comparison
from cutoverd.daemon.postgres.databases import PostgresDatabases
from cutoverd.daemon.postgres.scripts import DataScript, PsqlScripts
from cutoverd.daemon.postgres.server import Server
from cutoverd.daemon.postgres.validation import PostgresValidation
from cutoverd.daemon.systems import commands as by_command
from cutoverd.daemon.systems.checks import ChecksByKind
from cutoverd.daemon.systems.http import HttpCheck
from cutoverd.daemon.systems.kinds import Check as CheckKind
from cutoverd.daemon.systems.kinds import DoorKind, ServiceKind
from cutoverd.daemon.systems.proven import Timeouts
from cutoverd.daemon.systems.services import ServicesByKind
from cutoverd.daemon.systems.traffic import TrafficByKind
from cutoverd.states.ports import Ports, Version


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        while (seconds := (moment - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(seconds, 60.0))  # in small pieces: the clock may be set


def ports_of(loaded: LoadedPlan, server: Server) -> Ports:
    """All that the steps of this plan may touch, as the daemon of this epoch."""
    plan, site = loaded.plan, _site(loaded, server)
    systems = Timeouts(change_seconds=plan.timeouts.service, status_seconds=plan.timeouts.command)
    scripts = _scripts(loaded, server)
    return Ports(
        databases=PostgresDatabases(server, evict_seconds=plan.timeouts.fence),
        scripts=scripts,
        validation=_validation(loaded, server),
        backups=PgDump(server, loaded.folder / plan.backup.directory, plan.backup.jobs, scripts),
        services=ServicesByKind({service.name: _versions(service, site) for service in plan.services}, server.folder, systems),
        traffic=TrafficByKind({door.name: _door(door, site) for door in plan.traffic}, server.folder, systems),
        checks=ChecksByKind(_checks(plan.health, loaded, site), _checks(plan.smoke, loaded, site)),
        clock=SystemClock(),
    )


def _site(loaded: LoadedPlan, server: Server) -> by_command.Site:
    return by_command.Site(server.run, server.epoch, server.folder, loaded.folder)


def _scripts(loaded: LoadedPlan, server: Server) -> PsqlScripts:
    data = [DataScript(name, file, probe) for name, file, probe in loaded.data_scripts]
    timeout_seconds, builder = loaded.plan.timeouts.step, _confiture(loaded, server)
    return PsqlScripts(server, loaded.schema_files, data, cwd=loaded.folder, timeout_seconds=timeout_seconds, builder=builder)


def _confiture(loaded: LoadedPlan, server: Server) -> Confiture | None:
    if not (given := loaded.plan.schema_.confiture):
        return None
    directory, [target] = loaded.folder / given.directory, loaded.schema_files
    return Confiture(given.environment, directory, target, lambda: loaded.schema_sources, server.folder, server.epoch)


def _validation(loaded: LoadedPlan, server: Server) -> PostgresValidation:
    given = loaded.plan.validate_
    comparisons = [Comparison(each.name, each.old, each.new, tuple(each.key)) for each in given.compare]
    return PostgresValidation(server, comparisons, given.waive, dict(loaded.validation_scripts), server.folder / "differences")


def _versions(service: Service, site: by_command.Site) -> dict[Version, ServiceKind]:
    given = {Version.OLD: service.old, Version.NEW: service.new, Version.TEST: service.test}
    return {version: _service(commands, site) for version, commands in given.items() if commands}


def _service(commands: Commands, site: by_command.Site) -> ServiceKind:
    return by_command.Commands(commands.start, commands.stop, commands.status, site)


def _door(door: Door, site: by_command.Site) -> DoorKind:
    return by_command.DoorCommands(door.open, door.close, door.status, site)


def _checks(checks: list[Check], loaded: LoadedPlan, site: by_command.Site) -> dict[str, CheckKind]:
    return {check.title: _check(check, loaded, site) for check in checks}


def _check(check: Check, loaded: LoadedPlan, site: by_command.Site) -> CheckKind:
    timeouts = loaded.plan.timeouts
    if check.http:
        http = check.http
        return HttpCheck(http.url, http.status, http.contains, http.within or timeouts.http)
    return by_command.CommandCheck(check.command or [], site, timeouts.smoke)
