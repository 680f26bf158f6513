"""Whether events can be written, and how full their stream is, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cutoverd.daemon.bus.room import JournalWaits


class JournalMetrics(Collector):
    """For a registry; asked at each scrape, by the thread that serves it."""

    def __init__(self, run: str, waits: JournalWaits) -> None:
        self._run, self._waits = run, waits

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield self._gauge(
            "cutover_journal_waits", "1 while no event can be written, and nothing else is done", bool(self._waits.reason)
        )
        if room := self._waits.room:
            yield self._gauge("cutover_stream_bytes", "Bytes that the stream holds", room.used_bytes)
            if room.limit_bytes > 0:
                yield self._gauge("cutover_stream_limit_bytes", "Bytes that the stream may hold for now", room.limit_bytes)

    def _gauge(self, name: str, says: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, says, labels=["run"])
        family.add_metric([self._run], value)
        return family
