"""What a disturbed run must have kept, and left behind."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from traceback import format_exception

from support.aftermath import assert_is_new, assert_repeats_are_proven
from support.clients import Crowd
from support.night import Night, a_night, until
from support.production import Photograph, log_in, names
from support.servers import Cluster
from support.soak import counts
from support.soak.one_run import Disturbed, Script
from support.soak.writers import add_logins, admit, lines_in, nobody_writes, photograph_without_lines, writing
from support.takeovers import acted_when_older

from cutoverd.daemon.host.launcher import birth
from cutoverd.daemon.host.private_files import read_private
from cutoverd.events import facts
from cutoverd.events.codec import Recorded

SYSTEMS = {"worker.old", "api.old", "door.door"}
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'cutoverd/%'"
BACK_SECONDS = 30  # until every client has written again
GONE_SECONDS = 15
SHOWN = 5  # of each kind of fault
LAST_WORDS = 4000  # characters of output that a fault is told with


@dataclass
class Result:
    """What is added up in the table."""

    seed: int
    end: str = "none"
    moves: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)  # in which a move came
    exits: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    commands: int = 0
    slowest_answer_seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    undriven: list[str] = field(default_factory=list)
    deaf: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        kinds = {
            "lost": self.lost,
            "nobody drove": self.undriven,
            "deaf": self.deaf,
            "traceback": self.tracebacks,
            "besides": self.others,
        }
        return [f"{kind}: {fault}" for kind, found in kinds.items() for fault in _first_of(found)]


def _first_of(faults: list[str]) -> list[str]:
    return [*faults[:SHOWN], *([f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else [])]


def one_run(cluster: Cluster, folder: Path, seed: int) -> Result:
    """Drawn from the seed, disturbed, taken to an end, and looked at."""
    script, result = Script.of(seed), Result(seed)
    add_logins(cluster)
    with a_night(cluster, folder, state_dir="state") as night:
        script.add_to_plan(night)
        admit(night, written=script.is_written_to)
        cluster.execute("CHECKPOINT")  # a crash gives a sequence back as the WAL has it, up to 32 further
        disturbed = Disturbed(night, script)
        try:
            with writing(night, script.seed) if script.is_written_to else nobody_writes() as clients:
                disturbed.drive()
                clients.wait_until_all_write(BACK_SECONDS)
            _prove(disturbed, clients, result)
        except Exception as error:  # of this run: the others go on
            result.others.append("".join(format_exception(error)[-2:])[:LAST_WORDS])
        result.moves, result.states, result.exits = disturbed.made, disturbed.made_in, disturbed.fleet.exits
    return result


def _prove(disturbed: Disturbed, clients: Crowd, result: Result) -> None:
    night, watch, sent = disturbed.night, disturbed.watch, disturbed.operator.sent
    journal = night.journal()
    result.end = _end_of(journal)
    result.writes, result.commands = len(clients.acknowledged), len(sent)
    given_up = lines_in(night.cluster, "app_next") if "app_next" in names(night.cluster) else set()
    result.lost = counts.lost_writes(clients.acknowledged, lines_in(night.cluster, "app"), given_up, journal)
    result.undriven = watch.undriven
    result.deaf, result.slowest_answer_seconds = counts.unanswered(sent, journal, watch.calm_seconds)
    result.deaf += counts.stepped_over(sent, journal)
    result.tracebacks = counts.tracebacks(night.output)
    result.others += [*counts.hung(journal, watch.calm_seconds), *(f"adrift {each}" for each in watch.adrift)]
    result.others += acted_when_older(journal)
    result.others += counts.errors_by_themselves(disturbed.fleet.errors, journal)
    result.others += [] if disturbed.has_ended else [f"no end: {watch.run.state}, held {watch.run.held}, {watch.run.failure}"]
    if disturbed.has_ended:
        _prove_the_end(night, journal, result.end, written=bool(clients.clients))
    _prove_nothing_is_left(night)


def _end_of(journal: list[Recorded]) -> str:
    return next((each.event.target for each in reversed(journal) if isinstance(each.event, facts.Transitioned)), "none")


def _prove_the_end(night: Night, journal: list[Recorded], end: str, *, written: bool) -> None:
    """Which way it ended, only the moments decided."""
    if end == "completed":
        assert_is_new(night, journal)
        return
    assert end in ("rolledback", "aborted"), end
    _compare(photograph_without_lines(night, written=written), night.before)
    assert log_in(night.cluster) > 0
    assert night.systems() == SYSTEMS
    assert_repeats_are_proven(night, journal)
    expected = {"app", "app_closed", "app_next"} if end == "rolledback" else {"app"}
    assert names(night.cluster) <= expected, names(night.cluster)


def _compare(now: Photograph, before: Photograph | None) -> None:
    assert before
    assert (now.row, now.settings, now.comment) == (before.row, before.settings, before.comment), f"{now.row} {before.row}"
    lines = unified_diff(before.dump.decode().splitlines(), now.dump.decode().splitlines(), lineterm="", n=0)
    assert not (differing := list(lines)), "\n".join(differing)


def _prove_nothing_is_left(night: Night) -> None:
    """No daemon, no child of one, no session."""
    assert [daemon.pid for daemon in night.daemons if daemon.poll() is None] == []
    assert [pid for file in night.folder.glob("**/children/*.json") if (pid := _living(file))] == []
    until(lambda: night.cluster.execute(SESSIONS) == [(0,)], "no session of a daemon is left", GONE_SECONDS)


def _living(record: Path) -> int | None:
    child = json.loads(read_private(record))
    return child["pid"] if birth(child["pid"]) == child["birth"] else None
