"""Whether the roles of the smoke tests get into production from here: tried where libpq finds what it needs for that.

At night a test that cannot log in turns the run back, after all the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import make_conninfo

from cutoverd.daemon.postgres.precheck.login_roles import LoginAddress, resolved
from cutoverd.daemon.postgres.session.connect import connect
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import primary_message
from cutoverd.daemon.postgres.session.server import Server

SECONDS = 5  # libpq takes no less than two
WHO = "SELECT session_user::text, current_database()::text"


@dataclass
class RoleLogins:
    """What became of it, by role."""

    connected: list[str] = field(default_factory=list)
    no_password: list[str] = field(default_factory=list)  # that libpq finds here: nobody knows
    warnings: list[str] = field(default_factory=list)


async def try_logins(server: Server, roles: Sequence[str], logins: Mapping[str, str]) -> RoleLogins:
    """By the address that the plan has for the role, if it logs in as that one somewhere; else by ours, with the role's name.

    The daemon's own password is never sent for another role.
    """
    found = RoleLogins()
    own = {address.user: url for url in logins.values() if isinstance(address := resolved(url), LoginAddress)}
    for role in roles:
        url = own.get(role) or make_conninfo(server.url, user=role, password="", dbname=server.names.production)
        await _try(server, role, url, found)
    return found


async def _try(server: Server, role: str, url: str, found: RoleLogins) -> None:
    address = make_conninfo(url, application_name=server.application_name, connect_timeout=SECONDS)
    try:
        async with asyncio.timeout(SECONDS), await connect(address) as conn:
            row = await fetch_one(conn, WHO)
    except TimeoutError:
        found.warnings.append(_not_in(role, f"no answer within {SECONDS} s"))
    except psycopg.Error as error:
        if error.pgconn is not None and error.pgconn.needs_password:
            found.no_password.append(role)
        else:
            found.warnings.append(_not_in(role, primary_message(error)))
    else:
        if row == (role, server.names.production):
            found.connected.append(role)
        else:
            found.warnings.append(_not_in(role, f"the session is of {row[0]} in {row[1]}" if row else "nothing was answered"))


def _not_in(role: str, words: str) -> str:
    return (
        f"smoke.roles: from here {role} does not get into production ({words}): look at pg_hba.conf and at its password in "
        "PGPASSFILE, if the tests log in from here"
    )
