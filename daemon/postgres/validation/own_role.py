"""What the files made as the daemon's own role: they run as the owner, and `SET ROLE NONE` ends that without a word.

The catalog says whose a thing is, however it came about; the owner, and so the application, may have no right on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cutoverd.daemon.postgres.catalog.owned import OwnedObject, database_owner, read_owned
from cutoverd.daemon.postgres.session.fetch import fetch_one
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.reading import explained
from cutoverd.daemon.postgres.validation.rights import RightsFinding

OURS = "an object belongs to the daemon's own role, and not to the database's owner"


class OwnRole(NamedTuple):
    """What belongs to our role in a database that is another's."""

    owner: str  # the database's
    objects: Sequence[OwnedObject]


async def read_own(connection: Connection) -> OwnRole:
    """Of the database that `connection` is in; nothing where it is our own."""
    with explained("whose the objects are"):
        me = await fetch_one(connection, "SELECT current_user::text")
        owned = await read_owned(connection)
        return OwnRole(await database_owner(connection), [each for each in owned if me and each.owner == me[0]])


def find_ours(before: Iterable[OwnedObject], now: OwnRole) -> Iterator[RightsFinding]:
    """Objects of new; a clone keeps the oid of what old had, and what was made again has its name."""
    had = {key for each in before for key in _keys(each)}
    for each in now.objects:
        if not had.intersection(_keys(each)):
            yield RightsFinding(OURS, each.owner, each.identity, f"{each.identity} ({each.remedy(now.owner)})")


def _keys(each: OwnedObject) -> tuple[tuple[object, ...], ...]:
    return (each.class_oid, each.oid), (each.type, each.identity)
