"""A run and its numbers: what `/metrics` serves of it while it is driven."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from cutoverd.daemon.metrics.journal_collector import JournalMetrics
from cutoverd.daemon.metrics.run_metrics import RunMetrics
from cutoverd.daemon.metrics.server import Scrapes, served
from cutoverd.daemon.metrics.step_collector import StepMetrics
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker


@dataclass(frozen=True)
class Measured:
    """`metrics` observes the run log, `metrics.record_round` the rounds of Monitor; `scrapes` is None if nothing is served."""

    metrics: RunMetrics
    scrapes: Scrapes | None

    @property
    def linger_seconds(self) -> float:
        """How long to stay once the run is over, so that whoever scrapes sees its end."""
        return self.scrapes.linger_seconds if self.scrapes else 0.0

    def linger(self) -> None:
        if self.scrapes and self.linger_seconds:
            self.scrapes.wait_for_one_more()


@contextmanager
def measured(loaded: LoadedPlan, tracker: ProgressTracker) -> Iterator[Measured]:
    """Served where the plan says; raises OSError or OverflowError if that address cannot be had."""
    metrics = RunMetrics(loaded.plan.run, version("cutoverd"))
    metrics.registry.register(StepMetrics(loaded.plan.run, lambda: tracker.all_progress(datetime.now(UTC))))
    metrics.registry.register(JournalMetrics(loaded.plan.run, tracker.waits))
    listen = loaded.plan.metrics.listen if loaded.plan.metrics else None
    with served(metrics.registry, listen) as scrapes:
        yield Measured(metrics, scrapes if listen else None)
