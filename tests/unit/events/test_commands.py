"""What operators may say, and how: a bare word or JSON; anything else is refused with what would be right."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoverd.events import facts
from cutoverd.events.commands import Command, NotUnderstood, Verb, encode, parse
from cutoverd.events.subjects import COMMANDS, STREAM_SUBJECTS, commands_of, events_of, is_token, operator_of

SENT = datetime(2026, 12, 5, 22, 0, tzinfo=UTC)


def understood(data: bytes, subject: str = COMMANDS) -> Command:
    return parse(subject, data, 42, SENT)


def refused(data: bytes, subject: str = COMMANDS) -> str:
    with pytest.raises(NotUnderstood) as error:
        understood(data, subject)
    return str(error.value)


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("written", ["{}", "{}\n", "  {}\t\r\n", "\n{}"])
def test_a_bare_word_is_a_command_whatever_blanks_and_case_it_has(verb, written):
    for word in (verb, verb.upper(), verb.capitalize()):
        assert understood(written.format(word).encode()).verb is verb


def test_a_command_knows_from_the_bus_who_sent_it_and_when():
    command = understood(b"advance", "cutover.cmd.alice")
    assert (command.by, command.seq, command.sent_at) == ("alice", 42, SENT)
    assert understood(b"advance").by is None


def test_a_command_in_json_has_all_its_fields():
    fields = {
        "id": "7", "verb": "rollback", "run": "night", "expect_state": "monitor", "reason": "errors", "ttl": 60,
        "now": True, "accept_loss": True,
    }  # fmt: skip
    command = understood(json.dumps(fields, indent=2).encode())
    assert {name: getattr(command, name) for name in fields} == fields


@pytest.mark.parametrize("forged", ["by", "seq", "sent_at"])
def test_what_the_bus_says_cannot_be_forged(forged):
    assert f"cannot carry {forged}" in refused(json.dumps({"verb": "advance", forged: "bob"}).encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "saw ''"),
        (b"advace", "saw 'advace'"),
        (b"advance now", "saw 'advance now'"),
        (b"roll back", "saw 'roll back'"),
        (b"\xff\xfe", "neither one word"),
        (b"[]", "saw '[]'"),
        (b'{"verb": "advance"', "nor a JSON document"),
        (b'{"verb": "advance"} {}', "nor a JSON document"),
        (b"{}", "verb"),
        (b'{"verb": null}', "verb: saw 'None'"),
        (b'{"verb": "advance", "force": true}', "force: saw 'True'; extra inputs"),
        (b'{"verb": "advance", "ttl": 0}', "ttl: saw '0'"),
        (b'{"verb": "advance", "ttl": -1}', "ttl: saw '-1'"),
        (b'{"verb": "advance", "accept_loss": "perhaps"}', "accept_loss: saw 'perhaps'"),
        (b'{"verb": "note", "reason": 7}', "reason: saw '7'"),
    ],
)
def test_what_is_no_command_is_refused_with_what_was_seen(data, words):
    assert words in refused(data)


@pytest.mark.parametrize("data", [b"", b"advace", b"\xff"])
def test_a_refusal_names_every_verb(data):
    assert all(verb in refused(data) for verb in Verb)


MANY = 60_000


@pytest.mark.parametrize(
    "data",
    [
        b"x" * MANY,
        b"{" + b" " * MANY,
        json.dumps({"verb": "x" * MANY}).encode(),
        json.dumps({"verb": "note", "reason": "x" * MANY}).encode(),
        json.dumps({"verb": "note", "id": "x" * MANY}).encode(),
        json.dumps({"verb": "note", "run": "x" * MANY}).encode(),
        json.dumps({"verb": "note", "expect_state": "x" * MANY}).encode(),
        json.dumps({"verb": "note", "x" * MANY: 1}).encode(),
        json.dumps({"verb": ["x" * MANY]}).encode(),
    ],
    ids=lambda data: repr(data[:30]),
)
def test_an_oversized_command_is_refused_in_few_words(data):
    """Found: a run, a state or a field's name as long as a message came back in the refusal, which then was too long."""
    assert len(refused(data)) < 500


def test_a_document_nested_without_end_is_refused():
    """Found: it ended the daemon with a RecursionError, and the next one, which read it again."""
    assert "neither one word" in refused(b'{"a":' * 100_000)


@pytest.mark.parametrize("ttl", ["1e400", "1e300", "Infinity", "NaN"])
def test_a_time_to_live_beyond_the_calendar_is_refused(ttl):
    """Found: it was taken, and the sum of two times then overflowed in `decide`."""
    assert "ttl" in refused(b'{"verb": "hold", "ttl": %s}' % ttl.encode())


def test_a_reason_of_blanks_is_none():
    """Found: three blanks were reason enough to give up what clients wrote."""
    assert understood(b'{"verb": "rollback", "accept_loss": true, "reason": "   "}').reason == ""


def test_half_a_character_is_refused():
    assert "unicode" in refused(b'{"verb": "note", "reason": "\\ud800"}')
    assert "unicode" in refused(b'{"verb": "note", "\\ud800": 1}')


def test_an_operator_whose_name_cannot_be_said_again_is_refused():
    """The bus gives U+FFFD for what is not UTF-8; a subject may have 4 KB, which no event is to carry twice."""
    assert "which is not UTF-8: nobody knows who said it" in refused(b"fail", "cutover.cmd.\ufffd")
    assert "an operator's name has 129 characters, at most 128 can be" in refused(b"fail", f"cutover.cmd.{'a' * 129}")
    assert understood(b"fail", f"cutover.cmd.{'a' * 128}").verb is Verb.FAIL
    assert understood(b"fail", "cutover.cmd.jürgen").by == "jürgen"


@pytest.mark.parametrize("depth", [10, 300, 600, 900, 950, 980, 990, 995, 1000, 5000])
def test_whatever_is_nested_is_refused(depth):
    assert refused(b'{"verb": "note", "reason": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}")


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_a_command_or_refused_in_words_that_can_be_recorded(data):
    try:
        assert understood(data).verb in Verb
    except NotUnderstood as error:
        facts.CommandRejected(verb="?", by=None, reason=str(error)).model_dump_json().encode()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(str.strip)


@given(
    st.builds(
        Command,
        verb=st.sampled_from(Verb),
        run=st.none() | texts,
        expect_state=st.none() | texts,
        reason=texts,
        ttl=st.none() | st.floats(0.001, 1e6),
        now=st.booleans(),
        accept_loss=st.booleans(),
    )
)
def test_a_command_comes_back_as_it_was_sent(command):
    received = understood(encode(command), "cutover.cmd.alice")
    assert received == command.model_copy(update={"by": "alice", "seq": 42, "sent_at": SENT})


def test_two_bare_words_are_two_commands():
    assert understood(b"advance").id != understood(b"advance").id


def test_the_operator_is_a_token_of_the_subject():
    assert operator_of(commands_of("alice")) == "alice"
    assert operator_of(commands_of(None)) is None
    with pytest.raises(ValueError, match=r"operator 'a\.b'"):
        commands_of("a.b")


@pytest.mark.parametrize("run", ["", "a.b", "a b", "a*", ">", "night\n", "näht"])
def test_a_run_whose_name_is_no_token_is_refused(run):
    assert not is_token(run)
    with pytest.raises(ValueError, match="a run's name"):
        events_of(run)


def test_the_stream_never_catches_the_subject_of_the_service():
    assert not [subject for subject in STREAM_SUBJECTS if subject.endswith(">") or subject.startswith("cutover.svc")]
