"""A second opinion on every history: the machine of the table, driven by the events alone, beside `evolve`."""

from __future__ import annotations

from collections.abc import Callable

from transitions import MachineError

from cutoverd.events import facts
from cutoverd.states import ENDS, STATES, STUCK, TABLE
from cutoverd.states.machine import machine_of
from cutoverd.states.run import Run, StepKey

ALL = (*STATES, STUCK, *ENDS)


class Disagreement(AssertionError):
    """a history, or what `evolve` makes of it, is none that the table allows"""


class Oracle:
    """A model of the machine: its state, its own account of traffic, and the guards by name.

    It asks neither `evolve` nor `decide` nor the guards that they ask: only the table, and what a step is.
    """

    state: str  # these two are given by `transitions`
    trigger: Callable[..., bool]

    def __init__(self) -> None:
        self.begun: set[str] = set()  # the steps that open traffic
        self.exposed = False  # the names may have changed hands
        self.counted: str | None = None  # what was written to new, as a count since the last failure has it
        self.shut: set[str] = set()  # of these, what a probe proved not to have opened it, and nothing has happened since
        machine_of(TABLE, ALL, model=self)

    # the guards

    def nothing_written(self, event: facts.Transitioned) -> bool:
        return not self.may_lose_writes

    def loss_accepted(self, event: facts.Transitioned) -> bool:
        return not self.may_lose_writes or (event.accept_loss and event.reason != "")

    @property
    def may_lose_writes(self) -> bool:
        return self.traffic_may_be_open or (self.state in ("smoke", "cutover") and self.exposed and self.counted != "none")

    @property
    def traffic_may_be_open(self) -> bool:
        return self.state == "monitor" or (self.state == "cutover" and bool(self.begun - self.shut))

    # the events

    def follow(self, event: facts.Event, run: Run) -> None:
        """One more event, and the run that `evolve` made of it; raises `Disagreement`."""
        match event:
            case facts.Transitioned():
                self.take(event)
            case facts.StepStarted(step=step, direction="forward") if StepKey.of(step).definition.opens_traffic:
                self.begun.add(step)
                self.shut.discard(step)
            case facts.StepProbed(step=step, direction="forward", found=found) if step in self.begun:
                (self.shut.add if found == "absent" else self.shut.discard)(step)
            case facts.LeaderAcquired() | facts.RunResumed() | facts.RetryRequested():
                self.shut.clear()  # much may have happened since the probe
        self.count(event)
        self.compare(event, run)

    def count(self, event: facts.Event) -> None:
        """Whether somebody may have written to new, and what a count of it found; a new failure wants a new count."""
        match event:
            case facts.StepStarted(step="smoke.exchange_names", direction="forward"):
                self.exposed = True
            case facts.StepSucceeded(step="smoke.count_writes" | "cutover.count_writes", evidence=evidence):
                self.counted = evidence["writes"]
            case facts.StepStarted(step="smoke.count_writes" | "cutover.count_writes"):
                self.counted = None
            case facts.StepFailed(step=step) if step.endswith(".count_writes"):
                self.counted = "unknown"
            case (
                facts.StepFailed() | facts.FailureReported() | facts.LeaderAcquired() | facts.RunResumed() | facts.Transitioned()
            ):
                self.counted = None

    def take(self, event: facts.Transitioned) -> None:
        if event.source != self.state:
            raise Disagreement(f"{event!r}, but the table is in {self.state}")
        try:
            taken = self.trigger(event.trigger, event)
        except (MachineError, AttributeError) as error:
            raise Disagreement(f"{event!r}: {error}") from error
        if not taken:
            raise Disagreement(f"{event!r}, which its guard refuses")

    def compare(self, event: facts.Event, run: Run) -> None:
        """The run is where the table is, and knows as much about what may be lost."""
        if getattr(event, "target", self.state) != self.state:
            raise Disagreement(f"{event!r}, but the table leads to {self.state}")
        ours, theirs = (
            f"{of.state}, may lose writes: {of.may_lose_writes}, traffic may be open: {of.traffic_may_be_open}"
            for of in (self, run)
        )
        if ours != theirs:
            raise Disagreement(f"after {event!r} the table is in {ours}; evolve in {theirs}")
