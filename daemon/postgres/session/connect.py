"""Connecting by psycopg, of which nothing is left behind half-way."""

from __future__ import annotations

import asyncio
import logging
from traceback import clear_frames
from typing import Any, TypeAlias

import psycopg

from cutoverd.daemon.host.environment import set_aside_for_libpq

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

# what goes wrong while psycopg leaves a session whose error is raised anyway; raw on stderr it is taken for another one
logging.getLogger("psycopg").addHandler(logging.NullHandler())


async def connect(conninfo: str) -> Connection:
    """A session in autocommit, as role and database have set it; raises psycopg.OperationalError.

    A connection that is cancelled half-way, or runs into its time-out, lives as long as the traceback that tells of it: for
    as long as somebody clears up after it, or until garbage is collected. The server's process waits for its login meanwhile,
    and a DROP DATABASE for that process, up to `authentication_timeout`.
    """
    set_aside_for_libpq()  # `cutoverd` has done that at its start; who uses this package may have not
    try:
        return await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
    except (asyncio.CancelledError, psycopg.OperationalError) as ended:
        clear_frames(ended.__traceback__)
        raise
