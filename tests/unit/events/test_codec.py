"""Events as bytes: what goes in comes out, and nothing altered, missing or out of order goes unnoticed."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoverd.events import facts
from cutoverd.events.codec import GENESIS, Chain, Corrupt, Envelope, decode, encode, hash_of

AT = datetime(2026, 12, 5, 22, 0, tzinfo=UTC)

moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(),
    float: numbers,
    bool: st.booleans(),
    datetime: moments,
    datetime | None: st.none() | moments,
    float | None: st.none() | numbers,
    int | None: st.none() | st.integers(),
    str | None: st.none() | texts,
    list[str]: st.lists(texts, max_size=4),
    list[facts.FailedCheck]: st.lists(st.builds(facts.FailedCheck, step=texts, reason=texts), max_size=3),
    facts.RefusedCommand: st.builds(facts.RefusedCommand, seq=st.integers(), verb=texts, by=st.none() | texts, reason=texts),
    dict[str, float]: st.dictionaries(texts, st.floats(min_value=0, max_value=1e9), max_size=3),
    dict[str, str]: st.dictionaries(texts, texts, max_size=4),
    dict[str, list[str]]: st.dictionaries(texts, st.lists(texts, max_size=3), max_size=3),
    dict[str, Any]: st.dictionaries(texts, documents, max_size=4),
}


def of_type(event: type[facts.Event]) -> st.SearchStrategy[facts.Event]:
    return st.builds(event, **{name: BY_TYPE[field.annotation] for name, field in event.model_fields.items()})


events = st.one_of([of_type(event) for event in facts.TYPES.values()])
envelopes = st.builds(
    Envelope,
    id=st.uuids().map(lambda id: id.hex),
    run=st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
    time=moments,
    n=st.integers(1, 2**53),
    prev=st.binary(min_size=32, max_size=32).map(bytes.hex),
    epoch=st.integers(1, 2**53),
    command_position=st.integers(0, 2**53),
    event=events,
)


def note(text: str, n: int = 1, prev: str = GENESIS) -> Envelope:
    return Envelope(f"e{n}", "night", AT, n, prev, 1, 0, facts.NoteTaken(by=None, text=text))


def journal(*texts: str) -> list[bytes]:
    messages: list[bytes] = []
    for n, text in enumerate(texts, 1):
        messages.append(encode(note(text, n, hash_of(messages[-1]) if messages else GENESIS)))
    return messages


def read(messages: list[bytes]) -> list[facts.Event]:
    chain, events = Chain(), []
    for seq, message in enumerate(messages, 1):
        events.append(chain.checked(message, seq).event)
        chain = chain.extended(message, seq)
    return events


@given(envelopes)
def test_an_envelope_comes_back_as_it_went(envelope):
    message = encode(envelope)
    assert decode(message) == envelope
    assert encode(decode(message)) == message


@pytest.mark.parametrize("event", facts.TYPES.values(), ids=facts.TYPES)
def test_every_event_is_in_the_round_trip(event):
    assert all(field.annotation in BY_TYPE for field in event.model_fields.values())


@given(envelopes)
def test_a_message_is_a_cloudevent_that_any_reader_of_json_takes(envelope):
    document = json.loads(encode(envelope), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert document["specversion"] == "1.0"
    assert document["id"] == envelope.id
    assert document["source"] == f"cutoverd/{envelope.run}"
    assert document["type"] == envelope.event.wire_type()
    assert datetime.fromisoformat(document["time"]) == envelope.time
    assert document["datacontenttype"] == "application/json"
    assert all(name.isalnum() and name.islower() for name in document), "attributes of CloudEvents: a-z and 0-9 only"


def test_equal_envelopes_give_equal_bytes():
    evidence = {"b": 1, "a": {"d": 2, "c": 3}}
    turned = {"a": {"c": 3, "d": 2}, "b": 1}
    one, other = (
        encode(
            Envelope("e", "night", AT, 1, GENESIS, 1, 0, facts.StepSucceeded(step="s", direction="back", seconds=1, evidence=e))
        )
        for e in (evidence, turned)
    )
    assert one == other


def test_a_journal_is_read_in_its_order():
    assert [event.text for event in read(journal("a", "b", "c"))] == ["a", "b", "c"]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_missing_message_is_noticed(lost):
    messages = journal("a", "b", "c")
    del messages[lost]
    with pytest.raises(Corrupt, match="does not follow"):
        read(messages)


def test_two_messages_that_changed_places_are_noticed():
    first, second, third = journal("a", "b", "c")
    with pytest.raises(Corrupt, match="event 3 at stream sequence 2 does not follow event 1"):
        read([first, third, second])


def test_a_message_that_is_there_twice_is_noticed():
    first, second = journal("a", "b")
    with pytest.raises(Corrupt):
        read([first, first, second])


def test_an_altered_message_is_noticed_by_the_next():
    first, second = journal("accept 1 row", "b")
    with pytest.raises(Corrupt, match="its prev is"):
        read([first.replace(b"1 row", b"2 row"), second])


def test_a_forged_message_with_the_right_number_is_noticed():
    first, _, third = journal("a", "b", "c")
    with pytest.raises(Corrupt):
        read([first, encode(note("forged", 2, hash_of(first))), third])


@given(st.data())
def test_any_altered_byte_is_noticed(data):
    messages = journal("a", "b", "c")
    at = data.draw(st.integers(0, len(messages[0]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != messages[0][at]))
    messages[0] = messages[0][:at] + bytes([byte]) + messages[0][at + 1 :]
    with pytest.raises(Corrupt):
        read(messages)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"advance",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe",
        b'"' + b"x" * 10,
        encode(note("a")).replace(b"note_taken", b"note_eaten"),
        encode(note("a")).replace(b'"type":"note_taken"', b'"type":["note_taken"]'),
        encode(note("a")).replace(b'"source":"cutoverd/night"', b'"source":7'),
        encode(note("a")).replace(b'"text":"a"', b'"text":"a","more":1'),
        encode(note("a")).replace(b'"text":"a"', b'"words":"a"'),
        encode(note("a")).replace(b"2026-12-05T22:00:00+00:00", b"yesterday"),
        b'{"a":' * 100_000,
    ],
    ids=lambda message: repr(message[:40]),
)
def test_what_is_no_event_is_corrupt(message):
    """Found: a deeply nested document ended the daemon with a RecursionError."""
    with pytest.raises(Corrupt, match="not an event that this version can read"):
        decode(message)


def test_a_name_that_is_no_utf8_does_not_keep_a_failure_out_of_the_journal():
    """Found: a file name with a lone byte, in a reason or in evidence, could not be encoded; the daemon died of it."""
    name = b"data/caf\xe9.sql".decode(errors="surrogateescape")
    event = facts.StepFailed(
        step=f"data.run_script:{name}",
        direction="forward",
        seconds=0.1,
        error="CheckFailed",
        reason=f"{name} not found",
        evidence={name: [name, {"file": name}]},
    )
    written = decode(encode(Envelope("e", "night", AT, 1, GENESIS, 1, 0, event))).event
    assert written == event
    assert written.reason == r"data/caf\udce9.sql not found"


def test_a_float_that_is_no_number_is_written_as_a_word():
    """Found: NaN in evidence made a message that is no JSON to anybody but Python."""
    event = facts.StepSucceeded(
        step="validate.compare:m", direction="forward", seconds=1.0, evidence={"keys": [math.nan, -math.inf, 1.5]}
    )
    message = encode(Envelope("e", "night", AT, 1, GENESIS, 1, 0, event))
    assert json.loads(message, parse_constant=pytest.fail)["data"]["evidence"] == {"keys": ["nan", "-inf", 1.5]}
    assert decode(message).event == event


def test_an_event_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        facts.NoteTaken(by=None, text="a").text = "b"
