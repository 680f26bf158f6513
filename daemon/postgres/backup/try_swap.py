"""The way back, executed before it is needed: on the scratch database, by the code that will run at night.

Its rows in the ledger go by a name of their own, `<run>/try`; its sessions carry the run's, so that they are found as orphans.
"""

from __future__ import annotations

import time
from dataclasses import replace

from cutoverd.daemon.postgres.backup.probe_client import visiting
from cutoverd.daemon.postgres.catalog import pg_database
from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.databases.databases import EVICT_SECONDS, PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import DatabaseRow, forget_run, made_by
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import AttemptId, Direction, Evidence

THERE = ("make_placeholder", "fence", "build_new", "exchange")
BACK = {"exchange_back": "exchange", "keep_new": "build_new", "lift_fence": "fence"}  # as the steps of the way back are called


async def try_way_back(server: Server, attempt_id: AttemptId, *, evict_seconds: float = EVICT_SECONDS) -> Evidence:
    """{"seconds": by operation, "exchange_seconds", "way_back_seconds", "sessions_ended", "connections"} of the scratch database.

    Somebody connects to it again and again meanwhile. Afterwards it has its name, its oid and its catalog row as before, and
    accepts connections; `drop_all` drops it and what stands around it. Raises `CheckFailed` if not, and whatever the night's
    own code raises.
    """
    trial = replace(server, on_trial=True)
    before = await _row(trial)
    async with visiting(trial) as visitor:
        seconds, ended = await _there_and_back(trial, attempt_id, evict_seconds)
        await visitor.is_let_in()
    _compare(before, await _row(trial))
    back = sum(seconds[name] for name in BACK)
    return {
        "seconds": seconds,
        "exchange_seconds": seconds["exchange"],
        "way_back_seconds": round(back, 3),
        "sessions_ended": ended,
        "connections": visitor.connections,
    }


async def _there_and_back(trial: Server, attempt_id: AttemptId, evict_seconds: float) -> tuple[dict[str, float], int]:
    databases = PostgresDatabases(trial, evict_seconds=evict_seconds)
    steps = [(name, name, Direction.FORWARD) for name in THERE] + [(name, step, Direction.BACK) for name, step in BACK.items()]
    seconds, ended = dict[str, float](), 0
    for name, step, direction in steps:
        began = time.monotonic()
        evidence = await getattr(databases, name)(replace(attempt_id, run=_run(attempt_id), step=step, direction=direction))
        seconds[name] = round(time.monotonic() - began, 3)
        ended += evidence.get("sessions_ended", 0)
        if name in ("exchange", "lift_fence") and evidence["differs"]:
            raise CheckFailed(f"after {name} of the scratch database its rights differ: {'; '.join(evidence['differs'])}")
    return seconds, ended


def _run(attempt_id: AttemptId) -> str:
    return f"{attempt_id.run}{ledger.TRIAL}"


async def _row(trial: Server) -> DatabaseRow:
    async with session(trial) as conn:
        return await pg_database.read_row(conn, await pg_database.oid_of(conn, trial.names.production) or 0)


def _compare(before: DatabaseRow, after: DatabaseRow) -> None:
    was, now = before.model_dump(), after.model_dump()
    if differs := [f"{name} was {was[name]} and is {now[name]}" for name in was if was[name] != now[name]]:
        raise CheckFailed(
            f"after the way back {before.name} is not as it was: {'; '.join(differs)}", evidence={"differs": differs}
        )


async def drop_all(server: Server, attempt_id: AttemptId) -> list[str]:
    """What trials of this run made, the scratch database that they were made with, and their rows in the ledger; the names.

    Raises `NotLeader` before anything is dropped: another daemon's trial goes by the same names.
    """
    names, run = server.names.of_trial, _run(attempt_id)
    async with session(server) as conn, ledger.hold_fence(server, attempt_id):
        found = await made_by(conn, run, [*names.all, names.build(attempt_id.epoch)])
        for name in found:
            await drop_database(conn, name, force=True)
        async with ledger.fenced_transaction(conn, attempt_id):
            await forget_run(conn, run)
    return found
