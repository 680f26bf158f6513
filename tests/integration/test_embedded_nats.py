"""A nats-server of our own: one per store, and still there when its daemon is not."""

from __future__ import annotations

import asyncio
import contextlib

import nats
from nats.aio.client import Client
from nats.errors import Error
from servers import NatsServer


async def publish(connection: Client, subject: str, payload: bytes, seconds: float = 10) -> int:
    """Until it is acknowledged: what was sent into the socket of a server that died is lost."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(Error):
                return (await connection.jetstream().publish(subject, payload, timeout=0.5)).seq


async def test_clients_come_back_to_a_server_that_was_killed(nats_server: NatsServer) -> None:
    connection = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    try:
        await connection.jetstream().add_stream(name="S", subjects=["s"])
        assert await publish(connection, "s", b"before") == 1
        nats_server.kill()
        nats_server.start()
        assert await publish(connection, "s", b"after") == 2
    finally:
        await connection.close()
