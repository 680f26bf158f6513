"""What a session pins, whatever role, database, server or a login trigger has set (docs/decisions/0012-sessions.md).

Two kinds. A session of our own reads and writes the same everywhere. One that runs the plan's SQL keeps what owner and database
have set, for that says what the SQL means: a date order of one's own turns 01/02/2026 into another day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

READ_ONLY = "default_transaction_read_only"
DURABILITY = "synchronous_commit"
# client_connection_check_interval: the server ends what a killed client had begun; row_security=off: a hidden row is an
# error, not a smaller count; read-only off from the start: a libpq that looks for `target_session_attrs=read-write` asks first.
# docs/measured.md, "A client that was killed"; docs/measured.md, "Row security"; docs/measured.md, "Settings of a session"
OF_PLAN: Mapping[str, str] = {
    READ_ONLY: "off",
    "role": "none",
    "row_security": "off",
    "client_encoding": "UTF8",
    "client_connection_check_interval": "500",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
OURS: Mapping[str, str] = {
    **OF_PLAN,
    "search_path": "pg_catalog, pg_temp",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "xmloption": "content",
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "quote_all_identifiers": "off",
    "default_tablespace": "",
    "temp_tablespaces": "",
    "default_table_access_method": "heap",
    "client_min_messages": "notice",
}
# What an older server does not know it refuses at the start of a session: these wait for its version.
SINCE: Mapping[int, Mapping[str, str]] = {
    150000: {"stats_fetch_consistency": "cache"},
    170000: {"transaction_timeout": "0"},
}
# An acknowledged row of the ledger, and a name that changed hands, survive a crash; `remote_apply` promises more, and stays.
# docs/measured.md, "Acknowledged by the ledger"
LESS_DURABLE = ("off", "local", "remote_write")

AFTERWARDS = b"""
SELECT pg_catalog.set_config(name, value, false)
  FROM ROWS FROM (pg_catalog.unnest(%s::pg_catalog.text[]), pg_catalog.unnest(%s::pg_catalog.text[])) AS pins(name, value)
 UNION ALL
SELECT pg_catalog.set_config(%s, 'on', false)
 WHERE pg_catalog.current_setting(%s) OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])
"""

Statement = tuple[bytes, list[str | list[str]]]


def since(version: int) -> dict[str, str]:
    """What a server of that version (180006) knows, and an older one does not."""
    return {name: value for first, pins in SINCE.items() if version >= first for name, value in pins.items()}


def may_hold_secrets(names: Iterable[str]) -> bool:
    """Whether one of these settings is the application's own: those have a dot, and PostgREST has its key in one."""
    return any("." in name for name in names)


def at_start(settings: Mapping[str, str]) -> str:
    """`-c name=value …` as libpq's options want it. Never read-only: that comes once libpq has found its host."""
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in {**settings, READ_ONLY: "off"}.items())


def _escaped(value: str) -> str:
    return "".join(f"\\{each}" if each == "\\" or each.isspace() else each for each in value)


def afterwards(settings: Mapping[str, str]) -> Statement:
    """The same once more, for a login trigger runs after the start; and durability, which is only ever raised."""
    return AFTERWARDS, [[*settings], [*settings.values()], DURABILITY, DURABILITY, [*LESS_DURABLE]]
