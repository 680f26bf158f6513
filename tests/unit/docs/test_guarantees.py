"""Each promise of the page names tests that exist, and says what it cannot promise."""

import re

import pytest
from support.paths import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PROMISES = {
    part.splitlines()[0]: part for part in re.split(r"^## (?=\d)", PAGE.split("\n## How long")[0], flags=re.MULTILINE)[1:]
}
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
}


def test_the_seven_promises_are_all_there() -> None:
    assert [title[0] for title in PROMISES] == list("1234567")


@pytest.mark.parametrize("title", PROMISES)
def test_a_guarantee_is_proven_by_tests_that_exist(title: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", PROMISES[title]))
    assert named
    assert named - TESTS == set()


@pytest.mark.parametrize("title", PROMISES)
def test_a_guarantee_says_where_it_ends(title: str) -> None:
    assert "**What it cannot promise.**" in PROMISES[title]
