"""The bus of a plan: the team's NATS, or the embedded one in state_dir."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cutoverd.daemon.bus.connection import Client, connect
from cutoverd.daemon.bus.credentials import login
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.runtime.embedded_bus import embedded_bus, embedded_bus_as_it_is


@asynccontextmanager
async def bus(loaded: LoadedPlan, *, keep: bool = True, stays: bool | None = None) -> AsyncIterator[Client]:
    """A connection for as long as the block lasts; an embedded server is started if need be, and left running.

    With `keep` it is also started again whenever it dies: so for the daemon, not for those who only look or send, else they
    would undo the daemon's orderly end. With `stays` no observer stops it: so for the daemon, and for what was sent to one
    that has yet to come; by default as `keep`.
    """
    if loaded.plan.bus:
        credentials = loaded.plan.bus.credentials
        client = await connect(loaded.plan.bus.url, **login(loaded.folder / credentials if credentials else None))
        try:
            yield client
        finally:
            await client.close()
        return
    async with embedded_bus(loaded, keep=keep, stays=keep if stays is None else stays) as client:
        yield client


@asynccontextmanager
async def bus_as_it_is(loaded: LoadedPlan) -> AsyncIterator[Client | None]:
    """A connection if a server runs; no embedded one is started or kept for it."""
    opened = bus(loaded) if loaded.plan.bus else embedded_bus_as_it_is(loaded)
    async with opened as client:
        yield client
