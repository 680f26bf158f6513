"""The checks of Monitor by whatever kind each is (`MonitorChecks` of states/ports_systems.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.host.cancellation import end_tasks
from cutoverd.daemon.host.log import Logger
from cutoverd.daemon.systems.samples import SampleKind
from cutoverd.daemon.systems.watch_file import FILE, keep, read_kept
from cutoverd.states.check_rules import Rules, Sample, Watched
from cutoverd.states.errors import NotLeader, StepError, format_error
from cutoverd.states.ports import AttemptId

log = Logger(__name__)

RoundObserver = Callable[[Watched], None]  # told after each round; must not fail, must not wait


@dataclass(frozen=True)
class MonitorChecksByKind:
    """One kind per rule, by the check's name."""

    rules: Rules
    kinds: Mapping[str, SampleKind]
    folder: Path  # of this run, in state_dir
    round_observers: Sequence[RoundObserver] = ()

    async def sample(self, attempt_id: AttemptId) -> Mapping[str, Sample]:
        asking = {name: asyncio.create_task(self._ask(kind, attempt_id)) for name, kind in self.kinds.items()}
        try:
            return {name: await task for name, task in asking.items()}
        finally:
            await end_tasks(*asking.values())

    async def _ask(self, kind: SampleKind, attempt_id: AttemptId) -> Sample:
        seconds = self.rules.sample_seconds
        try:
            async with asyncio.timeout(seconds):
                return await kind.sample(attempt_id, seconds)
        except NotLeader:
            raise
        except TimeoutError:
            return Sample(False, None, f"no answer within {seconds:g} s")
        except (StepError, OSError) as error:
            return Sample(False, None, str(error) or type(error).__name__)
        except Exception as error:  # a watch of 48 hours does not end by a mistake of ours
            log.error("check_failed_unexpectedly", exc_info=error)
            return Sample(False, None, format_error(error))

    async def recall(self) -> Watched | None:
        return await asyncio.to_thread(read_kept, self.folder)

    async def keep(self, watched: Watched) -> None:
        for observer in self.round_observers:
            observer(watched)
        try:
            await asyncio.to_thread(keep, self.folder, watched)
        except OSError as error:
            log.warning("watch_not_kept", path=str(self.folder / FILE), error=str(error))
