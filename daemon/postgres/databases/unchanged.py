"""The proof that nobody wrote to old between the fence and the exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cutoverd.daemon.postgres.databases import counters
from cutoverd.daemon.postgres.databases.counters import CounterSnapshot
from cutoverd.daemon.postgres.databases.old_access import fenced
from cutoverd.daemon.postgres.ledger.counters import kept_counters
from cutoverd.daemon.postgres.ledger.databases import TrackedDatabase
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.postgres.session.reach import Connection
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.postgres.session.session import session
from cutoverd.states.errors import CheckFailed, StepError, Unproven
from cutoverd.states.ports import AttemptId, Evidence


async def check_unchanged(server: Server, attempt_id: AttemptId, position: Evidence) -> Evidence:
    """{"counters", "autovacuum": whether it moved them}; raises `CheckFailed`, or `Unproven` if they cannot tell.

    Whoever is in old at this moment may write yet, or has not told what he wrote: `refuse_written` has the last word.
    """
    async with session(server) as conn:
        old = await fenced(conn, server, attempt_id)
        kept = await kept_counters(conn, attempt_id.run)
        now = await counters.of_database(conn, old.oid)
        if old.accepts_connections:
            async with session(server, server.names.previous) as inside:
                now["tables"] = await counters.tables(inside)
    for counted in (now, *(kept[moment] for moment in ("opened", "closed") if moment in kept)):
        _refuse_reset(position, counted)
    opened = kept.get("opened")
    if opened and opened.get("again"):
        raise Unproven("old was opened once more to be compared by content, and that was not finished")
    if not _quiet(position, opened or now):
        raise _written(server.names.previous, ["between the fence and its opening to us" if opened else "since the fence"], now)
    _refuse_written_since(kept, now, server.names.previous)
    return {"counters": now["counters"], "autovacuum": now["counters"] != position["counters"]}


async def refuse_written(conn: Connection, names: Names, run: str, old: TrackedDatabase) -> None:
    """Nothing was written to old since it was opened to us; in a transaction in which old is empty that is final.

    Raises `CheckFailed`, `Unproven` if a crash of the server took the counters, `StepError` while old is open to us. Old that was
    never closed by us, in a trial say, was never open.
    """
    kept = await kept_counters(conn, run)
    if "opened" in kept and "closed" not in kept:
        raise StepError(f"{names.previous} is open to us still, so nobody can say what is written there", hint="close it first")
    if "closed" in kept:
        now = await counters.of_database(conn, old.oid)
        for counted in (kept["closed"], now):
            _refuse_reset(kept["opened"], counted)
        _refuse_written_since(kept, now, names.previous)


def _refuse_reset(before: CounterSnapshot, now: CounterSnapshot) -> None:
    """A crash resets all counters, and they may have grown past where they were."""
    then, later = ({key: counted[key] for key in ("stats_reset", "server_stats_reset")} for counted in (before, now))
    if then != later:
        raise Unproven(
            "the server's counters were reset since the fence, so they prove nothing",
            hint="the content of old and new has to be compared again",
            evidence={"before": then, "after": later},
        )


def _refuse_written_since(kept: Mapping[str, CounterSnapshot], now: CounterSnapshot, name: str) -> None:
    """From the opening to our first look only the whole database is counted: whatever moved then, nobody can say what it was."""
    opened = kept.get("opened", {})
    first_counted = opened.get("looked", opened)
    if first_counted and first_counted["counters"] != opened["counters"] and not opened.get("again"):
        raise Unproven(
            "something was counted while old was being opened, perhaps by autovacuum alone",
            hint="the content of old and new has to be compared again",
            evidence={"opened": opened["counters"], "looked": first_counted["counters"]},
        )
    if moved := list(_moved(kept, now)):
        raise _written(name, moved, now)


def _written(name: str, moments: list[str], now: CounterSnapshot) -> CheckFailed:
    return CheckFailed(
        f"{name} was written to {' and '.join(moments)}",
        hint="look who can write there: a superuser, a background worker",
        evidence={"now": {key: now[key] for key in ("counters", "sessions")}},
    )


def _moved(kept: Mapping[str, CounterSnapshot], now: CounterSnapshot) -> Iterator[str]:
    """In which part of the time counters moved by more than autovacuum, which analyzes a fenced database too."""
    opened, closed = kept.get("opened", {}), kept.get("closed")
    if "tables" not in opened:
        return
    last = closed["closing"] if closed else now
    touched = _touched(opened["tables"], last["tables"])
    if last["counters"] != opened["counters"] and touched:
        yield f"while it was open to us ({', '.join(touched)})"
    if closed and not _was_closed_quietly(closed["closing"], closed):
        yield "while it was being closed"
    if closed and not _quiet(closed, now):
        yield "after it was closed"


def _was_closed_quietly(closing: CounterSnapshot, closed: CounterSnapshot) -> bool:
    """With somebody in who could not be ended any movement may be his."""
    return bool(closing["counters"] == closed["counters"] or (closing["alone"] and _quiet(closing, closed)))


def _touched(before: CounterSnapshot, after: CounterSnapshot) -> list[str]:
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def _quiet(before: CounterSnapshot, after: CounterSnapshot) -> bool:
    """Nothing was written, or no client was there to write it."""
    return bool(before["counters"] == after["counters"] or before["sessions"] == after["sessions"])
