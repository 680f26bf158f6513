"""The scratch database `app_try`: ours alone, made to prove a dump and the schema files in, and dropped however that ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from psycopg import sql

from cutoverd.daemon.host.cancellation import run_to_completion
from cutoverd.daemon.postgres.backup.rehearsed_copy import drop_all
from cutoverd.daemon.postgres.catalog import acl, create_database, pg_database
from cutoverd.daemon.postgres.catalog.drop_database import drop_database
from cutoverd.daemon.postgres.ledger import ledger
from cutoverd.daemon.postgres.ledger.databases import unfinished_databases, withdraw_name
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import NotLeader, StepError
from cutoverd.states.ports import AttemptId

LIKE = """
SELECT to_jsonb(d) || jsonb_build_object('owner', pg_get_userbyid(datdba), 'encoding', pg_encoding_to_char(encoding))
FROM pg_database d WHERE datname = %s
"""
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_LOCALES = {"i": "ICU_LOCALE", "b": "BUILTIN_LOCALE"}


@asynccontextmanager
async def scratch(server: Server, attempt_id: AttemptId) -> AsyncIterator[str]:
    """Its name; encoding, locale and owner as production's. It is dropped if something goes wrong, and kept otherwise.

    What an earlier attempt of this run left is dropped first.

    Raises `Unfit` if a database of that name is not this run's, `NotLeader` if another daemon has the run.
    """
    await drop(server, attempt_id)
    try:
        await _make(server, attempt_id)
        yield server.names.scratch
    except BaseException as wrong:
        await run_to_completion(_drop_after(wrong, server, attempt_id))
        raise


async def _drop_after(wrong: BaseException, server: Server, attempt_id: AttemptId) -> None:
    try:
        await drop(server, attempt_id)
    except NotLeader:
        if isinstance(wrong, Exception):  # a cancellation stays one
            raise
    except StepError:  # what went wrong before says more; the next attempt drops it
        pass


async def drop(server: Server, attempt_id: AttemptId) -> list[str]:
    """Drop it if this run made it, and what a trial made around it; their names. Raises `NotLeader` before it drops."""
    dropped, name = await drop_all(server.of_copy(), attempt_id), server.names.scratch
    async with session(server) as conn, ledger.hold_fence(server, attempt_id):
        if name in await unfinished_databases(conn, attempt_id.run):
            await drop_database(conn, name, force=True)
            dropped.append(name)
        await withdraw_name(conn, attempt_id, name)
    return dropped


async def _make(server: Server, attempt_id: AttemptId) -> None:
    name = server.names.scratch
    async with session(server) as conn, ledger.hold_fence(server, attempt_id):
        row = await fetch_one(conn, LIKE, (server.names.production,))
        if row is None:
            raise StepError(f"there is no database {server.names.production}")
        await create_database.create(conn, attempt_id, name, _creation(name, row[0]))
        oid = await pg_database.oid_of(conn, name) or 0
        await acl.restrict(conn, oid)
        await pg_database.accept_connections(conn, oid, True)


def _creation(name: str, like: Mapping[str, Any]) -> sql.Composed:
    locale = like.get("datlocale") or like.get("daticulocale")
    options = {
        "ENCODING": like["encoding"],
        "LOCALE_PROVIDER": _PROVIDERS[like["datlocprovider"]],
        "LC_COLLATE": like["datcollate"],
        "LC_CTYPE": like["datctype"],
        **({_LOCALES[like["datlocprovider"]]: locale} if locale else {}),
        **({"ICU_RULES": like["daticurules"]} if like.get("daticurules") else {}),
    }
    given = sql.SQL(" ").join(sql.SQL(f"{option} {{}}").format(sql.Literal(value)) for option, value in options.items())
    return sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log ALLOW_CONNECTIONS false OWNER {} {}").format(
        sql.Identifier(name), sql.Identifier(like["owner"]), given
    )
