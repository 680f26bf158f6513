"""What PreCheck would find, without writing anything: its own steps that only look, by sessions that can write nothing.

No ledger is made, no stream, no embedded server is started, and what a check's commands leave on this machine goes to a folder
that is removed.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.connection import Client
from cutoverd.daemon.bus.errors import RunEnded
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.outlook import find_outlook
from cutoverd.daemon.bus.run_registry import History, Runs
from cutoverd.daemon.control.standing import Standing, find_standing, hint_of_ended, is_untouched
from cutoverd.daemon.embedded import nats_binary
from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.engine.errors import BusError
from cutoverd.daemon.engine.outcomes import with_limit
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.ledger import journal_key
from cutoverd.daemon.postgres.ledger.ledger import MAINTENANCE
from cutoverd.daemon.postgres.session.home import NoSession as NoSession
from cutoverd.daemon.postgres.session.home import find_home
from cutoverd.daemon.postgres.session.names import LEDGER
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.open_bus import bus_as_it_is
from cutoverd.daemon.runtime.wiring import ports_of
from cutoverd.daemon.views.hints import without_commands
from cutoverd.events.subjects import RUNS
from cutoverd.states.errors import StepError, format_error
from cutoverd.states.ports import AttemptId, Direction, Evidence
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import FrozenPlan, Run, StepKey
from cutoverd.states.step import Context, Effect, Ports

REACH_SECONDS = 3.0  # nothing is under way: a server that is away is told at once
BUS = "bus"
ENDED = re.compile(r"^run '[^']*' has ended already")
UNDER_WAY = "`cutoverd status` says how it stands, `cutoverd run` goes on with it"
UNREAD = "`cutoverd status` reads the journal itself: if it is past PreCheck, what follows here is the doing of that run"
FOLLOWS = "not looked at: what stands there now is the doing of"
WRITES = "not tried: it writes; `cutoverd run` makes it in PreCheck"


class Verdict(StrEnum):
    """What a finding means for the night."""

    FIT = "fit"
    UNFIT = "unfit"
    WARNING = "warning"
    NOT_CHECKED = "not seen"


@dataclass(frozen=True)
class CheckResult:
    """One thing that was looked at, or one that is wrong with it and what to do."""

    check: str  # the step that finds it too, or `bus`
    verdict: Verdict
    detail: str
    todo: str = ""

    def as_json(self) -> dict[str, str]:
        """As JSON, by keys that do not move with the names of the fields."""
        return {"check": self.check, "verdict": self.verdict, "says": self.detail, "todo": self.todo}


async def survey(loaded: LoadedPlan) -> list[CheckResult]:
    """Every finding, in PreCheck's order; raises `NoSession`."""
    with tempfile.TemporaryDirectory(prefix="cutoverd-check-") as folder:
        server = await _read_only_server(loaded, Path(folder))
        findings, standing = await _of_bus(loaded, server), await find_standing(loaded, server)
        findings += _of_run(loaded, standing) if not any(ENDED.search(each.detail) for each in findings) else []
        if (run := standing.run) and not is_untouched(run.state):
            return [*findings, CheckResult(PreCheck.name, Verdict.NOT_CHECKED, f"{FOLLOWS} run {run.name}")]
        ports, evidence = ports_of(loaded, server), dict[str, Evidence]()
        for key in _run(loaded).keys(PreCheck.name):
            findings += [finding async for finding in _of_step(loaded, ports, key, evidence)]
        return findings


async def _read_only_server(loaded: LoadedPlan, folder: Path) -> Server:
    """At home where we are let in first; production itself last: it may be what is missing."""
    plan = loaded.plan
    server = Server(plan.database.url, plan.run, 0, folder, plan.client_tools, read_only=True, reach_seconds=REACH_SECONDS)
    return await find_home(server, (LEDGER, MAINTENANCE, server.names.production))


def _run(loaded: LoadedPlan) -> Run:
    frozen = FrozenPlan(items=loaded.items(), budget_seconds=loaded.plan.window.budget)  # nothing is rehearsed: that writes
    return Run(loaded.plan.run, plan=frozen)


async def _of_step(
    loaded: LoadedPlan, ports: Ports, key: StepKey, known: dict[str, Evidence] | None = None
) -> AsyncIterator[CheckResult]:
    """`known`: the evidence of the steps before it; that of this one is added."""
    known = {} if known is None else known
    step, began = key.definition, time.monotonic()
    if step.effect is not Effect.NONE or step.undo:
        yield CheckResult(str(key), Verdict.NOT_CHECKED, WRITES)
        return
    attempt_id = AttemptId(loaded.plan.run, 0, str(key), Direction.FORWARD, "")
    try:
        async with asyncio.timeout(loaded.plan.timeouts.step):
            at = Context(
                ports, attempt_id, key.item, datetime.now(UTC), 0.0, budget_seconds=loaded.plan.window.budget, evidence=known
            )
            evidence = known[str(key)] = await step.run(at)
    except (StepError, psycopg.Error, OSError) as error:
        for finding in _wrong(str(key), with_limit(error, time.monotonic() - began)):
            yield finding
        return
    except Exception as error:  # the loop would record it as a failed step, and go on
        yield _unexpected(str(key), error)
        return
    for finding in _of_evidence(str(key), step.summary, evidence):
        yield finding


def _unexpected(check: str, error: Exception) -> CheckResult:
    todo = "look at the plan's keys for it; if they are right, this is a fault of cutoverd: report it with these words"
    return CheckResult(check, Verdict.UNFIT, f"it could not be looked at: {format_error(error)}", todo)


def _wrong(check: str, error: Exception) -> Iterator[CheckResult]:
    """Each reason by itself, where there are many."""
    evidence: Mapping[str, Any] = getattr(error, "evidence", {})
    hint = without_commands(getattr(error, "hint", ""))
    for reason in evidence.get("reasons") or evidence.get("findings") or [str(error).strip() or type(error).__name__]:
        yield CheckResult(check, Verdict.UNFIT, str(reason), hint)
    yield from _warnings(check, evidence)


def _of_evidence(check: str, summary: str, evidence: Evidence) -> Iterator[CheckResult]:
    if "not_looked_at" in evidence:
        yield CheckResult(check, Verdict.NOT_CHECKED, str(evidence["not_looked_at"]))
        return
    yield CheckResult(check, Verdict.FIT, str(evidence.get("says") or summary))
    yield from _warnings(check, evidence)


def _warnings(check: str, evidence: Evidence) -> Iterator[CheckResult]:
    for warning in evidence.get("warnings", ()):
        yield CheckResult(check, Verdict.WARNING, str(warning))
    for name, value in evidence.items():
        if isinstance(value, dict) and "cannot_be_seen" in value:
            yield CheckResult(check, Verdict.WARNING, f"{name} cannot be seen: {value['cannot_be_seen']}")


async def _of_bus(loaded: LoadedPlan, server: Server) -> list[CheckResult]:
    """Whether the run may begin, or go on, on its stream, and who may publish there.

    A server of ours that does not run is left so.
    """
    others: list[CheckResult] = []
    try:
        await stream.check_sync(loaded.plan.bus.monitoring if loaded.plan.bus else None)
        async with bus_as_it_is(loaded) as client:
            if client is None:
                return [_of_embedded()]
            others += _of_anybody(client)
            is_there = await stream.check_as_it_is(client)
            others.append(await _of_room(client, loaded))
            if is_there:
                runs = Runs(Journal(client, RUNS), await journal_key.read(server) if server.home == LEDGER else None)
                others += _of_others(await runs.history())
                await runs.check_free(loaded.plan.run)
    except RunEnded as error:
        return [CheckResult(BUS, Verdict.UNFIT, error.args[0], hint_of_ended(error.end)), *others]
    except BusError as error:
        return [CheckResult(BUS, Verdict.UNFIT, error.args[0], error.hint), *others]
    except Exception as error:
        return [_unexpected(BUS, error), *others]
    return [CheckResult(BUS, Verdict.FIT, "the run may begin, or go on, on its stream"), *others]


def _of_embedded() -> CheckResult:
    try:
        nats_binary.program()
    except ServerError as error:
        return CheckResult(BUS, Verdict.UNFIT, str(error))
    return CheckResult(BUS, Verdict.NOT_CHECKED, "the embedded nats-server does not run, and is not started to look")


def _of_run(loaded: LoadedPlan, standing: Standing) -> list[CheckResult]:
    """That it has ended, or is under way, in the words of the bus where that says so too; and what could not be looked at."""
    run = standing.run
    if run and run.is_over:
        return [CheckResult(BUS, Verdict.UNFIT, f"run {run.name!r} has ended already ({run.state})", hint_of_ended(run.state))]
    unread = []
    if standing.unread:
        known = "whether more has become of it" if run else "whether it is under way, or has ended,"
        detail = f"run {loaded.plan.run}: {known} could not be looked at: {standing.unread}"
        unread = [CheckResult(BUS, Verdict.WARNING, detail, UNREAD)]
    if run is None:
        return unread
    failed = f", where it has failed ({run.failure.step or run.failure.reason})" if run.failure else ""
    detail = f"run {run.name} is under way, in {run.state}{failed}"
    return [CheckResult(BUS, Verdict.WARNING, detail, UNDER_WAY), *unread]


def _of_anybody(client: Client) -> list[CheckResult]:
    """What others may publish is seen only where the server asks nobody who he is."""
    if client.asks_for_login:
        return []
    anybody = "the server asks nobody for a login: whoever reaches it may publish on cutover.evt.* and cutover.runs, and command"
    return [
        CheckResult(
            BUS, Verdict.WARNING, anybody, "give the daemon a NATS user, and only it the right to publish there (deploy/)"
        )
    ]


async def _of_room(client: Client, loaded: LoadedPlan) -> CheckResult:
    """How much the stream may hold, and whether its limit can be raised before commands or strangers have filled it."""
    outlook = await find_outlook(client, loaded.plan.bus.monitoring if loaded.plan.bus else None)
    verdict = (Verdict.UNFIT if outlook.is_short else Verdict.WARNING) if outlook.todo else Verdict.FIT
    return CheckResult(BUS, verdict, outlook.detail, outlook.todo)


def _of_others(history: History) -> list[CheckResult]:
    if not history.foreign:
        return []
    foreign = f"{history.foreign} messages on cutover.runs are not of this ledger's daemons: others may publish there"
    return [CheckResult(BUS, Verdict.WARNING, foreign, "find who can; runs of another ledger want a stream of their own")]
