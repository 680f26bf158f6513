"""A statement as it may be shown: what it does, without the data that it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST_SHOWN = 100
# A query of pg_stat_activity is cut at track_activity_query_size: a quote that is not closed goes to its end.
# A backslash escapes in E'…' alone, and in what goes on with it behind a new line. PostgreSQL's names have all but ASCII.
_PARTS = re.compile(
    r"""
    (?P<comment>--[^\n\r]*|/\*)
  | (?P<text>[eE]'(?:[^'\\]|''|\\.|'(?:\s|--[^\n\r]*[\n\r])+')*+(?:'|\\?\Z)
           | [bBxXnN]?'(?:[^']|'')*+(?:'|\Z)
           | (?P<tag>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$).*?(?:(?P=tag)|\Z))
  | (?P<name>"(?:[^"]|"")*(?:"|\Z)|[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
  | (?P<number>\d[\w.]*)
  | (?P<blank>\s+)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def redact(query: str) -> str:
    """`UPDATE a SET b = ? WHERE c = ?`, on one line, cut at 100 characters."""
    text = " ".join("".join(_parts(query)).split()).rstrip("; ")
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _parts(query: str) -> Iterator[str]:
    at = 0
    while found := _PARTS.search(query, at):
        yield query[at : found.start()]
        yield _part(found)
        at = _comment_end(query, found.start()) if found["comment"] == "/*" else found.end()
    yield query[at:]


def _comment_end(query: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(query, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(query)


def _part(found: re.Match[str]) -> str:
    if found["comment"] or found["blank"]:
        return " "
    return found[0] if found["name"] else "?"


def normalise(statement: str) -> str:
    """Without comments, blanks and case: two ways of writing one statement give the same."""
    return re.sub(r"--[^\n]*|/\*.*?(?:\*/|\Z)|\s+", "", statement, flags=re.DOTALL).lower()
