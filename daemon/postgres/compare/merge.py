"""Two ordered streams of lines, walked side by side: what only one has, and which keys come more than once."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import StrEnum

PENDING_LINES = 10_000  # of one key, unmatched: beyond it the key is none, and memory matters more than pairs


class Kind(StrEnum):
    """In what way a key differs."""

    MISSING = "missing"  # a row of old that new lacks
    EXTRA = "extra"  # a row of new that old lacks
    CHANGED = "changed"  # one of each, under the same key
    REPEATED_OLD = "repeated in old"
    REPEATED_NEW = "repeated in new"


@dataclass(frozen=True)
class Difference:
    """One finding; `old` and `new` are lines as `Rows.lines` gives them."""

    kind: Kind
    old: bytes | None = None
    new: bytes | None = None
    times: int = 1


async def differences(old: AsyncIterator[bytes], new: AsyncIterator[bytes]) -> AsyncIterator[Difference]:
    """Every difference between two streams that are in the order of bytes; memory does not grow with them."""
    left, right = _Stream(old, Kind.REPEATED_OLD), _Stream(new, Kind.REPEATED_NEW)
    await left.advance()
    await right.advance()
    unmatched = _Unmatched()
    while left.line is not None or right.line is not None:
        behind = _behind(left, right)
        if len(behind) == 1:
            for found in unmatched.add(behind[0] is left, behind[0].line or b""):
                yield found
        for stream in behind:
            if repeated := await stream.advance():
                yield repeated
    for found in unmatched.alone():
        yield found


def _behind(left: _Stream, right: _Stream) -> list[_Stream]:
    """Both where they show the same line, else the one whose line comes first."""
    if left.line == right.line:
        return [left, right]
    return [left] if right.line is None or (left.line is not None and left.line < right.line) else [right]


class _Stream:
    def __init__(self, lines: AsyncIterator[bytes], kind: Kind) -> None:
        self._lines, self._kind = lines, kind
        self.line: bytes | None = None
        self._times = 0

    async def advance(self) -> Difference | None:
        """The next line; what the one before it repeated, once its key is done."""
        before, self.line = self.line, await anext(self._lines, None)
        if before is not None and self.line is not None and _key(before) == _key(self.line):
            self._times += 1
            return None
        times, self._times = self._times, 1
        return self._repeated(before, times) if before is not None and times > 1 else None

    def _repeated(self, line: bytes, times: int) -> Difference:
        if self._kind is Kind.REPEATED_OLD:
            return Difference(self._kind, old=line, times=times)
        return Difference(self._kind, new=line, times=times)


class _Unmatched:
    """Lines of one key that one side has and the other, so far, has not."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._of_old = True

    def add(self, of_old: bool, line: bytes) -> Iterator[Difference]:
        if self._lines and (_key(self._lines[0]) != _key(line) or len(self._lines) >= PENDING_LINES):
            yield from self.alone()
        if self._lines and self._of_old != of_old:
            other = self._lines.popleft()
            yield Difference(Kind.CHANGED, *((line, other) if of_old else (other, line)))
            return
        self._of_old = of_old
        self._lines.append(line)

    def alone(self) -> Iterator[Difference]:
        while self._lines:
            line = self._lines.popleft()
            yield Difference(Kind.MISSING, old=line) if self._of_old else Difference(Kind.EXTRA, new=line)


def _key(line: bytes) -> bytes:
    return line[: line.index(b"\t")]
