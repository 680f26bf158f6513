"""Connecting by psycopg, of which a cancel half-way leaves nothing behind."""

from __future__ import annotations

import asyncio
from traceback import clear_frames
from typing import Any

import psycopg


async def connect(conninfo: str, *, autocommit: bool = True) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """A session; raises psycopg.OperationalError.

    A connection that is cancelled half-way lives as long as the traceback of the cancel: for as long as somebody clears up
    after it. The server's process waits for its login meanwhile, and a DROP DATABASE for that process, up to
    `authentication_timeout`.
    """
    try:
        return await psycopg.AsyncConnection.connect(conninfo, autocommit=autocommit)
    except asyncio.CancelledError as cancelled:
        clear_frames(cancelled.__traceback__)
        raise
