"""The commands are found by their names alone, and each is imported when it is asked for."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest
from support.paths import ROOT
from typer.testing import CliRunner

from cutoverd.daemon.cli.application import MODULES, app

SHARED = {"__init__", "application", "common"}


def output_of(*words: str) -> tuple[int, str]:
    """The exit code and the text, wide and without the colours that a terminal, or a CI, would have."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"}, prog_name="cutoverd")
    return result.exit_code, re.sub(r"\x1b\[[0-9;]*m", "", result.output)


def test_every_file_of_a_command_is_in_the_table() -> None:
    assert set(MODULES.values()) == {file.stem for file in (ROOT / "daemon/cli").glob("*.py")} - SHARED


def test_help_lists_all_commands_in_the_order_of_the_table() -> None:
    code, text = output_of("--help")
    assert code == 0
    listed = [line.split()[1] for line in text.partition("Commands")[2].splitlines() if line.startswith("│ ")]
    assert [name for name in listed if name in MODULES] == [*MODULES]


@pytest.mark.parametrize("command", MODULES)
def test_help_of_a_command_calls_it_by_the_name_that_was_asked_for(command: str) -> None:
    code, text = output_of(command, "--help")
    assert code == 0
    assert f"Usage: cutoverd {command} " in text


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant() -> None:
    code, text = output_of("sttaus")
    assert code == 2
    assert "'status'" in text


def test_the_version_is_that_of_the_package() -> None:
    assert output_of("--version") == (0, f"cutoverd {version('cutoverd')}\n")
