"""How far each running step is, for Prometheus: series that are there while a step runs, and gone when none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cutoverd.daemon.progress import Progress

LABELS = ["run", "step", "direction"]


class StepMetrics(Collector):
    """For a registry; `progress` is asked at each scrape, by the thread that serves it."""

    def __init__(self, run: str, progress: Callable[[], Sequence[Progress]]) -> None:
        self._run, self._progress = run, progress

    def collect(self) -> Iterator[GaugeMetricFamily]:
        elapsed = GaugeMetricFamily("cutover_step_elapsed_seconds", "Seconds that a running step has taken so far", labels=LABELS)
        says = "How far a running step is, 0 to 1; absent where nobody can tell"
        ratio = GaugeMetricFamily("cutover_step_progress_ratio", says, labels=LABELS)
        for progress in self._progress():
            labels = [self._run, progress.step, progress.direction]
            elapsed.add_metric(labels, progress.seconds)
            if progress.reading.ratio is not None:
                ratio.add_metric(labels, progress.reading.ratio)
        yield from (elapsed, ratio)
