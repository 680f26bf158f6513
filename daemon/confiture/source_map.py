"""Where a line of the file that confiture built comes from: errors name the source, where it can be mended."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cutoverd.daemon.sqltext.rules import LintFinding
from cutoverd.states.errors import StepError

_BEGINS = re.compile(r"^(?: \*|--) File: (?P<name>.+?)\s*$")
NAMED_MAX = 5
_CLOSES = re.compile(r"^(?: \* =+ \*/|-- =+)\s*$")


class Origins:
    """The sources in one built file, by the comments that confiture puts between them.

    The comments name a source from its included folder on; `sources` are the same in the same order, from the project on.
    """

    def __init__(self, built: Path, sources: Sequence[str]) -> None:
        self._built = built
        self._starts: list[int] = []  # how many lines come before the first of each
        names: list[str] = []
        lines = built.read_text(encoding="utf-8", errors="replace").splitlines() if built.exists() else []
        for number, line in enumerate(lines):
            if (begins := _BEGINS.match(line)) and number + 2 < len(lines) and _CLOSES.match(lines[number + 1]):
                names.append(begins["name"])
                self._starts.append(number + 3)
        self._names = list(sources) if len(sources) == len(names) else names

    def of(self, file: Path, line: int) -> tuple[str, int] | None:
        """The source and its line; None for another file, or where no comment says."""
        place = bisect_right(self._starts, line - 1) - 1
        return (self._names[place], line - self._starts[place]) if place >= 0 and file == self._built else None

    def finding(self, finding: LintFinding) -> LintFinding:
        origin = self.of(finding.file, finding.line)
        return replace(finding, problem=f"{_format_origin(origin)}{finding.problem}") if origin else finding

    def error(self, error: StepError) -> StepError:
        """The same error, saying where its line comes from."""
        evidence = error.evidence
        origin = self.of(Path(evidence.get("file", "")), evidence.get("line") or 0)
        if not origin:
            return self._of_all(error) if Path(evidence.get("file", "")) == self._built else error
        source = {"source": origin[0], "source_line": origin[1]}
        return type(error)(f"{_format_origin(origin)}{error}", hint=error.hint, evidence={**evidence, **source})

    def _of_all(self, error: StepError) -> StepError:
        """Found at the end of them all: a constraint that was put off, say."""
        more = f" and {len(self._names) - NAMED_MAX} more" if len(self._names) > NAMED_MAX else ""
        built = f" (built from {', '.join(self._names[:NAMED_MAX])}{more})" if self._names else ""
        return type(error)(f"{error}{built}", hint=error.hint, evidence=error.evidence)


def _format_origin(origin: tuple[str, int]) -> str:
    return f"{origin[0]}:{origin[1]}, as built "
