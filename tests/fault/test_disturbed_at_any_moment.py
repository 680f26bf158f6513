"""Words and kills that know nothing of steps: a hold, a resume, the daemon or a server killed at any moment; at last a word."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from support.aftermath import assert_completed, assert_rolled_back
from support.clients import crowd
from support.night import Night, a_night, until
from support.production import log_in, names, photograph
from support.servers import Cluster
from support.wire import publish

from cutoverd.daemon.embedded import nats
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.events import facts

LAST = {"completed": None, "aborted": "abort", "rolledback": "rollback"}  # the word that is to end the run
HUNG_SECONDS = 30.0  # no step of a small night takes as long, on a busy machine with a server that recovers
ENDS = {"completed": Exit.COMPLETED, "rolledback": Exit.ROLLED_BACK, "aborted": Exit.ABORTED}
SEEDS = range(int(os.environ.get("CUTOVERD_SOAK_SEEDS", "8")))


def end_of(night: Night) -> str:
    return next((each.event.target for each in reversed(night.journal()) if isinstance(each.event, facts.Transitioned)), "")


def is_over(night: Night) -> bool:
    """Also while its last daemon still says so to the world."""
    return any(event.target in ENDS for event in night.events(facts.Transitioned))


def is_ended(night: Night) -> bool:
    """A daemon that found its run held, or PreCheck failed, with nobody to ask, has left: the next one goes on."""
    code = night.daemons[-1].poll()
    if is_over(night) or (code in ENDS.values() and end_of(night) in ENDS):
        return True
    assert code in (None, Exit.UNFINISHED, Exit.ABORTED), night.output
    if code is not None:
        say(night, "resume" if code == Exit.UNFINISHED else "retry")
        night.start("--auto")
    return False


def say(night: Night, verb: str, **fields: object) -> None:
    try:
        publish(night, json.dumps({"verb": verb, "reason": "a soak", "accept_loss": verb == "rollback", **fields}))
    except (OSError, AssertionError):
        if not is_over(night):  # else its server went in that moment
            raise


def hold(night: Night, chance: random.Random) -> None:
    """With what runs or without, and ended again."""
    say(night, "hold", now=chance.random() < 0.7)
    time.sleep(chance.uniform(0.0, 0.3))
    say(night, "resume")


def kill_the_daemon(night: Night, chance: random.Random) -> None:
    night.kill()
    night.start("--auto")


def kill_postgres(night: Night, chance: random.Random) -> None:
    night.cluster.kill()
    time.sleep(chance.uniform(0.0, 1.0))
    night.cluster.start()


def kill_nats(night: Night, chance: random.Random) -> None:
    if server := nats.find(night.state_dir / "nats"):
        os.kill(server.pid, signal.SIGKILL)


HOW = {"words": (hold, hold, kill_the_daemon), "servers": (hold, kill_the_daemon, kill_postgres, kill_nats)}


def disturbed(night: Night, how: str, last: str, seed: int) -> None:
    """From its start to its end, whichever that will be."""
    chance = random.Random(f"{how} {last} {seed}")
    night.start("--auto")
    night.wait_for(facts.LeaderAcquired)
    for _ in range(chance.randint(1, 6)):
        time.sleep(chance.uniform(0.0, 1.5))
        if not is_ended(night):
            chance.choice(HOW[how])(night, chance)
    time.sleep(chance.uniform(0.0, 2.0))
    if (word := LAST[last]) and not is_ended(night):
        say(night, word)
    until(lambda: is_ended(night), "the run ends", seconds=90)
    night.exit_code()  # the server is the daemon's to stop: nobody reads the journal before
    assert_nothing_hung(night)


def assert_nothing_hung(night: Night) -> None:
    """Found: a word took a minute to end a step, and every run still ended whole."""
    for before, after in pairwise(night.journal()):
        seconds = (after.envelope.time - before.envelope.time).total_seconds()
        assert seconds < HUNG_SECONDS, (before.event, after.event)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("how", HOW)
def test_a_run_disturbed_at_any_moment_ends_whole(cluster: Cluster, tmp_path: Path, how: str, last: str, seed: int) -> None:
    with a_night(cluster, tmp_path) as night:
        cluster.execute("CHECKPOINT")  # a crash gives a sequence back as the WAL has it, up to 32 further
        disturbed(night, how, last, seed)
        assert_ended_whole(night)


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("last", LAST)
def test_no_acknowledged_write_is_lost_in_a_disturbed_run(cluster: Cluster, tmp_path: Path, last: str, seed: int) -> None:
    """Clients whom no door keeps out: what they wrote is in the database that they reach, or in new that is kept."""
    with a_night(cluster, tmp_path) as night:
        with crowd(cluster) as clients:
            clients.wait_until_all_write(30)
            before = set(clients.acknowledged)
            disturbed(night, "servers", last, seed)
            clients.wait_until_all_write(30)
        end, here = end_of(night), lines(cluster, "app")
        assert night.exit_code() == ENDS[end], night.output
        kept = lines(cluster, "app_next") if end == "rolledback" and "app_next" in names(cluster) else set()
        assert before <= here
        assert set(clients.acknowledged) <= here | kept


def lines(cluster: Cluster, database: str) -> set[str]:
    cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    return {line for (line,) in cluster.execute("SELECT line FROM store.log WHERE line ~ '^(fast|slow|pooled)'", database)}


def assert_ended_whole(night: Night) -> None:
    """As it ended; which way that was, only the moments decided."""
    end = end_of(night)
    assert night.exit_code() == ENDS[end], night.output
    if end == "completed":
        assert_completed(night)
    elif end == "rolledback":
        assert_rolled_back(night)
    else:
        assert photograph(night.cluster) == night.before
        assert log_in(night.cluster) > 0
        assert night.systems() == {"worker.old", "api.old", "door.door"}
