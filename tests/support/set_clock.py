"""`cutoverd` with a clock that a test sets: `set_clock.py FILE WORDS…`; FILE holds the seconds by which people have set it.

Only the clock that people set is moved: what counts since the machine was booted is as it is.
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from cutoverd.daemon.cli import main
from cutoverd.daemon.engine import inbox_handler, loop, run_log
from cutoverd.daemon.host import clock

FILE = Path(sys.argv.pop(1))


class Moved(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(seconds=float(FILE.read_text()))


for module in (clock, run_log, loop, inbox_handler):
    module.datetime = Moved  # type: ignore[attr-defined]
main()
