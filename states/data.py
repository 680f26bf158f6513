"""Data: the data scripts move the rows, then sequences and statistics follow."""

from cutoverd.states.ports import Evidence, Probed
from cutoverd.states.schema import WITH_NEW
from cutoverd.states.step import Context, Effect, ProgressSource, State, step


async def probe_script(at: Context) -> Probed:
    return await at.ports.scripts.probe_script(at.attempt_id, at.item)


class Data(State):
    """Move the rows."""

    reads_files = True

    @step(
        Effect.PROBED,
        per_item="data_scripts",
        probe=probe_script,
        no_way_back=WITH_NEW,
        progress=ProgressSource.DATA_SCRIPT,
        rehearsed=True,
    )
    async def run_script(at: Context) -> Evidence:
        """a data script has done its work, once"""
        return await at.ports.scripts.run_script(at.attempt_id, at.item)

    @step(Effect.NONE, no_way_back=WITH_NEW, rehearsed=True)
    async def set_sequences(at: Context) -> Evidence:
        """every sequence is beyond the data, so that no id is given out twice"""
        return await at.ports.validation.set_sequences(at.attempt_id)

    @step(Effect.NONE, no_way_back=WITH_NEW, rehearsed=True)
    async def analyze(at: Context) -> Evidence:
        """the planner knows the new tables"""
        return await at.ports.validation.analyze(at.attempt_id)
