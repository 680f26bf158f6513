"""What of the ports of a plan is outside the database: services, doors, checks, the watch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cutoverd.daemon.metrics.scrape_check import ScrapedCheck
from cutoverd.daemon.metrics.server import Scrapes
from cutoverd.daemon.plan.executables import commands, passed
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.plan.monitor import SERVICE_FOR_SECONDS, WatchedCheck
from cutoverd.daemon.plan.systems import CheckSection, Door, Service, ServiceCommands
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.stats.sql_sample import SqlSample
from cutoverd.daemon.runtime.leadership import check_leads
from cutoverd.daemon.systems import exec as by_command
from cutoverd.daemon.systems.checks import ChecksByKind
from cutoverd.daemon.systems.http import HttpCheck
from cutoverd.daemon.systems.login import LoginCheck
from cutoverd.daemon.systems.monitor import MonitorChecksByKind, RoundObserver
from cutoverd.daemon.systems.protocols import CheckKind, DoorKind, ServiceKind
from cutoverd.daemon.systems.samples import ExecSample, HttpSample, SampleKind, ServiceSample
from cutoverd.daemon.systems.services import ServicesByKind
from cutoverd.daemon.systems.switch import SwitchTimeouts
from cutoverd.daemon.systems.traffic import TrafficByKind
from cutoverd.states.check_rules import Rule, Rules
from cutoverd.states.ports import Version


def services(loaded: LoadedPlan, server: Server, site: by_command.Site) -> ServicesByKind:
    """Every version of every service, and what has to answer once it runs."""
    given = loaded.plan.services
    proofs = {(s.name, v): c.health for s in given for v, c in ((Version.NEW, s.new), (Version.TEST, s.test)) if c}
    return ServicesByKind(
        {service.name: _versions(service, site) for service in given},
        site.folder,
        _timeouts(loaded),
        {key: [_check(check, loaded, site) for check in health] for key, health in proofs.items()},
        partial(check_leads, server),
    )


def traffic(loaded: LoadedPlan, server: Server, site: by_command.Site) -> TrafficByKind:
    """The doors, in the plan's order."""
    doors = {door.name: _door(door, site) for door in loaded.plan.traffic}
    return TrafficByKind(doors, site.folder, _timeouts(loaded), partial(check_leads, server))


def checks(loaded: LoadedPlan, site: by_command.Site, scrapes: Scrapes | None) -> ChecksByKind:
    """What PreCheck, Smoke and the way back ask."""
    return ChecksByKind(
        _checks(loaded.plan.health, loaded, site),
        _checks(loaded.plan.smoke.tests, loaded, site),
        _dashboards(loaded),
        _scraped(loaded, scrapes),
        list(commands(loaded.plan)),
        site.directory,
        list(passed(loaded.plan)),
    )


def monitor_checks(
    loaded: LoadedPlan, server: Server, site: by_command.Site, round_observers: Sequence[RoundObserver]
) -> MonitorChecksByKind:
    """The checks of Monitor: those of the plan, and each new service's own status."""
    given = loaded.plan.monitor
    kinds = {**_watched_services(loaded, site), **{check.name: _watched(check, server, site) for check in given.checks}}
    of_plan = {check.name: Rule(check.duration, check.above, check.below) for check in given.checks}
    ruled = {name: of_plan.get(name, Rule(SERVICE_FOR_SECONDS)) for name in kinds}
    rules = Rules(ruled, every_seconds=given.every, sample_seconds=loaded.plan.timeouts.sample)
    return MonitorChecksByKind(rules, kinds, server.folder, round_observers)


def _timeouts(loaded: LoadedPlan) -> SwitchTimeouts:
    given = loaded.plan.timeouts
    return SwitchTimeouts(change_seconds=given.service, status_seconds=given.command)


def _versions(service: Service, site: by_command.Site) -> dict[Version, ServiceKind]:
    given = {Version.OLD: service.old, Version.NEW: service.new, Version.TEST: service.test}
    return {version: _service(commands, site) for version, commands in given.items() if commands}


def _service(commands: ServiceCommands, site: by_command.Site) -> ServiceKind:
    return by_command.ExecService(commands.start, commands.stop, commands.status, site.passing(commands.env))


def _door(door: Door, site: by_command.Site) -> DoorKind:
    return by_command.ExecDoor(door.open, door.close, door.status, site.passing(door.env))


def _checks(checks: list[CheckSection], loaded: LoadedPlan, site: by_command.Site) -> dict[str, CheckKind]:
    return {check.title: _check(check, loaded, site) for check in checks}


def _check(check: CheckSection, loaded: LoadedPlan, site: by_command.Site) -> CheckKind:
    timeouts = loaded.plan.timeouts
    if check.http:
        http = check.http
        return HttpCheck(http.url, http.status, http.contains, http.within or timeouts.http)
    if check.login:
        login, server = check.login, Server(loaded.plan.database.url, site.run, site.epoch, site.folder)
        return LoginCheck(login.url, server.names.production, login.within or timeouts.http, server.application_name)
    return by_command.ExecCheck(check.command or [], site.passing(check.env), timeouts.smoke)


def _dashboards(loaded: LoadedPlan) -> dict[str, CheckKind]:
    return {url: HttpCheck(url, within_seconds=loaded.plan.timeouts.http) for url in loaded.plan.dashboards}


def _scraped(loaded: LoadedPlan, scrapes: Scrapes | None) -> CheckKind | None:
    metrics = loaded.plan.metrics
    return ScrapedCheck(scrapes, metrics.listen, metrics.scraped_within) if metrics and scrapes else None


def _watched_services(loaded: LoadedPlan, site: by_command.Site) -> dict[str, SampleKind]:
    new = {service.name: service.new for service in loaded.plan.services if service.new}
    return {check: ServiceSample(_service(new[name], site)) for check, name in loaded.plan.watched_services().items()}


def _watched(check: WatchedCheck, server: Server, site: by_command.Site) -> SampleKind:
    if check.http:
        page = check.http
        number = (page.number or "") if check.has_threshold else None
        return HttpSample(HttpCheck(page.url, page.status, page.contains), number)
    if check.sql:
        return SqlSample(server, check.sql, check.has_threshold)
    return ExecSample(check.command or [], site.passing(check.env), check.has_threshold)
