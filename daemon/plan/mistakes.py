"""Mistakes of a plan in words: file, line, key, the value seen, what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import ValidationError


def twice(node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> Iterator[str]:
    """Keys that a mapping has twice: YAML would take the last and say nothing."""
    if node in within:  # an alias of what it is part of
        return
    parts: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in first:
                yield f"{line}: {key.value} is there twice, first in line {first[key.value]}; keep one"
            first.setdefault(key.value, line)
        parts = [value for _, value in node.value]
    for part in parts:
        yield from twice(part, (*within, *([node] if node else [])))


def mistakes(root: yaml.Node | None, error: ValidationError) -> Iterator[str]:
    for mistake in error.errors(include_url=False):
        where = tuple(part for part in mistake["loc"] if part != "function-before[_script(), Script]")
        key = ".".join(str(part) for part in where) or "the plan"
        seen = "" if mistake["type"] == "missing" or isinstance(mistake["input"], dict) else f": saw {_shown(mistake['input'])}"
        right = mistake["msg"].removeprefix("Value error, ")
        yield f"{_line(root, where)}: {key}{seen}; {_in_words(mistake['type'], right)}"


_SECRET = re.compile(r"://[^@]*:.*@|password", re.IGNORECASE | re.DOTALL)


def _shown(value: Any) -> str:
    """The value as the plan has it; nothing of one that may hold a password, wherever its parts begin and end."""
    shown = repr(value)
    return "what may hold a password" if _SECRET.search(shown) else shown


def _in_words(kind: str, message: str) -> str:
    return {"missing": "it is missing", "extra_forbidden": "there is no such key"}.get(kind, message)


def _line(node: yaml.Node | None, where: tuple[Any, ...]) -> int:
    """The line of the deepest part of `where` that the file has."""
    line = node.start_mark.line + 1 if node else 1
    for part in where:
        found = _child(node, part)
        if found is None:
            return line
        mark, node = found
        line = mark.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, part: Any) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
