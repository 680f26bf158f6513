"""The first second of a command: a signal ends it as later on, and a Python without docstrings is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cutoverd.daemon import __main__
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host import early_stop

# the process tells when the signals are setting_up, and then imports for as long as the test needs
SLOW_IMPORT = """\
import signal, sys, time
from cutoverd.daemon import __main__
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # whoever runs the tests may ignore one
    signal.signal(number, signal.SIG_DFL)
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "cutoverd.daemon.cli":
            print("imports", flush=True)
            time.sleep(20)
sys.meta_path.insert(0, Slow())
__main__.main()
"""


@pytest.mark.parametrize("number", early_stop.SIGNALS)
def test_a_signal_while_it_imports_ends_it_by_6_and_a_word(number: signal.Signals) -> None:
    """Found: in the first 1.75 s of a start the process died of the signal itself (-15, -2), without a word."""
    with subprocess.Popen([sys.executable, "-c", SLOW_IMPORT], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"imports\n"
        process.send_signal(number)
        assert process.wait(10) == Exit.UNFINISHED
        assert process.stderr.read() == b"cutoverd: stopped before anything was begun\n"


def test_what_is_ignored_stays_so() -> None:
    ignored = "import signal; signal.signal(1, signal.SIG_IGN)"
    setting_up = "from cutoverd.daemon.host import early_stop; early_stop.end_early_by_signal()"
    words = f"{ignored}\n{setting_up}\nassert signal.getsignal(1) is signal.SIG_IGN"
    assert subprocess.run([sys.executable, "-c", words], check=False, timeout=10).returncode == 0


LINGERS = """\
import os, signal, sys
from types import SimpleNamespace
from cutoverd.daemon.cli.run import _linger_for_last_scrape
from cutoverd.daemon.engine.exit_codes import Exit
signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[1] == "ignored" else signal.SIG_DFL)
def linger():
    os.kill(os.getpid(), signal.SIGHUP)
    print("waited on")
_linger_for_last_scrape(SimpleNamespace(linger_seconds=1, linger=linger), Exit.COMPLETED)
"""


@pytest.mark.parametrize(("given", "printed"), [("ignored", "waited on\n"), ("default", "")])
def test_a_hangup_that_is_ignored_does_not_end_the_wait_for_the_last_scrape(given: str, printed: str) -> None:
    """Found: `nohup cutoverd run` ended there at the hang-up."""
    done = subprocess.run([sys.executable, "-c", LINGERS, given], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


@pytest.mark.parametrize("level", ["2", "3"])
def test_a_python_that_takes_the_docstrings_away_is_refused_before_anything(level: str, tmp_path: Path) -> None:
    """Found: under PYTHONOPTIMIZE=2 a run ended by an IndexError in the middle, and errors had no words."""
    command = [sys.executable, "-m", "cutoverd.daemon", "check", str(tmp_path / "plan.yaml")]
    environment = {**os.environ, "PYTHONOPTIMIZE": level, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == Exit.USAGE
    assert done.stderr.startswith("cutoverd: saw python -OO (PYTHONOPTIMIZE=2)")
    assert "→ unset PYTHONOPTIMIZE" in done.stderr


def test_the_codes_are_those_of_all_commands() -> None:
    assert (early_stop.UNFINISHED, __main__.USAGE) == (Exit.UNFINISHED, Exit.USAGE)
