"""The lines that people read."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.recording_ports import Night
from support.hostile import HOSTILE, unsafe

from cutoverd.daemon.views.event_lines import line
from cutoverd.events import facts
from cutoverd.events.codec import Envelope, Recorded
from cutoverd.events.facts import TYPES
from cutoverd.states.run import Run


def line_of(event: facts.Event) -> str:
    envelope = Envelope("1", "night", datetime(2026, 1, 1, tzinfo=UTC), 1, "", 1, 0, event)
    return line(Run("night"), Recorded(1, envelope))


async def test_the_tables_that_the_smoke_tests_wrote_are_named_in_the_line_and_counted_in_the_event() -> None:
    night = Night()
    counted = {"inserted": 2, "updated": 0, "deleted": 0, "replaced": False}
    night.world.wrong["databases.written"] = lambda: {"tables": {"store.note": counted}, "complete": True}
    await night.daemon()
    [recorded] = [e for e in await night.events() if isinstance(e, facts.StepSucceeded) and e.step == "smoke.record_written"]
    assert recorded.evidence == {"tables": {"store.note": counted}, "complete": True, "written": ["store.note"]}
    assert '⚠ written: ["store.note"]' in line_of(recorded)


def test_the_rows_of_a_step_are_in_its_line() -> None:
    done = facts.StepSucceeded(step="data.run_script:1.sql", direction="forward", seconds=1.0, evidence={"rows": 336_776})
    assert line_of(done).endswith("1.00 s  a data script has done its work, once, 336,776 rows")
    assert line_of(done.model_copy(update={"evidence": {"rows": 1}})).endswith(", 1 row")


def test_a_probe_that_could_not_tell_says_in_its_line_what_it_saw() -> None:
    """Found: `probed: its effect is unknown`, and no reason."""
    asked = {"step": "downtime.stop_service:api", "direction": "back", "found": "unknown"}
    text = line_of(facts.StepProbed(**asked, evidence={"error": "OutcomeUnknown: [./api, status] exited 1;\nit said: no"}))
    assert text.endswith("back: downtime.stop_service:api  probed: its effect is unknown: [./api, status] exited 1; it said: no")
    assert line_of(facts.StepProbed(**asked)).endswith("probed: its effect is unknown")


@pytest.mark.parametrize(
    ("step", "direction", "shown"),
    [
        ("precheck.check_server", "forward", "let it end, then `retry`"),
        ("downtime.fence_old", "back", "let it end, then `retry`"),
        ("downtime.fence_old", "forward", "let it end"),
    ],
)
def test_a_hint_names_no_command_that_is_not_heard_any_more(step: str, direction: str, shown: str) -> None:
    """Found: a lock at the fence turned the run back, and the line said `then retry`, which a run that goes back refuses."""
    failed = {"step": step, "direction": direction, "seconds": 30.0, "error": "LockHeld"}
    words = {"reason": "it waited", "hint": "let it end, then `retry`"}
    assert line_of(facts.StepFailed.model_validate({**failed, **words})).endswith(f"→ {shown}")


WORDS = {
    facts.AbortRequested: "abort by anonymous",
    facts.RetryRequested: "retry by anonymous",
    facts.RunResumed: "resumed by anonymous",
}


@pytest.mark.parametrize("event", WORDS)
def test_a_word_without_a_reason_ends_without_a_colon_and_a_reason_is_told(event: type[facts.Event]) -> None:
    """Found: `abort by anonymous: `, and why somebody resumed or tried again was told nowhere."""
    assert line_of(event.model_validate({"by": None})).endswith(WORDS[event])
    assert line_of(event.model_validate({"by": None, "reason": "the disk is back"})).endswith(f"{WORDS[event]}: the disk is back")


def hostile(kind: type[facts.Event]) -> facts.Event:
    """Every text in it is somebody else's."""
    given: dict[str, Any] = {
        "epoch": 3,
        "pid": 4,
        "attempt": 1,
        "seconds": 1.0,
        "n": 1,
        "count": 2,
        "oid": 5,
        "bytes": 6,
        "found": False,
    }
    given |= {"files": {}, "items": {}, "gates": [], "saw": HOSTILE, "orphans": [HOSTILE], "next": ["retry"], "version": "1"}
    refused = {"seq": 1, "verb": HOSTILE, "by": HOSTILE, "reason": HOSTILE}
    given |= {"first_seq": 7, "last_seq": 8, "forward_seconds": 3.0, "rollback_seconds": 1.0, "late_seconds": 2.0}
    given |= {"count": 2, "first": refused, "last": refused}
    step = f"data.run_script:{HOSTILE}"
    given |= {"failed": 2, "failures": [{"step": step, "reason": HOSTILE}] * 2, "unchecked": 1, "not_checked": [step]}
    given |= {"step": step, "direction": "forward", "evidence": {"keys": [HOSTILE], "warnings": [HOSTILE], "error": HOSTILE}}
    texts = {name: HOSTILE for name, field in kind.model_fields.items() if field.annotation in (str, str | None)}
    fields = {name: value for name, value in {**texts, **given}.items() if name in kind.model_fields}
    if kind is facts.StepProbed:
        fields["found"] = "unknown"
    return kind.model_validate(fields)


@pytest.mark.parametrize("kind", TYPES.values(), ids=lambda kind: kind.__name__)
def test_nobodys_text_draws_over_a_line_or_looks_like_another_event(kind: type[facts.Event]) -> None:
    """Found: escape sequences of a note went raw to the terminal, and its second line looked like an event of ours."""
    text = line_of(hostile(kind))
    assert not unsafe(text)
    first, *more = text.split("\n")
    assert first.startswith("00:00:00 ")
    assert all(each.startswith("           ") for each in more), text
