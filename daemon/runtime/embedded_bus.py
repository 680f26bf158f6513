"""How long the embedded nats-server of a plan lives; a team's own NATS is left alone.

It has to outlive the daemon: commands sent while no daemon runs are kept there. Whoever only observes starts it where it does
not run, and the last observer stops it again, unless a daemon has come meanwhile. The daemon stops it at the end of its run.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.embedded import nats as embedded
from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.host.private_files import UnusableFile, open_own, remove_private, write_private
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.runtime.daemon_lock import is_any_driven

log = Logger(__name__)

PAUSE_SECONDS = 0.5
LEAST_FREE_BYTES = 1 << 20  # docs/measured.md, "Sizes of events"; and the store writes in blocks
_Result = TypeVar("_Result")


def _folder(loaded: LoadedPlan) -> Path:
    return loaded.state_dir / "nats"


@asynccontextmanager
async def embedded_bus(loaded: LoadedPlan, *, keep: bool, stays: bool) -> AsyncIterator[Client]:
    """A connection to it; started if need be, with `keep` again whenever it dies; with `stays` no observer stops it."""
    folder = _folder(loaded)
    server = await embedded.ensure(folder)
    if stays:
        remove_private(started_for_observers(loaded))
    keeping = asyncio.create_task(embedded.keep(folder) if keep else asyncio.sleep(0))
    client = await connect(server.url, user=server.user, password=server.password)
    try:
        yield client
    finally:
        await end_tasks(keeping)
        await client.close()


@asynccontextmanager
async def needed_by_observer(loaded: LoadedPlan) -> AsyncIterator[None]:
    """Whoever observes needs it for as long as the block lasts; the last one stops what was started for observers alone."""
    if loaded.plan.bus:
        yield
        return
    try:
        lock = open_own(_folder(loaded) / "looking.lock", os.O_RDWR | os.O_CREAT)
    except UnusableFile:
        if not is_reachable_without_starting(loaded):
            raise
        yield  # a folder in which nothing can be written: nothing is started there, so nothing has to be stopped
        return
    try:
        async with _observing(loaded, lock):
            yield
    finally:
        os.close(lock)


@asynccontextmanager
async def _observing(loaded: LoadedPlan, lock: int) -> AsyncIterator[None]:
    await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_SH)
    if not is_reachable_without_starting(loaded):
        write_private(started_for_observers(loaded), b"")
    try:
        yield
    finally:
        with suppress(BlockingIOError):  # somebody else still observes
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if started_for_observers(loaded).exists() and not is_any_driven(loaded.state_dir):
                await end_embedded(loaded)
                remove_private(started_for_observers(loaded))


@asynccontextmanager
async def embedded_bus_as_it_is(loaded: LoadedPlan) -> AsyncIterator[Client | None]:
    """A connection if it runs; it is not started for it."""
    server = embedded.find(_folder(loaded))
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
        folder = _folder(loaded)
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
        await embedded.stop(_folder(loaded))


def started_for_observers(loaded: LoadedPlan) -> Path:
    """Is there if the embedded server runs only because somebody looks."""
    return _folder(loaded) / "looked_at"


def is_reachable_without_starting(loaded: LoadedPlan) -> bool:
    """Whether somebody's looking at the run would not have to start a server for it."""
    return bool(loaded.plan.bus) or embedded.find(_folder(loaded)) is not None


def has_a_bus(loaded: LoadedPlan) -> bool:
    """Whether there can be a journal at all: a team's NATS, or the store of an embedded one."""
    return bool(loaded.plan.bus) or (_folder(loaded)).is_dir()


def has_a_server(loaded: LoadedPlan) -> bool:
    """Whether there is a server now that has a journal."""
    return has_a_bus(loaded) and is_reachable_without_starting(loaded)


async def while_it_runs(loaded: LoadedPlan, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """What `work` gives; None if the server was stopped in the middle of it: by the daemon at its end, or by an observer."""
    working = asyncio.create_task(work)
    try:
        while not working.done():
            await asyncio.wait([working], timeout=PAUSE_SECONDS)
            if not working.done() and not has_a_server(loaded):
                return None
        return working.result()
    finally:
        await end_tasks(working)
