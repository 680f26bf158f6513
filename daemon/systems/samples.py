"""Checks of Monitor by HTTP and by command: asked once, and what was seen; a number where the plan sets a threshold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cutoverd.daemon.systems.exec import COMMAND_APART, Site, format_command
from cutoverd.daemon.systems.http import EXCERPT_CHARS, HttpCheck
from cutoverd.daemon.systems.protocols import ServiceKind
from cutoverd.states.check_rules import Sample
from cutoverd.states.ports import AttemptId

OUTPUT_BYTES_MAX = 64 * 1024
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


class SampleKind(Protocol):
    """One check of Monitor."""

    async def sample(self, attempt_id: AttemptId, seconds: float) -> Sample:
        """What it sees now, within `seconds`; raises `StepError` or TimeoutError if it cannot be made."""


@dataclass(frozen=True)
class HttpSample:
    """GET as a health check does; with `number`, a pattern, what it finds in the body; with "" the whole body is the number."""

    check: HttpCheck
    number: str | None = None

    async def sample(self, attempt_id: AttemptId, seconds: float) -> Sample:
        answer, body = await self.check.once(seconds)
        if "seen" in answer:
            return Sample(False, None, f"GET {self.check.shown_url}: {answer['seen']}")
        if self.number is None:
            return Sample(True, None, f"status {answer['status']}")
        return numbered(_found(self.number, body), f"the body {body[:EXCERPT_CHARS]!r}")


def _found(pattern: str, body: str) -> str:
    """The first group of the pattern, or all that it matches."""
    if not pattern:
        return body
    found = re.search(pattern, body)
    return (found[1] if found.re.groups else found[0]) or "" if found else ""


@dataclass(frozen=True)
class ExecSample:
    """Exit 0 passes; with `wants_number`, the first line of its output is the number."""

    command: Sequence[str]
    site: Site
    wants_number: bool = False

    async def sample(self, attempt_id: AttemptId, seconds: float) -> Sample:
        argv = [*COMMAND_APART, *self.command]
        ended = await self.site.run_to_its_end(argv, attempt_id.step, seconds, group=True, output_bytes_max=OUTPUT_BYTES_MAX)
        if ended.returncode:
            output = self.site.masked(ended.stderr_tail or ended.stdout_tail).strip()[-EXCERPT_CHARS:]
            return Sample(
                False,
                None,
                f"{format_command(self.command)} exited {ended.returncode}" + (f"; it said: {output}" if output else ""),
            )
        if not self.wants_number:
            return Sample(True, None, "exit 0")
        line = (ended.stdout_tail.splitlines() or [""])[0]
        if len(ended.stdout_tail.encode()) >= OUTPUT_BYTES_MAX:
            return Sample(
                False, None, f"{format_command(self.command)} wrote more than {OUTPUT_BYTES_MAX} bytes: its first line is lost"
            )
        return numbered(line, f"the first line {self.site.masked(line)[:EXCERPT_CHARS]!r}")


@dataclass(frozen=True)
class ServiceSample:
    """A service runs, as its own status says."""

    service: ServiceKind

    async def sample(self, attempt_id: AttemptId, seconds: float) -> Sample:
        runs = await self.service.status(seconds)
        return Sample(runs, None, "running" if runs else "it has ended by itself: its status says stopped")


def numbered(text: str, where: str) -> Sample:
    """A sample of the number that the text is; `where` says in words where it should have been."""
    if not _NUMBER.fullmatch(text.strip()):
        return Sample(False, None, f"expected a number, saw {where}")
    value = float(text.strip())
    return Sample(True, value, f"{value:g}")
