"""PreCheck: everything is looked at and nothing of production is touched. It fails in place: `retry` or `abort`."""

from cutoverd.states import rehearsal
from cutoverd.states.errors import Unfit
from cutoverd.states.ports import Evidence
from cutoverd.states.step import Context, Effect, ProgressSource, State, step
from cutoverd.states.window import check_window

DROPPED = "it is on the copy, which is dropped"
REHEARSED = "precheck.rehearse:"


def found_rehearsal(at: Context) -> Evidence:
    return at.evidence.get(str(PreCheck.find_rehearsal), {})


def on_record(at: Context) -> Evidence | None:
    """What a step of the rehearsal has for evidence where nothing is rehearsed anew."""
    known = found_rehearsal(at).get("on_record")
    return {"on_record": known["at"]} if known else None


def will_rehearse(at: Context) -> bool:
    """Whether the window is yet to be rehearsed here: that takes the room of another copy."""
    found = found_rehearsal(at)
    is_made_here = bool(found) and not found.get("skipped") and not found.get("on_record") and not found.get("is_elsewhere")
    return is_made_here and str(PreCheck.drop_copy) not in at.evidence


def rehearsed_elsewhere(at: Context) -> str:
    """Where, if that is another server than production's."""
    found = found_rehearsal(at)
    made = found.get("on_record") or found
    return str(made.get("place", "")) if made.get("is_elsewhere") else ""


def rehearsed_seconds(at: Context) -> dict[str, float]:
    """By the step of the window, or its rollback."""
    return {key.removeprefix(REHEARSED): seconds for key, seconds in at.seconds.items() if key.startswith(REHEARSED)}


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

    @step(Effect.NONE, any_day=True)
    async def check_files(at: Context) -> Evidence:
        """every SQL file can be run in a transaction of ours"""
        return await at.ports.scripts.check_files()

    @step(Effect.NONE, any_day=True)
    async def check_programs(at: Context) -> Evidence:
        """the program of every command is there and may be run"""
        return await at.ports.checks.check_programs(at.attempt_id)

    @step(Effect.NONE, recheck_after_gate=True, any_day=True)
    async def check_server(at: Context) -> Evidence:
        """the server, the role and the names are fit for it"""
        return await at.ports.databases.check_fit(at.attempt_id)

    @step(Effect.NONE, any_day=True)
    async def find_rehearsal(at: Context) -> Evidence:
        """a rehearsal of these files on this catalog is on record, or is made here"""
        return await at.ports.backups.find_rehearsal(at.attempt_id)

    @step(Effect.NONE, recheck_after_gate=True, any_day=True)
    async def check_room(at: Context) -> Evidence:
        """disks have room for the backups, the rehearsal, the clone and the new tables"""
        dumped_bytes = at.evidence.get(str(PreCheck.prove_backup), {}).get("bytes")
        return await at.ports.backups.check_room(at.attempt_id, dumped_bytes, rehearses=will_rehearse(at))

    @step(Effect.NONE, any_day=True)
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

    @step(Effect.NONE, any_day=True)
    async def check_coverage(at: Context) -> Evidence:
        """every table of production is compared, or waived by name"""
        return await at.ports.validation.check_coverage(at.attempt_id)

    @step(Effect.NONE, per_item="queries", any_day=True)
    async def check_query(at: Context) -> Evidence:
        """a named query can be asked of production"""
        return await at.ports.validation.check_query(at.attempt_id, at.item)

    @step(Effect.NONE, undo=clear_proof, progress=ProgressSource.BACKUP, any_day=True)
    async def prove_backup(at: Context) -> Evidence:
        """a backup was taken, restored into a copy and counted"""
        return await at.ports.backups.prove(at.attempt_id)

    @step(Effect.LEDGER, no_way_back=DROPPED, any_day=True)
    async def reset_copy(at: Context) -> Evidence:
        """the copy has its name, and nothing of an earlier rehearsal is around it"""
        return on_record(at) or await at.ports.backups.reset_copy(at.attempt_id)

    @step(Effect.LEDGER, per_item=rehearsal.KIND, collected=True, no_way_back=DROPPED, any_day=True)
    async def rehearse(at: Context) -> Evidence:
        """a step of the window, or its rollback, was taken on the copy"""
        return on_record(at) or await rehearsal.take(at, REHEARSED)

    @step(Effect.NONE, any_day=True)
    async def check_copy(at: Context) -> Evidence:
        """after the rollback the copy holds what it held"""
        proven = at.evidence.get(str(PreCheck.prove_backup))
        if not proven:
            return {"not_looked_at": "there is no copy yet"}
        held = {**proven, **at.evidence.get(str(PreCheck.reset_copy), {})}
        return on_record(at) or await at.ports.backups.check_copy(at.attempt_id, held)

    @step(Effect.LEDGER, no_way_back="it was made, whatever becomes of the run", any_day=True)
    async def record_rehearsal(at: Context) -> Evidence:
        """what the rehearsal took is on record"""
        identity = found_rehearsal(at).get("identity")
        if identity is None or on_record(at):
            return on_record(at) or {"left": "nothing was rehearsed"}
        parts = at.evidence.get(str(PreCheck.prove_backup), {}).get("parts", {})
        return await at.ports.backups.record_rehearsal(at.attempt_id, identity, rehearsed_seconds(at), parts)

    @step(Effect.LEDGER, no_way_back="a copy that is dropped stays so")
    async def drop_copy(at: Context) -> Evidence:
        """nothing of the rehearsal is left"""
        return await at.ports.backups.clear(at.attempt_id)

    @step(Effect.NONE, recheck_after_gate=True)
    async def check_rehearsal(at: Context) -> Evidence:
        """what was rehearsed is what the window will meet, and not too long ago"""
        identity = found_rehearsal(at).get("identity")
        if identity is None:
            return {"left": "nothing was rehearsed"}
        if not on_record(at) and str(PreCheck.record_rehearsal) not in at.evidence:
            return {"not_looked_at": "nothing is rehearsed yet"}
        return await at.ports.backups.check_rehearsal(at.attempt_id, identity)

    @step(Effect.NONE, any_day=True)
    async def check_window(at: Context) -> Evidence:
        """the window is long enough for what was rehearsed"""
        known = found_rehearsal(at).get("on_record")
        seconds = known["seconds"] if known else rehearsed_seconds(at)
        return check_window(at.budget_seconds, seconds, elsewhere=rehearsed_elsewhere(at))

    @step(Effect.LEDGER, undo=drop_placeholder, rehearsed=True)
    async def make_placeholder(at: Context) -> Evidence:
        """an empty database that refuses connections waits to take production's name"""
        return await at.ports.databases.make_placeholder(at.attempt_id)

    @step(Effect.NONE, per_item="metrics", recheck_after_gate=True)
    async def prove_scraped(at: Context) -> Evidence:
        """somebody scrapes our own metrics"""
        return await at.ports.checks.prove_scraped(at.attempt_id)
