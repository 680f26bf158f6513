"""Monitor: production is watched for as long as the plan says."""

from collections.abc import Mapping
from typing import Any

from cutoverd.states.check_rules import (
    CheckStanding,
    Watched,
    all_ok,
    bad_seconds,
    breached,
    changes,
    due_in,
    ends_after,
    fold_round,
    resume_watch,
)
from cutoverd.states.errors import CheckFailed
from cutoverd.states.ports import Evidence, Version
from cutoverd.states.step import Context, Effect, ProgressSource, State, step

RESUME = "`resume` goes on watching, and what is bad counts anew; `rollback` with accept_loss takes production back"


async def watch_on(at: Context) -> None:
    """Nothing ends a watch while the run is held; what changes is on record all the same."""
    so_far, on_record = await _begun(at), set(at.breached)
    while True:
        so_far = await _round(at, so_far, on_record)
        await at.ports.clock.sleep(at.ports.monitor_checks.rules.every_seconds)


async def _begun(at: Context) -> Watched:
    kept, rules, clock = await at.ports.monitor_checks.recall(), at.ports.monitor_checks.rules, at.ports.clock
    if due := due_in(kept, clock.reading(), at.answered_seq, rules):
        await clock.sleep(due)
    return resume_watch(kept, clock.reading(), at.entered_at, at.answered_seq, rules)


async def _round(at: Context, so_far: Watched, on_record: set[str]) -> Watched:
    """One round: every check is asked once, and what has changed is recorded before anything follows from it."""
    monitor_checks = at.ports.monitor_checks
    so_far = fold_round(so_far, await monitor_checks.sample(at.attempt_id), at.ports.clock.reading(), monitor_checks.rules)
    await monitor_checks.keep(so_far)
    for change in changes(so_far, monitor_checks.rules, on_record):
        await at.record(change)
        on_record ^= {change.check}
    return so_far


def _as_evidence(so_far: Watched) -> dict[str, Any]:
    return {
        "elapsed_seconds": round(so_far.elapsed_seconds, 3),
        "unwatched_seconds": round(so_far.unwatched_seconds, 3),
        "clock_set_seconds": round(so_far.clock_set_seconds, 3),
        "rounds": so_far.rounds,
        "checks": {name: {"ok": each.ok, "value": each.value, "saw": each.saw} for name, each in so_far.standings.items()},
    }


def _format_breaches(breaches: Mapping[str, CheckStanding], so_far: Watched) -> str:
    return "; ".join(f"{name}: {each.saw}, for {bad_seconds(each, so_far):g} s" for name, each in breaches.items())


class Monitor(State):
    """Watch the new version at work."""

    uses_database = False

    @step(Effect.NONE, while_held=watch_on, untimed=True, progress=ProgressSource.WATCH)
    async def watch(at: Context) -> Evidence:
        """the time to watch is over, every check is good, and none was bad for longer than it may be"""
        rules = at.ports.monitor_checks.rules
        so_far, on_record = await _begun(at), set(at.breached)
        end = ends_after(so_far, at.watch_seconds, rules)
        while True:
            so_far = await _round(at, so_far, on_record)
            if breaches := breached(so_far, rules):
                raise CheckFailed(_format_breaches(breaches, so_far), hint=RESUME, evidence=_as_evidence(so_far))
            left = end - so_far.elapsed_seconds
            if left <= 0 and all_ok(so_far):  # else until what is bad is good again, or breached
                return _as_evidence(so_far)
            await at.ports.clock.sleep(min(rules.every_seconds, left) if left > 0 else rules.every_seconds)

    @step(Effect.NONE, per_item="new_services", untimed=True, progress=ProgressSource.WATCH)
    async def check_service(at: Context) -> Evidence:
        """the new version of a service has lived through it, and answers as its version should"""
        return await at.ports.services.check(at.attempt_id, at.item, Version.NEW)
