"""A statement as it may be shown: what it does, without the data that it holds."""

from __future__ import annotations

from cutoverd.daemon.sqltext.pieces import pieces, without_comments

LONGEST_SHOWN = 100
_SHOWN = {"comment": " ", "blank": " ", "text": "?", "number": "?"}  # names and all else as they are


def redact(query: str) -> str:
    """`UPDATE a SET b = ? WHERE c = ?`, on one line, cut at 100 characters."""
    text = " ".join("".join(_SHOWN.get(kind, piece) for kind, piece in pieces(query)).split()).rstrip("; ")
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def normalise(statement: str) -> str:
    """Without comments, blanks and case: two ways of writing one statement give the same."""
    if "--" in statement or "/*" in statement:
        statement = without_comments(statement)
    return "".join(statement.split()).lower()
