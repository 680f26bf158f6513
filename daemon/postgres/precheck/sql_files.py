"""What only the server can say of SQL files: whether its encoding has what stands in them, what production's procedures do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import psycopg

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection, primary_message
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.daemon.sqltext.encoding import UTF8, Texts
from cutoverd.daemon.sqltext.lint import ScriptLint
from cutoverd.daemon.sqltext.rules import LintFinding
from cutoverd.daemon.sqltext.transaction_control import Procedure, read_body

ENCODING = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s"
# bytea to bytea: it is asked of any database, and nothing of it is shown in another encoding
CONVERT = "SELECT octet_length(convert(%s::bytea, %s, %s))"
WRONG = {"22021", "22P05", "22023"}  # not valid, no such character there, no such encoding
PROCEDURES = """
SELECT n.nspname::text, p.proname::text, coalesce(cardinality(p.proallargtypes), p.pronargs), l.lanname::text, p.prosrc
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE p.prokind = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


async def judge(server: Server, reading: ScriptLint) -> None:
    """Adds to its findings and warnings; asks nothing where the files leave nothing open. Raises `StepError`."""
    if reading.texts.places:
        async with session(server) as conn:
            reading.findings += [finding async for finding in _not_convertible(conn, server.names.production, reading.texts)]
    if reading.calls:
        reading.judge_rest(await _procedures(server))


async def _procedures(server: Server) -> list[Procedure]:
    async with session(server, server.names.production) as conn:
        return [read_body(*row) for row in await fetch_all(conn, PROCEDURES)]


async def _not_convertible(conn: Connection, database: str, texts: Texts) -> AsyncIterator[LintFinding]:
    row = await fetch_one(conn, ENCODING, (database,))
    if row is None:
        return  # check_server says that it is not there
    for encoding in sorted({encoding for encoding, _ in texts.places}):
        if (encoding, row[0]) == (UTF8, UTF8):
            continue
        raws = [raw for name, raw in texts.places if name == encoding]
        async for raw, says in _wrong(conn, raws, encoding, row[0]):
            file, line = texts.places[encoding, raw]
            advice = f"the text is {encoding} there and the database {row[0]}; write it otherwise, or say which encoding it is in"
            yield LintFinding(file, line, says, advice)


async def _wrong(conn: Connection, raws: Sequence[bytes], encoding: str, wanted: str) -> AsyncIterator[tuple[bytes, str]]:
    """Those that the server would refuse, and its words: all at once, and halved where it refuses."""
    try:
        await conn.execute(CONVERT, (b"\n".join(raws), encoding, wanted))
    except psycopg.Error as error:
        if error.sqlstate not in WRONG:
            raise
        if len(raws) == 1:
            yield raws[0], primary_message(error)
            return
        for half in _halves(raws):
            async for found in _wrong(conn, half, encoding, wanted):
                yield found


def _halves(raws: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    middle = len(raws) // 2
    yield from (raws[:middle], raws[middle:])
