"""One disturbed run, from its seed to its end; whether it held is looked at by proof.py."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.night import Night
from support.rivals import Rivals
from support.soak.fleet import Fleet
from support.soak.moves import MOVES, VALIDATION, Move, Scene, drawn
from support.soak.operator import Operator
from support.soak.watch import Watch
from support.soak.writers import SMOKE

END_SECONDS = 240.0  # a run that nobody disturbs any more, on a busy machine
# where the moves begin: else most would come before the window, which is the longest part of a small night
BEGIN = {
    "precheck": 5,
    "downtime": 4,
    "schema": 2,
    "data": 2,
    "validate": 2,
    "smoke": 4,
    "cutover": 3,
    "monitor": 2,
    "rollback": 1,
}
LAST_WORDS = {"": 6, "rollback": 2, "rollback --accept-loss": 1, "abort": 1}


@dataclass(frozen=True)
class Script:
    """All that a seed decides."""

    seed: int
    moves: list[Move]
    begin: str  # the state
    is_written_to: bool
    names_smoke_roles: bool
    watch_time: str
    patience_seconds: float
    last_word: str
    options: tuple[str, ...]

    @classmethod
    def of(cls, seed: int) -> Script:
        chance = random.Random(f"soak {seed}")
        [begin] = chance.choices([*BEGIN], [*BEGIN.values()])
        [last] = chance.choices([*LAST_WORDS], [*LAST_WORDS.values()])
        return cls(
            seed,
            moves=drawn(seed, chance),
            begin=begin,
            is_written_to=chance.random() < 0.8,
            names_smoke_roles=chance.random() < 0.6,
            watch_time=chance.choice(["200ms", "4s"]),
            patience_seconds=chance.uniform(0.2, 2.5),
            last_word=last,
            options=("--auto",) if chance.random() < 0.3 else (),
        )

    def add_to_plan(self, night: Night) -> None:
        (night.folder / "validate" / "002.sql").write_text(VALIDATION)
        night.write_plan(monitor={"for": self.watch_time})
        if self.names_smoke_roles:
            night.write_plan(smoke={"roles": [SMOKE], "tests": night.plan["smoke"]})


@dataclass
class Disturbed:
    """A run on its way, with all who have to do with it."""

    night: Night
    script: Script
    watch: Watch = field(init=False)
    fleet: Fleet = field(init=False)
    operator: Operator = field(init=False)
    made: Counter[str] = field(default_factory=Counter)
    made_in: Counter[str] = field(default_factory=Counter)  # by state
    has_ended: bool = False

    def __post_init__(self) -> None:
        self.watch = Watch(self.night)
        self.fleet = Fleet(self.night, Rivals(self.night, random.Random(0)), lambda: self.watch.run.is_over)
        self.operator = Operator(self.fleet, self.watch, self.script.patience_seconds)

    def drive(self) -> None:
        """All moves, the last word, and then only what leads to an end."""
        self.fleet.start(*self.script.options)
        with self._watched():
            if self.script.begin == "rollback":
                self.night.knob("smoke api test", exit=1)
            self._attend(END_SECONDS, self._has_come_to_the_beginning)
            for move in self.script.moves:
                self._make(move)
            self.fleet.calm_down()
            if self.script.last_word and not self.fleet.has_ended:
                self.operator.say(self.script.last_word)
            self._attend(END_SECONDS, lambda: self.fleet.has_ended)
            self.has_ended = self.fleet.has_ended
            self._attend(20, lambda: not self.fleet.units)

    def _has_come_to_the_beginning(self) -> bool:
        run, states = self.watch.run, [*BEGIN]
        come = run.plan is not None and (run.state not in states or states.index(run.state) >= states.index(self.script.begin))
        return come or self.fleet.has_ended

    def _make(self, move: Move) -> None:
        self._attend(move.after_seconds, lambda: self.fleet.has_ended)
        if not self.fleet.has_ended:
            self.made[move.kind] += 1
            self.made_in[self.watch.run.state] += 1
            make, _ = MOVES[move.kind]
            make(Scene(self.night, self.fleet, self.operator, random.Random(move.seed)))

    def _attend(self, seconds: float, done: Callable[[], bool]) -> None:
        """Until then or until it is done; meanwhile supervisors and operator do what is theirs."""
        until = self.fleet.now() + seconds
        while not done() and self.fleet.now() < until:
            self.fleet.wait(0.05)
            if self.watch.error:
                raise self.watch.error
            if not self.fleet.has_ended:
                self._see_to_it()

    def _see_to_it(self) -> None:
        """Where all have ended for good, or were told not to come back, somebody starts one: after the watch has counted it."""
        if not self.fleet.units and self.fleet.is_left_alone():
            self.fleet.start()
        elif not self.fleet.is_away("nats"):
            self.operator.attend()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        self.watch.begin(self.fleet)
        try:
            yield
        finally:
            self.watch.end()
