"""Whose a message is: by its MAC, its run and its place; what anybody may publish is none of ours."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cutoverd.events import facts
from cutoverd.events.codec import Chain, Corrupt, Envelope, NotOurs, decode, encode
from cutoverd.events.mac import JournalKey

KEY, OTHER = JournalKey((b"ours",)), JournalKey((b"theirs",))
AT = datetime(2026, 12, 5, 22, tzinfo=UTC)


def message(chain: Chain, key: JournalKey | None = KEY, run: str = "night", text: str = "x") -> bytes:
    envelope = Envelope("id", run, AT, chain.n + 1, chain.head, 1, 0, facts.NoteTaken(by=None, text=text))
    return key.sign(encode(envelope)) if key else encode(envelope)


def chain_of(*messages: bytes) -> Chain:
    chain = Chain()
    for seq, each in enumerate(messages, 1):
        chain = chain.extended(each, seq)
    return chain


def test_a_signed_event_is_read_and_is_json_like_any_other() -> None:
    signed = message(Chain())
    assert Chain().read(signed, 1, "night", KEY).envelope == decode(signed)


@pytest.mark.parametrize("position", range(0, 300, 7))
def test_one_flipped_bit_and_it_is_not_ours(position: int) -> None:
    changed = bytearray(message(Chain(), text="y" * 300))
    changed[position] ^= 1
    with pytest.raises(NotOurs):
        Chain().read(bytes(changed), 1, "night", KEY)


@pytest.mark.parametrize(
    "body", [message(Chain(), OTHER), message(Chain(), None), message(Chain(), run="other"), b"", b"{}", b"\xff", b"[" * 9999]
)
def test_what_is_not_signed_by_our_key_for_this_run_is_not_ours(body: bytes) -> None:
    with pytest.raises(NotOurs):
        Chain().read(body, 1, "night", KEY)


def test_an_event_that_comes_once_more_is_not_ours() -> None:
    first = message(Chain())
    with pytest.raises(NotOurs, match="event 1 once more"):
        chain_of(first).read(first, 2, "night", KEY)


def test_an_event_of_ours_whose_forerunner_is_missing_is_no_foreign_message() -> None:
    second = message(chain_of(message(Chain())))
    with pytest.raises(Corrupt, match="event 2 at stream sequence 7 does not follow event 0") as found:
        Chain().read(second, 7, "night", KEY)
    assert not isinstance(found.value, NotOurs)


def test_a_journal_that_was_begun_without_a_key_goes_on_with_one_and_never_without_again() -> None:
    key = JournalKey((b"ours",), frozenset({"night"}))
    old = message(Chain(), None)
    Chain().read(old, 1, "night", key)
    signed = message(chain_of(old))
    chain_of(old).read(signed, 2, "night", key)
    with pytest.raises(NotOurs, match="no MAC"):
        chain_of(old, signed).read(message(chain_of(old, signed), None), 3, "night", key)


def test_a_key_that_was_replaced_still_verifies() -> None:
    Chain().read(message(Chain(), OTHER), 1, "night", JournalKey((b"ours", b"theirs")))


def test_the_key_is_in_no_representation() -> None:
    assert "ours" not in repr(KEY)


def test_what_is_signed_for_the_registry_is_not_ours_among_events() -> None:
    """Found: published again there, it was ours and unreadable, and ended every daemon for ever."""
    opened = KEY.of_runs.sign(b'{"run":"night","type":"run_opened"}')
    with pytest.raises(NotOurs):
        Chain().read(opened, 1, "night", KEY)
    assert not KEY.of_runs.has_signed(message(Chain()))
