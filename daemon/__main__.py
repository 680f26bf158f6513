"""`python -m cutoverd.daemon`, and the command `cutoverd`."""

from __future__ import annotations

import signal
import sys

from cutoverd.daemon.host.early_stop import end_early_by_signal

USAGE = 2  # as engine/exit_codes.py has it
WITHOUT_DOCSTRINGS = 2  # of sys.flags.optimize


def main() -> None:
    """The entry point; the command's own imports come after signals are heard."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever starts us may ignore it: then no child says how it ended
    end_early_by_signal()
    if sys.flags.optimize >= WITHOUT_DOCSTRINGS:
        sys.exit(_refuse_without_docstrings())
    from cutoverd.daemon.cli import main as run_command

    run_command()


def _refuse_without_docstrings() -> int:
    """What a step did, and what went wrong, is said in docstrings: a run without them ended in the middle, without a word."""
    print(
        "cutoverd: saw python -OO (PYTHONOPTIMIZE=2), which takes the docstrings away, and events and errors are worded by them\n"
        "  → unset PYTHONOPTIMIZE, or start it without -OO; nothing was done",
        file=sys.stderr,
    )
    return USAGE


if __name__ == "__main__":
    main()
