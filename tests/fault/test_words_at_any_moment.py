"""Words that know nothing of steps: at any moment a hold, a resume, a kill, and at last `abort`, `rollback`, or nothing."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from aftermath import assert_completed, assert_rolled_back
from night import Night, a_night, until
from production import log_in, photograph
from servers import Cluster
from wire import publish

from cutoverd.daemon.exits import Exit
from cutoverd.events import facts

LAST = {"completed": None, "aborted": "abort", "rolledback": "rollback"}  # the word that is to end the run
HOW = {"completed": Exit.COMPLETED, "rolledback": Exit.ROLLED_BACK, "aborted": Exit.ABORTED}


def is_ended(night: Night) -> bool:
    """A daemon that found its run held, with nobody to ask, has left: the next one goes on."""
    code = night.daemons[-1].poll()
    if code == Exit.UNFINISHED:
        say(night, "resume")
        night.start("--auto")
    return code in HOW.values()


def say(night: Night, verb: str, **fields: object) -> None:
    publish(night, json.dumps({"verb": verb, "reason": "a soak", "accept_loss": verb == "rollback", **fields}))


def disturb(night: Night, chance: random.Random) -> None:
    """A hold, with what runs or without, that is ended again; or a kill."""
    time.sleep(chance.uniform(0.0, 1.5))
    if is_ended(night):
        return
    if chance.random() < 0.3:
        night.kill()
        night.start("--auto")
    else:
        say(night, "hold", now=chance.random() < 0.7)
        time.sleep(chance.uniform(0.0, 0.3))
        say(night, "resume")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("last", LAST)
def test_a_run_hears_every_word_at_any_moment_and_ends_whole(cluster: Cluster, tmp_path: Path, last: str, seed: int) -> None:
    chance = random.Random(f"{last} {seed}")
    with a_night(cluster, tmp_path) as night:
        night.start("--auto")
        night.wait_for(facts.LeaderAcquired)
        for _ in range(chance.randint(1, 6)):
            disturb(night, chance)
        time.sleep(chance.uniform(0.0, 2.0))
        if (word := LAST[last]) and not is_ended(night):
            say(night, word)
        until(lambda: is_ended(night), "the run ends")
        assert_ended_whole(night)


def assert_ended_whole(night: Night) -> None:
    """As it ended; which way that was, only the moments decided."""
    end = night.last_transition().target
    assert night.exit_code() == HOW[end], night.said
    if end == "completed":
        assert_completed(night)
    elif end == "rolledback":
        assert_rolled_back(night)
    else:
        assert photograph(night.cluster) == night.before
        assert log_in(night.cluster) > 0
        assert night.systems() == {"worker.old", "api.old", "door.door"}
