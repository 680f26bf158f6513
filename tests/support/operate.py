"""A daemon that does one operation on the names and can be killed: operate.py URL RUN EPOCH OPERATION STEP DIRECTION."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from cutoverd.daemon.postgres.databases.databases import PostgresDatabases
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.states.errors import StepError
from cutoverd.states.ports import AttemptId, Direction


async def operate(url: str, run: str, epoch: int, operation: str, step: str, direction: str) -> None:
    server = Server(url, run, epoch, Path())
    await ledger.acquire_fence(server)
    print("leads", flush=True)
    databases = PostgresDatabases(server, evict_seconds=60, clone_seconds=60)
    await getattr(databases, operation)(AttemptId(run, epoch, step, Direction(direction), f"{step}-{epoch}"))


if __name__ == "__main__":
    _, url, run, epoch, operation, step, direction = sys.argv
    try:
        asyncio.run(operate(url, run, int(epoch), operation, step, direction))
    except StepError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(1)
    print("done", flush=True)
