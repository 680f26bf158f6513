"""Downtime: the old database can no longer be written, and that is proven."""

from cutoverd.states.ports import Evidence, Found, Probed, Version
from cutoverd.states.step import Context, Effect, State, step


async def keep_found(at: Context, found: Evidence) -> Evidence:
    """In the ledger before it is in the journal: a way back without the journal knows it from there."""
    await at.ports.databases.keep_found(at.attempt_id, found)
    return found


async def is_traffic_closed(at: Context) -> Probed:
    is_open = await at.ports.traffic.is_open(at.item)
    return Probed(Found.ABSENT if is_open else Found.PRESENT, {"open": is_open})


async def reopen_traffic(at: Context) -> Evidence:
    if not was_open_before(at):
        return {"left": "closed, as it was found"}
    return await at.ports.traffic.open(at.attempt_id, at.item)


def was_open_before(at: Context) -> bool:
    """Whether the door was open before the window: one that was not stays closed on the way back."""
    recorded = at.evidence.get(Downtime.record_door.of(at.item), {})
    return bool(recorded.get("open", True))


async def is_old_stopped(at: Context) -> Probed:
    running = await at.ports.services.is_running(at.item, Version.OLD)
    return Probed(Found.ABSENT if running else Found.PRESENT, {"running": running})


def ran_before(at: Context) -> bool:
    """Whether the service ran before the window: a service that did not is not started by the way back."""
    return bool(at.evidence[Downtime.record_service.of(at.item)]["running"])


async def restart_old(at: Context) -> Evidence:
    if not ran_before(at):
        return {"left": "stopped, as it was found"}
    return await at.ports.services.start(at.attempt_id, at.item, Version.OLD)


async def lift_fence(at: Context) -> Evidence:
    return await at.ports.databases.lift_fence(at.attempt_id)


class Downtime(State):
    """Stop writes to the old database and prove that none is in flight."""

    @step(Effect.NONE, per_item="services")
    async def record_service(at: Context) -> Evidence:
        """the state each service was found in is on record"""
        return await keep_found(at, {"running": await at.ports.services.is_running(at.item, Version.OLD)})

    @step(Effect.NONE, per_item="traffic")
    async def record_door(at: Context) -> Evidence:
        """the state each door was found in is on record"""
        return await keep_found(at, {"open": await at.ports.traffic.is_open(at.item)})

    @step(
        Effect.PROBED,
        per_item="traffic",
        undo=reopen_traffic,
        probe=is_traffic_closed,
        closes_traffic=True,
        begins_downtime=True,
        copied_first=True,
    )
    async def close_traffic(at: Context) -> Evidence:
        """clients are kept out"""
        return await at.ports.traffic.close(at.attempt_id, at.item)

    @step(Effect.PROBED, per_item="services", undo=restart_old, probe=is_old_stopped, begins_downtime=True)
    async def stop_service(at: Context) -> Evidence:
        """the old version of a service is stopped"""
        return await at.ports.services.stop(at.attempt_id, at.item, Version.OLD)

    @step(Effect.LEDGER, undo=lift_fence, begins_downtime=True, copied_first=True, rehearsed=True)
    async def fence_old(at: Context) -> Evidence:
        """nobody is in the old database and nobody can get in"""
        return await at.ports.databases.fence(at.attempt_id)

    @step(Effect.NONE, rehearsed=True)
    async def record_position(at: Context) -> Evidence:
        """the last position and the counters of the old database are on record"""
        return await at.ports.databases.record_position(at.attempt_id)
