"""What the process says when it ends: the same codes for `run` and `demo`."""

from __future__ import annotations

from enum import IntEnum

from cutoverd.states import ABORTED, COMPLETED, ROLLED_BACK
from cutoverd.states.run import Run


class Exit(IntEnum):
    COMPLETED = 0
    ERROR = 1
    USAGE = 2  # or the plan
    ROLLED_BACK = 3
    STUCK = 4
    ABORTED = 5  # or PreCheck failed, and nobody is there to be asked
    UNFINISHED = 6  # held, or stopped in the middle; start it again
    SUPERSEDED = 7  # another daemon drives the run; not to be started again


_ENDS = {COMPLETED: Exit.COMPLETED, ROLLED_BACK: Exit.ROLLED_BACK, ABORTED: Exit.ABORTED}


def exit_of(run: Run) -> Exit:
    """The code for a run as it stands when nobody drives it any more."""
    if run.is_stuck:
        return Exit.STUCK
    if run.failed_in_place and not run.held:
        return Exit.ABORTED
    return _ENDS.get(run.state, Exit.UNFINISHED)
