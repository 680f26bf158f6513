"""Run as a script by commands.py: stand between the daemon and a command, so that what kills its parent kills this.

Imports what Python has loaded anyway, as host/launcher.py does: it starts before every smoke test.
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys

NOT_FOUND = 127


def main(argv: list[str]) -> int:
    for number in (_signal.SIGINT, _signal.SIGTERM):  # they are told to the command too; wait for how it ends
        _signal.signal(number, lambda *_: None)
    try:
        # Python ignores these, and the command would inherit that.
        pid = posix.posix_spawnp(argv[0], argv, posix.environ, setsigdef=[_signal.SIGPIPE, _signal.SIGXFSZ])
    except OSError as error:
        print(f"cannot run {argv[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND
    code = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code  # as a shell says it: 128 + the signal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
