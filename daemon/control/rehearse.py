"""The rehearsal without a run, on any day: what PreCheck would take of it, with a journal in memory and a name of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.control import rehearsal_copy as copy
from cutoverd.daemon.control.rehearsal_alone import alone, check_alone
from cutoverd.daemon.control.rehearsal_steps import Rehearsal, Steps
from cutoverd.daemon.engine.run_log import Observer, RunLog
from cutoverd.daemon.host.cancellation import end_tasks, run_to_completion
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.postgres.session.kept import sessions_kept
from cutoverd.daemon.postgres.session.server import Server
from cutoverd.daemon.progress import Progress
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.events import facts

TELL_SECONDS = 30.0


async def rehearse(
    loaded: LoadedPlan,
    *,
    keep: bool = False,
    again: bool = False,
    observers: Sequence[Observer] = (),
    tell: Callable[[Progress], object] | None = None,
) -> Rehearsal:
    """Every check that needs no run, then the window on a copy. Afterwards the copy is dropped, unless it is to be kept.

    `again`: on the copy that an earlier one has kept; while something is wrong it is kept once more.
    `tell` hears every half minute how far a step is that takes so long.
    Raises `NotLeader` if somebody else began to rehearse this database meanwhile, `Unfit` if there is no copy for `again`.
    """
    with alone(loaded) as server:
        await copy.prepare(server)
        await check_alone(server)
        kept = await copy.find_kept(loaded, server) if again else None
        server = await copy.lead(server)
        if kept:
            await copy.stand_alone(loaded, server, kept)
        tracker = ProgressTracker(loaded)
        runlog = RunLog(server.run, MemoryStream().journal(server.run), observers=[tracker, *observers])
        runlog.epoch = server.epoch
        await runlog.append(_started(loaded, server))
        try:
            async with sessions_kept(), tracker.tracking(server), _telling(tracker, tell):
                done = await Steps(loaded, server, runlog, kept).take()
        except BaseException:
            if not keep and not again:
                await run_to_completion(copy.drop_after(loaded, server, Rehearsal()))
            raise
        if done.is_barred:
            return done
        if keep or (again and not done.is_fit):
            return await copy.keep(loaded, server, done, runlog.run)
        return await run_to_completion(copy.drop_after(loaded, server, done))


async def drop(loaded: LoadedPlan, *, is_gone: bool = False) -> list[str]:
    """What a rehearsal has kept, or left when it was killed; warnings. `is_gone`: the team's copy is not waited for."""
    with alone(loaded) as server:
        await copy.prepare(server)
        return await copy.drop(loaded, await copy.lead(server), is_gone=is_gone)


@asynccontextmanager
async def _telling(tracker: ProgressTracker, tell: Callable[[Progress], object] | None) -> AsyncIterator[None]:
    async def poll() -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            progress = tracker.progress(datetime.now(UTC))
            if tell and progress and progress.seconds >= TELL_SECONDS:
                tell(progress)

    telling = asyncio.create_task(poll())
    try:
        yield
    finally:
        await end_tasks(telling)


def _started(loaded: LoadedPlan, server: Server) -> facts.RunStarted:
    return facts.RunStarted(
        plan_sha256=loaded.sha256,
        files={},
        items=loaded.items(),
        gates=[],
        budget_seconds=loaded.plan.window.budget,
        production=server.names.production,
        version=version("cutoverd"),
        rehearses=True,
    )
