"""Prometheus metrics of one run, fed by its events."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram

from cutoverd.daemon.metrics.run_collector import RunGauges, spoken
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states import ENDS, STATES, STUCK
from cutoverd.states.check_rules import Watched
from cutoverd.states.next_action import awaited_operator
from cutoverd.states.run import Run

ALL_STATES = [*STATES, STUCK, *ENDS]
STEP_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)


class RunMetrics:
    """An observer of the run log; `registry` holds what is served."""

    def __init__(self, run: str, version: str) -> None:
        self.registry = CollectorRegistry()
        self._gauges = RunGauges(run, lambda: datetime.now(UTC))
        self.registry.register(self._gauges)
        self._run = run
        self._state = Enum("cutover_state", "State of the run", ["run"], states=ALL_STATES, registry=self.registry).labels(run)
        self._index = self._gauge("cutover_state_index", "State of the run by its place in the table")
        self._held = self._gauge("cutover_held", "1 while the run is held")
        self._waiting = self._gauge("cutover_waiting_for_operator", "1 while a gate or PreCheck waits for somebody")
        self._epoch = self._gauge("cutover_epoch", "Epoch of the daemon")
        self._last = self._gauge("cutover_last_event_timestamp_seconds", "When the last event was written")
        self._steps = Histogram(
            "cutover_step_duration_seconds",
            "Duration of steps by outcome",
            ["run", "step", "direction", "outcome"],
            buckets=STEP_BUCKETS,
            registry=self.registry,
        )
        labels = ["run", "check"]
        self._check_value = Gauge("cutover_check_value", "Last number of a check of Monitor", labels, registry=self.registry)
        self._check_ok = Gauge("cutover_check_ok", "1 while a check of Monitor is good", labels, registry=self.registry)
        self._transitions = self._counter("cutover_transitions", "Transitions taken", "source", "target")
        self._commands = self._counter("cutover_commands", "Commands by outcome: accepted or rejected", "verb", "outcome")
        Gauge("cutover_build_info", "Version of cutoverd", ["version"], registry=self.registry).labels(version).set(1)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(name, says, ["run"], registry=self.registry).labels(self._run)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(name, says, ["run", *labels], registry=self.registry)

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self._gauges.apply(run, recorded)
        self._state.state(run.state)
        self._index.set(ALL_STATES.index(run.state))
        self._held.set(run.held is not None)
        self._waiting.set(_waits_for_an_operator(run))
        self._epoch.set(run.epoch)
        self._last.set(recorded.envelope.time.timestamp())
        self._count(recorded.event)

    def record_round(self, watched: Watched) -> None:
        """A round of Monitor's checks; a check without a number has no value."""
        for name, standing in watched.standings.items():
            self._check_ok.labels(self._run, name).set(standing.ok)
            if standing.value is not None:
                self._check_value.labels(self._run, name).set(standing.value)
            else:
                self._check_value.remove_by_labels({"run": self._run, "check": name})

    def _count(self, event: facts.Event) -> None:
        if command := spoken(event):
            verb, _, outcome = command
            self._commands.labels(self._run, verb, outcome).inc()
        match event:
            case facts.StepSucceeded() | facts.StepFailed() | facts.StepInterrupted():
                outcome = event.wire_type().removeprefix("step_")
                self._steps.labels(self._run, event.step, event.direction, outcome).observe(event.seconds)
            case facts.Transitioned():
                self._transitions.labels(self._run, event.source, event.target).inc()


def _waits_for_an_operator(run: Run) -> bool:
    """For `advance` at a gate, or for `ready` before it."""
    waits = awaited_operator(run)
    return run.gate is not None or (waits is not None and bool(waits.operators))
