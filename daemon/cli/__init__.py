"""The command `cutoverd`, a file for each of its commands."""

from __future__ import annotations

import sys
from typing import TextIO, cast

import structlog

from cutoverd.daemon.cli import check, demo, finalize, history, plan_new, run, schema, send, status
from cutoverd.daemon.cli.common import app
from cutoverd.daemon.terminal.unbreakable import BestEffortStream

# each registers itself; this order is that of `--help`
COMMANDS = (check, run, send, status, history, finalize, plan_new, schema, demo)


def main() -> None:
    """The entry point."""
    # a traceback with local variables would show what is in them
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", BestEffortStream(sys.stderr))),
        processors=[structlog.processors.TimeStamper("iso"), structlog.processors.add_log_level, console],
    )
    app()
