"""What of a database decides what a rehearsal finds: one hash of it, or by what two databases differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cutoverd.daemon.postgres.session.fetch import fetch_all, fetch_one
from cutoverd.daemon.postgres.session.reach import Connection

PARTS = Path(__file__).with_suffix(".sql").read_text("utf-8")
HASH = """
SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT format('%s %s', what, state) FROM (PARTS) AS part) AS lines (line)
""".replace("PARTS", PARTS)
EACH = """
SELECT what, md5(string_agg(coalesce(state, ''), E'\\n' ORDER BY state COLLATE "C")) FROM (PARTS) AS part GROUP BY what
""".replace("PARTS", PARTS)
SURROUNDINGS = Path(__file__).with_name("surroundings.sql").read_bytes()
NOT_COMPARED = ("invalid ", "options of server ", "user mapping ")  # what no dump has, and where a copy may well lead elsewhere
VERSIONS = "SELECT format('extension %I', extname), extversion FROM pg_extension"


async def read_identity(conn: Connection) -> str:
    """Of the database that the session is in."""
    row = await fetch_one(conn, HASH.encode())
    return str(row[0]) if row else ""


async def read_parts(conn: Connection, roles: Sequence[str] = ()) -> dict[str, str]:
    """A hash of each object of that database, by what it is; and of what decides as well and is not in it: our role, memberships,
    settings over all databases, the server.

    `roles`: those that the plan names.
    """
    return dict([*await fetch_all(conn, EACH.encode()), *await fetch_all(conn, SURROUNDINGS, {"roles": [*roles]})])


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """By what they differ, in words; each as `read_parts` gave it."""
    words = {(True, False): "{} is gone", (False, True): "{} is new", (True, True): "{} is another"}
    differing = sorted(what for what in then.keys() | now.keys() if then.get(what) != now.get(what))
    return [words[what in then, what in now].format(what) for what in differing]


async def differences(production: Connection, copy: Connection) -> list[str]:
    """What is another in the copy, or only in one of the two, extensions first: what is in them follows; hashes are compared."""
    there, here = [dict(await fetch_all(conn, EACH.encode())) for conn in (production, copy)]
    versions = [dict(await fetch_all(conn, VERSIONS.encode())) for conn in (production, copy)]
    differing = {what for what in there.keys() | here.keys() if there.get(what) != here.get(what)}
    compared = [what for what in differing if not what.startswith(NOT_COMPARED)]
    ordered = sorted(compared, key=lambda what: (not what.startswith("extension "), what))
    return [_difference(what, there, here, *versions) for what in ordered]


def _difference(
    what: str, there: Mapping[str, str], here: Mapping[str, str], versions: Mapping[str, str], in_copy: Mapping[str, str]
) -> str:
    if what in versions and what in in_copy:
        return f"{what} is {in_copy[what]} there and {versions[what]} in production"
    if what not in here:
        return f"{what} is not there" + (f" (production has {versions[what]})" if what in versions else "")
    return f"{what} is there alone" if what not in there else f"{what} is another there"
