"""Text of others is made printable in one place: whole in JSON, and without a way to draw over what we say."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.hostile import HOSTILE, unsafe

from cutoverd.daemon.host.log import Logger, make_printable
from cutoverd.daemon.host.printable import continued, json_text, one_line, printable

TEXT = st.text(st.characters(codec=None))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
)


@given(TEXT)
def test_nothing_that_a_terminal_acts_on_is_left_and_every_other_character_is(text: str) -> None:
    assert not unsafe(printable(text))
    kept = "".join(each for each in text if not unsafe(each))
    assert [each for each in printable(text) if each not in "\\0123456789abcdefxruUN"] == [
        each for each in kept if each not in "\\0123456789abcdefxruUN"
    ]


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("Größe · Ωmega 東京 😀", "a\tb\nc", "C:\\x", "50 %", "\u00a0\u3000"):
        assert printable(text) == text


@given(TEXT)
def test_text_within_a_line_makes_no_second_one(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


@given(TEXT)
def test_each_further_line_is_marked(text: str) -> None:
    assert all(line.startswith("   │ ") for line in continued(text, "   │ ").split("\n")[1:])


@given(JSON)
def test_json_reads_back_as_it_was(value: Any) -> None:
    for text in (json_text(value), json_text(value, indent=2)):
        assert not unsafe(text)
        text.encode()
        assert json.loads(text) == value


def test_a_line_of_the_log_cannot_be_drawn_over() -> None:
    with capture_logs(processors=[make_printable]) as lines:
        Logger("a").warning("nats_error", error=HOSTILE, seq=3)
    assert not unsafe(lines[0]["error"])
    assert lines[0]["seq"] == 3
