"""Who calls a function learns from its docstring what it raises."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.paths import ROOT

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
OTHER_READERS = {"step", "app"}  # decorators: operators read the docstring of a step, and `--help` shows a command's
FILES = [file for folder in ("daemon", "states", "events") for file in sorted((ROOT / folder).rglob("*.py"))]


def public(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS) and not child.name.startswith("_"):
            yield child
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public(child)


def raised(node: ast.AST) -> Iterator[str]:
    """Classes of errors that are raised right there; not what a function within it raises."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and child.exc:
            name = ast.unparse(child.exc).partition("(")[0].rpartition(".")[2]
            yield from [name] if name[0].isupper() else []
        if not isinstance(child, (*FUNCTIONS, ast.Lambda)):
            yield from raised(child)


def unsaid(file: Path) -> Iterator[str]:
    for function in public(ast.parse(file.read_text())):
        decorators = {re.split(r"\W", ast.unparse(each))[0] for each in function.decorator_list}
        words = set(re.findall(r"\w+", ast.get_docstring(function) or ""))
        if not decorators & OTHER_READERS:
            yield from (f"{file}:{function.lineno} {function.name}: {name}" for name in set(raised(function)) - words)


def test_a_docstring_names_what_is_raised():
    assert [each for file in FILES for each in unsaid(file)] == []
