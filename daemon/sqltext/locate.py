"""Where in its files a script is, from the statement that its session is running."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutoverd.daemon.sqltext.redact import normalise
from cutoverd.daemon.sqltext.regular_file import read_text
from cutoverd.daemon.sqltext.splitter import Statement, Unclosed, split

LARGEST_FILE_BYTES = 8 << 20  # beyond it a file is mostly data, and reading it is not worth a courtesy
SHORTEST_BARE = 4
CUT_BYTES = 95  # the smallest track_activity_query_size is 100, with its end mark and what a character needs
CUT_TAIL = 4  # the cut may go through the beginning of a comment


@dataclass(frozen=True)
class Location:
    """One statement of a script."""

    file: str
    line: int
    number: int  # 1, 2, 3, … over all files
    text: str = ""  # bare


class StatementLocator:
    """The statements of a step's files, in the order in which they run; what the files include is not among them."""

    def __init__(self, files: Sequence[tuple[str, Path]]) -> None:
        """`files`: name and path. For a thread: it reads them."""
        self.places = [
            Location(name, line, number, text)
            for number, (name, line, text) in enumerate((s for name, path in files for s in _statements(name, path)), 1)
        ]
        self._last = 0  # a script only goes forwards

    def find(self, query: str) -> Location | None:
        """The first statement, from the last one found on, that this query is (or, cut by the server, begins)."""
        wanted = normalise(query.rstrip("; \n"))
        if len(wanted) < SHORTEST_BARE:
            return None
        found = self._first(lambda text: text == wanted)
        if found is None and len(query.encode()) >= CUT_BYTES:
            found = self._first(lambda text: text.startswith(wanted[:-CUT_TAIL]))
        if found:
            self._last = found.number - 1
        return found

    def _first(self, is_it: Callable[[str], bool]) -> Location | None:
        return next((place for place in self.places[self._last :] if is_it(place.text)), None)


def _statements(name: str, path: Path) -> Iterable[tuple[str, int, str]]:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            return
        pieces = [piece for piece in split(read_text(path)) if isinstance(piece, Statement)]
    except (OSError, ValueError, Unclosed):  # PreCheck tells of it, not we
        return
    for piece in pieces:
        yield name, piece.line, normalise(piece.text)
