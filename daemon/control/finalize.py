"""After the end: what the run left behind is looked at, and on a word of confirmation dropped, each with its event."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cutoverd.daemon.bus import stream
from cutoverd.daemon.bus.journal import Journal
from cutoverd.daemon.bus.journal_file import FILE, FileCopy
from cutoverd.daemon.control.send import NotOpen
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.databases import leftovers
from cutoverd.daemon.postgres.ledger import journal_key, ledger
from cutoverd.daemon.postgres.ledger.journal_copy import LedgerCopy
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.runtime.daemon_lock import one_daemon
from cutoverd.daemon.runtime.drive import Anchors
from cutoverd.daemon.runtime.embedded_bus import has_a_bus, needed_by_observer
from cutoverd.daemon.runtime.leadership import server_before_epoch
from cutoverd.daemon.runtime.open_bus import bus
from cutoverd.events import facts
from cutoverd.events.subjects import events_of
from cutoverd.states import COMPLETED
from cutoverd.states.errors import StepError
from cutoverd.states.leftovers import (
    FINAL_BACKUP,
    WHAT,
    Decision,
    LeftoverDatabase,
    confirmations_wanted,
    decide_leftovers,
    written_by_clients,
)
from cutoverd.states.ports import AttemptId, Direction
from cutoverd.states.run import Run, StepKey
from cutoverd.states.step import ProgressSource

DUMPS = (ProgressSource.BACKUP, ProgressSource.FINAL_BACKUP)  # what a step that dumps is seen by


class NotFinal(StepError):
    """what the run left behind cannot be dropped now"""

    hint = "nothing was dropped"


@dataclass(frozen=True)
class Inventory:
    """What an ended run left behind, and what becomes of it."""

    run: Run
    decision: Decision
    left_alone: tuple[str, ...]
    dumps: tuple[str, ...]  # that the run took, by their paths
    wanted: Mapping[str, str]  # what has to be said besides the run's name, and why
    stays: tuple[str, ...] = ()  # what else is there of it, and what to do about it

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "run": self.run.name,
            "state": self.run.state,
            "left_over": [_leftover_document(each) for each in self.decision.drop],
            "left_alone": list(self.left_alone),
            "dumps": [file for file in self.dumps if os.path.exists(file)],
            "dumps_missing": [file for file in self.dumps if not os.path.exists(file)],
            "written": written_by_clients(self.run),
            "wanted": dict(self.wanted),
            "stays": list(self.stays),
        }


async def read_inventory(loaded: LoadedPlan) -> Inventory:
    """Nothing is changed. Raises `NotFinal` while the run is open or somebody is in one of its databases, `NotOpen`."""
    async with _ended(loaded) as (runlog, server):
        return await _inventory(runlog.run, server)


async def finalize(loaded: LoadedPlan, confirmed: Inventory, flags: Collection[str]) -> list[str]:
    """Drop what was confirmed, one by one; the names. Safe to say again, whatever became of the time before.

    `flags`: those given of the words that are wanted besides the run's name. Raises `NotFinal` if one is missing.
    """
    async with _ended(loaded) as (runlog, server):
        found = await _inventory(runlog.run, server)
        if missing := [f"{why}: --{word}" for word, why in found.wanted.items() if word not in flags]:
            raise NotFinal("; ".join(missing))
        if {each.oid for each in found.decision.drop} - {each.oid for each in confirmed.decision.drop}:
            raise NotFinal("there is more to drop now than was shown")
        for gone in found.decision.gone:
            await runlog.append(_dropped(gone, found=True))
        for each in found.decision.drop:
            await leftovers.drop(server, _attempt_id(server, each.given_name), each)
            await runlog.append(_dropped(each, found=False))
        await leftovers.forget_names(server, _attempt_id(server, "names"))
        await runlog.settled()
        return [each.given_name for each in found.decision.drop]


@asynccontextmanager
async def _ended(loaded: LoadedPlan) -> AsyncIterator[tuple[RunLog, Server]]:
    """The run's journal, proven, and the server as the last daemon of the run saw it."""
    if not has_a_bus(loaded):
        raise NotOpen(f"run {loaded.plan.run} has not started", hint="there is nothing to finalize")
    async with needed_by_observer(loaded), bus(loaded, keep=False) as client:
        if not await stream.exists(client):
            raise NotOpen(f"run {loaded.plan.run} has not started", hint="there is nothing to finalize")
        async with _proven(loaded, Journal(client, events_of(loaded.plan.run))) as proven:
            yield proven


@asynccontextmanager
async def _proven(loaded: LoadedPlan, journal: Journal) -> AsyncIterator[tuple[RunLog, Server]]:
    server = server_before_epoch(loaded)
    async with aclosing(Anchors(loaded, server)) as anchors, aclosing(LedgerCopy()) as ledger_copy:
        copies = (FileCopy(loaded.run_dir / FILE), ledger_copy)
        runlog = RunLog(loaded.plan.run, journal, anchors.all, key=await journal_key.fetch(server), copies=copies)
        await runlog.replay()
        if runlog.run.plan is None:
            raise NotOpen(f"run {loaded.plan.run} has not started", hint="there is nothing to finalize")
        if (was := runlog.run.frozen.production) != server.names.production:
            raise NotFinal(f"the run was on {was}, and the plan names {server.names.production}")
        with one_daemon(loaded):
            runlog.epoch = max(runlog.run.epoch, await ledger.current_epoch(server))  # a daemon may have died before it said so
            server = replace(server, epoch=runlog.epoch)
            ledger_copy.lead(server)
            yield runlog, server
            await runlog.flush_copies()


async def _inventory(run: Run, server: Server) -> Inventory:
    databases = await leftovers.find(server)
    decision = decide_leftovers(run, databases, server.names.production)
    if decision.refused:
        raise NotFinal("; ".join(decision.refused))
    others = [] if not run.is_over else await leftovers.strangers(server, databases)
    wanted = confirmations_wanted(run, decision.drop, has_final_dump=_has_final_dump(run))
    return Inventory(run, decision, (*decision.left_alone, *others), _dumps(run), wanted, await _stays(run, server))


async def _stays(run: Run, server: Server) -> tuple[str, ...]:
    """In the new production; a server that does not answer now is no reason to drop nothing."""
    production = server.names.production
    with suppress(StepError):
        if run.state == COMPLETED and await leftovers.holds_ledger(server, production):
            return (f"the schema cutoverd in {production}, the run's own record: its owner may DROP SCHEMA cutoverd CASCADE now",)
    return ()


def _has_final_dump(run: Run) -> bool:
    file = run.of(FINAL_BACKUP, Direction.FORWARD).evidence.get("file")
    return bool(file) and os.path.exists(str(file))


def _dumps(run: Run) -> tuple[str, ...]:
    taken = [evidence for key, evidence in run.evidence().items() if StepKey.of(key).definition.progress in DUMPS]
    return tuple(dict.fromkeys(str(evidence["file"]) for evidence in taken if evidence.get("file")))


def _attempt_id(server: Server, what: str) -> AttemptId:
    return AttemptId(server.run, server.epoch, f"finalize:{what}", Direction.FORWARD, "")


def _dropped(each: LeftoverDatabase, *, found: bool) -> facts.LeftoverDropped:
    return facts.LeftoverDropped(database=each.given_name, oid=each.oid, what=each.role, bytes=each.bytes, found=found)


def _leftover_document(each: LeftoverDatabase) -> dict[str, Any]:
    age = (datetime.now(UTC) - each.since).total_seconds() if each.since else None
    return {
        "database": each.name,
        "oid": each.oid,
        "what": WHAT[each.role],
        "bytes": each.bytes,
        "since": each.since.isoformat(timespec="seconds") if each.since else None,
        "age_seconds": None if age is None else round(max(0.0, age)),
    }
