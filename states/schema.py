"""Schema: a new database is cloned from the fenced old one, and the schema files are applied to it."""

from cutoverd.states.ports import Evidence
from cutoverd.states.precheck import PreCheck
from cutoverd.states.step import Context, Effect, ProgressSource, State, step

WITH_NEW = "it goes with the new database, which the way back keeps closed"


async def keep_new(at: Context) -> Evidence:
    return await at.ports.databases.keep_new(at.attempt_id)


async def close_old(at: Context) -> Evidence:
    return await at.ports.databases.close_old(at.attempt_id)


async def end_backup(at: Context) -> Evidence:
    return await at.ports.backups.end(at.attempt_id)


class Schema(State):
    """Make the new database out of the old one."""

    reads_files = True

    @step(Effect.LEDGER, undo=keep_new, progress=ProgressSource.CLONE, rehearsed=True)
    async def build_new(at: Context) -> Evidence:
        """the new database is a copy of the old one, with all that a copy loses set again"""
        return await at.ports.databases.build_new(at.attempt_id)

    @step(Effect.LEDGER, undo=close_old, rehearsed=True)
    async def open_old(at: Context) -> Evidence:
        """the old database can be read by the daemon alone"""
        return await at.ports.databases.open_old(at.attempt_id)

    @step(Effect.NONE, undo=end_backup, progress=ProgressSource.FINAL_BACKUP)
    async def start_backup(at: Context) -> Evidence:
        """the final backup of the old database is being taken"""
        return await at.ports.backups.start(at.attempt_id)

    @step(Effect.LEDGER, no_way_back=WITH_NEW, progress=ProgressSource.SCHEMA_FILES, rehearsed=True)
    async def apply_schema(at: Context) -> Evidence:
        """the schema files are applied, all or none"""
        proven = at.evidence.get(str(PreCheck.check_files), {}).get("schema", {})
        return await at.ports.scripts.apply_schema(at.attempt_id, proven.get("sha256", ""))
