"""What a small night must have left behind, however it was killed."""

from __future__ import annotations

from itertools import groupby, pairwise

from support.night import COMMANDS, Night
from support.production import log_in, names, photograph

from cutoverd.events import facts
from cutoverd.events.codec import Recorded

MACHINES = 500
LATE = "late_900"
TRANSACTIONAL = {"schema_001", "data_010", "data_020"}


def assert_completed(night: Night) -> None:
    """The daemon ended so; production is the new database, with every effect, and answers."""
    assert night.exit_code() == 0, night.output
    assert_is_new(night, night.journal())


def assert_is_new(night: Night, journal: list[Recorded]) -> None:
    """Production is the new database, with every effect, and answers."""
    assert night.systems() == {"worker.new", "api.new", "door.door"}
    assert names(night.cluster) == {"app", "app_previous", "app_closed"}
    assert night.cluster.execute("SELECT count(*) FROM fleet.machine", "app") == [(MACHINES,)]
    assert log_in(night.cluster) == MACHINES
    assert_effects_are_proven(night, journal, "app")


def assert_rolled_back(night: Night) -> None:
    """The daemon ended so; production is the old database to the byte, and answers."""
    assert night.exit_code() == 3, night.output
    assert photograph(night.cluster) == night.before
    assert log_in(night.cluster) == MACHINES
    assert night.systems() == {"worker.old", "api.old", "door.door"}
    assert_repeats_are_proven(night, night.journal())


def assert_effects_are_proven(night: Night, journal: list[Recorded], database: str) -> None:
    """Each transaction's row is there once; the script without one ran again only after a probe missed its effect."""
    rows = night.witnesses(database)
    assert {script: rows.get(script) for script in TRANSACTIONAL} == dict.fromkeys(TRANSACTIONAL, 1)
    missed = [e for e in journal if isinstance(e.event, facts.StepProbed) and _missed(e.event) and "late" in e.event.step]
    assert 1 <= rows[LATE] <= 1 + len(missed)
    assert set(rows) == TRANSACTIONAL | {LATE}
    assert_repeats_are_proven(night, journal)


def assert_repeats_are_proven(night: Night, journal: list[Recorded]) -> None:
    """No command was given twice without a probe in between that said its effect was missing."""
    missed = [
        (e.envelope.time.timestamp(), e.event) for e in journal if isinstance(e.event, facts.StepProbed) and _missed(e.event)
    ]
    system = lambda line: (line["what"], line["version"])  # noqa: E731
    for _, lines in groupby(sorted(night.witnessed(), key=system), system):
        for first, second in pairwise(lines):
            if first["verb"] == second["verb"]:
                between = [event for at, event in missed if first["at"] < at < second["at"]]
                assert any(COMMANDS[event.step, event.direction] == _command(first) for event in between), (first, second)


def times(night: Night, step: str, direction: str) -> int | None:
    """How often the command that changes what this step changes was given; None if the step gives no such command."""
    command = COMMANDS.get((step, direction))
    if command is None or command.startswith(("health", "smoke")):
        return None
    return [_command(line) for line in night.witnessed()].count(command)


def _missed(probe: facts.StepProbed) -> bool:
    return probe.found == ("absent" if probe.direction == "forward" else "present")


def _command(line: dict[str, str]) -> str:
    return " ".join(filter(None, (line["verb"], line["what"], line["version"])))
