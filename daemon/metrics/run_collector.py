"""What a scrape is told of a run: its events remembered, and made into metrics with the time of the scrape.

Names and labels are final: dashboards and alerts stand on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from prometheus_client.core import GaugeMetricFamily, Metric

from cutoverd.daemon.views.rehearsal_state import rehearsal_state
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.daemon.views.validation_results import ValidationResults
from cutoverd.daemon.views.window_clock import window_clock
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states import ENDS, STUCK
from cutoverd.states.run import Run, StepKey

Labels = tuple[str, ...]


@dataclass
class Moments:
    """When the run moved and when somebody spoke, by what and by whom: the last of each kind."""

    transitions: dict[Labels, float] = field(default_factory=dict)  # source, target, trigger, by
    commands: dict[Labels, float] = field(default_factory=dict)  # verb, by, outcome

    def apply(self, recorded: Recorded) -> None:
        at, event = recorded.envelope.time.timestamp(), recorded.event
        if isinstance(event, facts.Transitioned):
            self.transitions[event.source, event.target, event.trigger, event.by or ""] = at
        if command := spoken(event):
            self.commands[command] = at


VERBS: dict[type[facts.Event], str] = {
    facts.GatePassed: "advance",
    facts.RunHeld: "hold",
    facts.RunResumed: "resume",
    facts.RetryRequested: "retry",
    facts.AbortRequested: "abort",
    facts.FailureReported: "fail",
    facts.OperatorReady: "ready",
    facts.NoteTaken: "note",
    facts.WindowExtended: "extend",
}


def spoken(event: facts.Event) -> Labels | None:
    """Verb, operator and outcome of a command that this event answers; None if nobody spoke."""
    match event:
        case facts.CommandRejected():
            return event.verb, event.by or "", "rejected"
        case facts.CommandsRejected():
            return event.last.verb, event.last.by or "", "rejected"
        case facts.Transitioned(trigger="rollback" | "retry"):
            return event.trigger, event.by or "", "accepted"
        case facts.RunHeld(by=None) | facts.FailureReported(by=facts.DAEMON):
            return None  # by the daemon itself
    verb = VERBS.get(type(event))
    return (verb, getattr(event, "by", None) or "", "accepted") if verb else None


class RunGauges:
    """An observer of the run log, and a collector: asked at each scrape."""

    def __init__(self, name: str, clock: Callable[[], datetime]) -> None:
        self.run = Run(name)
        self.timeline, self.moments, self.verdicts = Timeline(), Moments(), ValidationResults()
        self._clock = clock
        self._reading = Lock()  # a scrape is a thread of its own

    def apply(self, run: Run, recorded: Recorded) -> None:
        with self._reading:
            self.run = run
            for each in (self.timeline, self.moments, self.verdicts):
                each.apply(recorded)

    def collect(self) -> list[Metric]:
        with self._reading:
            return list(self._families(self._clock()))

    def _families(self, now: datetime) -> Iterator[Metric]:
        yield from self._times(now)
        yield from self._steps()
        yield self._rehearsal()
        yield from self._foreseen(now)
        yield from self._budgets()
        yield from self._marks()
        yield from self.verdicts.families(self.run.name)

    def _times(self, now: datetime) -> Iterator[Metric]:
        name, timeline = self.run.name, self.timeline
        yield _gauge("cutover_downtime_seconds", "Time during which clients were kept out", name, timeline.downtime_seconds(now))
        yield _gauge("cutover_window_seconds", "Time since PreCheck was left", name, timeline.window_seconds(now))
        spent = _family("cutover_state_duration_seconds", "Time spent in each state that was entered", "state")
        for state, seconds in timeline.state_seconds(now).items():
            spent.add_metric([name, state], seconds)
        yield spent

    def _steps(self) -> Iterator[Metric]:
        run = self.run
        keys: list[StepKey] = [] if run.plan is None or run.state in (*ENDS, STUCK) else list(run.keys(run.state))
        yield _gauge("cutover_steps", "Steps of the state the run is in", run.name, len(keys))
        yield _gauge("cutover_steps_done", "Those of them that are done", run.name, sum(map(run.is_done, keys)))

    def _rehearsal(self) -> Metric:
        """Nothing before it is known: then no board says that all is well."""
        says = "1 by how the window was rehearsed: here, on record, or skipped with the plan's reason"
        family, known = _family("cutover_rehearsal", says, "how", "reason"), rehearsal_state(self.run)
        if known:
            family.add_metric([self.run.name, known.how.value, known.reason], 1)
        return family

    def _foreseen(self, now: datetime) -> Iterator[Metric]:
        """Nothing where nothing can be foretold: a board that says 0 would say that the window is over."""
        left = _family("cutover_foreseen_seconds", "Time that a state is yet to take, by the rehearsal", "state", "at_least")
        clock = window_clock(self.run, now)
        parts = {**clock.foreseen.states, "rollback": clock.foreseen.rollback} if clock else {}
        for state, stretch in parts.items():
            left.add_metric([self.run.name, state, str(stretch.is_at_least).lower()], stretch.seconds)
        yield left

    def _budgets(self) -> Iterator[Metric]:
        """Only those that the plan gives: an alert compares with what is there."""
        plan = self.run.plan
        if plan and plan.budget_seconds is not None:
            budget = plan.budget_seconds + self.run.extended_seconds
            yield _gauge("cutover_window_budget_seconds", "Budget of the window, with its extensions", self.run.name, budget)
        budgets = _family("cutover_state_budget_seconds", "Budget of a state", "state")
        for state, seconds in (plan.state_budgets if plan else {}).items():
            budgets.add_metric([self.run.name, state], seconds)
        yield budgets

    def _marks(self) -> Iterator[Metric]:
        transitions = _family(
            "cutover_transition_timestamp_seconds", "When a transition was taken", "source", "target", "trigger", "by"
        )
        for labels, at in self.moments.transitions.items():
            transitions.add_metric([self.run.name, *labels], at)
        commands = _family("cutover_command_timestamp_seconds", "When a command was last answered", "verb", "by", "outcome")
        for labels, at in self.moments.commands.items():
            commands.add_metric([self.run.name, *labels], at)
        yield from (transitions, commands)


def _family(name: str, says: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, says, labels=["run", *labels])


def _gauge(name: str, says: str, run: str, value: float) -> GaugeMetricFamily:
    family = _family(name, says)
    family.add_metric([run], value)
    return family
