"""The options that a session starts with, as libpq's splitting reads them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cutoverd.daemon.postgres.session import pins


def split(options: str) -> list[str]:
    """As the server does it (pg_split_opts): blanks end a word, a backslash takes the next character as it is."""
    words, word, rest = list[str](), "", iter(options)
    for each in rest:
        if each == "\\":
            word += next(rest, "")
        elif each.isspace():
            words += [word] * bool(word)
            word = ""
        else:
            word += each
    return [*words, word] if word else words


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_value_arrives_whole(value: str) -> None:
    words = split(pins.at_start({"app.tenant": value}))
    assert words[:2] == ["-c", f"app.tenant={value}"]


def test_no_session_starts_read_only() -> None:
    assert "default_transaction_read_only=off" in pins.at_start({pins.READ_ONLY: "on"})
    assert pins.afterwards({pins.READ_ONLY: "on"})[1][:2] == [[pins.READ_ONLY], ["on"]]


def test_what_a_version_does_not_know_is_not_asked_of_it() -> None:
    assert pins.since(140000) == {}
    assert pins.since(150004) == {"stats_fetch_consistency": "cache"}
    assert "transaction_timeout" in pins.since(180006)
