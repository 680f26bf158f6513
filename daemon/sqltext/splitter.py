"""SQL text taken apart the way psql does it: statements and backslash commands, each with its line.

Quotes, dollar quotes, comments, parentheses and the bodies of `CREATE FUNCTION … BEGIN ATOMIC … END` keep a semicolon from
ending a statement; the lines after `COPY … FROM stdin;` are data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|--[^\n]*)
  | (?P<comment>/\*)
  | (?P<quoted>[eE]'(?:[^'\\]++|\\.|'')*+'|'[^']*'|"[^"]*")
  | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
  | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
  | (?P<number>\$?\d[\w.]*)
  | (?P<semicolon>;) | (?P<open>\() | (?P<close>\)) | (?P<joint>\\[;:]) | (?P<command>\\) | (?P<unclosed>['"]) | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_COMMAND_NAME = re.compile(r"\\(!|[^\s\\]*)")
_ARGUMENT = re.compile(r"""(?:'(?:[^'\\]|\\.|'')*'|"(?:[^"]|"")*"|`[^`]*`|[^\s\\'"`])+""")
_BLANK = re.compile(r"[ \t\r\f\v]*")
_DATA_END = re.compile(r"^\\\.[ \t]*\r?$", re.MULTILINE)
_COPY_STDIN = re.compile(r"\bfrom\s+stdin\b", re.IGNORECASE)
WHOLE_LINE = {"!", "copy"}
_SENDS = {"g", "gx", "gset", "gexec", "gdesc", "watch", "crosstabview", "r", "reset", "sendpipeline", "parse"}
_FIRST_WORDS = 4
_ROUTINES = {("function",), ("procedure",), ("or", "replace", "function"), ("or", "replace", "procedure")}


class Unclosed(ValueError):
    """a quote or a comment is opened and never closed"""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{what} is opened and never closed")
        self.line = line


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon; `line` is where it begins; `words` are its first, in lower case.

    `lead`: from the first `/* … */` before it, which psql sends with it (but no `--` that stands before it).
    """

    line: int
    text: str
    words: tuple[str, ...]
    lead: str = field(default="", compare=False)


@dataclass(frozen=True)
class MetaCommand:
    r"""A backslash command, `\i 'file'` say; `arguments` as they are written."""

    line: int
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class CopyData:
    """The lines after `COPY … FROM stdin`, without the last, `\\.`."""

    line: int
    text: str


def split(text: str) -> Iterator[Statement | MetaCommand]:
    """Statements and commands in the order psql meets them; raises `Unclosed`."""
    return (piece for piece in split_with_data(text) if not isinstance(piece, CopyData))


def split_with_data(text: str) -> Iterator[Statement | MetaCommand | CopyData]:
    """As `split`, with the data that stands in the file."""
    return _Text(text.removeprefix("\ufeff")).pieces()


class _Text:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._counted = (0, 1)  # a position and its line
        self._data_starts: int | None = None
        self._start: int | None = None
        self._lead: int | None = None  # of the first comment before it that psql sends
        self._begin_statement()

    def pieces(self) -> Iterator[Statement | MetaCommand | CopyData]:
        while self._position < len(self._text):
            if self._position == self._data_starts:
                yield self._data()
                continue
            token = _TOKEN.match(self._text, self._position, self._data_starts or len(self._text))
            assert token is not None  # noqa: S101 - the last branch matches anything
            yield from self._take(str(token.lastgroup), token)
        yield from self._end_statement(len(self._text))

    def _take(self, kind: str, token: re.Match[str]) -> Iterator[Statement | MetaCommand]:
        start = self._position
        self._position = token.end()
        if kind == "skip":
            return
        if kind == "comment":
            self._lead = start if self._lead is None else self._lead
            self._skip_comment(start)
        elif kind == "command":
            yield from self._command(start)
        elif token[0] == r"\;" or (kind == "semicolon" and self._is_end()):
            yield from self._end_statement(start)
        else:
            if self._start is None:
                self._start = start
            if mark := _MARKS.get(kind):
                mark(self, token)

    def _begin_statement(self) -> None:
        self._start = self._lead = None
        self._words: list[str] = []
        self._last_word = ""
        self._copies_stdin = False
        self._parentheses = 0
        self._bodies = 0  # BEGIN ATOMIC and CASE, open

    def _is_end(self) -> bool:
        return self._parentheses == 0 and self._bodies == 0

    def _end_statement(self, end: int) -> Iterator[Statement]:
        if self._start is not None:
            lead = self._text[self._start if self._lead is None else self._lead : self._start]
            yield Statement(self._line(self._start), self._text[self._start : end].rstrip(), tuple(self._words), lead)
        if self._copies_stdin:
            self._expect_data()
        self._begin_statement()

    def _word(self, token: re.Match[str]) -> None:
        word = token[0].lower()
        if len(self._words) < _FIRST_WORDS:
            self._words.append(word)
        if self._parentheses == 0:
            if self._words[0] == "copy" and (self._last_word, word) == ("from", "stdin"):
                self._copies_stdin = True
            self._bodies += self._opens_body(word)
        self._last_word = word

    def _opens_body(self, word: str) -> int:
        """psql's own rule: in CREATE FUNCTION, BEGIN and the CASEs inside it each wait for an END."""
        creates = self._words[0] == "create" and any(tuple(self._words[1 : 1 + len(r)]) == r for r in _ROUTINES)
        if not creates:
            return 0
        if word == "end":
            return -1 if self._bodies else 0
        return 1 if word == "begin" or (word == "case" and self._bodies) else 0

    def _open(self, _: re.Match[str]) -> None:
        self._parentheses += 1

    def _close(self, _: re.Match[str]) -> None:
        self._parentheses = max(0, self._parentheses - 1)

    def _dollar(self, token: re.Match[str]) -> None:
        end = self._text.find(token[0], self._position)
        if end < 0:
            raise Unclosed(self._line(token.start()), f"the quote {token[0]}")
        self._position = end + len(token[0])

    def _unclosed(self, token: re.Match[str]) -> None:
        raise Unclosed(self._line(token.start()), f"the quote {token[0]}")

    def _skip_comment(self, start: int) -> None:
        depth = 1
        for edge in _COMMENT_EDGE.finditer(self._text, self._position):
            depth += 1 if edge[0] == "/*" else -1
            if depth == 0:
                self._position = edge.end()
                return
        raise Unclosed(self._line(start), "the comment /*")

    def _command(self, start: int) -> Iterator[Statement | MetaCommand]:
        name = _COMMAND_NAME.match(self._text, start)
        assert name is not None  # noqa: S101 - it begins with the backslash that brought us here
        self._position = name.end()
        arguments = tuple(self._arguments(whole_line=name[1] in WHOLE_LINE))
        if name[1] in _SENDS:
            yield from self._end_statement(start)
        yield MetaCommand(self._line(start), name[1], arguments)
        if name[1] == "copy" and _COPY_STDIN.search(" ".join(arguments)):
            self._expect_data()

    def _arguments(self, *, whole_line: bool) -> Iterator[str]:
        r"""Up to the end of the line or the next backslash; `\\` goes back to SQL."""
        if whole_line:
            start, self._position = self._position, self._line_end(self._position)
            yield self._text[start : self._position].strip()
            return
        while True:
            if blank := _BLANK.match(self._text, self._position):
                self._position = blank.end()
            argument = _ARGUMENT.match(self._text, self._position)
            if not argument:
                break
            self._position = argument.end()
            yield argument[0]
        if self._text.startswith("\\\\", self._position):
            self._position += 2
        elif self._position < len(self._text) and self._text[self._position] in "'\"`":
            raise Unclosed(self._line(self._position), f"the quote {self._text[self._position]}")

    def _line_end(self, position: int) -> int:
        end = self._text.find("\n", position)
        return len(self._text) if end < 0 else end

    def _expect_data(self) -> None:
        self._data_starts = min(self._line_end(self._position) + 1, len(self._text))

    def _data(self) -> CopyData:
        start, end = self._position, _DATA_END.search(self._text, self._position)
        self._position = end.end() if end else len(self._text)
        self._data_starts = None
        return CopyData(self._line(start), self._text[start : end.start() if end else None])

    def _line(self, position: int) -> int:
        counted, line = self._counted
        self._counted = (position, line + self._text.count("\n", counted, position))
        return self._counted[1]


_MARKS: dict[str, Callable[[_Text, re.Match[str]], None]] = {
    "word": _Text._word,
    "open": _Text._open,
    "close": _Text._close,
    "dollar": _Text._dollar,
    "unclosed": _Text._unclosed,
}
