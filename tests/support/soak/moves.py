"""What is done to a run at a moment of which it knows nothing. A script of moves is drawn from a seed before the run begins."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import psycopg
from fault.test_foreign_events import CAUSES as FOREIGN
from fault.test_foreign_events import EVENTS, RUNS, STATUS, publish, wire_to
from integration.bus.test_hostile_messages import CAUSES as HOSTILE
from support.night import Night
from support.servers import pause, resume
from support.soak.fleet import Fleet
from support.soak.operator import Operator

from cutoverd.daemon.embedded import nats

ENDS_SECONDS = 3.0  # for the daemon that has ended its server to end, too
FAILING = (
    "smoke api test",
    "start api test",
    "stop worker old",
    "start worker new",
    "start api new",
    "close door",
    "health page",
)
WORDS = {
    "advance": 3, "hold": 4, "hold --now": 4, "resume": 3, "retry": 2, "note": 2, "ready": 1, "fail": 1,
    "rollback": 1, "rollback --accept-loss": 0.5, "abort": 0.5,
}  # fmt: skip


@dataclass
class Scene:
    """One disturbed run, as its moves see it."""

    night: Night
    fleet: Fleet
    operator: Operator
    chance: random.Random


def say(scene: Scene) -> None:
    [word] = scene.chance.choices([*WORDS], [*WORDS.values()])
    scene.operator.say(word)


def kill_a_daemon(scene: Scene) -> None:
    if living := scene.fleet.living():
        scene.fleet.kill(scene.chance.choice(living))


def pause_a_daemon(scene: Scene) -> None:
    if living := [each for each in scene.fleet.living() if each.pid not in scene.fleet.paused]:
        scene.fleet.pause(scene.chance.choice(living), scene.chance.uniform(0.05, 4.0))


def start_a_second_daemon(scene: Scene) -> None:
    scene.fleet.start(*_options(scene.chance))


def start_a_daemon_elsewhere(scene: Scene) -> None:
    scene.fleet.start_elsewhere(*_options(scene.chance))


def take_over_while_it_stands_still(scene: Scene) -> None:
    """The older one wakes up at any moment of the takeover."""
    pause_a_daemon(scene)
    start_a_daemon_elsewhere(scene)


def _options(chance: random.Random) -> tuple[str, ...]:
    return ("--auto",) if chance.random() < 0.3 else ()


def kill_nats(scene: Scene) -> None:
    _signal_nats(scene, signal.SIGKILL)


def restart_nats(scene: Scene) -> None:
    """In order; whoever needs it starts it again."""
    _signal_nats(scene, signal.SIGTERM)


def _signal_nats(scene: Scene, number: signal.Signals) -> None:
    if server := nats.find(scene.night.state_dir / "nats"):
        os.kill(server.pid, number)
        scene.fleet.disturb()


def pause_nats(scene: Scene) -> None:
    server = nats.find(scene.night.state_dir / "nats")
    if server and not scene.fleet.is_away("nats"):
        os.kill(server.pid, signal.SIGSTOP)
        scene.fleet.take_away("nats", scene.chance.uniform(0.2, 6.0), lambda: resume(server.pid))


def kill_postgres(scene: Scene) -> None:
    if not scene.fleet.is_away("postgres"):
        scene.night.cluster.kill()
        scene.fleet.take_away("postgres", scene.chance.uniform(0.0, 2.0), scene.night.cluster.start)


def stop_postgres_at_once(scene: Scene) -> None:
    """Shutdown mode `immediate`."""
    pid = scene.night.cluster.pid
    if pid and not scene.fleet.is_away("postgres"):
        os.kill(pid, signal.SIGQUIT)
        scene.fleet.take_away("postgres", scene.chance.uniform(0.3, 3.0), lambda: _start_anew(scene.night))


def restart_postgres(scene: Scene) -> None:
    """In order, within one move."""
    if not scene.fleet.is_away("postgres"):
        scene.night.cluster.restart()
        scene.fleet.disturb()


def _start_anew(night: Night) -> None:
    night.cluster.kill()  # whatever has not gone yet
    night.cluster.start()


def pause_postgres(scene: Scene) -> None:
    """All of it, or the postmaster alone: then whoever is in goes on, and nobody gets in."""
    pid = scene.night.cluster.pid
    if not pid or scene.fleet.is_away("postgres"):
        return
    pause(pid)  # first: it would start more
    with_sessions = scene.chance.random() < 0.6
    stopped = [pid, *(child.pid for child in psutil.Process(pid).children() if with_sessions)]
    for each in stopped[1:]:
        os.kill(each, signal.SIGSTOP)
    scene.fleet.take_away("postgres", scene.chance.uniform(0.2, 5.0), lambda: [resume(each) for each in stopped[::-1]] and None)


@contextmanager
def while_its_server_is_there(scene: Scene) -> Iterator[None]:
    """A run that ends takes its embedded server with it; where it has not ended, a server that refuses is a fault."""
    try:
        yield
    except ConnectionError:
        scene.fleet.wait(ENDS_SECONDS)
        if not scene.fleet.has_ended:
            raise


def publish_as_a_stranger(scene: Scene) -> None:
    """On the subjects of events and runs: rubbish, forged and republished events, with and without odd headers."""
    scene.fleet.wait_for_servers("nats")
    bodies = FOREIGN[scene.chance.choice([*FOREIGN])](scene.night)
    subject, headers = scene.chance.choice([EVENTS, EVENTS, RUNS]), scene.chance.choice([b"", STATUS])
    with while_its_server_is_there(scene):
        publish(scene.night, *bodies, subject=subject, headers=headers)


def command_as_no_program_would(scene: Scene) -> None:
    """On `cutover.cmd`: headers of JetStream's own, half a header, subjects that are not UTF-8."""
    scene.fleet.wait_for_servers("nats")
    causes = scene.chance.sample([*HOSTILE], 8)
    with while_its_server_is_there(scene):
        wire = wire_to(scene.night)
        for cause in causes:
            wire.send(HOSTILE[cause])
        wire.close()


def make_a_command_fail(scene: Scene) -> None:
    """The next smoke test, service, door or health proof of that kind."""
    how = {"exit": 1, "nothing": scene.chance.random() < 0.5, "skip": scene.chance.choice([0, 0, 1])}
    scene.night.knob(scene.chance.choice(FAILING), **how)


def make_validation_fail(scene: Scene) -> None:
    """For as long as a role has that setting, which every database sees."""
    scene.fleet.wait_for_servers("postgres")
    scene.night.cluster.execute("""ALTER ROLE reader SET "night.invalid" = 'on'""")
    scene.fleet.later(scene.chance.uniform(1.0, 6.0), lambda: let_validation_pass(scene))


def let_validation_pass(scene: Scene) -> None:
    """Again later where the server is away."""
    try:
        scene.night.cluster.execute("""ALTER ROLE reader RESET "night.invalid" """)
    except psycopg.Error:
        scene.fleet.later(0.5, lambda: let_validation_pass(scene))


VALIDATION = (
    """SELECT NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setconfig @> '{night.invalid=on}') AS ok, 'valid' AS "check";"""
)

MOVES: dict[str, tuple[Callable[[Scene], None], float]] = {
    "a word": (say, 7),
    "kill -9 of a daemon": (kill_a_daemon, 3),
    "pause of a daemon": (pause_a_daemon, 2.5),
    "a second daemon, same state_dir": (start_a_second_daemon, 1),
    "a second daemon, another state_dir": (start_a_daemon_elsewhere, 1.5),
    "a takeover from a paused daemon": (take_over_while_it_stands_still, 2),
    "kill -9 of NATS": (kill_nats, 1.5),
    "restart of NATS": (restart_nats, 1),
    "pause of NATS": (pause_nats, 1.5),
    "kill -9 of PostgreSQL": (kill_postgres, 1),
    "immediate stop of PostgreSQL": (stop_postgres_at_once, 1),
    "restart of PostgreSQL": (restart_postgres, 0.5),
    "pause of PostgreSQL": (pause_postgres, 1.5),
    "foreign messages among the events": (publish_as_a_stranger, 2),
    "hostile messages among the commands": (command_as_no_program_would, 2),
    "a failing command": (make_a_command_fail, 2),
    "a failing validation": (make_validation_fail, 1),
}


@dataclass(frozen=True)
class Move:
    kind: str
    after_seconds: float
    seed: str


def drawn(seed: int, chance: random.Random) -> list[Move]:
    """How many, which, and when: nothing of it depends on what the run does."""
    kinds, weights = [*MOVES], [weight for _, weight in MOVES.values()]
    chosen = chance.choices(kinds, weights, k=chance.randint(5, 18))
    return [Move(kind, chance.uniform(0.0, 1.8), f"{seed}/{n}") for n, kind in enumerate(chosen)]
