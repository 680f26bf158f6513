"""Whether the server, our role and the names allow a run: every reason at once, each with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from cutoverd.daemon.postgres.catalog import acl, pg_database, settings
from cutoverd.daemon.postgres.ledger.databases import DatabaseRow, taken_names
from cutoverd.daemon.postgres.ledger.ledger import TRIAL
from cutoverd.daemon.postgres.precheck import (
    client_tools,
    clock_skew,
    inside,
    login_roles,
    role_logins,
    server_state,
    smoke_roles,
)
from cutoverd.daemon.postgres.precheck.server_state import ALONE, AtOnce
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.names import LEDGER, LONGEST_PRODUCTION_NAME, Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.refusal import foreign_ledger
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import StepError, Unfit
from cutoverd.states.ports import AttemptId, Evidence
from cutoverd.states.rehearsal import is_without_run

OLDEST = 150000
LONGEST_APPLICATION_NAME = 63  # bytes; cut, the orphans of a run would not be found: docs/measured.md, "Names"
# docs/measured.md, "Rights of the daemon's role"
RIGHTS = ("pg_signal_backend", "pg_monitor", "pg_read_all_data", "pg_checkpoint")


LOST = "new will not have this, and our role may not set it; after the swap somebody who may gives"


async def check_fit(
    server: Server,
    attempt_id: AttemptId,
    logins: Mapping[str, str] | None = None,
    smoke_roles_named: Sequence[str] | None = None,
    *,
    at_once: AtOnce = ALONE,
) -> Evidence:
    """{"server_version", "role", "owner", "not_carried", "shared_roles", "smoke_roles", "clock_ahead_seconds", "warnings"}.

    `logins`: addresses that the plan logs in to, by its keys. Raises `Unfit` with every reason
    found. Who only looks does not try the rights: that is a write, rolled back.
    """
    async with session(server) as conn:
        oid, ahead = await pg_database.oid_of(conn, server.names.production), await clock_skew.ahead(conn)
        major = conn.info.server_version // 10_000
        of_tools, old_tools = await client_tools.check_tools(server, major, step=attempt_id.step)
        reasons = [*_too_long(server), *await _too_old(conn), *clock_skew.too_far(ahead), *of_tools]
        if oid is None:
            raise _unfit([await not_there(conn, server.names.production), *reasons])
        row = await pg_database.read_row(conn, oid)
        otherwise, unasked = await inside.ask_inside(conn, server, row)
        barred, doubtful = await login_roles.cannot_log_in(conn, row, logins or {})
        of_tests = await smoke_roles.read_smoke_roles(conn, row, smoke_roles_named)
        tried = await role_logins.try_logins(server, of_tests.may_log_in, logins or {})
        reasons += [*await in_the_way(conn, server, attempt_id.run, row, at_once), *otherwise, *barred, *of_tests.reasons]
        to_know = [warning async for warning in server_state.found(conn, server_state.TO_KNOW, oid)]
        not_carried, differs, lost = await _try_rights(conn, server, row, is_fit=not reasons)
        warnings = [*old_tools, *unasked, *doubtful, *of_tests.warnings, *tried.warnings, *to_know, *lost]
        if reasons := [*reasons, *differs]:
            raise _unfit(reasons, warnings)
        return {
            "server_version": conn.info.server_version,
            "role": conn.info.user,
            "owner": row.owner,
            "not_carried": [*not_carried, *await _labels(conn, row)],
            "shared_roles": of_tests.shared,
            "smoke_roles": {"connected": tried.connected, "no_password_here": tried.no_password},
            "clock_ahead_seconds": round(ahead.total_seconds(), 3),
            "warnings": warnings,
        }


async def _try_rights(
    conn: Connection, server: Server, row: DatabaseRow, *, is_fit: bool
) -> tuple[list[str], list[str], list[str]]:
    """What new cannot be given, what the way back would not restore, and warnings for who only looks: he tries nothing."""
    if server.read_only:
        not_carried = await settings.not_ours_to_set(conn, row)
        return not_carried, [], [f"{LOST}: {statement}" for statement in [*not_carried, *await _labels(conn, row)]]
    return *(await _rehearse(conn, row) if is_fit else ([], [])), []


def _unfit(reasons: list[str], warnings: list[str] | None = None) -> Unfit:
    hint = "see to all of them, then `retry`"
    return Unfit("; ".join(reasons), hint=hint, evidence={"reasons": reasons, "warnings": warnings or []})


async def not_there(conn: Connection, name: str) -> str:
    others = await _all(conn, "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname LIMIT 20")
    return f"there is no database {name}: database.url must end with one of {', '.join(other for (other,) in others)}"


async def in_the_way(conn: Connection, server: Server, run: str, row: DatabaseRow, at_once: AtOnce = ALONE) -> list[str]:
    """Rights that our role lacks, names that are taken, what the server or the database forbids: of production, or of a copy."""
    reasons = [*await _rights(conn, row), *await _left_over(conn, server.names, run)]
    for query, reason in IN_THE_WAY:
        reasons += [reason.format(*found, database=row.name) for found in await _all(conn, query, row.oid)]
    impossible = server_state.found(conn, server_state.IMPOSSIBLE, row.oid, at_once=at_once)
    return [*reasons, *[reason async for reason in impossible]]


LABELS = "SELECT provider, label FROM pg_shseclabel WHERE classoid = 'pg_database'::regclass AND objoid = %s"


async def _labels(conn: Connection, row: DatabaseRow) -> list[str]:
    """A clone has none of them, and only their provider may set them."""
    name = sql.Identifier(row.name).as_string(conn)
    labels = await _all(conn, LABELS, row.oid)
    return [
        f"SECURITY LABEL FOR {provider} ON DATABASE {name} IS {sql.Literal(label).as_string(conn)};" for provider, label in labels
    ]


def _too_long(server: Server) -> list[str]:
    name, application = server.names.production, server.application_name
    reasons = []
    if (size := len(name.encode())) > LONGEST_PRODUCTION_NAME:
        reasons.append(f"the name {name} has {size} bytes, at most {LONGEST_PRODUCTION_NAME} leave room for {name}_previous")
    if (size := len(application.encode())) > LONGEST_APPLICATION_NAME:
        reasons.append(f"{application} has {size} bytes, PostgreSQL keeps {LONGEST_APPLICATION_NAME}: choose a shorter run name")
    return reasons


async def _too_old(conn: Connection) -> list[str]:
    version = conn.info.server_version
    return [f"the server is {version // 10000}, at least {OLDEST // 10000} is needed"] if version < OLDEST else []


async def _rights(conn: Connection, row: DatabaseRow) -> list[str]:
    """What our role lacks, each with the statement that a superuser gives."""
    (me, createdb), *_ = await _all(conn, "SELECT rolname, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
    role = sql.Identifier(me).as_string(conn)
    reasons = [] if createdb else [f"role {me} may not create databases: ALTER ROLE {role} CREATEDB"]
    options = " WITH INHERIT TRUE, SET TRUE" if conn.info.server_version >= 160000 else ""
    if (await _all(conn, "SELECT rolsuper FROM pg_roles WHERE rolname = %s", row.owner))[0][0] and row.owner != me:
        reasons.append(
            f"{row.name} belongs to superuser {row.owner}: ALTER DATABASE {row.name} OWNER TO a role that {me} may act for"
        )
    elif not await _is_member(conn, row.owner):
        owner = sql.Identifier(row.owner).as_string(conn)
        reasons.append(f"role {me} may not act for {row.owner}, who owns {row.name}: GRANT {owner} TO {role}{options}")
    for right in RIGHTS:
        if not (await _all(conn, "SELECT pg_has_role(%s, 'USAGE')", right))[0][0]:
            unseen = ", and what other sessions do cannot be seen without it" if right == "pg_monitor" else ""
            reasons.append(f"role {me} lacks {right}{unseen}: GRANT {right} TO {role}")
    for (owner,) in await _all(conn, FOREIGN, LEDGER):
        foreign = foreign_ledger(conn, owner)
        reasons.append(f"{foreign}: {foreign.hint}")
    return reasons


FOREIGN = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s AND NOT pg_has_role(datdba, 'USAGE')"


async def _is_member(conn: Connection, owner: str) -> bool:
    """With its rights, and able to become it."""
    become = "SET" if conn.info.server_version >= 160000 else "MEMBER"
    return bool((await _all(conn, "SELECT pg_has_role(%s, 'USAGE') AND pg_has_role(%s, %s)", owner, owner, become))[0][0])


async def _left_over(conn: Connection, names: Names, run: str) -> list[str]:
    runs = [run, f"{run}{TRIAL}"]
    rows = await taken_names(conn, names.made, prefix=names.build_prefix, runs=runs)
    return [
        f"{name} is left over from run {other}, and this is run {run}: {_who_drops(other)}"
        if other
        else f"{name} is in the way of run {run}, and no run in the ledger made it: rename or drop it"
        for name, other in rows
    ]


def _who_drops(run: str) -> str:
    if is_without_run(run):
        return "`cutoverd rehearse --drop` clears it"
    if run.endswith(TRIAL):
        return "that run goes on from there, or its `abort` clears it"
    return "`cutoverd finalize` with that run's plan drops it"


IN_THE_WAY = (
    (
        "SELECT gid, owner::text FROM pg_prepared_xacts x JOIN pg_database d ON d.datname = x.database WHERE d.oid = %s",
        "prepared transaction {0} of {1} is open in {database}: COMMIT PREPARED or ROLLBACK PREPARED '{0}' there",
    ),
    (
        "SELECT datcollversion, pg_database_collation_actual_version(oid) FROM pg_database "
        "WHERE oid = %s AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)",
        "{database} was made with collation version {0} and the library's is {1}, so it cannot be cloned: REINDEX what "
        "sorts text, then ALTER DATABASE {database} REFRESH COLLATION VERSION",
    ),
    (
        "SELECT subname FROM pg_subscription WHERE subdbid = %s AND subenabled",
        "subscription {0} in {database} goes on writing whatever is fenced: ALTER SUBSCRIPTION {0} DISABLE",
    ),
    (
        "SELECT slot_name, CASE WHEN active THEN 'read' ELSE 'not read' END FROM pg_replication_slots WHERE datoid = %s",
        "logical slot {0} in {database} ({1} now) would miss what comes after the fence: end its reader and drop it",
    ),
    (
        "SELECT pid, usename, application_name, backend_type FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid "
        "WHERE a.datid = %s AND a.pid <> pg_backend_pid() AND r.rolsuper AND a.backend_type NOT IN ('autovacuum worker', "
        "'parallel worker') AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
        "{3} {0} of superuser {1} ({2}) is in {database} and only a superuser can end it: close it",
    ),
    (
        "SELECT 1 FROM pg_database WHERE oid = %s AND datistemplate",
        "{database} is marked as a template, which a clone is not: ALTER DATABASE {database} IS_TEMPLATE false",
    ),
)


class _RehearsalEnds(Exception):
    """the transaction in which the rights were tried is rolled back"""


async def _rehearse(conn: Connection, row: DatabaseRow) -> tuple[list[str], list[str]]:
    """Take and restore the ACL, and set the settings on another database, all rolled back: what we may not set, what differs."""
    not_carried: list[str] = []
    differs: list[str] = []
    try:
        async with conn.transaction():
            await conn.execute("SET LOCAL lock_timeout = '5s'")
            await acl.restrict(conn, row.oid)
            differs += await acl.restore(conn, row.oid, row)
            await settings.set_read_only(conn, row.name)
            not_carried += await settings.carry(conn, LEDGER, row)
            raise _RehearsalEnds
    except _RehearsalEnds:
        return not_carried, [f"the way back could not restore the grants: {what}" for what in differs]
    except StepError as error:
        return not_carried, [str(error)]


async def _all(conn: Connection, query: str, *values: object) -> list[tuple[Any, ...]]:
    return await fetch_all(conn, query.encode(), values or None)
