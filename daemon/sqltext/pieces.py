"""SQL text in pieces, for whoever wants it without its comments or without its data.

A query of pg_stat_activity is cut at track_activity_query_size: a quote that is not closed goes to its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A backslash escapes in E'…' alone, and in what goes on with it behind a new line. PostgreSQL's names have all but ASCII.
_PIECES = re.compile(
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


def pieces(sql: str) -> Iterator[tuple[str, str]]:
    """(kind, text) in order: `comment`, `text` (a literal), `name`, `number`, `blank`, and `other` between them."""
    at = 0
    while found := _PIECES.search(sql, at):
        if found.start() > at:
            yield "other", sql[at : found.start()]
        end = _comment_end(sql, found.start()) if found["comment"] == "/*" else found.end()
        yield "text" if found["tag"] else str(found.lastgroup), sql[found.start() : end]
        at = end
    if sql[at:]:
        yield "other", sql[at:]


def _comment_end(sql: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def without_comments(sql: str) -> str:
    """Each comment is a blank; `--` and `/*` within a literal or a quoted name are none."""
    return "".join(" " if kind == "comment" else text for kind, text in pieces(sql))


def plain_name(name: str) -> str:
    """As the catalog has it: without its quotes, and in lower case where it has none."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
