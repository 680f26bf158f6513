"""The page about the state machine is what the table says."""

from support.paths import DOCS

from cutoverd.daemon.views.diagram import document


def test_the_diagram_in_the_docs_is_the_table():
    assert (DOCS / "state-machine.md").read_text() == document()
