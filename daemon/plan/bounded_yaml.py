"""YAML within bounds: what nobody writes by hand must take neither time nor memory, and end in an error that tells its line.

Every error is a `yaml.YAMLError` with a mark. Aliases are allowed, and counted as what they stand for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cutoverd.daemon.sqltext.regular_file import open_regular

LARGEST_BYTES = 1 << 20
DEEPEST = 50
MOST_NODES = 20_000  # with those that aliases stand for
LONGEST_NUMBER = 100  # characters
NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float")}
# of the constructors of PyYAML, which let Python's own errors through
NOT_BUILT = (ValueError, TypeError, AttributeError, LookupError, OverflowError)
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where it is there: a hundred times as fast


class _Loader(_Base):  # type: ignore[misc]  # chosen at run time
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Found: a number of 5,000 digits, or `2026-13-45`, ended in a traceback."""
        if node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
            raise _error(f"a number of {len(node.value)} characters, expected {LONGEST_NUMBER} at most", node.start_mark)
        try:
            return super().construct_object(node, deep=deep)
        except NOT_BUILT as error:
            kind = node.tag.rpartition(":")[2]
            why = str(error)[:200] if isinstance(error, ValueError) else "it is not written as one"  # the rest are Python's words
            raise _error(f"no {kind} can be made of it: {why}", node.start_mark) from error


def read_source(path: Path) -> bytes:
    """A file of at most 1 MiB, and a byte of what is longer; raises OSError. A pipe is not waited for."""
    with open_regular(path) as file:
        return file.read(LARGEST_BYTES + 1)


def text_of(source: bytes) -> str:
    """What the bytes say, which has to be UTF-8, without a mark of it."""
    if len(source) > LARGEST_BYTES:
        raise _at(f"a file of more than {LARGEST_BYTES} bytes is no plan that anybody wrote", source[:LARGEST_BYTES].count(b"\n"))
    if source.startswith((b"\xff\xfe", b"\xfe\xff")) or source[:4].count(0) in (2, 3):
        raise _at("it is UTF-16 or UTF-32, expected UTF-8: save it anew", 0)
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start)
        raise _at(f"byte {source[error.start]:#04x} is no UTF-8: save it anew as UTF-8", line) from error
    if found := _UNPRINTABLE.search(text):
        raise _at(f"a character that may not be there: {found[0]!r}", text.count("\n", 0, found.start()))
    return text


def compose(text: str) -> yaml.Node | None:
    """The nodes, each with its line."""
    _check_bounds(text)
    root: yaml.Node | None = yaml.compose(text, _Loader)
    return root


def construct(text: str) -> Any:
    """The values; of a text that `compose` has taken."""
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader


def _check_bounds(text: str) -> None:
    """By the events, one after the other: what stands in the way is found before anything is built of it."""
    nodes, open_nodes = 0, list[tuple[str | None, int]]()  # the anchor, and how many nodes there were before
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.NodeEvent):
            _check_text(event)
            nodes += sizes.get(str(event.anchor), 1) if isinstance(event, yaml.AliasEvent) else 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, nodes - 1))
            if nodes > MOST_NODES:
                raise _error(f"more than {MOST_NODES} values, with those that aliases stand for", event.start_mark)
            if len(open_nodes) > DEEPEST:
                raise _error(f"values lie more than {DEEPEST} deep in each other", event.start_mark)


def _check_text(event: yaml.NodeEvent) -> None:
    """No name, no file and no statement has such a character; an escape may write it."""
    if isinstance(event, yaml.ScalarEvent) and (found := _NO_TEXT.search(event.value)):
        raise _error(f"a character that no text may have: {found[0]!r}", event.start_mark)


def _at(problem: str, line: int) -> yaml.YAMLError:
    return _error(problem, yaml.Mark("", 0, line, 0, None, 0))


def _error(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
