"""The tree: what stands in it at each moment of a night, and that it fits whatever it is given."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.simulation import Simulation
from fakes.situations import SCRIPT, abort_failed, clients_in, entering, failing, in_the_middle_of, night, saying, stuck, unknown
from rich.cells import cell_len
from unit.events.test_old_journals import JOURNALS, replayed

from cutoverd.daemon.progress import Progress, ProgressReading
from cutoverd.daemon.terminal.live import styled
from cutoverd.daemon.views.event_json import as_json, json_line
from cutoverd.daemon.views.run_tree import TreeInput, tree
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events.codec import Recorded, decode
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.run import Run

RUNNING = Progress("data.run_script:a.sql", "forward", 2, 72, ProgressReading("a.sql:7, INSERT INTO b", 3, 4, "statements"))


def moment(simulation: Simulation, progress: Progress | None = None) -> TreeInput:
    timeline = Timeline()
    for seq, message in simulation.messages:
        timeline.apply(Recorded(seq, decode(message)))
    return TreeInput(simulation.run, timeline, progress, timeline.last_at + timedelta(seconds=3))


def drawn(simulation: Simulation, progress: Progress | None = None, **size: int) -> list[str]:
    return tree(moment(simulation, progress), **size)


def test_a_run_that_has_not_started():
    assert tree(TreeInput(Run("night"), Timeline(), None, None)) == ["◷ night: not started"]


def test_the_running_step_has_its_time_and_its_progress_and_the_last_lines_say_what_may_be_said():
    lines = drawn(in_the_middle_of(SCRIPT), RUNNING, width=100)
    assert "   ▶ run_script:a.sql  1:12  attempt 2  75%  3 of 4 statements, a.sql:7, INSERT INTO b" in lines
    assert "✔ precheck" in lines[1]
    assert lines[lines.index(next(line for line in lines if line.startswith("▶ data"))) + 2] == "   ◌ set_sequences"
    assert lines[-2].startswith("▶ data · ")
    assert lines[-2].endswith("steps · data.run_script:a.sql since 1:12")
    assert lines[-1] == "next: hold, rollback, fail, note"
    assert "◌ monitor" in lines


def test_a_step_of_which_nobody_saw_the_end_is_not_said_to_run():
    lines = drawn(in_the_middle_of(SCRIPT))
    assert "   ⚠ run_script:a.sql  nobody saw how it ended" in lines


@pytest.mark.parametrize(
    ("simulation", "status", "verbs"),
    [
        (night(("downtime",)).drive, "◷ precheck · ", "advance, hold, abort, fail, note"),
        (lambda: saying(entering("schema"), "hold", reason="wait for Bob"), "◷ schema · ", "resume, rollback, fail, note"),
        (unknown, "◷ data · ", "resume, rollback, fail, note"),
        (stuck, "✖ stuck · ", "retry, note"),
        (abort_failed, "✖ precheck · ", ""),
    ],
    ids=["a gate", "held", "unknown", "stuck", "an abort that failed"],
)
def test_who_is_waited_for_is_said(simulation, status, verbs):
    made = simulation()
    lines = drawn(made if isinstance(made, Simulation) else simulation.__self__, width=200)
    assert lines[-2].startswith(status)
    assert " · waits for a person: " in lines[-2]
    assert lines[-1].startswith("next: ")
    assert verbs in lines[-1]


def test_a_failed_step_is_named_with_its_reason():
    simulation = failing(entering("schema"))
    assert "   ✖ build_new  failed, and nothing was done" in drawn(simulation)
    simulation.turn()
    lines = drawn(simulation)
    assert [line[:8] for line in lines[1:5]] == ["✔ preche", "✔ downti", "✖ schema", "▶ rollba"]
    assert "   ◌ back: schema.build_new" in lines


def test_a_reason_that_a_person_has_to_act_on_is_wrapped_and_not_cut():
    """Found: the end of it was cut, and with it what mattered."""
    simulation = failing(night())
    simulation.run = replace(
        simulation.run, failure=replace(simulation.run.failure, reason="the sum of it all " * 12 + "THE END")
    )
    lines = drawn(simulation, width=80)
    assert lines[-2].endswith("THE END")
    assert lines[-1].startswith("next: ")
    assert all(line.startswith("    ") for line in lines[-4:-1])
    assert len(drawn(simulation, width=80, height=5)) == 5
    assert drawn(simulation, width=80, height=5)[-1].startswith("next: ")


def test_downtime_stands_against_the_budget():
    at = moment(clients_in())
    at.timeline.budget_seconds = 3600
    at.timeline.closed_at, at.timeline.opened_at = at.now - timedelta(seconds=192), None
    assert tree(at, width=60)[0].endswith("downtime 3:12 of 1:00:00")
    at.timeline.budget_seconds = 60
    assert tree(at, width=60)[0].endswith("downtime 3:12 of 1:00 ⚠")


def test_many_steps_give_way_to_the_running_one():
    items = {"data_scripts": [f"{n:03}.sql" for n in range(60)], "services": [], "traffic": ["lb"], "health": ["page"]}
    simulation = night(items=items).until(lambda run: run.is_done(SCRIPT.__class__("data", "run_script", "030.sql")))
    progress = Progress("data.run_script:031.sql", "forward", 1, 1.0)
    lines = drawn(simulation, progress, height=24)
    assert len(lines) == 24
    assert any("▶ run_script:031.sql" in line for line in lines)
    assert [line for line in lines if line.endswith(" before")]
    assert [line for line in lines if line.endswith(" more")]


def test_steps_side_by_side_have_each_their_own_line():
    items = {"comparisons": ["x", "y"], "traffic": ["lb"], "health": ["page"]}
    simulation = entering("validate", items=items, jobs=2)
    first, second = (Progress(f"validate.compare:{name}", "forward", 1, 72, ProgressReading(f"hashing {name}")) for name in "xy")
    at = replace(moment(simulation, first), beside=[second])
    lines = tree(at, width=100, height=40)
    assert [line for line in lines if "compare:" in line][:2] == [f"   ▶ compare:{name}  1:12  hashing {name}" for name in "xy"]
    assert lines[-2].endswith("validate.compare:x since 1:12, and 1 beside it")


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
async def test_every_moment_of_a_night_fits_every_terminal(path):
    timeline = Timeline()
    for run, recorded in await replayed(path):
        timeline.apply(recorded)
        running = timeline.running
        progress = running and Progress(running.step, running.direction, running.attempt, 1.0, RUNNING.reading)
        for width, height in ((0, 0), (13, 3), (20, 5), (40, 12), (80, 24), (300, 100)):
            lines = tree(TreeInput(run, timeline, progress, timeline.last_at), width=width, height=height)
            assert 0 < len(lines) <= max(height, 3)
            assert all(cell_len(line) <= max(width, 12) for line in lines), lines
            if progress and width >= 80 and height >= 24:
                name = running.step.partition(".")[2] if running.direction == "forward" else f"back: {running.step}"
                assert any(f"▶ {name}" in line for line in lines), (name, lines)


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
async def test_an_event_is_one_json_object_on_one_line_with_the_run_after_it(path):
    for run, recorded in await replayed(path):
        text = json_line(run, recorded)
        assert "\n" not in text
        document = json.loads(text)
        assert document == as_json(run, recorded)
        assert document["type"] == recorded.event.wire_type()
        assert (document["seq"], document["state"], document["next"]) == (recorded.seq, run.state, list(allowed_verbs(run)))
        assert document["line"]


def test_a_line_is_coloured_by_its_icon():
    assert [str(styled(line).style) for line in ("✖ schema", "   ▶ x ✔", "no icon")] == ["bold red", "bold", ""]
