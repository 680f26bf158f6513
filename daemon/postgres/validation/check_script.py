"""Validation scripts: every result set is a list of checks, and every check must hold.

Statements are run one by one, read-only, in one snapshot of new. A result set has a boolean column `ok` (or `passed`) and a
text column `check` (or `name`), and may have a text column `detail`; a row that is false or null fails, and so do an empty
result set and a script without any. What a statement's error hides is nothing that comes after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Column

from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.postgres.session.sqlstates import is_of_the_server
from cutoverd.daemon.progress import report_progress
from cutoverd.daemon.sqltext.regular_file import read_text
from cutoverd.daemon.sqltext.rules import QUOTES_ADVICE, is_transaction_command, switches_quotes
from cutoverd.daemon.sqltext.splitter import MetaCommand, Statement, Unclosed, split
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, ServerFailed
from cutoverd.states.ports import AttemptId, Evidence

ROWS_MAX = 10_000  # of one result set
NAMED_MAX = 20  # failed checks that are told by name, and statements that fail
DETAIL_CHARS_MAX = 300
_FETCHED = 500
_BOOLEAN = 16
_TEXTS = {18, 19, 25, 1042, 1043}  # "char", name, text, character, varchar
_QUERIES = {("select",), ("with",), ("values",), ("table",)}
_CURSOR = "DECLARE cutoverd_check NO SCROLL CURSOR FOR "
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@dataclass(frozen=True)
class Failed:
    """A check that is not true."""

    name: str  # as the script has it
    is_null: bool
    detail: str

    def __str__(self) -> str:
        added = ", ".join([*(["null"] if self.is_null else []), *([self.detail] if self.detail else [])])
        return f"{self.name} ({added})" if added else self.name


@dataclass
class Tally:
    """What a script's result sets said so far."""

    checks: int = 0
    failed: list[Failed] = field(default_factory=list)
    errors: list[CheckFailed] = field(default_factory=list)  # of statements

    def count(self, name: object, ok: object, detail: object = None) -> None:
        self.checks += 1
        if ok is not True:
            text = "" if detail is None else str(detail)[:DETAIL_CHARS_MAX]
            self.failed.append(Failed("(no name)" if name is None else str(name), ok is None, text))


async def check_script(server: Server, attempt_id: AttemptId, file: Path) -> Evidence:
    """{"checks": n, "failed": []}; raises `CheckFailed` with evidence {"checks", "failed": [first 20], "null", "failed_count"}.

    `null`: those of them that were neither true nor false; `details`: by name, what the script says of them.
    Of a statement that fails, or whose result is no list of checks: {"file", "line", "sqlstate"} tell where; of more than one,
    and beside failed checks, `errors` has each.
    """
    try:
        return await _checked(server, file)
    except CheckFailed as error:
        error.hint = error.hint or (_ON_COPY if server.on_trial else _BY_HAND)
        raise


async def _checked(server: Server, file: Path) -> Evidence:
    statements = await asyncio.to_thread(_statements, file)
    tally = Tally()
    async with session(server, server.names.next, of_plan=True) as conn, conn.transaction(force_rollback=True):
        await conn.execute(_SNAPSHOT)
        await conn.execute("SELECT 1")  # from here on the transaction cannot be made writable
        for done, statement in enumerate(statements):
            report_progress(f"{file.name}:{statement.line}", done, len(statements), "statements")
            try:
                async with conn.transaction():
                    await _run(conn, file, statement, tally)
            except CheckFailed as error:
                tally.errors.append(error)
    return _judged(file, tally)


def _judged(file: Path, tally: Tally) -> Evidence:
    if not tally.failed and len(tally.errors) == 1:
        raise tally.errors[0]
    if not tally.checks and not tally.errors:
        raise CheckFailed(f"{file.name} checks nothing: none of its statements has a result", hint=_SHAPE)
    if tally.failed or tally.errors:
        raise CheckFailed("; ".join(_reasons(file, tally)), evidence=_evidence(tally))
    return {"checks": tally.checks, "failed": []}


def _reasons(file: Path, tally: Tally) -> list[str]:
    shown = ", ".join(str(each) for each in tally.failed[:NAMED_MAX])
    failed = [f"{file.name}: {len(tally.failed)} of {tally.checks} checks failed: {shown}"] if tally.failed else []
    return [*failed, *(str(error) for error in tally.errors[:NAMED_MAX])]


def _evidence(tally: Tally) -> dict[str, Any]:
    named = tally.failed[:NAMED_MAX]
    more = {
        "null": [each.name for each in named if each.is_null],
        "details": {each.name: each.detail for each in named if each.detail},
        "errors": [error.evidence for error in tally.errors[:NAMED_MAX]],
    }
    return {
        "checks": tally.checks,
        "failed": [each.name for each in named],
        **{key: value for key, value in more.items() if value},
        "failed_count": len(tally.failed),
    }


_SHAPE = "a result set needs a boolean column `ok` (or `passed`) and a text column `check` (or `name`)"


_BY_HAND = "run it by hand on the new database, which the rollback keeps, closed: is the data wrong, or the check?"
_ON_COPY = "run it by hand on the copy, which `cutoverd rehearse --keep` leaves: is the data wrong, or the check?"


def _statements(file: Path) -> list[Statement]:
    try:
        return list(_allowed(file, read_text(file)))
    except Unclosed as unclosed:
        raise _at(file, unclosed.line, str(unclosed)) from unclosed
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _at(
            file, line, f"byte 0x{error.object[error.start]:02x} is not valid UTF8", hint="save the file as UTF-8"
        ) from error
    except OSError as error:
        raise CheckFailed(f"{file} cannot be read: {error}", evidence={"file": str(file)}) from error


def _allowed(file: Path, text: str) -> Iterator[Statement]:
    for piece in split(text):
        if isinstance(piece, MetaCommand):
            raise _at(file, piece.line, f"\\{piece.name}: psql's commands do not work in a validation script")
        if is_transaction_command(piece):
            raise _at(file, piece.line, f"{piece.words[0].upper()}: the script is run in one read-only transaction")
        if switches_quotes(piece):
            raise _at(file, piece.line, f"{' '.join(piece.text.split())[:60]}: {QUOTES_ADVICE}")
        yield piece


async def _run(conn: Connection, file: Path, statement: Statement, tally: Tally) -> None:
    try:
        await _count(conn, file, statement, tally)
    except psycopg.Error as error:
        if conn.closed:
            raise OutcomeUnknown(f"the connection was lost in {file.name}:{statement.line}: {error}") from error
        line = _line(statement, error)
        failure = _at(file, line, error.diag.message_primary or str(error), sqlstate=error.sqlstate)
        raise (ServerFailed(str(failure), evidence=failure.evidence) if is_of_the_server(error.sqlstate) else failure) from error


async def _count(conn: Connection, file: Path, statement: Statement, tally: Tally) -> None:
    columns: tuple[int, int, int | None] | None = None
    rows = 0
    async for description, fetched in _results(conn, statement):
        columns = columns or _columns(file, statement, description)
        rows += len(fetched)
        if rows > ROWS_MAX:
            raise _at(file, statement.line, f"more than {ROWS_MAX} rows: a check is one row, count what you compare")
        for row in fetched:
            ok, check, detail = columns
            tally.count(row[check], row[ok], None if detail is None else row[detail])
    if columns and not rows:
        raise _at(file, statement.line, "no rows: a result set that checks nothing fails")


async def _results(conn: Connection, statement: Statement) -> AsyncIterator[tuple[Sequence[Column], list[tuple[Any, ...]]]]:
    """Batches of rows, the first even if it is empty; nothing for a statement that has no result."""
    if not _is_query(statement):
        cursor = await conn.execute(statement.text.encode())
        if cursor.description is not None:
            yield cursor.description, await cursor.fetchall()
        return
    await conn.execute((_CURSOR + statement.text).encode())
    while True:
        cursor = await conn.execute(f"FETCH {_FETCHED} FROM cutoverd_check")
        rows = await cursor.fetchall()
        yield cursor.description or [], rows
        if len(rows) < _FETCHED:
            break
    await conn.execute("CLOSE cutoverd_check")


def _is_query(statement: Statement) -> bool:
    return statement.text.startswith("(") or statement.words[:1] in _QUERIES


def _columns(file: Path, statement: Statement, description: Sequence[Column]) -> tuple[int, int, int | None]:
    """The positions of `ok`, of `check`, and of `detail` if there is one."""
    found = {column.name: (position, column.type_code) for position, column in enumerate(description)}
    ok = next((found[name] for name in ("ok", "passed") if name in found), None)
    check = next((found[name] for name in ("check", "name") if name in found), None)
    if ok is None or check is None:
        raise _at(file, statement.line, f"columns seen: {', '.join(found) or 'none'}", hint=_SHAPE)
    if ok[1] != _BOOLEAN or check[1] not in _TEXTS:
        raise _at(file, statement.line, "`ok` is not boolean or `check` is not text", hint=_SHAPE)
    return ok[0], check[0], found["detail"][0] if "detail" in found else None


def _line(statement: Statement, error: psycopg.Error) -> int:
    """The line that the server points at, else the statement's first."""
    position = int(error.diag.statement_position or 0) - (len(_CURSOR) if _is_query(statement) else 0)
    return statement.line + (statement.text.count("\n", 0, position - 1) if position > 0 else 0)


def _at(file: Path, line: int, message: str, *, sqlstate: str | None = None, hint: str = "") -> CheckFailed:
    state = f" (SQLSTATE {sqlstate})" if sqlstate else ""
    evidence = {"file": str(file), "line": line, "message": message, "sqlstate": sqlstate}
    return CheckFailed(f"{file.name}:{line}: {message}{state}", hint=hint, evidence=evidence)
