"""Validate: the new database holds what the old one held. What fails is collected and turns the run, which asks nobody.

What costs little comes first: of a window that is lost anyway the most is learned that way.
"""

from cutoverd.states.ports import Evidence
from cutoverd.states.schema import WITH_NEW
from cutoverd.states.step import Context, Effect, ProgressSource, State, step


class Validate(State):
    """Prove that no row was lost or changed."""

    reads_files = True

    @step(Effect.NONE, collected=True, rehearsed=True)
    async def check_coverage(at: Context) -> Evidence:
        """every old table is compared, or waived by name"""
        return await at.ports.validation.check_coverage(at.attempt_id)

    @step(Effect.NONE, collected=True, rehearsed=True)
    async def check_grants(at: Context) -> Evidence:
        """what a role could do in old it can do in new, or the plan waives it by name"""
        return await at.ports.validation.check_grants(at.attempt_id)

    @step(Effect.NONE, collected=True, rehearsed=True)
    async def check_invariants(at: Context) -> Evidence:
        """foreign keys hold, indexes are valid, sequences are ahead"""
        return await at.ports.validation.check_invariants(at.attempt_id)

    @step(Effect.NONE, collected=True, rehearsed=True, per_item="validation_scripts", grouped=True)
    async def check_script(at: Context) -> Evidence:
        """every check of a validation script is true"""
        return await at.ports.validation.check_script(at.attempt_id, at.item)

    @step(Effect.NONE, collected=True, rehearsed=True, per_item="comparisons", grouped=True)
    async def compare(at: Context) -> Evidence:
        """old and new hold the same content, row by row"""
        return await at.ports.validation.compare(at.attempt_id, at.item)

    @step(Effect.NONE, no_way_back="a finished backup is kept", progress=ProgressSource.FINAL_BACKUP)
    async def finish_backup(at: Context) -> Evidence:
        """the final backup is complete"""
        return await at.ports.backups.finish(at.attempt_id)

    # alone, and once the dump no longer competes: what ran beside a query would be in its time
    @step(Effect.NONE, collected=True, rehearsed=True, per_item="queries")
    async def time_query(at: Context) -> Evidence:
        """a named query is answered by new as fast as the plan wants it"""
        return await at.ports.validation.time_query(at.attempt_id, at.item)

    @step(Effect.LEDGER, no_way_back=f"the fence stays closed until it is lifted; {WITH_NEW}", rehearsed=True)
    async def close_old(at: Context) -> Evidence:
        """the old database refuses all connections again"""
        return await at.ports.databases.close_old(at.attempt_id)
