"""Nights brought to the point where a test begins."""

from __future__ import annotations

from typing import Any

from fakes.simulation import Fate, Simulation

from cutoverd.events import facts
from cutoverd.events.codec import decode
from cutoverd.states.next_action import AttemptGroup, next_action
from cutoverd.states.run import Run, StepKey

ITEMS = {
    "services": ["worker", "api"],
    "new_services": ["api"],
    "tested_services": ["api"],
    "traffic": ["lb"],
    "data_scripts": ["a.sql"],
    "queries": ["overview"],
    "health": ["page"],
}
DOOR = StepKey("cutover", "open_traffic", "lb")
SCRIPT = StepKey("data", "run_script", "a.sql")
STOP = StepKey("downtime", "stop_service", "api")
RESTART = STOP  # its way back


def night(gates: tuple[str, ...] = (), **more: Any) -> Simulation:
    """A run that has just started."""
    return Simulation(**{"items": ITEMS, "gates": gates, "ran": {"worker", "api"}, **more}).start()


def entering(state: str, **more: Any) -> Simulation:
    return night(**more).until(lambda run: run.state == state)


def waiting(simulation: Simulation, verb: str = "note", **fields: Any) -> Simulation:
    """Something was said, and the run has gone as far as it goes without a person."""
    simulation.say(verb, **fields)
    simulation.drive()
    return simulation


def saying(simulation: Simulation, verb: str, **fields: Any) -> Simulation:
    """Something was said and answered; nothing was done since."""
    simulation.say(verb, **fields)
    simulation.listen()
    return simulation


def failing(simulation: Simulation, what: Fate = Fate.FAILED_BEFORE) -> Simulation:
    """The next step fails, whatever it is."""
    simulation.fates = {simulation.moment + 2: what}
    simulation.turn()
    return simulation


def is_next(run: Run, key: StepKey) -> bool:
    upcoming = next_action(run)
    keys = [each.key for each in upcoming.attempts] if isinstance(upcoming, AttemptGroup) else [getattr(upcoming, "key", None)]
    return key in keys


def about_to(key: StepKey, **more: Any) -> Simulation:
    return night(**more).until(lambda run: is_next(run, key))


def in_the_middle_of(key: StepKey) -> Simulation:
    """A step was announced, and no outcome was seen."""
    simulation = about_to(key)
    simulation.append(facts.StepStarted(step=str(key), direction="forward", attempt=1))
    return simulation


def clients_in() -> Simulation:
    return night().until(lambda run: run.is_done(DOOR))


def unknown() -> Simulation:
    """Held, for nobody knows whether a script has done its work."""
    simulation = in_the_middle_of(SCRIPT)
    simulation.append(facts.StepProbed(step=str(SCRIPT), direction="forward", found="unknown"))
    simulation.drive()
    return simulation


def abort_failed() -> Simulation:
    simulation = night().until(lambda run: run.is_done(StepKey("precheck", "make_placeholder")))
    return failing(saying(simulation, "abort"))


def stuck() -> Simulation:
    simulation = saying(entering("schema"), "rollback")
    failing(simulation).drive()
    return simulation


def recorded(simulation: Simulation) -> list[facts.Event]:
    return [decode(message).event for _, message in simulation.messages]
