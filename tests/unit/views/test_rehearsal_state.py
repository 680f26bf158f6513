"""Every gate says whether the window was rehearsed; and of a rehearsal of many steps the tree shows what matters."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from fakes.backups import Backups
from fakes.simulation import Simulation
from fakes.situations import failing, is_next, night

from cutoverd.daemon.metrics.run_collector import RunGauges
from cutoverd.daemon.progress import Progress, ProgressReading
from cutoverd.daemon.views.event_lines import line
from cutoverd.daemon.views.rehearsal_state import rehearsal_state
from cutoverd.daemon.views.run_tree import TreeInput, tree
from cutoverd.daemon.views.status import status_document
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Recorded, decode
from cutoverd.states.evolve import evolve
from cutoverd.states.ports import Evidence
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run, StepKey

RECORD = {"at": "2026-12-01T12:00:00+00:00", "made_by": "another", "seconds": {"schema.build_new": 1.0}}
SKIPPED: Evidence = {"skipped": "a twin was cut over last week", "warnings": ["x"]}
ON_RECORD: Evidence = {"identity": "i", "on_record": RECORD, "why": ""}
ELSEWHERE: Evidence = {**ON_RECORD, "on_record": {**RECORD, "place": "twin on db2:5432", "is_elsewhere": True}}
WORDS = {
    "skipped": "⚠ the window was not rehearsed (a twin was cut over last week): scripts and validations run in the window for "
    "the first time",
    "elsewhere": "✔ the window was rehearsed on 2026-12-01 12:00 UTC by run another on twin on db2:5432, with the same catalog, "
    "SQL files and plan",
    "on record": "✔ the window was rehearsed on 2026-12-01 12:00 UTC by run another, with the same catalog, SQL files and plan",
}
MANY = {"data_scripts": [f"{n:03}.sql" for n in range(60)], "services": [], "traffic": ["lb"], "health": ["page"]}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `find_rehearsal` will say: to be filled."""
    answer: dict[str, Any] = {}

    async def find_rehearsal(*_: object) -> Evidence:
        return answer

    async def check_rehearsal(*_: object) -> Evidence:
        return {"age_seconds": 1.0}

    monkeypatch.setattr(Backups, "find_rehearsal", find_rehearsal)
    monkeypatch.setattr(Backups, "check_rehearsal", check_rehearsal)
    return answer


def at_the_gate() -> Simulation:
    simulation = night(("downtime", "cutover"))
    simulation.drive()
    assert simulation.run.gate, "it waits for `advance`"
    return simulation


def drawn(simulation: Simulation, progress: Progress | None = None, **size: int) -> list[str]:
    timeline = Timeline()
    for seq, message in simulation.messages:
        timeline.apply(Recorded(seq, decode(message)))
    return tree(TreeInput(simulation.run, timeline, progress, timeline.last_at + timedelta(seconds=3)), **size)


def gate_lines(simulation: Simulation) -> list[str]:
    """Of each gate that was reached or passed, from the messages alone."""
    run, lines = Run("night"), []
    for seq, message in simulation.messages:
        recorded = Recorded(seq, decode(message))
        run = evolve(run, recorded)
        if isinstance(recorded.event, facts.GateReached | facts.GatePassed):
            lines.append(line(run, recorded).splitlines()[1].strip())
    return lines


@pytest.mark.parametrize(("how", "answer"), [("skipped", SKIPPED), ("on record", ON_RECORD), ("elsewhere", ELSEWHERE)])
def test_every_gate_says_that_the_window_was_not_rehearsed_or_when_and_by_whom(
    how: str, answer: Evidence, found: dict[str, Any]
) -> None:
    found.update(answer)
    simulation = at_the_gate()
    assert WORDS[how] in drawn(simulation, width=200)
    assert len(drawn(simulation, width=200, height=24)) <= 24
    simulation.say("advance")
    simulation.drive()
    assert simulation.run.gate, "that before Cutover"
    assert WORDS[how] in drawn(simulation, width=200)
    assert gate_lines(simulation) == [WORDS[how]] * 3
    status = status_document(simulation.run, Timeline(), simulation.now)
    assert (status["rehearsal"]["how"] == "skipped", status["rehearsal"]["says"]) == (how == "skipped", WORDS[how][2:])


def test_the_metric_has_the_reason_as_a_label(found: dict[str, Any]) -> None:
    found.update(SKIPPED)
    simulation = at_the_gate()
    gauges = RunGauges("night", lambda: simulation.now)
    for (seq, message), run in zip(simulation.messages, simulation.lived, strict=True):
        gauges.apply(run, Recorded(seq, decode(message)))
    [sample] = [each for family in gauges.collect() if family.name == "cutover_rehearsal" for each in family.samples]
    assert (sample.labels["how"], sample.labels["reason"], sample.value) == ("skipped", "a twin was cut over last week", 1)


def test_nothing_is_claimed_before_it_is_known_or_of_an_older_run(found: dict[str, Any]) -> None:
    assert rehearsal_state(night().run) is None
    assert status_document(night().run, Timeline(), night().now)["rehearsal"] is None
    older = at_the_gate()
    assert not found
    assert rehearsal_state(older.run) is None
    assert not any("rehearsed" in each for each in drawn(older, width=200))


def test_a_rehearsal_of_many_steps_is_one_line_with_the_running_one_below_it() -> None:
    running = PreCheck.rehearse.of("data.run_script:031.sql")
    simulation = night(items=MANY, rehearses=True).until(lambda run: is_next(run, StepKey.of(running)))
    simulation.append(facts.StepStarted(step=running, direction="forward", attempt=1))
    progress = Progress(running, "forward", 1, 72.0, ProgressReading("031.sql:7, INSERT", 3, 4, "statements"))
    lines = drawn(simulation, progress, width=100, height=60)
    at = next(n for n, each in enumerate(lines) if each.startswith("   ▶ rehearse  "))
    assert re.fullmatch(r"   ▶ rehearse  3\d of \d\d steps  3\.\d s", lines[at]), lines[at]
    assert lines[at + 1] == "     ▶ data.run_script:031.sql  1:12  75%  3 of 4 statements, 031.sql:7, INSERT"
    assert lines[at + 2] == "   ◌ check_copy"
    assert not any("030.sql" in each or "032.sql" in each for each in lines)


def test_what_failed_in_it_stands_alone_and_what_was_not_looked_at_is_counted() -> None:
    script = StepKey.of(PreCheck.rehearse.of("data.run_script:031.sql"))
    simulation = failing(night(items=MANY, rehearses=True).until(lambda run: is_next(run, script)))
    simulation.drive()
    lines = drawn(simulation, width=100, height=60)
    at = next(n for n, each in enumerate(lines) if " rehearse  " in each)
    assert re.fullmatch(r"   ✖ rehearse  3\d of \d\d steps, 1 failed, \d\d not looked at  3\.\d s", lines[at]), lines[at]
    assert lines[at + 1].startswith("     ✖ data.run_script:031.sql  ")
    known = rehearsal_state(simulation.run)
    assert known
    assert known.failed == ("data.run_script:031.sql",)
    assert known.not_checked[0] == "data.run_script:032.sql"
    assert "back: downtime.fence_old" in known.not_checked


def test_at_the_gate_after_a_rehearsal_it_says_how_long_that_took() -> None:
    simulation = night(("downtime",), rehearses=True)
    simulation.drive()
    assert re.search(
        r"✔ the window was rehearsed in PreCheck: \d+ steps, there and back, in \d", "\n".join(drawn(simulation, width=200))
    )
    assert re.search(r"   ✔ rehearse  (\d+) of \1 steps  \d", "\n".join(drawn(simulation, width=200, height=60)))
