"""What each key of a plan is for: the text below it in its class, which pydantic would read at each start of a command."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

from cutoverd.daemon.plan.base import Part


def describe(part: type[Part]) -> None:
    """The fields of all parts have their descriptions from now on; `part`: the whole, whose schema is made of the others."""
    parts = [each for each in _below(Part) if each is not part]
    for each in (*parts, part):
        texts = {name: text for base in reversed(each.__mro__) if issubclass(base, Part) for name, text in _texts(base)}
        for name, text in texts.items():
            each.model_fields[name].description = each.model_fields[name].description or text
    for each in (*parts, part):
        each.model_rebuild(force=True)


def _below(part: type[Part]) -> Iterator[type[Part]]:
    for each in part.__subclasses__():
        yield each
        yield from _below(each)


def _texts(part: type[Part]) -> Iterator[tuple[str, str]]:
    """(field, the text below it)."""
    [defined] = ast.parse(textwrap.dedent(inspect.getsource(part))).body
    assert isinstance(defined, ast.ClassDef)  # noqa: S101  # of a class
    for pair in pairwise(defined.body):
        match pair:
            case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text)))):
                yield name, inspect.cleandoc(text)
