"""Mistakes of a plan in words: file, line, key, the value seen, what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from cutoverd.daemon.plan.fields import SECRETS
from cutoverd.daemon.plan.model import Plan

NO_WORDS = {
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:bool": "true or false",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a moment",
}


def no_words(node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> Iterator[str]:
    """Keys that are lists, mappings, numbers or nothing: YAML allows them, and no plan has one."""
    for part in _parts(node, within):
        yield from no_words(part, (*within, *([node] if node else [])))
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield f"{key.start_mark.line + 1}: a key is a word, saw a list or a mapping"
            elif key.tag in NO_WORDS:
                name, kind = _cut(key.value) or "nothing", NO_WORDS[key.tag]
                yield f"{key.start_mark.line + 1}: a key is a word, and YAML reads {name} as {kind}: write it in quotes"


def _parts(node: yaml.Node | None, within: tuple[yaml.Node, ...]) -> list[yaml.Node]:
    """The values in it; none of an alias of what it is part of."""
    if node in within:
        return []
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def twice(node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> Iterator[str]:
    """Keys that a mapping has twice: YAML would take the last and say nothing."""
    if isinstance(node, yaml.MappingNode) and node not in within:
        first: dict[str, int] = {}
        for key, _ in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in first:
                yield f"{line}: {_cut(name)} is there twice, first in line {first[name]}; keep one"
            first.setdefault(name, line)
    for part in _parts(node, within):
        yield from twice(part, (*within, *([node] if node else [])))


UNFILLED = "FILL_IN"  # what `cutoverd plan new` could not know


def unfilled(node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> Iterator[str]:
    """Places of a draft that nobody has filled in yet."""
    if node is None or node in within:
        return
    if isinstance(node, yaml.ScalarNode) and UNFILLED in node.value:
        yield f"{node.start_mark.line + 1}: {UNFILLED} is still there: write what it stands for"
    for part in _parts(node, within):
        yield from unfilled(part, (*within, node))


def not_yaml(error: yaml.YAMLError) -> str:
    """Where and why, without the line itself: it may hold a password."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"{mark.line + 1 if mark else 1}: not YAML: {problem or type(error).__name__}"


LONGEST_SHOWN = 200  # characters


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)} characters)"


def mistakes(root: yaml.Node | None, error: ValidationError) -> Iterator[str]:
    """Each with its line, its key, the value seen and what would be right."""
    for mistake in error.errors(include_url=False):
        at = mistake["loc"]  # names and numbers of the plan alone: no key of it is a union, which pydantic would label
        where = tuple(_as_written(root, at))
        key = _cut(".".join(str(part) for part in where)) or "the plan"
        right = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            right = f"there is no such key{_nearest(at)}"
        yield f"{_line(root, where)}: {key}{_format_value(mistake, where)}; {_format_expectation(mistake['type'], right)}"


def _as_written(node: yaml.Node | None, where: tuple[Any, ...]) -> Iterator[Any]:
    """Without the key of a part that the plan may leave out, where it did: of `smoke: [...]` the word `tests`."""
    for part in where:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, str):
            continue
        yield part
        found = _child(node, part)
        node = found[1] if found else None


def _format_value(mistake: Any, where: tuple[Any, ...]) -> str:
    """The value, where it tells anything: of a key that there is not, one that has to be kept back tells nothing."""
    if mistake["type"] == "missing" or isinstance(mistake["input"], dict):
        return ""
    shown = _shown(mistake["input"], where)
    return "" if mistake["type"] == "extra_forbidden" and shown == HIDDEN else f": saw {shown}"


def _nearest(where: tuple[Any, ...]) -> str:
    """The key that was meant, if one is near; else those that there are."""
    known = _keys(where[:-1])
    near = difflib.get_close_matches(str(where[-1])[:LONGEST_SHOWN], known, 1)
    if near:
        return f": did you mean {near[0]}?"
    return f"; here may be: {', '.join(known)}" if known else ""


def _keys(where: tuple[Any, ...]) -> list[str]:
    """Of the part of a plan that lies there; [] where that cannot be said."""
    model: type[BaseModel] | None = Plan
    for name in (part for part in where if isinstance(part, str)):
        fields = {field.alias or key: field for key, field in model.model_fields.items()} if model else {}
        model = _model_in(fields[name].annotation) if name in fields else None
    return [field.alias or key for key, field in model.model_fields.items()] if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of `X`, `X | None`, `list[X]`, `list[Annotated[X, …]]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


HIDDEN = "what may hold a password"
_SECRET = re.compile(rf"://[^@]*:.*@|password|{'|'.join(SECRETS)}", re.IGNORECASE | re.DOTALL)


def _shown(value: Any, where: tuple[Any, ...]) -> str:
    """The value as the plan has it; nothing of one that may hold a password, wherever its parts begin and end."""
    shown = repr(value)
    if len(shown) > 10 * LONGEST_SHOWN:  # what may hold a password is not to be seen in any part of it
        return f"a value of {len(shown)} characters"
    is_token = where == ("bus", "url") and "@" in shown  # what stands before it, be it no more than a word
    return HIDDEN if is_token or _SECRET.search(shown) else shown


def _format_expectation(kind: str, message: str) -> str:
    return {"missing": "it is missing"}.get(kind, message)


def _line(node: yaml.Node | None, where: tuple[Any, ...]) -> int:
    """The line of the deepest part of `where` that the file has."""
    line = node.start_mark.line + 1 if node else 1
    for part in where:
        found = _child(node, part)
        if found is None:
            return line
        key_node, node = found
        line = key_node.start_mark.line + 1
    return line


def line_of(root: yaml.Node | None, key: str, value: str) -> int:
    """The line where the plan has this value below a key, the last one; else that of the key."""
    where = tuple(key.split("."))
    node = root
    for part in where:
        found = _child(node, part)
        node = found[1] if found else None
    lines = [each.start_mark.line + 1 for each in _scalars(node) if each.value == value]
    return lines[-1] if lines else _line(root, where)


def _scalars(node: yaml.Node | None, within: tuple[yaml.Node, ...] = ()) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    for part in _parts(node, within):
        yield from _scalars(part, (*within, *([node] if node else [])))


def _child(node: yaml.Node | None, part: Any) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
