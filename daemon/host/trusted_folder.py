"""Whether a folder can keep what a run depends on: whoever else may write there may put anything in the place of our files."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def find_distrust(folder: Path, *, sticky: bool = False) -> str:
    """Why it cannot be relied on, and what helps; "" if it can, or is no folder yet. Nothing is changed.

    `sticky`: it will do if others may add to it and cannot replace what is ours, because it lies in a folder that is ours.
    """
    try:
        found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return f"{folder} is a link that leads nowhere: remove it" if folder.is_symlink() else ""
    except OSError as error:
        return f"{folder}: {os.strerror(error.errno or 0)}"
    if not stat.S_ISDIR(found.st_mode):  # who wants to write there says it
        return ""
    if os.geteuid() not in (0, found.st_uid) and found.st_uid != 0:
        return f"{folder} belongs to {_name(found.st_uid)}, who can change what the run depends on: chown it, or run as that user"
    if not found.st_mode & WRITABLE_BY_OTHERS or _is_private_group(found) or (sticky and found.st_mode & stat.S_ISVTX):
        return ""
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    return f"others can write in {folder} (mode {mode}), and put anything in the place of what the run depends on: chmod go-w it"


def _is_private_group(found: os.stat_result) -> bool:
    """A group of the owner alone, as many systems make one for each user, whose umask lets it write."""
    if found.st_mode & stat.S_IWOTH:
        return False
    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return owner.pw_gid == found.st_gid and owner.pw_name == group.gr_name and set(group.gr_mem) <= {owner.pw_name}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
