"""The tree on a terminal, drawn anew as the run goes on; what must not scroll away is printed above it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TextIO, TypeVar, cast

import structlog
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from cutoverd.daemon.host.log import configure_now
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.daemon.terminal.nonblocking import NonBlockingWriter
from cutoverd.daemon.views.event_lines import DONE, FAILED, PENDING, RUNNING, WAITING, WARNING, line
from cutoverd.daemon.views.run_tree import TreeInput, tree
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.errors import format_error
from cutoverd.states.run import Run

EVERY_SECONDS = 0.5
STYLES = {DONE: "green", FAILED: "bold red", WARNING: "yellow", WAITING: "bold cyan", RUNNING: "bold", PENDING: "dim"}
PRINTED_ABOVE = (  # what the tree does not show, or soon shows no more
    facts.LeaderAcquired,
    facts.Transitioned,
    facts.GatePassed,
    facts.StepFailed,
    facts.StepInterrupted,
    facts.StepProbed,
    facts.RunHeld,
    facts.WindowOverrun,
    facts.WindowExtended,
    facts.RunResumed,
    facts.RetryRequested,
    facts.AbortRequested,
    facts.FailureReported,
    facts.NoteTaken,
    facts.CommandRejected,
    facts.CommandsRejected,
    facts.ForeignMessagesFound,
)
T = TypeVar("T")


class LiveTree:
    """An observer of the run log. Nothing that goes wrong here may touch the run: the picture ends, the run goes on."""

    def __init__(self, tracker: ProgressTracker, out: NonBlockingWriter) -> None:
        self._tracker, self._out = tracker, out
        self._began = datetime.now(UTC)
        self._console = Console(file=cast("TextIO", out), force_terminal=True, highlight=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._broken = False

    def __call__(self, run: Run, recorded: Recorded) -> None:
        is_new = recorded.envelope.time >= self._began  # not replayed
        if is_new and isinstance(recorded.event, PRINTED_ABOVE):
            self.say(line(run, recorded))

    def say(self, text: str) -> None:
        """Above the tree, for good."""
        self._try(lambda: self._console.print(Text("\n").join(styled(each) for each in text.splitlines())))

    def write(self, text: str) -> int:
        """As a stream for log lines."""
        if text.strip():
            self._try(lambda: self._console.print(Text.from_ansi(text.rstrip())))
        return len(text)

    def flush(self) -> None:
        """It is printed already."""

    async def beside(self, work: Coroutine[Any, Any, T]) -> T:
        """Draw for as long as the work lasts, and how it stands at its end."""
        configure_now()
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast("TextIO", self)))
        self._try(self._live.start)
        drawing = asyncio.create_task(self._draw_on())
        try:
            return await work
        finally:
            drawing.cancel()
            self._draw()
            self._try(self._live.stop)

    async def _draw_on(self) -> None:
        while True:
            if not self._out.is_behind:
                self._draw()
            await asyncio.sleep(EVERY_SECONDS)

    def _draw(self) -> None:
        self._try(lambda: self._live.update(self._picture(), refresh=True))

    def _picture(self) -> Group:
        now = datetime.now(UTC)
        running = self._tracker.all_progress(now)
        moment = TreeInput(self._tracker.run, self._tracker.timeline, next(iter(running), None), now, running[1:])
        width, height = self._console.size
        return Group(*(styled(each) for each in tree(moment, width=width, height=height - 1)))

    def _try(self, draw: Any) -> None:
        if self._broken:
            return
        try:
            draw()
        except Exception as error:
            self._broken = True
            self._out.write(f"\ncutoverd: the picture ends here ({format_error(error)}); the run goes on\n")


def styled(each: str) -> Text:
    """By its icon, the first that it has."""
    icon = next((character for character in each if character in STYLES), "")
    return Text(each, style=STYLES.get(icon, ""), no_wrap=True, overflow="crop")
