"""The command `cutoverd`, a file for each of its commands.

A start costs what it imports. So `application.py` imports the module of the one command that is run; the modules are free to
import what they need at their top.
"""

from __future__ import annotations

import gc
import sys
from typing import TextIO, cast

from cutoverd.daemon.cli.application import app
from cutoverd.daemon.host.log import configure_at_first_use
from cutoverd.daemon.terminal.unbreakable import BestEffortStream, open_closed_streams

__all__ = ["app", "main"]


def main() -> None:
    """The entry point."""
    open_closed_streams()
    configure_at_first_use(_configure_log)
    gc.disable()  # what an import makes stays: to look for garbage in it costs 0.1 s of CPU
    app()


def _configure_log() -> None:
    import structlog

    # a traceback with local variables would show what is in them
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", BestEffortStream(sys.stderr))),
        processors=[structlog.processors.TimeStamper("iso"), structlog.processors.add_log_level, console],
    )
