"""Which tables of new were written since clients could write to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cutoverd.daemon.postgres.databases import counters
from cutoverd.daemon.postgres.databases.counters import Tables
from cutoverd.daemon.postgres.ledger.counters import kept_counters
from cutoverd.daemon.postgres.ledger.databases import tracked_databases
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.ports import AttemptId, Evidence

COUNTED = ("inserted", "updated", "deleted")
SYSTEM = ("pg_catalog.", "pg_toast.", "information_schema.")
LARGE_OBJECTS = ("pg_catalog.pg_largeobject", "pg_catalog.pg_largeobject_metadata")
NOTHING: Mapping[str, Any] = {"inserted": 0, "updated": 0, "deleted": 0, "file": None}


async def written(server: Server, attempt_id: AttemptId) -> Evidence:
    """{"tables": {name: {"inserted", "updated", "deleted", "replaced"}}, "complete"}, written tables only.

    `replaced`: TRUNCATE or a rewrite gave the table a new file. `complete` is false when a crash of the server reset the
    counters: then they count from the crash on. Nothing exchanged: no tables.
    """
    async with session(server) as conn:
        before = (await kept_counters(conn, attempt_id.run)).get("exchanged")
        new = (await tracked_databases(conn, attempt_id.run)).get("new")
        if before is None or new is None:
            return {"tables": {}, "complete": True}
        async with counters.session_inside(conn, server, attempt_id, new) as inside:
            now = await counters.tables(inside)
        complete = (await counters.of_database(conn, new.oid))["server_stats_reset"] == before["server_stats_reset"]
        return {"tables": changed(before["tables"] if complete else _uncounted(before["tables"]), now), "complete": complete}


def changed_since(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """{"written", "complete"}: as `written`, with tables that were made or dropped, and large objects; nobody is in any more.

    `complete` is false where somebody, or a crash, has reset the counters.
    """
    resets = ("stats_reset", "server_stats_reset")
    complete = [before.get(key) for key in resets] == [now.get(key) for key in resets]
    then = before["tables"] if complete else _uncounted(before["tables"])
    large = {name: _difference(then.get(name, NOTHING), now["tables"][name]) for name in LARGE_OBJECTS if name in now["tables"]}
    written = {**changed(then, now["tables"]), **{name: counts for name, counts in large.items() if any(counts.values())}}
    for what, names in (("made", now["tables"].keys() - then.keys()), ("dropped", then.keys() - now["tables"].keys())):
        written.update({name: {**written.get(name, {}), what: True} for name in _of_users(names)})
    return {"written": written, "complete": complete}


def _of_users(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith(SYSTEM))


def changed(before: Tables, now: Tables) -> dict[str, dict[str, Any]]:
    """User tables whose counters or file differ."""
    differences = {name: _difference(before.get(name, NOTHING), now[name]) for name in _of_users(now)}
    return {name: difference for name, difference in differences.items() if any(difference.values())}


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    counted = {kind: now[kind] - before[kind] for kind in COUNTED}
    return {**counted, "replaced": before["file"] is not None and now["file"] != before["file"]}


def _uncounted(before: Tables) -> Tables:
    return {name: {**NOTHING, "file": counts["file"]} for name, counts in before.items()}
