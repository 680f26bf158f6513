"""The ports of a plan: every adapter, set up as the plan says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cutoverd.daemon.confiture.build import Confiture
from cutoverd.daemon.host.clock import SystemClock
from cutoverd.daemon.metrics.server import Scrapes
from cutoverd.daemon.plan.confiture import built_schema
from cutoverd.daemon.plan.executables import logins
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.backup.backups import PgDump
from cutoverd.daemon.postgres.backup.kept_proof import KeptProof
from cutoverd.daemon.postgres.backup.rehearsal_record import GIB, RehearsalPlan
from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.precheck.dumpable import ProofPlan
from cutoverd.daemon.postgres.precheck.server_state import AtOnce
from cutoverd.daemon.postgres.scripts.scripts import DataScript, PsqlScripts
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.validation.asked import ValidationPlan
from cutoverd.daemon.postgres.validation.query_timing import TimedQuery
from cutoverd.daemon.postgres.validation.validation import PostgresValidation
from cutoverd.daemon.runtime.wiring_systems import checks, monitor_checks, services, traffic
from cutoverd.daemon.systems.exec import Site
from cutoverd.daemon.systems.monitor import RoundObserver
from cutoverd.states.step import Ports


def ports_of(
    loaded: LoadedPlan,
    server: Server,
    *,
    round_observers: Sequence[RoundObserver] = (),
    scrapes: Scrapes | None = None,
    rehearses_anew: bool = False,
    kept: KeptProof | None = None,
) -> Ports:
    """All that the steps of this plan may touch, as the daemon of this epoch; `scrapes`: of our metrics, if served.

    `rehearses_anew`: whatever rehearsal is on record; `kept`: on the copy that an earlier one has left.
    """
    plan, site = loaded.plan, Site(server.run, server.epoch, server.folder, loaded.folder)
    scripts = _scripts(loaded, server)
    ports = Ports(
        databases=PostgresDatabases(
            server,
            evict_seconds=plan.timeouts.fence,
            logins=logins(plan),
            smoke_roles=plan.smoke.roles,
            disposable=plan.cutover.disposable,
            at_once=AtOnce(plan.validate_.jobs, plan.backup.jobs),
        ),
        scripts=scripts,
        validation=_validation(loaded, server),
        backups=PgDump(
            server,
            loaded.folder / plan.backup.directory,
            plan.backup.jobs,
            scripts,
            evict_seconds=plan.timeouts.fence,
            timeout_seconds=plan.timeouts.step,
            proof=proof_plan(loaded),
            rehearsal=rehearsal_plan(loaded, is_anew=rehearses_anew),
            kept=kept,
        ),
        services=services(loaded, server, site),
        traffic=traffic(loaded, server, site),
        checks=checks(loaded, site, scrapes),
        monitor_checks=monitor_checks(loaded, server, site, round_observers),
        clock=SystemClock(),
    )
    return replace(ports, rehearsal=_of_copy(ports, loaded, server.of_copy(plan.rehearsal.database or "")))


def proof_plan(loaded: LoadedPlan) -> ProofPlan:
    given = loaded.plan.backup
    return ProofPlan(given.leave_out, given.restore, loaded.folder)


def rehearsal_plan(loaded: LoadedPlan, *, is_anew: bool) -> RehearsalPlan:
    given = loaded.plan.rehearsal
    skip = None if is_anew else given.skip
    return RehearsalPlan(
        loaded.rehearsed_sha256(),
        skip,
        given.max_age,
        given.here_up_to * GIB,
        is_anew,
        database=given.database,
        roles=tuple(loaded.plan.smoke.roles or ()),
    )


def _of_copy(ports: Ports, loaded: LoadedPlan, server: Server) -> Ports:
    """The same on the copy of production: its names stand for the four of the window."""
    databases = PostgresDatabases(server, evict_seconds=loaded.plan.timeouts.fence)
    return replace(ports, databases=databases, scripts=_scripts(loaded, server), validation=_validation(loaded, server))


def _scripts(loaded: LoadedPlan, server: Server) -> PsqlScripts:
    data = [DataScript(name, file, probe) for name, file, probe in loaded.data_scripts]
    timeout_seconds, builder = loaded.plan.timeouts.step, _confiture(loaded, server)
    schema = [builder.target] if builder else loaded.schema_files
    others = [file for _, file in loaded.validation_scripts]
    return PsqlScripts(server, schema, data, cwd=loaded.folder, timeout_seconds=timeout_seconds, builder=builder, others=others)


def _confiture(loaded: LoadedPlan, server: Server) -> Confiture | None:
    if not (given := loaded.plan.schema_.confiture):
        return None
    directory, target = loaded.folder / given.directory, built_schema(server.folder, given)
    return Confiture(given.environment, directory, target, lambda: loaded.schema_sources, server.folder, server.epoch)


def _asked(loaded: LoadedPlan) -> ValidationPlan:
    given = loaded.plan.validate_
    comparisons = [Comparison(each.name, each.old, each.new, tuple(each.key)) for each in given.compare]
    return ValidationPlan(
        comparisons,
        [TimedQuery(**each.model_dump()) for each in given.queries],
        dict(loaded.validation_scripts),
        given.grants.waive,
        waive_invariants=given.invariants.waive,
    )


def _validation(loaded: LoadedPlan, server: Server) -> PostgresValidation:
    given, asked = loaded.plan.validate_, _asked(loaded)
    return PostgresValidation(
        server,
        asked.comparisons,
        given.waive,
        asked.scripts,
        server.folder / "differences",
        waive_grants=given.grants.waive,
        waive_invariants=given.invariants.waive,
        queries=asked.queries,
        query_seconds=loaded.plan.timeouts.query,
    )
