"""The systems of a small night, as a shell and as Python: the one that is quick and the one whose knobs turn do the same."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support import night_ctl

PLACE = Path(night_ctl.__file__).parent
STORY = [
    "status api old", "health page", "stop api old", "status api old", "stop api old", "start api test", "smoke api test",
    "stop api test", "smoke api test", "health page", "start api new", "close door", "status door", "health page", "open door",
    "health page", "start api old", "health page",
]  # fmt: skip


def played(folder: Path, command: list[str]) -> list[object]:
    """After each command of the story: its exit code, what runs, and what it testified but for when and to whom."""
    for name in ("systems", "knobs"):
        (folder / name).mkdir(parents=True)
    for name in ("worker.old", "api.old", "door.door"):
        (folder / "systems" / name).touch()
    (folder / "witness.jsonl").touch()
    (folder / "ctl.py").write_text((PLACE / "night_ctl.py").read_text())
    quick = (PLACE / "night_ctl.sh").read_text().replace("{python}", shlex.quote(sys.executable))
    (folder / "ctl.sh").write_text(quick)
    after: list[object] = []
    for words in STORY:
        code = subprocess.run([*command, *words.split()], cwd=folder, check=False, timeout=20).returncode
        lines = [json.loads(line) for line in (folder / "witness.jsonl").read_text().splitlines()]
        what = [(line["verb"], line["what"], line["version"], isinstance(line["at"], float)) for line in lines]
        after.append((words, code, sorted(path.name for path in (folder / "systems").iterdir()), what))
    return after


def test_the_shell_does_what_python_does(tmp_path: Path) -> None:
    python = [sys.executable, "-I", "-S", "ctl.py"]
    assert played(tmp_path / "sh", ["sh", "ctl.sh"]) == played(tmp_path / "py", python)


@pytest.mark.parametrize("command", [["sh", "ctl.sh"], [sys.executable, "-I", "-S", "ctl.py"]])
def test_a_knob_is_turned_by_either(tmp_path: Path, command: list[str]) -> None:
    played(tmp_path / "night", command)
    (tmp_path / "night/knobs/health page.json").write_text('{"exit": 7}')
    codes = [subprocess.run([*command, "health", "page"], cwd=tmp_path / "night", check=False).returncode for _ in range(2)]
    assert codes == [7, 1], "once, and then as it is: both versions of api run"
