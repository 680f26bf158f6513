"""Row level security that does not follow the rows: asked of the comparisons, which say where the rows of a table went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from cutoverd.daemon.postgres.compare.compare import Comparison
from cutoverd.daemon.postgres.session.own_path import own_path
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.validation.coverage import tables_read
from cutoverd.daemon.postgres.validation.rights import SECURED, Rights, RightsFinding, rows
from cutoverd.states.errors import CheckFailed

Secured = Mapping[str, tuple[bool, bool]]  # by table: on, for the owner too


async def read_secured(connection: Connection, comparisons: Iterable[Comparison], *, of_new: bool) -> dict[str, Secured]:
    """By comparison, the tables that its query reads here; without those whose query cannot be asked.

    Found: such a query, which its own comparison names, was named here as well, and hid what is wrong with the rights.
    """
    found: dict[str, Secured] = {}
    for each in comparisons:
        with suppress(CheckFailed):
            async with connection.transaction():
                read = await tables_read(connection, each.name, each.new if of_new else each.old, side="new" if of_new else "old")
            async with own_path(connection):
                found[each.name] = {name: (on, forced) for name, on, forced in await rows(connection, SECURED, [sorted(read)])}
    return found


def find_unsecured(old: Mapping[str, Secured], new: Mapping[str, Secured], before: Rights) -> Iterator[RightsFinding]:
    """Comparisons whose rows were secured in old and lie in no secured table of new.

    Tables that both have by one name are judged by it; a table that is joined need not be secured.
    """
    for comparison, tables in old.items():
        secured = {name: forced for name, (on, forced) in tables.items() if on}
        taken = {name: each for name, each in new.get(comparison, {}).items() if name not in before.policies}
        if not secured or not taken:
            continue
        text = f"{', '.join(sorted(secured))} → {', '.join(sorted(taken))} (comparison {comparison})"
        if not any(on for on, _ in taken.values()):
            yield RightsFinding("row level security does not follow the rows", "", min(taken), text)
        elif any(secured.values()) and not any(forced for _, forced in taken.values()):
            yield RightsFinding("row level security is not forced on the owner where the rows went", "", min(taken), text)
