"""PostgreSQL refuses to run as root: as root, who it runs as instead, and the folders that this user can reach.

The first choice is a user namespace: there the server believes to be somebody else, while outside it is still us and can
read whatever we can. Where namespaces are not allowed, it becomes an existing unprivileged user, in a folder of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cutoverd.daemon.embedded.errors import ServerError

PROBE_SECONDS = 10


@dataclass(frozen=True)
class Identity:
    """Who the server runs as: the command in front of its own, and the user if it is another one than we are."""

    prefix: tuple[str, ...] = ()
    user: pwd.struct_passwd | None = None

    def runs(self, *command: str) -> bool:
        """Whether a command succeeds as this identity."""
        try:
            done = subprocess.run(
                [*self.prefix, *command],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                cwd="/",
                timeout=PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def reaches(self, path: Path) -> bool:
        return self.runs("test", "-r", str(path), "-a", "-x", str(path))

    def make_home(self, wanted: Path) -> None:
        """Make a folder that this identity owns, at `wanted` or, if that is out of its reach, where a link there points to.

        Raises `ServerError` if this user can reach no temporary folder either.
        """
        if self.user is None:
            wanted.mkdir(mode=0o700)
            return
        home = Path(tempfile.mkdtemp(prefix="cutoverd-postgres-"))
        os.chown(home, self.user.pw_uid, self.user.pw_gid)
        if not self.reaches(home):
            home.rmdir()
            raise ServerError(
                f"PostgreSQL does not run as root, and the user {self.user.pw_name} cannot reach {home.parent}: "
                "set TMPDIR to a folder that every user can enter, or start this as an ordinary user"
            )
        wanted.symlink_to(home)

    def within_reach(self, bin_dir: Path, home: Path) -> Path:
        """`bin_dir`, or a copy of its installation inside `home` if this identity cannot read the original."""
        if self.user is None or self.reaches(bin_dir):
            return bin_dir
        installed, package = bin_dir.parent, bin_dir.parent.parent
        copy = home / "install"
        if not copy.exists():
            draft = home / "install.part"
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(installed, draft / package.name / installed.name, symlinks=True)
            # Where a wheel keeps its shared libraries; the programs look for them at this place beside them.
            if (libraries := package.with_name(f"{package.name}.libs")).exists():
                shutil.copytree(libraries, draft / libraries.name, symlinks=True)
            draft.rename(copy)
        return copy / package.name / installed.name / bin_dir.name


@cache
def identity() -> Identity:
    """Ourselves if PostgreSQL accepts that, else somebody unprivileged; raises `ServerError` if there is no way."""
    if os.geteuid() != 0 and _is_known(os.geteuid()):
        return Identity()
    for candidate in (_mapped(), _another()):
        if candidate.runs("true"):
            return candidate
    raise ServerError(
        "PostgreSQL does not run as root, and here neither `unshare --user` nor `setpriv --reuid` works: "
        "start this as an ordinary user"
    )


@cache
def leash() -> tuple[str, ...]:
    """A command in front of a server's that makes the kernel end the server when the thread that started it is gone."""
    command = ("setpriv", "--pdeathsig", "QUIT", "--")
    return command if Identity(command).runs("true") else ()


def _mapped() -> Identity:
    user = _unprivileged_user()
    return Identity(("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--"))


def _another() -> Identity:
    user = _unprivileged_user()
    return Identity(("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"), user)


def _unprivileged_user() -> pwd.struct_passwd:
    """nobody, or the first user who is not root; initdb wants a user with a name."""
    users: Sequence[pwd.struct_passwd] = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if not users:
        raise ServerError("PostgreSQL does not run as root, and this machine knows no other user: start this as an ordinary user")
    return next((user for user in users if user.pw_name == "nobody"), users[0])


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
