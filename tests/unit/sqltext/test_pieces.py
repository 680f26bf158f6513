"""Comments are told from what only looks like one, in one place."""

from __future__ import annotations

import pytest

from cutoverd.daemon.sqltext.outside_transaction import runs_in_no_transaction
from cutoverd.daemon.sqltext.pieces import pieces, without_comments
from cutoverd.daemon.sqltext.redact import normalise
from cutoverd.daemon.sqltext.splitter import Statement, split


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        ("SELECT 1 -- one\n, 2", "SELECT 1  \n, 2"),
        ("SELECT /* a /* nested */ one */ 2", "SELECT   2"),
        ("SELECT '-- no comment', '/*', 3", "SELECT '-- no comment', '/*', 3"),
        ("SELECT $a$ -- none /* $a$, 4", "SELECT $a$ -- none /* $a$, 4"),
        ('SELECT "--", 5', 'SELECT "--", 5'),
        (r"SELECT E'\'--', 6", r"SELECT E'\'--', 6"),
        ("SELECT 7 /* cut off", "SELECT 7  "),
    ],
)
def test_dashes_in_a_literal_are_no_comment(sql: str, kept: str) -> None:
    assert without_comments(sql) == kept


@pytest.mark.parametrize("sql", ["", "a", "x 'y' -- z", '$q$ $q$ /* */ 12 "n"', "'open", "/* open"])
def test_the_pieces_are_the_text(sql: str) -> None:
    assert "".join(text for _, text in pieces(sql)) == sql


def test_two_statements_that_differ_behind_dashes_in_a_literal_are_two() -> None:
    assert normalise("INSERT INTO t VALUES ('--', 1)") != normalise("INSERT INTO t VALUES ('--', 2)")


def test_what_follows_dashes_in_a_literal_still_counts() -> None:
    [statement] = split("ALTER TABLE p /* '--' */ DETACH PARTITION \"--\" CONCURRENTLY")
    assert isinstance(statement, Statement)
    assert runs_in_no_transaction(statement)
