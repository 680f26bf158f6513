"""What `--help` has to say beyond the options."""

from __future__ import annotations

from typer.testing import CliRunner

from cutoverd.daemon.cli import app


def test_history_says_what_lies_in_the_gaps_of_its_numbers() -> None:
    """Found: 17, 18, 21 looked like events that were lost."""
    help_text = " ".join(CliRunner().invoke(app, ["history", "--help"]).stdout.split())
    assert "What lies in a gap between them is no event of this run: a command, say" in help_text
