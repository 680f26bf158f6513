"""Monitor: production is watched for as long as the plan says."""

from datetime import timedelta

from cutoverd.states.ports import Evidence
from cutoverd.states.step import Context, Effect, State, step


class Monitor(State):
    """Watch the new version at work."""

    @step(Effect.NONE)
    async def watch(at: Context) -> Evidence:
        """the time to watch is over"""
        until = at.entered_at + timedelta(seconds=at.watch_seconds)
        await at.ports.clock.sleep_until(until)
        return {"until": until.isoformat()}
