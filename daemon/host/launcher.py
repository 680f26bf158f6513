"""Run as a script by children.py: record this process, then become the command.

Imports what Python has loaded anyway, for it starts before every command: `os`, and `signal` with its enums, were two fifths of
its time (docs/measured.md, "The start of a command"). The record comes before the two questions, so whoever fences this epoch
or finds our parent dead either sees the record or we see them. It is replaced whole, and not synced: after a power cut there is
no process either that it could tell of.
"""

import _signal  # type: ignore[import-not-found]
import posix
import sys

FENCE = "epoch"  # file beside the records: no child of a lower epoch may begin
TOKEN = "CUTOVERD_CHILD"  # noqa: S105 - in the environment of every descendant, to know them by
UNFINISHED = ".part"  # of a record that is being written
REFUSED = 125  # and no record: a command that ends with that code has left one
LONGEST_EPOCH = 7  # digits; it is in the names of databases
NOT_FOUND = 127
ENOENT = 2
NOT_THERE = (ENOENT, 20)  # ENOTDIR
IGNORED = (_signal.SIGPIPE, _signal.SIGXFSZ)  # by Python, and the command would inherit that
DEFAULT_PATH = b"/bin:/usr/bin"


def birth(pid: int) -> str | None:
    """What tells this process from every other that had or will have its pid; None once it has ended."""
    return _birth_in_proc(pid) if _is_there("/proc/self/stat") else birth_by_ps(pid)


def _is_there(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _birth_in_proc(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as boot:
            return None if fields[0] in "ZX" else f"{boot.read().strip()} {fields[19]}"
    except (FileNotFoundError, ProcessLookupError):
        return None


def birth_by_ps(pid: int) -> str | None:
    """Where there is no /proc: to the second, which pids do not wrap around in."""
    import subprocess  # a third of this script's time, and of no use before most commands

    listing = subprocess.run(
        ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    )
    state, _, started = listing.stdout.strip().partition(" ")
    return None if not started or state[0] in "ZX" else started.strip()


def main(arguments: list[str]) -> int:
    folder, parent, epoch, record, *argv = arguments
    path = f"{folder}/{posix.getpid()}.json"
    try:
        _write(path, _completed(record, int(epoch)))
    except OSError as error:  # a full disk, say: what nobody could find again is not begun
        _complain(str(error.strerror))
        return REFUSED
    if posix.getppid() != int(parent) or _is_fenced(folder, int(epoch)):
        posix.unlink(path)
        return REFUSED
    for number in IGNORED:
        _signal.signal(number, _signal.SIG_DFL)
    why = _become(argv)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_IGN)  # for what is said now
    _complain(f"cannot run {argv[0]}: {why.strerror}")
    return NOT_FOUND


def _become(argv: list[str]) -> OSError:
    """As `os.execvp`: the first of that name in the PATH that can be run; why there is none."""
    why = OSError(ENOENT, "No such file or directory")
    for program in _candidates(argv[0]):
        try:
            posix.execv(program, argv)
        except OSError as error:
            why = error if why.errno in NOT_THERE else why
    return why


def _candidates(program: str) -> list[str]:
    if "/" in program:
        return [program]
    # as `execv` will encode it again, whatever the locale; a name that is no text of it comes through as it is
    path = posix.environ.get(b"PATH", DEFAULT_PATH).decode(sys.getfilesystemencoding(), "surrogateescape")
    return [f"{folder or '.'}/{program}" for folder in path.split(":")]


def _complain(text: str) -> None:
    """On stderr, which may be a file on a full disk: the code has to be ours all the same."""
    try:
        posix.write(2, f"{text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


def _write(path: str, record: str) -> None:
    with open(f"{path}{UNFINISHED}", "w", encoding="utf-8", opener=_private) as file:
        file.write(record)
    posix.replace(f"{path}{UNFINISHED}", path)  # no fsync: what a power cut leaves of it is of an earlier boot, and not read


def _completed(record: str, epoch: int) -> str:
    """The JSON of our parent, with what only this process knows: by hand, as to import json takes as long as all the rest."""
    return f'{record.removesuffix("}")}, "pid": {posix.getpid()}, "birth": "{birth(posix.getpid())}", "epoch": {epoch}}}'


def _is_fenced(folder: str, epoch: int) -> bool:
    """A file that cannot be read may hold any epoch."""
    try:
        return epoch < fence(folder)
    except (OSError, ValueError):
        return True


def fence(folder: str) -> int:
    """No child of a lower epoch may begin; 0 if none was ever fenced. Raises OSError, or ValueError for what is no epoch."""
    try:
        descriptor = posix.open(f"{folder}/{FENCE}", posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOFOLLOW | posix.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        written = posix.read(descriptor, 1000)
    finally:
        posix.close(descriptor)
    if not written.strip().isdigit() or len(written.strip()) > LONGEST_EPOCH:
        raise ValueError(f"expected an epoch, saw {written[:40]!r}")
    return int(written)


def _private(path: str, flags: int) -> int:
    return posix.open(path, flags, 0o600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
