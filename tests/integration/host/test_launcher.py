"""The launcher becomes the command as `os.execvp` would, and imports nothing for it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cutoverd.daemon.host import children, launcher
from cutoverd.daemon.systems import exec_shim

AS_OS_DOES = "import os, sys\ntry: os.execvp(sys.argv[1], sys.argv[1:])\nexcept OSError as error: print(error.strerror)"
PATHS = {
    "found": "without:with",
    "not to be run, then found": "locked:with",
    "not to be run": "without:locked",
    "a file for a folder": "with/program.txt:with",
    "nowhere": "without:missing",
    "an empty entry, for here": "without:",
    "nothing at all": "",
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for folder, mode in {"with": 0o755, "locked": 0o644, ".": 0o755}.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "program").write_text(f"#!/bin/sh\necho of {folder}\n")
        (tmp_path / folder / "program").chmod(mode)
    (tmp_path / "with" / "program.txt").touch()
    (tmp_path / "without").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("program", "path"),
    [
        *(("program", path) for path in [*PATHS.values(), None]),
        *((f"{each}/program", "") for each in ("with", "locked", "missing")),
    ],
)
async def test_a_command_is_found_as_the_system_finds_it(here: Path, program: str, path: str | None) -> None:
    env = {} if path is None else {"PATH": ":".join(each and str(here / each) for each in path.split(":"))}
    ours = await children.run([program], folder=here, epoch=1, step="a.step", cwd=here, env=env, timeout_seconds=20)
    theirs = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-I", "-S", "-c", AS_OS_DOES, program], cwd=here, env=env, capture_output=True, text=True, timeout=20
    )
    assert (ours.stdout_tail or ours.stderr_tail.rpartition(": ")[2]) == theirs.stdout


@pytest.mark.parametrize("folder", ["b\u00fcro", "k\u0151"])
async def test_a_folder_of_the_path_whose_name_is_no_text_of_the_locale_is_found(
    here: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found: under a locale that is not UTF-8, a program there was not found, or the launcher ended in a traceback."""
    (here / "with").rename(here / folder)
    python, *script = children._LAUNCH
    monkeypatch.setattr(children, "_LAUNCH", [python, "-X", "utf8=0", *script])  # a C locale is UTF-8 to Python otherwise
    env = {"LC_ALL": "C", "PATH": f"{here / folder}:/usr/bin:/bin"}
    ours = await children.run(["program"], folder=here, epoch=1, step="a.step", env=env, timeout_seconds=20)
    assert ours == children.Completed(0, "of with\n", "")


@pytest.mark.parametrize("script", [launcher, exec_shim])
def test_what_starts_before_every_command_imports_nothing(script: object) -> None:
    """Found: `os` and `signal` were two fifths of what the start of a command costs."""
    file = Path(str(vars(script)["__file__"]))
    code = f"import sys; sys.path[:0] = [sys.argv[1]]; had = {{*sys.modules}}; import {file.stem}; print({{*sys.modules}} - had)"
    ours = [sys.executable, "-I", "-S", "-c", code, str(file.parent)]
    listing = subprocess.run(ours, capture_output=True, text=True, timeout=20, check=True)
    assert listing.stdout == f"{{'{file.stem}'}}\n"


def test_os_names_what_the_launcher_knows_by_number() -> None:
    assert (launcher.ENOENT, *launcher.NOT_THERE) == (errno.ENOENT, errno.ENOENT, errno.ENOTDIR)
    assert launcher.DEFAULT_PATH.decode() == os.defpath


@pytest.mark.parametrize("through", [[], [sys.executable, "-I", "-S", exec_shim.__file__]])
async def test_a_command_ends_by_the_limit_of_a_file_as_it_would_anywhere(tmp_path: Path, through: list[str]) -> None:
    """Found: SIGXFSZ was ignored in every command, as Python has it."""
    line = f"ulimit -f 1; (head -c 100000 /dev/zero >{tmp_path}/file); echo $?"
    ours = await children.run([*through, "bash", "-c", line], folder=tmp_path, epoch=1, step="a.step", timeout_seconds=20)
    assert ours.stdout_tail == f"{128 + signal.SIGXFSZ}\n"


def test_a_child_says_how_it_ended_though_whoever_starts_us_ignores_that(tmp_path: Path) -> None:
    """Found: started with SIGCHLD ignored, as some supervisors do, no command had a code."""
    code = (
        "import subprocess; from cutoverd.daemon import __main__, cli;"
        "cli.main = lambda: print(subprocess.run(['sh', '-c', 'exit 3']).returncode); __main__.main()"
    )
    started = ["bash", "-c", "trap '' CHLD; exec \"$@\"", "bash", sys.executable, "-c", code]
    assert subprocess.run(started, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path).stdout == "3\n"
