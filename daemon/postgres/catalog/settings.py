"""The settings of a database and of roles in it: a rename keeps them, a clone loses them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
from psycopg import sql

from cutoverd.daemon.postgres.ledger.databases import DatabaseRow
from cutoverd.daemon.postgres.session.fetch import fetch_all
from cutoverd.daemon.postgres.session.reach import Connection, primary_message

READ_ONLY = "default_transaction_read_only"
# their values are lists of quoted names, which one literal would turn into a single name
LISTS = frozenset({"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"})
LIST_ITEM = re.compile(r'"((?:[^"]|"")*)"|([^,\s]+)')


async def carry(conn: Connection, database: str, was: DatabaseRow) -> list[str]:
    """Set again what `was` had, in an open transaction.

    Gives the statements that only somebody else may give, for production's name, each with PostgreSQL's reason.
    """
    refused = []
    for statement, later in zip(statements(database, was), without_secrets(was), strict=True):
        try:
            async with conn.transaction():
                await conn.execute(statement)
        except psycopg.DatabaseError as error:
            if conn.closed:
                raise
            refused.append(f"{later.as_string(conn)};  -- {primary_message(error)}")
    return refused


# (role or NULL, parameter) → whether our role may set it: another's needs CREATEROLE, and ADMIN on it since 16; a parameter that
# not everybody may set, or that nobody knows, needs a grant of its own
MAY_SET = """
SELECT (w.role IS NULL OR me.rolsuper OR w.role = me.rolname OR (me.rolcreaterole AND NOT r.rolsuper AND {admin})),
       me.rolsuper OR has_parameter_privilege(w.name, 'SET')
           OR coalesce((SELECT s.context = 'user' FROM pg_settings s WHERE lower(s.name) = lower(w.name)), false)
  FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS w(role, name, n)
  JOIN pg_roles me ON me.rolname = current_user LEFT JOIN pg_roles r ON r.rolname = w.role
 ORDER BY w.n
"""
ADMIN = "pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')"


async def not_ours_to_set(conn: Connection, was: DatabaseRow) -> list[str]:
    """The statements that `carry` would give, asked of the catalog alone, each with what would let us give it."""
    entries = [(settings.role, entry.split("=", 1)[0]) for settings in was.settings for entry in settings.config]
    query = MAY_SET.format(admin=ADMIN if conn.info.server_version >= 160000 else "true")
    may = await fetch_all(conn, query.encode(), [list(column) for column in zip(*entries, strict=True)] or [[], []])
    refused = []
    for statement, (role, name), (whose, what) in zip(without_secrets(was), entries, may, strict=True):
        if not (whose and what):
            help_ = [] if whose or role is None else [_administer(conn, role)]
            help_ += [] if what else [f"GRANT SET ON PARAMETER {name} TO {_us(conn)}"]
            refused.append(f"{statement.as_string(conn)};  -- or beforehand: {'; '.join(help_)}")
    return refused


def _administer(conn: Connection, role: str) -> str:
    grant = f"; GRANT {sql.Identifier(role).as_string(conn)} TO {_us(conn)} WITH ADMIN OPTION"
    return f"ALTER ROLE {_us(conn)} CREATEROLE" + (grant if conn.info.server_version >= 160000 else "")


def _us(conn: Connection) -> str:
    return sql.Identifier(conn.info.user).as_string(conn)


def statements(database: str, was: DatabaseRow) -> Iterator[sql.Composed]:
    """`ALTER DATABASE … SET …` and `ALTER ROLE … IN DATABASE … SET …`, in their order."""
    for role, name, value in _entries(was):
        yield sql.SQL("{} TO {}").format(_set(database, role, name), _values(name, value))


def without_secrets(was: DatabaseRow) -> Iterator[sql.Composed]:
    """The same for its own name, as they may be recorded and shown."""
    for role, name, value in _entries(was):
        begun = _set(was.name, role, name)
        yield (
            _from_catalog(begun, was.oid, role, name) if "." in name else sql.SQL("{} TO {}").format(begun, _values(name, value))
        )


def without_value(entry: str) -> str:
    """`name=value`, as it may be recorded and shown: a parameter of the application's own may hold a secret."""
    name = entry.partition("=")[0]
    return f"{name} (its value: pg_db_role_setting)" if "." in name else entry


def _entries(was: DatabaseRow) -> Iterator[tuple[str | None, str, str]]:
    for settings in was.settings:
        for name, value in (entry.split("=", 1) for entry in settings.config):
            yield settings.role, name, value


def _set(database: str, role: str | None, name: str) -> sql.Composed:
    whose = sql.SQL("DATABASE {}") if role is None else sql.SQL("ROLE {} IN DATABASE {}")
    names = [sql.Identifier(each) for each in (role, database) if each is not None]
    return sql.SQL("ALTER {} SET {}").format(whose.format(*names), sql.Identifier(*name.split(".")))


def _from_catalog(begun: sql.Composed, oid: int, role: str | None, name: str) -> sql.Composed:
    """The statement that takes the value from where it stands, in the database with that oid."""
    whose = sql.SQL("0") if role is None else sql.SQL("{}::regrole").format(sql.Identifier(role).as_string())
    body = sql.SQL(
        "BEGIN EXECUTE (SELECT format({}, substr(entry, {})) FROM pg_db_role_setting, unnest(setconfig) entry"
        " WHERE setdatabase = {} AND setrole = {} AND starts_with(entry, {})); END"
    ).format(begun.as_string().replace("%", "%%") + " TO %L", len(name) + 2, oid, whose, f"{name}=")
    text = body.as_string()
    return sql.SQL("DO {}").format(sql.Literal(text) if "$$" in text else sql.SQL(f"$${text}$$"))


def _values(name: str, value: str) -> sql.Composable:
    if name not in LISTS:
        return sql.Literal(value)
    names = [quoted.replace('""', '"') if quoted or not plain else plain for quoted, plain in LIST_ITEM.findall(value)]
    return sql.SQL(", ").join(map(sql.Literal, names or [""]))


async def set_read_only(conn: Connection, database: str) -> None:
    await conn.execute(sql.SQL("ALTER DATABASE {} SET {} TO on").format(sql.Identifier(database), sql.Identifier(READ_ONLY)))


async def reset_read_only(conn: Connection, database: str, was: DatabaseRow) -> None:
    """As it was: set in place to its former value, or not set at all, so that the others keep their order."""
    own = next((settings.config for settings in was.settings if settings.role is None), ())
    value = next((entry.split("=", 1)[1] for entry in own if entry.startswith(f"{READ_ONLY}=")), None)
    change = sql.SQL("RESET {}") if value is None else sql.SQL("SET {} TO {}")
    whose, name = sql.Identifier(database), sql.Identifier(READ_ONLY)
    await conn.execute(sql.SQL("ALTER DATABASE {} ").format(whose) + change.format(name, sql.Literal(value)))
