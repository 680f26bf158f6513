"""The proof that nobody wrote to old between the fence and the exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cutoverd.daemon.postgres import counters
from cutoverd.daemon.postgres.counters import Seen
from cutoverd.daemon.postgres.opening import fenced
from cutoverd.daemon.postgres.server import Server
from cutoverd.daemon.postgres.sessions import session
from cutoverd.states.errors import CheckFailed, OutcomeUnknown
from cutoverd.states.ports import Evidence, Mark


async def check_unchanged(server: Server, mark: Mark, position: Evidence) -> Evidence:
    """{"counters", "autovacuum": whether it moved them}; raises `CheckFailed`, or `OutcomeUnknown` if they were reset."""
    async with session(server) as conn:
        old = await fenced(conn, server, mark)
        kept = await counters.kept(conn, mark.run)
        now = await counters.of_database(conn, old.oid)
        if old.accepts_connections:
            async with session(server, server.names.previous, settings=counters.CATALOG_ONLY) as inside:
                now["tables"] = await counters.tables(inside)
    for seen in (now, *(kept[moment] for moment in ("opened", "closed") if moment in kept)):
        _refuse_reset(position, seen)
    _refuse_gap(kept.get("opened", {}))
    if moved := list(_moved(position, kept, now)):
        raise CheckFailed(
            f"{server.names.previous} was written to {' and '.join(moved)}",
            hint="look who can write there: a superuser, a background worker",
            evidence={"position": dict(position), "now": {key: now[key] for key in ("counters", "sessions")}},
        )
    return {"counters": now["counters"], "autovacuum": now["counters"] != position["counters"]}


def _refuse_reset(position: Seen, now: Seen) -> None:
    """A crash resets all counters, and they may have grown past where they were."""
    before, after = ({key: seen[key] for key in ("stats_reset", "server_stats_reset")} for seen in (position, now))
    if before != after:
        raise OutcomeUnknown(
            "the server's counters were reset since the fence, so they prove nothing",
            hint="the content of old and new has to be compared again",
            evidence={"before": before, "after": after},
        )


def _refuse_gap(opened: Seen) -> None:
    """From the opening to our first look only the whole database is counted; one session is our own."""
    looked = opened.get("looked")
    if looked and looked["counters"] != opened["counters"] and looked["sessions"] > opened["sessions"] + 1:
        raise OutcomeUnknown(
            "old was written to while it was being opened, perhaps by autovacuum alone",
            hint="the content of old and new has to be compared again",
            evidence={"opened": opened["sessions"], "looked": looked["sessions"]},
        )


def _moved(position: Seen, kept: Mapping[str, Seen], now: Seen) -> Iterator[str]:
    """In which part of the time counters moved by more than autovacuum, which analyzes a fenced database too."""
    opened, closed = kept.get("opened"), kept.get("closed")
    if opened is None or "tables" not in opened:
        if not _quiet(position, now):
            yield "since the fence"
        return
    if not _quiet(position, opened):
        yield "between the fence and its opening to us"
    last = closed["closing"] if closed else now
    touched = _touched(opened["tables"], last["tables"])
    if last["counters"] != opened["counters"] and touched:
        yield f"while it was open to us ({', '.join(touched)})"
    if closed and not _was_closed_quietly(closed["closing"], closed):
        yield "while it was being closed"
    if closed and not _quiet(closed, now):
        yield "after it was closed"


def _was_closed_quietly(closing: Seen, closed: Seen) -> bool:
    """With somebody in who could not be ended any movement may be his."""
    return bool(closing["counters"] == closed["counters"] or (closing["alone"] and _quiet(closing, closed)))


def _touched(before: Seen, after: Seen) -> list[str]:
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def _quiet(before: Seen, after: Seen) -> bool:
    """Nothing was written, or no client was there to write it."""
    return bool(before["counters"] == after["counters"] or before["sessions"] == after["sessions"])
