"""Which tests one worker of xdist runs together."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.distribution import TOGETHER, scope
from support.paths import ROOT

PRINTOPTIM = "tests/integration/examples/test_printoptim_data.py"
CHEAP = {"tests/unit/docs/test_board.py"}


@pytest.mark.parametrize(
    ("test", "alone_or_with"),
    [
        (f"{PRINTOPTIM}::test_a[15]", f"{PRINTOPTIM}[15]"),
        (f"{PRINTOPTIM}::test_a[18-x]", f"{PRINTOPTIM}[18]"),
        (f"{PRINTOPTIM}::test_b", PRINTOPTIM),
        ("tests/fault/test_x.py::test_a[15]", "tests/fault/test_x.py::test_a[15]"),
    ],
)
def test_what_shares_a_fixture_stays_together_by_version_and_the_rest_is_alone(test: str, alone_or_with: str) -> None:
    assert scope(test) == alone_or_with


def test_every_module_with_a_fixture_for_all_of_its_tests_is_named() -> None:
    made_once = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py") if makes_once(path)}
    assert made_once == {*TOGETHER, *CHEAP}


def makes_once(path: Path) -> bool:
    keywords = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.keyword) and node.arg == "scope")
    return any(isinstance(node.value, ast.Constant) and node.value.value == "module" for node in keywords)
