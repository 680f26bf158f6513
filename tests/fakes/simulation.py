"""A run driven as the daemon drives it, on a world in memory, with a referee and an oracle who follow every event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import repeat
from typing import Any

from fakes.oracle import Oracle
from fakes.world import Clock, Items, World, finished

from cutoverd.events import facts
from cutoverd.events.codec import Chain, Envelope, encode
from cutoverd.events.commands import Command, Verb
from cutoverd.states.decide import allowed_verbs, decide
from cutoverd.states.errors import CheckFailed
from cutoverd.states.evolve import evolve
from cutoverd.states.forecast import WINDOW
from cutoverd.states.next_action import (
    MOST_NAMED,
    AppendEvent,
    AttemptGroup,
    AttemptStep,
    AwaitOperator,
    Finished,
    ProbeStep,
    next_action,
)
from cutoverd.states.overrun import overrun
from cutoverd.states.ports import AttemptId, Direction, Found, Probed
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run, Status, StepKey
from cutoverd.states.step import Context, Effect

BEGINNING = datetime(2026, 12, 5, 21, 0, tzinfo=UTC)
NAME = "night"
PATIENCE = 2000  # turns: no run of these tests needs a tenth


class Fate(Enum):
    """What becomes of an attempt, or of a look."""

    DONE = "done"
    FAILED_BEFORE = "failed, and nothing was done"
    FAILED_AFTER = "failed, although it was done"
    UNSEEN_BEFORE = "not done, and nobody knows"
    UNSEEN_AFTER = "done, and nobody knows"
    UNKNOWN = "nobody knows, however often it was tried"
    KILLED_BEFORE = "the daemon was killed before it was done"
    KILLED_AFTER = "the daemon was killed when it was done"

    @property
    def takes_effect(self) -> bool:
        return self in (Fate.DONE, Fate.FAILED_AFTER, Fate.UNSEEN_AFTER, Fate.KILLED_AFTER)

    @property
    def kills(self) -> bool:
        return self in (Fate.KILLED_BEFORE, Fate.KILLED_AFTER)


class OneRound(Clock):
    """Ends what would go on for as long as the run is held."""

    async def sleep(self, seconds: float) -> None:
        raise StopAsyncIteration


class Killed(Exception):
    """the daemon is gone, and with it what it had in memory"""


@dataclass
class Referee:
    """Holds against every event what must be true, always."""

    doors_unproven: set[str] = field(default_factory=set)
    proven: dict[tuple[str, str], Found | None] = field(default_factory=dict)  # by a probe since the last attempt
    gate_reached_at: dict[str, int] = field(default_factory=dict)
    held: bool = False
    turned_at: int = 0
    answered: list[int] = field(default_factory=list)
    asked: dict[str, bool] = field(default_factory=dict)  # checks of Validate, whether they passed
    no_more: bool = False  # of what else is wrong is asked
    is_overrun: bool = False
    under_way: set[str] = field(default_factory=set)  # of a group: begun by the daemon that lives, without an outcome
    left: set[str] = field(default_factory=set)  # of a group: begun by one that was killed

    def judge(self, before: Run, event: facts.Event, seq: int, command: Command | None, world: World) -> None:
        assert not before.is_over, f"{event!r} after the end"
        if command:
            self.judge_answer(event, seq, command)
        self.follow_group(event)
        match event:
            case facts.StepStarted():
                self.judge_group(before, event)
                self.judge_attempt(event)
                self.judge_collecting(event)
            case facts.StepSucceeded() | facts.StepFailed() if StepKey.of(event.step).definition.collected:
                self.asked[event.step] = isinstance(event, facts.StepSucceeded)
                self.no_more |= getattr(event, "error", "") == "OutcomeUnknown"
            case facts.CollectingEnded():
                assert not all(self.asked.values()), "nothing had failed"
                self.no_more = True
            case facts.ValidationFailed():
                self.judge_validation(before, event)
            case facts.WindowOverrun():
                self.judge_overrun(before, event)
            case facts.WindowExtended():
                self.is_overrun = False
            case facts.RetryRequested() if before.state == PreCheck.name and _begins_anew(before):
                self.asked.clear()
                self.no_more = False
            case facts.StepProbed(step=step, direction=direction, found=found):
                self.proven[step, direction] = Found(found)
                if direction == "forward" and found == "absent":
                    self.doors_unproven.discard(step)
            case facts.GateReached(gate=gate):
                self.gate_reached_at[gate] = seq
            case facts.RunHeld():
                self.held = True
            case facts.RunResumed() | facts.AbortRequested():
                self.held = False
            case facts.Transitioned():
                self.judge_transition(event, command, world)
                self.held, self.turned_at, self.no_more = False, seq, False

    def follow_group(self, event: facts.Event) -> None:
        """What is under way, and what a killed daemon left so."""
        match event:
            case facts.StepSucceeded() | facts.StepFailed() | facts.StepInterrupted():
                self.under_way.discard(event.step)
            case facts.LeaderAcquired():
                self.left |= self.under_way
                self.under_way.clear()
            case facts.Transitioned():
                self.left.clear()

    def judge_group(self, before: Run, event: facts.StepStarted) -> None:
        """Side by side is only what changes nothing, on the way there; what a kill left comes first, and nothing comes twice."""
        step = StepKey.of(event.step)
        if not step.definition.grouped:
            assert not self.under_way, f"{event!r} beside {self.under_way}"
            return
        assert step.definition.effect is Effect.NONE, f"{event!r} changes something"
        assert (step.state, event.direction) == (before.state, "forward"), f"{event!r} in {before.state}"
        assert event.step not in self.under_way, f"{event!r} although it is under way"
        assert event.step not in self.asked, f"{event!r} although it was judged"
        assert event.step in self.left or not self.left, f"{event!r} before what a kill left: {self.left}"
        self.under_way.add(event.step)
        self.left.discard(event.step)
        assert len(self.under_way) <= before.frozen.validate_jobs, f"too many at once: {self.under_way}"

    def judge_answer(self, event: facts.Event, seq: int, command: Command) -> None:
        assert command.seq not in self.answered, f"{command} was answered twice"
        self.answered.append(command.seq)
        if isinstance(event, facts.CommandRejected):
            assert event.reason, "a refusal without a reason"
            return
        if command.verb in (Verb.ADVANCE, Verb.RESUME, Verb.RETRY, Verb.ABORT):
            assert command.seq > self.turned_at, f"{command} was sent before the run turned"
        if isinstance(event, facts.GatePassed):
            reached = self.gate_reached_at.pop(event.gate)  # KeyError: it was passed twice, or never reached
            assert command.seq > reached, f"{command} was sent before the gate was reached"

    def judge_attempt(self, event: facts.StepStarted) -> None:
        assert not self.held, f"{event!r} while the run is held"
        where, step = (event.step, event.direction), StepKey.of(event.step).definition
        if step.effect is Effect.PROBED and where in self.proven:
            wanted = Found.ABSENT if event.direction == "forward" else Found.PRESENT
            assert self.proven[where] is wanted, f"{event!r} although the last probe said {self.proven[where]}"
        self.proven[where] = None
        if step.opens_traffic and event.direction == "forward":
            self.doors_unproven.add(event.step)

    def judge_collecting(self, event: facts.StepStarted) -> None:
        """Once a check has failed, others are asked and nothing else is begun, until the run turns."""
        state = StepKey.of(event.step).state
        failed = [key for key in map(StepKey.of, self.asked) if key.state == state and not self.asked[str(key)]]
        if event.direction == "back" or not failed:
            return
        assert StepKey.of(event.step).definition.collected, f"{event!r} although the run will turn"
        assert not any(key.hides_rest for key in failed), f"{event!r} although it means nothing any more"
        assert event.step not in self.asked, f"{event!r} although it was judged"
        assert not self.no_more, f"{event!r} although its time is over"

    def judge_overrun(self, before: Run, event: facts.WindowOverrun) -> None:
        """Once; of a run that goes on in its window, and it turns only what going back helps."""
        assert not any((self.is_overrun, before.held, before.failure, before.aborting, before.failed_checks))
        assert before.state in WINDOW, before.state
        self.is_overrun, self.held = True, event.turns == "hold"
        if event.turns:
            assert not before.traffic_may_be_open
            assert event.rollback_seconds is not None
            assert event.forward_seconds > event.rollback_seconds
            assert event.turns == before.frozen.on_overrun

    def judge_validation(self, before: Run, event: facts.ValidationFailed) -> None:
        """It names all that failed, and all that nobody asked."""
        checks = [str(key) for key in before.keys(before.state) if key.definition.collected]
        failed = [check for check in checks if self.asked.get(check) is False]
        unchecked = [check for check in checks if check not in self.asked]
        assert [each.step for each in event.failures] == failed[:MOST_NAMED]
        assert event.not_checked == unchecked[:MOST_NAMED]
        assert (event.failed, event.unchecked) == (len(failed), len(unchecked))

    def judge_transition(self, event: facts.Transitioned, command: Command | None, world: World) -> None:
        if event.target != "rollback" or event.trigger == "retry":
            return
        if self.doors_unproven or world.clients_were_let_in or world.stranger_wrote:
            assert command, f"{event!r} by itself, with clients in"
            assert command.verb is Verb.ROLLBACK, f"{event!r} although {command} does not ask for it"
            assert event.accept_loss, f"{event!r} gives up writes that nobody gave up"
            assert event.reason.strip(), f"{event!r} gives up writes without a reason"


@dataclass
class Simulation:
    """`fates` and `mail` say at which moment what happens; a moment is a turn of the loop, or the middle of a step."""

    items: Items
    gates: Sequence[str]
    ran: set[str] = field(default_factory=set)
    fates: Mapping[int, Fate] = field(default_factory=dict)
    mail: Mapping[int, list[dict[str, Any]]] = field(default_factory=dict)
    opens: datetime | None = None
    operators: Sequence[str] = ()
    ailing: int = 0  # rounds of Monitor's checks that see errors
    strangers: bool = False  # who write to production past the traffic switch
    patience: int | None = None  # so many moments after a failure in Validate no more is asked
    smoke_roles: bool = False  # CONNECT is withheld from all others until clients are admitted
    rehearses: bool = False  # the window, in PreCheck
    jobs: int = 1  # checks of Validate side by side
    budget: float | None = None  # seconds of the window; each message takes one
    on_overrun: str = ""
    ends: Iterator[int] = field(default_factory=lambda: repeat(0))  # which of those is the next to end; beyond the last: none
    killed_before: int | None = None  # the daemon dies once, before it has written the n-th message
    killed_after: int | None = None  # … or right after

    def __post_init__(self) -> None:
        self.world = World.before_the_window(self.items, self.ran)
        self.world.ailing = self.ailing
        self.world.strangers, self.world.smoke_roles = self.strangers, self.smoke_roles
        self.facade = self.world.facade()
        self.referee, self.oracle = Referee(), Oracle()
        self.run, self.chain = Run(NAME), Chain()
        self.messages: list[tuple[int, bytes]] = []
        self.lived: list[Run] = []  # the run after each message
        self.commands: list[Command] = []
        self.seq = self.moment = self.epoch = self.turns = 0
        self.collecting_since = 0
        self.acting: list[tuple[StepKey, str]] = []  # those of a group, with the ids of their beginnings
        self.now = BEGINNING

    # the bus

    def say(self, verb: str, **fields: Any) -> Command:
        """An operator sends a command; whether anybody hears it is another matter."""
        self.seq += 1
        self.now += timedelta(seconds=1)
        command = Command(verb=Verb(verb), seq=self.seq, sent_at=self.now, by="alice", **fields)
        self.commands.append(command)
        return command

    def append(self, event: facts.Event, command: Command | None = None) -> str:
        self.seq += 1
        self.now += timedelta(seconds=1)
        self.die_if(len(self.messages) + 1 == self.killed_before)
        self.referee.judge(self.run, event, self.seq, command, self.world)
        position = max(command.seq if command else 0, self.run.command_position)
        envelope = Envelope(f"e{self.seq}", NAME, self.now, self.chain.n + 1, self.chain.head, self.epoch, position, event)
        message = encode(envelope)
        self.run = evolve(self.run, self.chain.checked(message, self.seq))
        self.oracle.follow(event, self.run)
        self.chain = self.chain.extended(message, self.seq)
        self.messages.append((self.seq, message))
        self.lived.append(self.run)
        self.die_if(len(self.messages) == self.killed_after)
        return envelope.id

    def die_if(self, now: bool) -> None:
        if now:
            self.killed_before = self.killed_after = None
            raise Killed

    # the daemon

    def start(self) -> Simulation:
        """A daemon takes the run, for the first time or from one that was killed."""
        try:
            return self.take_over()
        except Killed:
            return self.take_over()

    def take_over(self) -> Simulation:
        self.acting.clear()
        replayed = replay(self.messages)
        assert replayed == self.run, "the journal tells another run than the one that was lived"
        self.epoch = self.run.epoch + 1
        self.world.epoch = self.epoch
        self.append(facts.LeaderAcquired(epoch=self.epoch, host="db1", pid=self.epoch))
        if self.run.plan is None:
            items = {kind: list(names) for kind, names in self.items.items()}
            named: dict[str, Any] = {"gates": list(self.gates), "operators": list(self.operators)}
            named |= {"rehearses": self.rehearses, "validate_jobs": self.jobs}
            named |= {"budget_seconds": self.budget, "on_overrun": self.on_overrun, "state_budgets": {"rollback": 2.0}}
            self.append(facts.RunStarted(plan_sha256="", files={}, items=items, opens=self.opens, **named))
        return self

    def drive(self) -> AwaitOperator | Finished:
        """Until nothing can be done without a person."""
        while True:
            self.turns += 1
            assert self.turns < PATIENCE, f"no end in sight in {self.run.state}"
            try:
                waiting = self.turn()
            except Killed:
                self.start()
                continue
            if waiting and not self.has_mail_to_come():
                assert not self.referee.under_way, f"{waiting} while {self.referee.under_way}"
                return waiting

    def until(self, reached: Callable[[Run], object]) -> Simulation:
        """Turn by turn, until the run is so."""
        while not reached(self.run):
            assert self.turn() is None, f"{self.run.state}: {next_action(self.run)}"
        return self

    def has_mail_to_come(self) -> bool:
        return not self.run.is_over and any(moment > self.moment for moment in self.mail)

    def turn(self) -> AwaitOperator | Finished | None:
        if self.listen() and self.acting:
            return self.end_all()
        upcoming = next_action(self.run)
        match upcoming:
            case AttemptGroup(attempts):
                running = [key for key, _ in self.acting]
                assert {*running} <= {each.key for each in attempts}, f"{upcoming} ends what runs: {running}"
                for each in attempts:
                    if each.key not in running:
                        self.acting.append((each.key, self.begin(each)))
                self.go_on_beside()
            case _ if self.acting:
                assert isinstance(upcoming, AwaitOperator), f"{upcoming} while {self.acting} are under way"
                assert self.run.held, f"{upcoming} while {self.acting} are under way"
                self.go_on_beside()
            case AppendEvent(event):
                self.append(event)
            case AttemptStep(key, direction):
                mark_id = self.begin(upcoming)
                self.act(key, direction, mark_id, turned=self.listen())
            case ProbeStep(key, direction):
                self.probe(key, direction)
            case AwaitOperator(reason):
                self.go_on(upcoming.meanwhile)
                assert allowed_verbs(self.run), f"nothing can be said to {upcoming}"
                assert reason, f"nobody knows why of {upcoming}"
                return upcoming
            case Finished():
                return upcoming
        return None

    def listen(self) -> bool:
        """Take in what was said; whether it turned the run, as the daemon's loop sees it."""
        self.moment += 1
        for fields in self.mail.get(self.moment, ()):
            self.say(**fields)
        turned = [self.handle(command) for command in self.commands]  # all are handled, even after one that turned the run
        return any([*turned, self.time_up(), self.overrun()])

    def time_up(self) -> bool:
        """Whether it is over now, as the daemon's clock tells it."""
        if not self.run.failed_checks or self.run.failure or self.run.collecting_ended or self.patience is None:
            return False
        self.collecting_since = self.collecting_since or self.moment
        is_over = self.moment >= self.collecting_since + self.patience
        if is_over:
            self.append(facts.CollectingEnded(seconds=float(self.patience)))
        return is_over

    def overrun(self) -> bool:
        """Whether the window would end too late by now, and the run turns for it."""
        found = overrun(self.run, self.now)
        if found:
            self.append(found)
        return bool(found and found.turns)

    def handle(self, command: Command) -> bool:
        if command.seq <= self.run.command_position or self.run.is_over:
            return False
        before, events = self.run, decide(self.run, command, self.now)
        assert len(events) == 1, f"{command} led to {events}"
        self.append(events[0], command)
        held_now = self.run.held is not None and self.run.held.now and before.held != self.run.held
        return held_now or (before.state, before.aborting, before.failure) != (
            self.run.state,
            self.run.aborting,
            self.run.failure,
        )

    def begin(self, take: AttemptStep) -> str:
        return self.append(facts.StepStarted(step=str(take.key), direction=take.direction, attempt=take.attempt))

    def go_on_beside(self) -> None:
        """A moment of a group: one ends, or none does, or all do because the run turned."""
        if self.listen():
            self.end_all()
            return
        one = next(self.ends) % (len(self.acting) + 1)
        if one < len(self.acting):
            self.act(*self.take_out(one), turned=False)
            while self.run.collecting_ended and self.acting:
                self.act(*self.take_out(0), turned=True, fate=Fate.UNSEEN_BEFORE)

    def end_all(self) -> None:
        while self.acting:
            self.act(*self.take_out(0), turned=True)

    def take_out(self, one: int) -> tuple[StepKey, Direction, str]:
        key, mark_id = self.acting.pop(one)
        return key, Direction.FORWARD, mark_id

    def act(self, key: StepKey, direction: Direction, mark_id: str, *, turned: bool, fate: Fate | None = None) -> None:
        fate = fate or self.fates.get(self.moment, Fate.UNSEEN_BEFORE if turned else Fate.DONE)
        act = key.definition.run if direction is Direction.FORWARD else key.definition.undo
        assert act, f"{key} has no way back"
        try:
            evidence = finished(act(self.context(key, direction, mark_id))) if fate.takes_effect else {}
        except CheckFailed:
            fate, evidence = Fate.FAILED_AFTER, {}
        self.world.let_strangers_write()
        done_before = key.definition.effect is Effect.PROBED and evidence.get("already_done")
        assert not done_before, f"{key} was taken again although it was done"
        if fate.kills:
            raise Killed
        self.append(_outcome(fate, key, direction, evidence))

    def go_on(self, key: StepKey | None) -> None:
        """One round of what goes on while the run is held."""
        if key and key.definition.while_held:
            held = self.context(key, Direction.FORWARD, "")
            with suppress(StopAsyncIteration):
                finished(key.definition.while_held(replace(held, ports=replace(held.ports, clock=OneRound()))))

    def probe(self, key: StepKey, direction: Direction) -> None:
        self.listen()
        fate = self.fates.get(self.moment, Fate.DONE)
        if fate.kills:
            raise Killed
        assert key.definition.probe, f"{key} has no probe"
        probed = finished(key.definition.probe(self.context(key, direction, "")))
        if fate is not Fate.DONE:
            probed = Probed(Found.UNKNOWN, {})
        self.append(facts.StepProbed(step=str(key), direction=direction, found=probed.found))

    def context(self, key: StepKey, direction: Direction, mark_id: str) -> Context:
        return Context(
            self.world.ports(),
            AttemptId(NAME, self.epoch, str(key), direction, mark_id),
            key.item,
            self.run.entered_at,
            self.run.frozen.watch_seconds,
            self.run.evidence(),
            self.run.breached,
            self.run.answered_seq,
            self.record,
        )

    async def record(self, event: facts.Event) -> None:
        self.append(event)

    # an operator who means well

    def finish(self, *, going_on: bool = True) -> Run:
        """Nothing goes wrong any more, and a person answers what is asked, until the end."""
        self.fates, self.mail = {}, {}
        for _ in range(50):
            waiting = self.drive()
            if isinstance(waiting, Finished):
                return self.run
            self.now = max(self.now, self.opens or self.now)
            self.say(_answer(self.run, going_on=going_on), reason="seen", accept_loss=True)
        raise AssertionError(f"no end in sight: {next_action(self.run)}")


def _begins_anew(run: Run) -> bool:
    """Whether a rehearsal does, at a `retry`."""
    check = run.of(StepKey.of(str(PreCheck.check_copy)), Direction.FORWARD)
    return bool(run.failed_checks) or check.status is Status.FAILED


def _answer(run: Run, *, going_on: bool) -> str:
    forward, back = ("advance", "resume", "retry", "ready"), ("rollback", "abort", "retry", "resume")
    return next(verb for verb in (forward if going_on else back) if verb in allowed_verbs(run))


def _outcome(fate: Fate, key: StepKey, direction: Direction, evidence: Mapping[str, Any]) -> facts.Event:
    what = {"step": str(key), "direction": direction, "seconds": 0.1}
    if fate is Fate.DONE:
        return facts.StepSucceeded(**what, evidence=dict(evidence))
    if fate in (Fate.FAILED_BEFORE, Fate.FAILED_AFTER, Fate.UNKNOWN):
        return facts.StepFailed(**what, error=_error(fate, key), reason=fate.value)
    return facts.StepInterrupted(**what, reason=fate.value)


def _error(fate: Fate, key: StepKey) -> str:
    """A count that fails for certain leaves new as it was, and one that cannot is of unknown outcome: test_count_writes.py."""
    is_of_count = fate is Fate.FAILED_AFTER and key.definition.after_failure
    return "OutcomeUnknown" if is_of_count or fate is Fate.UNKNOWN else "CheckFailed"


def replay(messages: Sequence[tuple[int, bytes]]) -> Run:
    run, chain = Run(NAME), Chain()
    for seq, message in messages:
        run, chain = evolve(run, chain.checked(message, seq)), chain.extended(message, seq)
    return run
