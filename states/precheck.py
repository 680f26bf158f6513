"""PreCheck: everything is looked at and nothing of production is touched. It fails in place: `retry` or `abort`."""

from cutoverd.states.errors import Unfit
from cutoverd.states.ports import Evidence
from cutoverd.states.step import Context, Effect, ProgressSource, State, step
from cutoverd.states.window import check_window


async def clear_proof(at: Context) -> Evidence:
    return await at.ports.backups.clear(at.attempt_id)


async def drop_placeholder(at: Context) -> Evidence:
    return await at.ports.databases.drop_placeholder(at.attempt_id)


def merge_statuses(services: Evidence, doors: Evidence) -> Evidence:
    """What was seen of services and doors as one; raises `Unfit` with every reason."""
    reasons = [*services.get("reasons", ()), *doors.get("reasons", ())]
    warnings = [*services.get("warnings", ()), *doors.get("warnings", ())]
    statuses = {**services.get("seen", {}), **doors.get("seen", {})}
    if reasons:
        hint = "a status exits 0 for running or open, 3 for stopped or closed; see to all of them, then `retry`"
        raise Unfit("; ".join(reasons), hint=hint, evidence={"reasons": reasons, "warnings": warnings, "seen": statuses})
    return {"seen": statuses, "warnings": warnings}


class PreCheck(State):
    """Prove that the night can begin."""

    reads_files = True

    @step(Effect.NONE)
    async def check_files(at: Context) -> Evidence:
        """every SQL file can be run in a transaction of ours"""
        return await at.ports.scripts.check_files()

    @step(Effect.NONE)
    async def check_programs(at: Context) -> Evidence:
        """the program of every command is there and may be run"""
        return await at.ports.checks.check_programs(at.attempt_id)

    @step(Effect.NONE, recheck_after_gate=True)
    async def check_server(at: Context) -> Evidence:
        """the server, the role and the names are fit for it"""
        return await at.ports.databases.check_fit(at.attempt_id)

    @step(Effect.NONE, recheck_after_gate=True)
    async def check_room(at: Context) -> Evidence:
        """disks have room for the backups, the clone and the new tables"""
        return await at.ports.backups.check_room(at.attempt_id, at.evidence.get(str(PreCheck.prove_backup), {}).get("bytes"))

    @step(Effect.NONE)
    async def check_dumpable(at: Context) -> Evidence:
        """our role may read and restore what the backup holds, and the files may change what they name"""
        return await at.ports.backups.check_dumpable(at.attempt_id)

    @step(Effect.NONE, per_item="dashboards", recheck_after_gate=True)
    async def prove_dashboard(at: Context) -> Evidence:
        """a dashboard answers"""
        return await at.ports.checks.prove_dashboard(at.attempt_id, at.item)

    @step(Effect.NONE, per_item="health", recheck_after_gate=True)
    async def prove_health(at: Context) -> Evidence:
        """what runs today is healthy"""
        return await at.ports.checks.prove_health(at.attempt_id, at.item)

    @step(Effect.NONE)  # a status that lies is believed at night: what "runs" is not started
    async def check_services(at: Context) -> Evidence:
        """each service and door tells its state, and no version to come runs yet"""
        services, doors = at.ports.services, at.ports.traffic
        return merge_statuses(await services.survey_statuses(at.attempt_id), await doors.survey_statuses(at.attempt_id))

    @step(Effect.NONE)
    async def check_coverage(at: Context) -> Evidence:
        """every table of production is compared, or waived by name"""
        return await at.ports.validation.check_coverage(at.attempt_id)

    @step(Effect.NONE, per_item="queries")
    async def check_query(at: Context) -> Evidence:
        """a named query can be asked of production"""
        return await at.ports.validation.check_query(at.attempt_id, at.item)

    @step(Effect.NONE, undo=clear_proof, progress=ProgressSource.BACKUP)
    async def prove_backup(at: Context) -> Evidence:
        """a backup was taken, restored and counted; on the copy names changed hands and came back, and the schema builds"""
        return await at.ports.backups.prove(at.attempt_id)

    @step(Effect.NONE)
    async def check_window(at: Context) -> Evidence:
        """the window is long enough for what was measured"""
        return check_window(at.budget_seconds, at.evidence.get(str(PreCheck.prove_backup), {}))

    @step(Effect.LEDGER, undo=drop_placeholder)
    async def make_placeholder(at: Context) -> Evidence:
        """an empty database that refuses connections waits to take production's name"""
        return await at.ports.databases.make_placeholder(at.attempt_id)

    @step(Effect.NONE, per_item="metrics", recheck_after_gate=True)
    async def prove_scraped(at: Context) -> Evidence:
        """somebody scrapes our own metrics"""
        return await at.ports.checks.prove_scraped(at.attempt_id)
