"""A statement as it may be shown: what it does, without the data that it holds."""

from __future__ import annotations

import re

LONGEST_SHOWN = 100
# A query of pg_stat_activity is cut at track_activity_query_size: a quote that is not closed goes to its end.
_PARTS = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<text>[eEbBxXnN]?'(?:[^'\\]|''|\\.)*(?:'|\Z)|(?P<tag>\$\w*\$).*?(?:(?P=tag)|\Z))
  | (?P<name>"(?:[^"]|"")*(?:"|\Z)|[^\W\d][\w$]*)
  | (?P<number>\d[\w.]*)
  | (?P<blank>\s+)
    """,
    re.VERBOSE | re.DOTALL,
)


def shown(query: str) -> str:
    """`UPDATE a SET b = ? WHERE c = ?`, on one line, cut at 100 characters."""
    text = " ".join(_PARTS.sub(_part, query).split()).rstrip("; ")
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _part(found: re.Match[str]) -> str:
    if found["comment"] or found["blank"]:
        return " "
    return found[0] if found["name"] else "?"


def bare(statement: str) -> str:
    """Without comments, blanks and case: two ways of writing one statement give the same."""
    return re.sub(r"--[^\n]*|/\*.*?(?:\*/|\Z)|\s+", "", statement, flags=re.DOTALL).lower()
