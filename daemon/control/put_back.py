"""The actions of a way back that no journal tells of, in the order of Rollback, each said once it is done."""

from __future__ import annotations

import shlex
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cutoverd.daemon.plan.model import Plan
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.views.event_lines import DONE, FAILED, WARNING
from cutoverd.states.cutover import Cutover
from cutoverd.states.downtime import Downtime
from cutoverd.states.errors import NotLeader, StepError
from cutoverd.states.ports import AttemptId, Direction, Evidence, Version
from cutoverd.states.rollback import Rollback
from cutoverd.states.schema import Schema
from cutoverd.states.smoke import Smoke
from cutoverd.states.step import Ports

SHOWN = ("differs", "written", "sessions_refused")  # what a person should know of an action that went well
AGAIN = "mend it, then say the same again: what is done is found done"


@dataclass(frozen=True)
class RollbackReporter:
    """What is said, and by which identity it is done."""

    say: Callable[[str], None]
    event_id: str
    server: Server
    by_hand: list[str] = field(default_factory=list)  # what only a person can know

    def attempt_id(self, step: str) -> AttemptId:
        return AttemptId(self.server.run, self.server.epoch, step, Direction.BACK, self.event_id)

    def done(self, what: str, *more: str) -> None:
        self.say("  ".join([f"{DONE} {what}", *filter(None, more)]))

    async def doing(self, what: str, action: Awaitable[Evidence]) -> Evidence:
        """Raises what the action raises, once it is said."""
        began = time.monotonic()
        try:
            evidence = await action
        except NotLeader:
            raise
        except StepError:
            self.say(f"{FAILED} not yet: {what}")
            self.say(f"  → {AGAIN}")
            raise
        self.done(what, f"{time.monotonic() - began:.2f} s", str(evidence.get("reason", "")))
        for name in SHOWN:
            if evidence.get(name):
                self.say(f"  {WARNING} {name}: {evidence[name]}")
        return evidence


async def put_back(
    plan: Plan, ports: Ports, report: RollbackReporter, found: Mapping[str, Mapping[str, Any]], *, is_away: bool
) -> None:
    """Production is as it was. `found`: before the window, by the step that looked; `is_away`: old has not its own name.

    Raises what an action raises.
    """
    if is_away:
        await _keep_out(plan, ports, report)
    await _give_names_back(ports, report)
    await _start_again(plan, ports, report, found)
    await _prove(plan, ports, report)
    await _name_leftovers(ports, report)


async def _keep_out(plan: Plan, ports: Ports, report: RollbackReporter) -> None:
    """Clients and new versions: they must not come to old once it has its name again."""
    for door in plan.traffic:
        attempt_id = report.attempt_id(Cutover.open_traffic.of(door.name))
        await report.doing(f"door {door.name} is closed", ports.traffic.close(attempt_id, door.name))
    for version, step in ((Version.NEW, Cutover.start_service), (Version.TEST, Smoke.start_test)):
        for service in plan.services:
            if getattr(service, version):
                stopping = ports.services.stop(report.attempt_id(step.of(service.name)), service.name, version)
                await report.doing(f"service {service.name} ({version}) is stopped", stopping)


async def _give_names_back(ports: Ports, report: RollbackReporter) -> None:
    databases, names = ports.databases, report.server.names
    exchanged = report.attempt_id(str(Smoke.exchange_names))
    await report.doing(f"the new database is not {names.production}", databases.exchange_back(exchanged))
    await _say_written(ports, report, exchanged)
    await report.doing("no unfinished backup is left", ports.backups.end(report.attempt_id(str(Schema.start_backup))))
    await report.doing("nobody is in the old database", databases.close_old(report.attempt_id(str(Schema.open_old))))
    await report.doing("the new database is kept, closed", databases.keep_new(report.attempt_id(str(Schema.build_new))))
    lifting = databases.lift_fence(report.attempt_id(str(Downtime.fence_old)))
    await report.doing(f"{names.production} is the old database, with the access it had", lifting)


async def _say_written(ports: Ports, report: RollbackReporter, attempt_id: AttemptId) -> None:
    """Nobody can write any more; the way back does not depend on it."""
    try:
        written = await ports.databases.written(attempt_id)
    except StepError as error:
        written = {"tables": {"unknown": str(error)}}
    if written["tables"]:
        report.say(f"  {WARNING} written to the new database, and not in the old: {dict(written['tables'])}")


async def _start_again(plan: Plan, ports: Ports, report: RollbackReporter, found: Mapping[str, Mapping[str, Any]]) -> None:
    """What ran, and was open, before the window; what is not on record is named."""
    for service in reversed(plan.services):
        name, attempt_id = service.name, report.attempt_id(Downtime.stop_service.of(service.name))
        before = found.get(Downtime.record_service.of(name), {}).get("running")
        if before:
            await report.doing(f"service {name} runs", ports.services.start(attempt_id, name, Version.OLD))
        elif before is None and not await ports.services.is_running(name, Version.OLD):
            _name(report, f"service {name}", "is stopped", service.old.start)
    for door in plan.traffic:
        attempt_id = report.attempt_id(Downtime.close_traffic.of(door.name))
        before = found.get(Downtime.record_door.of(door.name), {}).get("open")
        if before:
            await report.doing(f"door {door.name} is open", ports.traffic.open(attempt_id, door.name))
        elif before is None and not await ports.traffic.is_open(door.name):
            _name(report, f"door {door.name}", "is closed", door.open)


def _name(report: RollbackReporter, what: str, now: str, command: Sequence[str]) -> None:
    report.by_hand.append(what)
    words = f"{what} {now}, and how it was before the window is not on record; if it was otherwise: {shlex.join(command)}"
    report.say(f"{WARNING} {words}")


async def _prove(plan: Plan, ports: Ports, report: RollbackReporter) -> None:
    for check in plan.health:
        attempt_id = report.attempt_id(Rollback.prove_health.of(check.title))
        await report.doing(f"healthy: {check.title}", ports.checks.prove_health(attempt_id, check.title))


async def _name_leftovers(ports: Ports, report: RollbackReporter) -> None:
    left = (await ports.databases.leftovers())["databases"]
    if left:
        drops = " ".join(f"DROP DATABASE {_quoted(name)};" for name in left)
        report.say(f"left over, closed: {', '.join(left)}; before the next run, and once nobody needs them: {drops}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
