"""Files of our own: only their owner may read them, they are replaced as a whole, and what lies there is read with doubt.

A power cut, a full disk or a person may leave anything in the place of such a file: nothing, half of it, NULs, a folder, a link,
a pipe. None of it may stop a later daemon without a word that names it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable
from io import BufferedWriter
from pathlib import Path
from typing import TypeVar

from cutoverd.daemon.host.log import Logger

log = Logger(__name__)

LARGEST_BYTES = 64 << 20
SHOWN_BYTES = 40
# what the next try meets again; a disk that is full or slow is another matter
LASTING = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EEXIST}
NOT_OURS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)  # of what is no JSON of ours
FILE, FOLDER = "a file", "a folder"
WRITABLE = "state_dir of the plan has to be a folder of this user, who may write in it"
KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
T = TypeVar("T")
_named: set[tuple[Path, str]] = set()


class UnusableFile(OSError):
    """what lies there is no file that we wrote, or can write"""

    def __init__(self, path: Path, reason: str, hint: str = "", *, is_other: bool = False) -> None:
        """`is_other`: a folder, a link, a pipe."""
        super().__init__(f"{path}: {reason}")
        self.strerror, self.hint, self.is_other = reason, hint, is_other


def write_private(path: Path, content: str | bytes) -> None:
    """Replace `path` by a file of mode 600; whoever reads it sees what it held before or `content`, after a power cut too.

    A folder in its place is put aside. Raises `UnusableFile` where no file can be written at all, else OSError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")  # two threads may write at once
    try:
        with os.fdopen(open_own(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        _put_folder_aside(path)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unusable(path, error) from error
    sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """The whole file; raises FileNotFoundError, and `UnusableFile` where something else lies there, or it cannot be read."""
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        try:
            content = file.read(LARGEST_BYTES + 1)
        except OSError as error:
            raise UnusableFile(path, os.strerror(error.errno or 0)) from error
    if len(content) > LARGEST_BYTES:
        raise UnusableFile(path, f"it has more than {LARGEST_BYTES} bytes, which nothing of ours has")
    return content


def find_private(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """What `parse` makes of the file; None if there is none, or, with a line in the log that names it, if it is none of ours.

    `parse` may raise what `json.loads` and looking into its answer raise.
    """
    try:
        content = read_private(path)
    except FileNotFoundError:
        return None
    except UnusableFile as error:
        _name(path, str(error.strerror))
        return None
    try:
        return parse(content)
    except NOT_OURS:
        _name(path, describe(content))
        return None


def open_private(path: Path) -> BufferedWriter:
    """Open for writing at its end, made with mode 600 if it is not there; what is no file is put aside."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        _put_aside(path)
    return os.fdopen(open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "wb")


def open_own(path: Path, flags: int) -> int:
    """A descriptor of a file, made with mode 600 where `flags` make it; raises FileNotFoundError, `UnusableFile`, OSError.

    Links are not followed: where they lead, nothing is ours. A pipe is not waited for.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _other(path, _kind(path))
    return descriptor


def remove_private(path: Path) -> None:
    """Whatever lies there is there no more; a folder is put aside. Raises `UnusableFile`, OSError."""
    if not os.path.lexists(path):  # where nothing can be written, that would be an error too
        return
    try:
        _put_folder_aside(path)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(path, error) from error


def make_private_folder(path: Path) -> Path:
    """Make it with mode 700 where it is missing; raises `UnusableFile`, OSError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(Path(error.filename or path), error, FOLDER) from error
    return path


def describe(content: bytes) -> str:
    """What a file holds instead of what we wrote."""
    if not content:
        return "it is empty"
    if not content.strip(b"\0"):
        return f"it holds {len(content)} NULs"
    return f"it holds {content[:SHOWN_BYTES]!r}{'…' if len(content) > SHOWN_BYTES else ''}, which we did not write"


def sync_folder(folder: Path) -> None:
    """The names in it survive a power cut; where a file system cannot promise that, nobody can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _name(path: Path, reason: str) -> None:
    """Once: some files are looked at twice a second."""
    if (path, reason) not in _named:
        _named.add((path, reason))
        log.warning("file_not_ours", path=str(path), reason=reason, doing="goes on as if it were not there")


def _put_folder_aside(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        _put_aside(path)


def _put_aside(path: Path) -> None:
    """Nobody's data is removed: it gets another name beside."""
    aside = path.with_name(f"{path.name}.found-{secrets.token_hex(4)}")
    path.rename(aside)
    log.warning("put_aside", path=str(path), found=_kind(aside), now=str(aside), reason="a file of ours belongs there")


def _unusable(path: Path, error: OSError, wanted: str = FILE) -> OSError:
    """In words where the next try would meet it again; else the error itself."""
    if isinstance(error, UnusableFile) or error.errno not in LASTING:
        return error
    found = _kind(path)
    return UnusableFile(path, os.strerror(error.errno or 0), WRITABLE) if found in ("", wanted) else _other(path, found, wanted)


def _other(path: Path, found: str, wanted: str = FILE) -> UnusableFile:
    return UnusableFile(path, f"it is {found}, and {wanted} of ours belongs there", "move it away, then try again", is_other=True)


def _kind(path: Path) -> str:
    """What lies there; "" if that cannot be seen."""
    try:
        return KINDS.get(stat.S_IFMT(path.lstat().st_mode), "")
    except OSError:
        return ""
