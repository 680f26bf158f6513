"""The wheel holds every module and nothing outside `cutoverd/`; a subpackage left out of pyproject.toml shows only here."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest
from support.paths import ROOT

SHIPPED = {"daemon": "daemon", "events": "events", "states": "states", "deploy/examples": "examples"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("wheel")
    source = target / "source"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(source)], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(source)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    with zipfile.ZipFile(next(target.glob("*.whl"))) as opened:
        yield opened


def committed(folder: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, check=True, capture_output=True, text=True)
    return listed.stdout.splitlines()


def test_the_wheel_holds_every_file_that_ships(wheel):
    packed = set(wheel.namelist())
    expected = {
        f"cutoverd/{package}/{file.removeprefix(folder + '/')}"
        for folder, package in SHIPPED.items()
        for file in committed(folder)
    }
    assert expected - packed == set()


def test_the_wheel_holds_nothing_else(wheel):
    strangers = [name for name in wheel.namelist() if not name.startswith(("cutoverd/", "cutoverd-"))]
    assert strangers == []


def test_nothing_that_ships_names_a_folder_of_the_machine_it_was_made_on():
    for folder in SHIPPED:
        for name in committed(folder):
            if name.endswith((".py", ".sql", ".yaml", ".md", ".json")):
                text = (ROOT / name).read_text()
                assert str(ROOT) not in text, name
                assert "../shared" not in text, name
