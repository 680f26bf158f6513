"""Each row of the page about what may happen names the tests that make it happen."""

import re

import pytest
from support.paths import ROOT

ROWS = [line for line in (ROOT / "docs" / "what-if.md").read_text().splitlines() if line.startswith("| ")][1:]
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_what_if_is_proven_by_tests_that_exist(row):
    named = re.findall(r"`(test_\w+)`", row.split("|")[4])
    assert named
    assert set(named) <= TESTS
