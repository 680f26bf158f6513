"""The last screen and the last lines of a run: why, what is left over, and what comes next."""

from __future__ import annotations

from fakes.recording_ports import Night
from fakes.situations import entering, failing, saying
from unit.events.test_old_journals import JOURNALS, replayed
from unit.views.test_run_tree import moment

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.terminal.event_printer import TextFormat
from cutoverd.daemon.views.run_tree import TreeInput, tree
from cutoverd.daemon.views.status import status_document
from cutoverd.daemon.views.summary import FINALIZE, HISTORY, left_over
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events.codec import Recorded, decode
from cutoverd.states.errors import StepError
from cutoverd.states.evolve import evolve
from cutoverd.states.run import Run

REASON = 'db/01.sql:7: relation "b" does not exist (SQLSTATE 42P01)'
HINT = "the schema files come first: see that one of them makes it"


def lost() -> None:
    raise StepError(REASON, hint=f"{HINT}, then `retry`")  # which nobody hears any more when the run is over


def events_of(stream: MemoryStream) -> list[Recorded]:
    return [Recorded(m.seq, decode(m.data)) for m in stream.messages if m.subject.startswith("cutover.evt")]


async def turned_back() -> list[Recorded]:
    """A run that turned back because of a script, in the step's own words."""
    made = Night()
    made.world.wrong["scripts.run_script.1.sql"] = lost
    made.world.wrong["databases.leftovers"] = lambda: {"databases": ["app_closed", "app_next"]}
    await made.daemon()
    return events_of(made.stream)


def ending_of(events: list[Recorded]) -> tuple[TreeInput, str]:
    """The moment after them, and the last text of the lines."""
    run, timeline, lines, last = Run("night"), Timeline(), TextFormat(), ""
    for each in events:
        run, last = evolve(run, each), ""
        timeline.apply(each)
        last = lines(run, each)
    return TreeInput(run, timeline, None, timeline.last_at), last


async def test_the_last_screen_says_why_it_turned_back_what_is_left_over_and_what_comes_next() -> None:
    """Found: it said `rolledback` and no more; who had watched all night had to ask the journal why."""
    at, last = ending_of(await turned_back())
    lines = tree(at, width=160)
    assert lines[-5:] == [
        "⚠ the run has ended: rolledback",
        f"  turned back: data.run_script:1.sql: {REASON}",
        f"  → {HINT}",
        "  left over: app_closed, app_next",
        f"  next: {HISTORY}; {FINALIZE}",
    ]
    assert [line.strip() for line in last.splitlines()[1:]] == [line.strip() for line in lines[-4:]]


async def test_the_last_lines_repeat_what_our_role_could_not_carry_and_what_was_waived_or_warned_of() -> None:
    """Found: the setting of a role in the database was gone after a completed run; the one line that said so was hours up."""
    lost = """ALTER ROLE "app_user" IN DATABASE "app" SET "search_path" TO 'shop';  -- permission denied"""
    label = "SECURITY LABEL FOR selinux ON DATABASE app IS 'x';"
    made = Night()
    made.world.wrong["databases.check_fit"] = lambda: {"not_carried": [lost, label], "warnings": ["seen before the window"]}
    made.world.wrong["databases.build_new"] = lambda: {"not_carried": [lost]}
    made.world.wrong["validation.check_grants"] = lambda: {
        "waived": {"row level security is off: public.a": "no tenants"}, "warnings": ["clerk can do more than in old"]
    }  # fmt: skip
    await made.daemon()
    at, last = ending_of(events_of(made.stream))
    assert at.run.state == "completed"
    assert [line.strip() for line in last.splitlines()[-5:-1]] == [
        f"to do: {' '.join(lost.split())}",
        f"to do: {label}",
        "waived: row level security is off: public.a (no tenants)",
        "look at: clerk can do more than in old",
    ]
    assert status_document(at.run, at.timeline, at.now)["to_do"] == [lost, label]


async def test_the_last_screen_is_wrapped_where_it_is_narrow_and_never_higher_than_the_screen() -> None:
    at, _ = ending_of(await turned_back())
    lines = tree(at, width=40)
    assert REASON.split()[-1] in " ".join(lines), "the end of the reason is not cut"
    assert any("⚠ the run has ended" in line for line in lines)
    assert "⚠ the run has ended: rolledback" in tree(at, width=40, height=4)


async def test_a_completed_run_names_old_and_the_placeholder_until_they_are_dropped() -> None:
    [path] = [path for path in JOURNALS if path.stem.startswith("completed")]
    at, last = ending_of([recorded for _, recorded in await replayed(path)])
    ended, left, *to_do, _ = tree(at, width=200)[-5:]
    assert (ended, left) == ("✔ the run has ended: completed", "  left over: app_closed, app_previous")
    assert [line.strip().partition(" SET ")[0] for line in to_do] == [
        'to do: ALTER DATABASE "app"', 'to do: ALTER ROLE "app_user" IN DATABASE "app"'
    ]  # fmt: skip
    assert "left over: app_closed, app_previous" in last
    at.timeline.dropped.update(("app_previous", "app_closed"))
    assert left_over(at.run, at.timeline) == []
    assert tree(at, width=160)[-1] == f"  next: {HISTORY}"


def test_once_a_way_back_that_failed_is_tried_again_the_first_reason_counts() -> None:
    simulation = saying(entering("schema"), "rollback", reason="the pager is dead")
    failing(simulation).drive()
    assert simulation.run.is_stuck
    assert "nothing was done" in moment(simulation).timeline.turned_because
    saying(simulation, "retry")
    simulation.drive()
    assert (simulation.run.state, moment(simulation).timeline.turned_because) == ("rolledback", "the pager is dead")
