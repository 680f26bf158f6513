"""The page about the state machine is what the table says."""

from pathlib import Path

from cutoverd.daemon.views.diagram import document


def test_the_diagram_in_the_docs_is_the_table():
    assert (Path(__file__).parents[2] / "docs" / "state-machine.md").read_text() == document()
