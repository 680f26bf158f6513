"""A DROP DATABASE waits for every process of the server, also for one whose client does not go on with its login."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from support.night import until
from support.servers import Cluster

from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.session import pinned
from cutoverd.daemon.postgres.session.connect import Connection, connect
from cutoverd.daemon.postgres.session.session import session

pytestmark = pytest.mark.both_versions
PROTOCOL_3 = 196608
BOUND_SECONDS = 10


@contextmanager
def settings(cluster: Cluster, **given: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A superuser's session that was there before the server took these settings."""
    with cluster.superuser("postgres") as superuser:
        for name, value in given.items():
            superuser.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        superuser.execute("SELECT pg_reload_conf()")
        for name, value in given.items():  # the postmaster reads them before it tells its children
            until(
                lambda name=name, value=value: superuser.execute(f"SHOW {name}".encode()).fetchone() == (value,),
                f"{name} = {value}",
            )
        superuser.execute(f"SET statement_timeout = '{BOUND_SECONDS}s'".encode())
        yield superuser


@contextmanager
def half_a_login(cluster: Cluster) -> Iterator[None]:
    """The server has asked for a password, and waits."""
    words = b"user\0cutover\0database\0app\0\0"
    with socket.create_connection(("127.0.0.1", cluster.postgres.port)) as client:
        client.sendall(struct.pack("!II", len(words) + 8, PROTOCOL_3) + words)
        assert b"SCRAM-SHA-256" in client.recv(100)
        yield


async def half_way(cluster: Cluster, connect_timeout: int) -> None:
    """Connect to a server that is slow to ask for the password."""
    server = cluster.server()
    in_the_first_packet = "sslmode=disable&gssencmode=disable"  # who it is: no question comes before that
    await connect(f"{server.url}&{in_the_first_packet}&connect_timeout={connect_timeout}")


async def test_found_a_connection_of_ours_that_was_cancelled_half_way_held_up_a_drop(cluster: Cluster) -> None:
    """For as long as somebody cleared up after it: `abort` and `hold --now` took a minute."""
    cluster.execute("CREATE DATABASE left_over")
    with settings(cluster, pre_auth_delay="1s") as superuser:
        connecting = asyncio.create_task(clearing_up(cluster, superuser))
        await asyncio.sleep(0.5)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


async def clearing_up(cluster: Cluster, superuser: psycopg.Connection[tuple[object, ...]]) -> None:
    try:
        await half_way(cluster, 10)
    except BaseException:
        await asyncio.sleep(1)  # the server asks for the password now
        superuser.execute("DROP DATABASE left_over")
        raise


async def test_found_a_connection_that_was_cancelled_in_its_first_statement_was_left_open(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Connection] = []

    async def lasts(conn: Connection) -> None:
        opened.append(conn)
        await asyncio.Event().wait()

    monkeypatch.setattr(pinned, "_unhurried", lasts)
    connecting = asyncio.create_task(cluster.server().connect("app"))
    async with asyncio.timeout(BOUND_SECONDS):
        while not opened:
            await asyncio.sleep(0.01)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert opened[0].closed


async def test_found_a_connection_of_ours_that_timed_out_half_way_held_up_a_drop(cluster: Cluster) -> None:
    """Until garbage was collected: a cycle of error and traceback kept it open."""
    cluster.execute("CREATE DATABASE left_over")
    gc.disable()
    try:
        with settings(cluster, pre_auth_delay="3s") as superuser:
            with pytest.raises(psycopg.OperationalError, match="timeout"):
                await half_way(cluster, 2)
            await asyncio.sleep(1.5)  # the server asks for the password now
            superuser.execute("DROP DATABASE left_over")
    finally:
        gc.enable()


async def test_a_drop_is_more_patient_than_the_server_is_with_half_a_login(cluster: Cluster) -> None:
    cluster.execute("CREATE DATABASE app_try OWNER cutover")
    with settings(cluster, authentication_timeout="2s"):
        async with session(cluster.server(), "app") as conn:
            with half_a_login(cluster):
                began = time.monotonic()
                await drop_database(conn, "app_try")
                assert time.monotonic() - began > 1
            [row] = await (await conn.execute("SHOW statement_timeout")).fetchall()
            assert row == ("0",)
    assert cluster.execute("SELECT FROM pg_database WHERE datname = 'app_try'") == []
