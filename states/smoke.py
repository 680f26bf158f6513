"""Smoke: the names change hands, and the new version is tried before any client sees it."""

from dataclasses import replace

from cutoverd.states.downtime import Downtime
from cutoverd.states.errors import StepError, Unproven
from cutoverd.states.ports import Evidence, Found, Probed, Version
from cutoverd.states.precheck import PreCheck
from cutoverd.states.step import Context, Effect, State, step
from cutoverd.states.validate import Validate

UNCOUNTED = "a crash of the server lost its counters: what was written before it is not listed"


async def exchange_back(at: Context) -> Evidence:
    back = await at.ports.databases.exchange_back(at.attempt_id)
    return {**back, **await what_was_written(at)}  # once nobody can write any more


async def what_was_written(at: Context) -> Evidence:
    """Which tables clients wrote to is recorded if it can be seen; the way back does not depend on it."""
    try:
        written = await at.ports.databases.written(at.attempt_id)
    except StepError as error:
        return {"written": {"unknown": str(error)}}
    return {"written": dict(written["tables"]), **({} if written.get("complete", True) else {"written_uncounted": UNCOUNTED})}


async def is_test_running(at: Context) -> Probed:
    running = await at.ports.services.is_running(at.item, Version.TEST)
    return Probed(Found.PRESENT if running else Found.ABSENT, {"running": running})


async def is_test_stopped(at: Context) -> Probed:
    running = await at.ports.services.is_running(at.item, Version.TEST)
    return Probed(Found.ABSENT if running else Found.PRESENT, {"running": running})


async def end_test(at: Context) -> Evidence:
    return await at.ports.services.stop(at.attempt_id, at.item, Version.TEST)


async def compare_again(at: Context, why: str) -> Evidence:
    """Where the counters prove nothing, after a crash of the server say, only the content can say that old is unchanged."""
    databases, attempt = at.ports.databases, f"{at.attempt_id.step}.{at.attempt_id.event_id}"
    await databases.open_old(replace(at.attempt_id, step=f"{attempt}.open"), again=True)
    comparison = f"{Validate.compare}:"
    compared = [key.removeprefix(comparison) for key in at.evidence if key.startswith(comparison)]
    for name in compared:
        await at.ports.validation.compare(at.attempt_id, name)
    await databases.close_old(replace(at.attempt_id, step=f"{attempt}.close"))
    return {"counters": why, "compared_again": compared}


def shared_roles(at: Context) -> list[str]:
    """By which others write than the smoke tests, as PreCheck found it."""
    return list(at.evidence.get(str(PreCheck.check_server), {}).get("shared_roles", []))


async def count_writes(at: Context) -> Evidence:
    """what was written to the new database since the names changed hands is counted, before anything is undone"""
    return await at.ports.databases.count_writes(at.attempt_id, shared_roles(at))


class Smoke(State):
    """Try the new version on the new database, out of reach of clients."""

    @step(Effect.NONE, rehearsed=True)
    async def check_old_unchanged(at: Context) -> Evidence:
        """nothing was written to the old database since the fence"""
        position = at.evidence[str(Downtime.record_position)]
        try:
            return await at.ports.databases.check_unchanged(at.attempt_id, position)
        except Unproven as unproven:
            return await compare_again(at, str(unproven))

    @step(Effect.LEDGER, undo=exchange_back, exposes_new=True, copied_first=True, rehearsed=True)
    async def exchange_names(at: Context) -> Evidence:
        """the new database has production's name, and nothing was written to the old one up to that moment"""
        try:
            return await at.ports.databases.exchange(at.attempt_id)
        except Unproven as unproven:
            compared = await compare_again(at, str(unproven))
            return {**await at.ports.databases.exchange(at.attempt_id), **compared}

    @step(Effect.NONE)
    async def check_logins(at: Context) -> Evidence:
        """whoever could log in to production before can log in now"""
        return await at.ports.databases.check_logins(at.attempt_id)

    @step(Effect.PROBED, per_item="tested_services", newest_first=True, undo=end_test, probe=is_test_running)
    async def start_test(at: Context) -> Evidence:
        """a service runs in test mode"""
        return await at.ports.services.start(at.attempt_id, at.item, Version.TEST)

    @step(Effect.NONE, per_item="tested_services")
    async def check_test(at: Context) -> Evidence:
        """a service in test mode answers as its version should"""
        return await at.ports.services.check(at.attempt_id, at.item, Version.TEST)

    @step(Effect.NONE, per_item="smoke")
    async def smoke_test(at: Context) -> Evidence:
        """the new version does what it should"""
        return await at.ports.checks.smoke(at.attempt_id, at.item)

    @step(Effect.NONE, per_item="tested_services")
    async def check_test_again(at: Context) -> Evidence:
        """a service in test mode has outlived the tests"""
        return await at.ports.services.check(at.attempt_id, at.item, Version.TEST)

    @step(Effect.PROBED, per_item="tested_services", probe=is_test_stopped, no_way_back="a service in test mode stays stopped")
    async def stop_test(at: Context) -> Evidence:
        """the test mode is over"""
        return await at.ports.services.stop(at.attempt_id, at.item, Version.TEST)

    @step(Effect.NONE)
    async def record_written(at: Context) -> Evidence:
        """the tables written during the smoke tests are on record"""
        written = await at.ports.databases.written(at.attempt_id)
        return {**written, "written": sorted(written["tables"])}

    count_writes = step(Effect.NONE, after_failure=True)(count_writes)
