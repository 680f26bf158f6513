"""Cutover: the new version takes over, then clients are let in. From then on going back may cost writes."""

from cutoverd.states.ports import Evidence, Found, Probed, Version
from cutoverd.states.smoke import count_writes, shared_roles
from cutoverd.states.step import Context, Effect, State, step


async def is_new_running(at: Context) -> Probed:
    running = await at.ports.services.is_running(at.item, Version.NEW)
    return Probed(Found.PRESENT if running else Found.ABSENT, {"running": running})


async def stop_new(at: Context) -> Evidence:
    return await at.ports.services.stop(at.attempt_id, at.item, Version.NEW)


async def is_traffic_open(at: Context) -> Probed:
    is_open = await at.ports.traffic.is_open(at.item)
    return Probed(Found.PRESENT if is_open else Found.ABSENT, {"open": is_open})


async def close_traffic(at: Context) -> Evidence:
    return await at.ports.traffic.close(at.attempt_id, at.item)


class Cutover(State):
    """Hand production to the new version."""

    @step(Effect.LEDGER, no_way_back="the swap back closes the new database to all", copied_first=True)
    async def admit_clients(at: Context) -> Evidence:
        """whoever could connect to production before can connect again"""
        return await at.ports.databases.admit_clients(at.attempt_id, shared_roles(at))

    @step(Effect.PROBED, per_item="new_services", newest_first=True, undo=stop_new, probe=is_new_running)
    async def start_service(at: Context) -> Evidence:
        """the new version of a service runs"""
        return await at.ports.services.start(at.attempt_id, at.item, Version.NEW)

    @step(Effect.NONE, per_item="new_services")  # the last moment before the traffic switch is opened
    async def check_service(at: Context) -> Evidence:
        """the new version of a service still runs, and answers as its version should"""
        return await at.ports.services.check(at.attempt_id, at.item, Version.NEW)

    @step(Effect.PROBED, per_item="traffic", undo=close_traffic, probe=is_traffic_open, opens_traffic=True, copied_first=True)
    async def open_traffic(at: Context) -> Evidence:
        """clients are let in"""
        return await at.ports.traffic.open(at.attempt_id, at.item)

    @step(Effect.NONE, per_item="health")
    async def prove_health(at: Context) -> Evidence:
        """seen from outside, the new version is healthy"""
        return await at.ports.checks.prove_health(at.attempt_id, at.item)

    count_writes = step(Effect.NONE, after_failure=True)(count_writes)
