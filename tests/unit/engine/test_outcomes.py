"""Whatever a step says, its outcome fits into a message of the journal, and what was cut says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cutoverd.daemon.engine.message import LARGEST_MESSAGE_BYTES
from cutoverd.daemon.engine.outcomes import ended_by, interrupted, succeeded
from cutoverd.events.codec import GENESIS, Envelope, decode, encode
from cutoverd.events.facts import Event
from cutoverd.states.errors import CheckFailed, TimedOut
from cutoverd.states.run import StepKey

KEY = StepKey("data", "run_script", "x" * 4096)  # the longest path
HEADERS_BYTES = 1024
AT = datetime(2026, 1, 1, tzinfo=UTC)
CHARACTERS = ("x", "ü", "界", "🚢", "\0", "\\", '"', "\udc80")


def message(event: Event) -> bytes:
    """As it goes to the journal; read again, as a replay would."""
    body = encode(Envelope("i" * 32, "r" * 40, AT, 1, GENESIS, 1, 1, event))
    assert len(body) + HEADERS_BYTES < LARGEST_MESSAGE_BYTES
    decode(body)
    return body


@pytest.mark.parametrize("character", CHARACTERS)
def test_a_novel_in_an_error_its_hint_and_its_evidence_fits(character: str) -> None:
    long = character * 200_000
    error = CheckFailed(long, hint=long, evidence={"stderr": long, "keys": [long] * 3, "file": "differences.jsonl"})
    failed = ended_by(error, KEY, "forward", 1.0, 1)
    message(failed)
    assert failed.evidence["file"] == "differences.jsonl", "what is short is kept"
    assert failed.reason.endswith("more characters)")


@pytest.mark.parametrize("character", CHARACTERS)
def test_a_long_reason_of_an_interruption_fits(character: str) -> None:
    message(interrupted(KEY, "back", 1.0, character * 200_000))


@pytest.mark.parametrize(
    "evidence",
    [
        {"unread": [f"public.table_{n}" for n in range(5000)]},
        {"tables": {f"public.table_{n}": {"inserted": n, "updated": 0, "deleted": 0} for n in range(5000)}},
        {f"table_{n}": n for n in range(5_000)},
        {"t" * 100_000: 1, "short": 2},
        {"deep": [[[["x" * 10_000] * 10] * 10] * 10]},
        {f"key {n}": "x" * 3000 for n in range(20)},
    ],
)
def test_evidence_that_is_too_long_keeps_its_beginning_and_says_how_much_is_missing(evidence: dict[str, Any]) -> None:
    body = message(succeeded(KEY, "forward", 1.0, evidence))
    assert " more" in body.decode() or "t…" in body.decode()


def test_5000_tables_are_told_as_far_as_they_fit() -> None:
    unread = [f"public.table_{n}" for n in range(5000)]
    evidence = succeeded(KEY, "forward", 1.0, {"unread": unread, "waived": {}}).evidence
    kept = evidence["unread"][:-1]
    assert kept == unread[: len(kept)]
    assert evidence["unread"][-1] == f"… {5000 - len(kept)} more"
    assert evidence["waived"] == {}


def test_what_fits_is_not_touched() -> None:
    evidence = {"rows": 3, "nested": {"a": [1, 2.5, None, True, "ü"]}}
    assert succeeded(KEY, "forward", 1.0, evidence).evidence == evidence


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [(0.0, "1 ms"), (0.0012, "1 ms"), (0.4, "400 ms"), (1.04, "1.0 s"), (90.0, "1:30"), (14400.02, "4:00:00")],
)
def test_a_time_out_says_how_long_it_was_as_durations_are_written(seconds: float, reason: str) -> None:
    """Found: `timeouts.step: 1ms` ended a step by "not done after 0 s"."""
    failed = ended_by(TimeoutError(), KEY, "forward", seconds, 1)
    assert (failed.error, failed.reason, failed.hint) == ("TimedOut", f"not done after {reason}", TimedOut.hint)


def test_what_a_time_out_said_itself_is_kept() -> None:
    failed = ended_by(TimeoutError("no answer within 5 s"), KEY, "forward", 5.0, 1)
    assert failed.reason == "not done after 5.0 s: no answer within 5 s"
