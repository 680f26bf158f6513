"""Rollback: what was begun since Downtime is undone, newest first; then the health that PreCheck proved is proven again."""

from cutoverd.states.ports import Evidence
from cutoverd.states.step import Context, Effect, State, step


class Rollback(State):
    """After the undoing: prove that production is as it was."""

    @step(Effect.NONE, per_item="health")
    async def prove_health(at: Context) -> Evidence:
        """what ran before runs again, and is healthy"""
        return await at.ports.checks.prove_health(at.attempt_id, at.item)

    @step(Effect.NONE)
    async def name_leftovers(at: Context) -> Evidence:
        """what the run leaves behind is on record"""
        return await at.ports.databases.leftovers()
