"""The bus of a plan: the team's NATS, or the embedded one in state_dir."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.credentials import login
from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.embedded import nats as embedded
from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.plan.load import LoadedPlan

log = structlog.get_logger(__name__)

LEAST_FREE_BYTES = 1 << 20  # an event has a few hundred, and the store writes in blocks


@asynccontextmanager
async def bus(loaded: LoadedPlan, *, keep: bool = True) -> AsyncIterator[Client]:
    """A connection for as long as the block lasts; an embedded server is started if need be, and left running.

    With `keep` it is also started again whenever it dies: so for the daemon, not for those who only look, else they would
    undo the daemon's orderly end. It has to outlive the daemon: commands sent while no daemon runs are kept there.
    `end_embedded` stops it.
    """
    if loaded.plan.bus:
        credentials = loaded.plan.bus.credentials
        client = await connect(loaded.plan.bus.url, **login(loaded.folder / credentials if credentials else None))
        try:
            yield client
        finally:
            await client.close()
        return
    async with _embedded(loaded, keep) as client:
        yield client


@asynccontextmanager
async def _embedded(loaded: LoadedPlan, keep: bool) -> AsyncIterator[Client]:
    folder = loaded.state_dir / "nats"
    server = await embedded.ensure(folder)
    if keep:
        started_for_observers(loaded).unlink(missing_ok=True)
    keeping = asyncio.create_task(embedded.keep(folder) if keep else asyncio.sleep(0))
    client = await connect(server.url, user=server.user, password=server.password)
    try:
        yield client
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await client.close()


@asynccontextmanager
async def bus_as_it_is(loaded: LoadedPlan) -> AsyncIterator[Client | None]:
    """A connection if a server runs; no embedded one is started or kept for it."""
    if loaded.plan.bus:
        async with bus(loaded) as theirs:
            yield theirs
        return
    server = embedded.find(loaded.state_dir / "nats")
    client = await connect(server.url, user=server.user, password=server.password) if server else None
    try:
        yield client
    finally:
        if client:
            await client.close()


async def revive(loaded: LoadedPlan, client: Client) -> None:
    """Start the embedded server anew; a team's own NATS is left alone.

    One that hangs, or whose disk was full for a moment, is there, answers, and never stores anything again. Raises
    `Unreachable` if it had to take another port: our client would look for it where it was, for ever.
    """
    if not loaded.plan.bus:
        folder = loaded.state_dir / "nats"
        _name_a_full_disk(folder)
        log.warning("embedded_nats_started_anew", folder=str(folder))
        try:
            await embedded.stop(folder)
            running = await embedded.ensure(folder)
        except (ServerError, OSError, subprocess.SubprocessError) as error:
            log.error("embedded_nats_not_started", reason=str(error))
            return
        if urlsplit(running.url).port not in {server.port for server in client.nc.servers}:
            raise Unreachable(
                f"the embedded nats-server is at {running.url} now: another program has taken its port",
                hint="start the daemon again: it finds it there",
            )


def _name_a_full_disk(folder: Path) -> None:
    """The server itself says no more than that it did not answer in time."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < LEAST_FREE_BYTES:
        log.error("disk_full", folder=str(folder), free_bytes=free_bytes, doing="no event can be kept: make room, it goes on")


async def end_embedded(loaded: LoadedPlan) -> None:
    """Stop the embedded server at the orderly end of a run; a team's own NATS is left alone."""
    if not loaded.plan.bus:
        await embedded.stop(loaded.state_dir / "nats")


def started_for_observers(loaded: LoadedPlan) -> Path:
    """Is there if the embedded server runs only because somebody looks."""
    return loaded.state_dir / "nats" / "looked_at"


def is_reachable_without_starting(loaded: LoadedPlan) -> bool:
    """Whether somebody's looking at the run would not have to start a server for it."""
    return bool(loaded.plan.bus) or embedded.find(loaded.state_dir / "nats") is not None


def has_a_bus(loaded: LoadedPlan) -> bool:
    """Whether there can be a journal at all: a team's NATS, or the store of an embedded one."""
    return bool(loaded.plan.bus) or (loaded.state_dir / "nats").is_dir()
