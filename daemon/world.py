"""The ports of a plan: every adapter, set up as the plan says."""

from __future__ import annotations

from collections.abc import Sequence

from cutoverd.daemon.clock import SystemClock
from cutoverd.daemon.confiture import Confiture
from cutoverd.daemon.face.scraped import Scrapes
from cutoverd.daemon.face.seen import ScrapedCheck
from cutoverd.daemon.plan.commands import commands, logins
from cutoverd.daemon.plan.loaded import LoadedPlan
from cutoverd.daemon.plan.parts import Check, Commands, Door, Service
from cutoverd.daemon.plan.sources import built_schema
from cutoverd.daemon.plan.watching import SERVICE_FOR_SECONDS, WatchedCheck
from cutoverd.daemon.postgres.backup import PgDump
from cutoverd.daemon.postgres.compare import Comparison
from cutoverd.daemon.postgres.databases import PostgresDatabases
from cutoverd.daemon.postgres.queries import Query
from cutoverd.daemon.postgres.questions import Questions
from cutoverd.daemon.postgres.sample import SqlSample
from cutoverd.daemon.postgres.scripts import DataScript, PsqlScripts
from cutoverd.daemon.postgres.server import Server
from cutoverd.daemon.postgres.validation import PostgresValidation
from cutoverd.daemon.systems import commands as by_command
from cutoverd.daemon.systems.checks import ChecksByKind
from cutoverd.daemon.systems.http import HttpCheck
from cutoverd.daemon.systems.kinds import Check as CheckKind
from cutoverd.daemon.systems.kinds import DoorKind, ServiceKind
from cutoverd.daemon.systems.login import LoginCheck
from cutoverd.daemon.systems.proven import Timeouts
from cutoverd.daemon.systems.samples import CommandSample, HttpSample, SampleKind, ServiceSample
from cutoverd.daemon.systems.services import ServicesByKind
from cutoverd.daemon.systems.traffic import TrafficByKind
from cutoverd.daemon.systems.watching import Looker, WatchingByKind
from cutoverd.states.ports import Ports, Version
from cutoverd.states.watching import Rule, Rules


def ports_of(loaded: LoadedPlan, server: Server, *, lookers: Sequence[Looker] = (), scrapes: Scrapes | None = None) -> Ports:
    """All that the steps of this plan may touch, as the daemon of this epoch; `scrapes`: of our metrics, if served."""
    plan, site = loaded.plan, _site(loaded, server)
    systems = Timeouts(change_seconds=plan.timeouts.service, status_seconds=plan.timeouts.command)
    scripts = _scripts(loaded, server)
    return Ports(
        databases=PostgresDatabases(server, evict_seconds=plan.timeouts.fence, logins=logins(plan)),
        scripts=scripts,
        validation=_validation(loaded, server),
        backups=PgDump(
            server,
            loaded.folder / plan.backup.directory,
            plan.backup.jobs,
            scripts,
            evict_seconds=plan.timeouts.fence,
            questions=_questions(loaded),
        ),
        services=_services(loaded, site, systems),
        traffic=TrafficByKind({door.name: _door(door, site) for door in plan.traffic}, server.folder, systems),
        checks=ChecksByKind(
            _checks(plan.health, loaded, site),
            _checks(plan.smoke, loaded, site),
            _dashboards(loaded),
            _scraped(loaded, scrapes),
            list(commands(plan)),
            site.directory,
        ),
        watching=_watching(loaded, server, site, lookers),
        clock=SystemClock(),
    )


def _watching(loaded: LoadedPlan, server: Server, site: by_command.Site, lookers: Sequence[Looker]) -> WatchingByKind:
    given = loaded.plan.monitor
    kinds = {**_watched_services(loaded, site), **{check.name: _watched(check, server, site) for check in given.checks}}
    said = {check.name: Rule(check.duration, check.above, check.below) for check in given.checks}
    checks = {name: said.get(name, Rule(SERVICE_FOR_SECONDS)) for name in kinds}
    rules = Rules(checks, every_seconds=given.every, sample_seconds=loaded.plan.timeouts.sample)
    return WatchingByKind(rules, kinds, server.folder, lookers)


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
    return CommandSample(check.command or [], site, check.has_threshold)


def _site(loaded: LoadedPlan, server: Server) -> by_command.Site:
    return by_command.Site(server.run, server.epoch, server.folder, loaded.folder)


def _scripts(loaded: LoadedPlan, server: Server) -> PsqlScripts:
    data = [DataScript(name, file, probe) for name, file, probe in loaded.data_scripts]
    timeout_seconds, builder = loaded.plan.timeouts.step, _confiture(loaded, server)
    schema = [builder.target] if builder else loaded.schema_files
    return PsqlScripts(server, schema, data, cwd=loaded.folder, timeout_seconds=timeout_seconds, builder=builder)


def _confiture(loaded: LoadedPlan, server: Server) -> Confiture | None:
    if not (given := loaded.plan.schema_.confiture):
        return None
    directory, target = loaded.folder / given.directory, built_schema(server.folder, given)
    return Confiture(given.environment, directory, target, lambda: loaded.schema_sources, server.folder, server.epoch)


def _questions(loaded: LoadedPlan) -> Questions:
    given = loaded.plan.validate_
    comparisons = [Comparison(each.name, each.old, each.new, tuple(each.key)) for each in given.compare]
    return Questions(comparisons, [Query(**each.model_dump()) for each in given.queries], dict(loaded.validation_scripts))


def _validation(loaded: LoadedPlan, server: Server) -> PostgresValidation:
    given, asked = loaded.plan.validate_, _questions(loaded)
    return PostgresValidation(
        server,
        asked.comparisons,
        given.waive,
        asked.scripts,
        server.folder / "differences",
        waive_grants=given.grants.waive,
        queries=asked.queries,
        query_seconds=loaded.plan.timeouts.query,
    )


def _services(loaded: LoadedPlan, site: by_command.Site, timeouts: Timeouts) -> ServicesByKind:
    services = loaded.plan.services
    proofs = {(s.name, v): c.health for s in services for v, c in ((Version.NEW, s.new), (Version.TEST, s.test)) if c}
    return ServicesByKind(
        {service.name: _versions(service, site) for service in services},
        site.folder,
        timeouts,
        {key: [_check(check, loaded, site) for check in checks] for key, checks in proofs.items()},
    )


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
    if check.login:
        login, server = check.login, Server(loaded.plan.database.url, site.run, site.epoch, site.folder)
        return LoginCheck(login.url, server.names.production, login.within or timeouts.http, server.application_name)
    return by_command.CommandCheck(check.command or [], site, timeouts.smoke)


def _dashboards(loaded: LoadedPlan) -> dict[str, CheckKind]:
    return {url: HttpCheck(url, within_seconds=loaded.plan.timeouts.http) for url in loaded.plan.dashboards}


def _scraped(loaded: LoadedPlan, scrapes: Scrapes | None) -> CheckKind | None:
    metrics = loaded.plan.metrics
    return ScrapedCheck(scrapes, metrics.listen, metrics.scraped_within) if metrics and scrapes else None
