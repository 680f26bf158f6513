"""No character of what is data survives in a statement that is shown, whole or cut by the server."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cutoverd.daemon.sqltext.redact import redact

SECRET = "Z"  # in literals and comments alone
TEXTS = st.text(alphabet=[SECRET, "\\", "'", "$", "€", "q", "/", "*", "-", "\n", "\r", '"', ";", " ", "1", "é"], max_size=8)


@st.composite
def plain(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["", "b", "X", "n", "U&", "date", "date "])) + "'" + draw(TEXTS).replace("'", "''") + "'"


@st.composite
def escaped(draw: st.DrawFn) -> str:
    texts = [text.replace("\\", "\\\\") for text in draw(st.lists(TEXTS, min_size=1, max_size=2))]
    quotes = [text.replace("'", draw(st.sampled_from(["''", "\\'"]))) for text in texts]
    return draw(st.sampled_from("eE")) + draw(st.sampled_from(["\n", " \r", " -- it's\n "])).join(f"'{text}'" for text in quotes)


@st.composite
def dollars(draw: st.DrawFn) -> str:
    tag, text = draw(st.sampled_from(["$$", "$q$", "$_1$", "$é$", "$€$"])), draw(TEXTS)
    assume((text + tag).index(tag) == len(text))
    return f"{tag}{text}{tag}"


@st.composite
def commented(draw: st.DrawFn) -> str:
    """A number behind a comment; those between /* and */ are nested."""
    text, more = draw(TEXTS), draw(TEXTS)
    line = f"--{text}".replace("\n", "").replace("\r", "") + draw(st.sampled_from("\n\r"))
    text, more = text.replace("/", "").rstrip("*"), more.replace("/", "")
    block = f"/*{text}/*{more}*/{text}*/"
    return draw(st.sampled_from([line, block])) + "1"


STATEMENTS = st.lists(st.one_of(plain(), escaped(), dollars(), commented()), min_size=1, max_size=3).map(
    lambda parts: f'insert into t values ({", ".join(parts)}) returning a$b, "c\'"'
)


@given(STATEMENTS)
def test_no_character_of_a_literal_survives(statement: str) -> None:
    redacted = redact(statement)
    assert SECRET not in redacted
    assert redacted.endswith("""?) returning a$b, "c'\""""), "and what is no data does"


@given(STATEMENTS, st.integers(22, 80))
def test_no_character_of_a_literal_survives_where_the_server_cut_the_statement(statement: str, characters: int) -> None:
    assert SECRET not in redact(statement[:characters])


@pytest.mark.parametrize(
    ("statement", "redacted"),
    [
        (r"INSERT INTO a VALUES ('C:\', 'Mueller', 'secret')", "INSERT INTO a VALUES (?, ?, ?)"),
        ("INSERT INTO a VALUES (E'a'\n'it\\'s secret', 1)", "INSERT INTO a VALUES (?, ?)"),
        (r"INSERT INTO a VALUES (E'cut\ "[:-1], "INSERT INTO a VALUES (?"),
        ("SELECT /* a /* b */ secret */ 1", "SELECT ?"),
        ("SELECT -- it\r'a\n secret'", "SELECT ?"),
        ("DO $€$ secret $€$", "DO ?"),
        ("SELECT $1$q$1$ secret $q$", "SELECT $??"),
    ],
)
def test_a_literal_ends_where_postgresql_ends_it(statement: str, redacted: str) -> None:
    """Found: a backslash hid the end of a plain literal, and what came after it was shown."""
    assert redact(statement) == redacted
