"""The command `cutoverd`, a file for each of its commands.

A start costs what it imports. So `application.py` imports the module of the one command that is run; the modules are free to
import what they need at their top.
"""

from __future__ import annotations

import gc
import io
import sys
from typing import Any, NoReturn, TextIO, cast

from cutoverd.daemon.cli.application import app
from cutoverd.daemon.host.environment import set_aside_for_libpq
from cutoverd.daemon.host.log import configure_at_first_use, make_printable
from cutoverd.daemon.host.printable import printable
from cutoverd.daemon.terminal.unbreakable import BestEffortStream, escape_what_cannot_be_encoded, mute, open_closed_streams

__all__ = ["app", "main"]


def main() -> None:
    """The entry point."""
    set_aside_for_libpq()
    open_closed_streams()
    escape_what_cannot_be_encoded()
    configure_at_first_use(_configure_log)
    gc.disable()  # what an import makes stays: to look for garbage in it costs 0.1 s of CPU
    try:
        app()
    except OSError as error:  # of what typer prints by itself: to a full disk, say
        _end_by(error)


def _end_by(error: OSError) -> NoReturn:
    from cutoverd.daemon.cli.common import complain, format_os_error
    from cutoverd.daemon.engine.exit_codes import Exit

    mute(sys.stdout)
    complain(f"cutoverd: {'' if error.filename else 'standard output cannot be written: '}{format_os_error(error)}")
    sys.exit(Exit.ERROR)


def _configure_log() -> None:
    import structlog

    # a traceback with local variables would show what is in them
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", BestEffortStream(sys.stderr))),
        processors=[structlog.processors.TimeStamper("iso"), structlog.processors.add_log_level, make_printable, console],
    )


def _write_traceback(out: TextIO, error: Any) -> None:
    import structlog

    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(printable(text.getvalue()))
