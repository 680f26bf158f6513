r"""Files of data that a script reads on this machine, `\copy … from` and `\lo_import`, and those that it writes there."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from itertools import pairwise
from pathlib import Path

from cutoverd.daemon.sqltext import encoding as encodings
from cutoverd.daemon.sqltext.regular_file import open_regular
from cutoverd.daemon.sqltext.splitter import MetaCommand
from cutoverd.daemon.sqltext.variables import Variables

_TOKEN = re.compile(
    r"""(?P<blank>\s+)|(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")|(?P<edge>[();])|(?P<word>[^\s'"();]+)|.""", re.DOTALL
)
_ELSEWHERE = {"stdin", "stdout", "pstdin", "pstdout", "program"}
_ENCODING = re.compile(r"\bencoding\s*'([^']*)'", re.IGNORECASE)
_BINARY = re.compile(r"\A\s*binary\b|\bbinary\s*\Z|\bformat\s+'?binary\b", re.IGNORECASE)
_HEADER = re.compile(r"\bheader\b(?!\s*(?:match|false|off|0)\b)", re.IGNORECASE)
OUTPUT = {"g", "gx", "o", "out", "w", "write"}
_CHUNK_BYTES = 1 << 20
_LAST_ALONE = re.compile(rb".*[\x00-\x2f]", re.DOTALL)


@dataclass(frozen=True)
class CopyFile:
    r"""A file as a command names it; `encoding`: what its options say."""

    name: str
    is_read: bool
    encoding: str | None = None
    is_text: bool = True
    is_marked_value: bool = False  # its first line is a row: a byte order mark would be a part of it


def of(command: MetaCommand, variables: Variables) -> CopyFile | None:
    """None if the command is about no file of data, or nobody can know which."""
    if command.name == "copy":
        return _copied(command.arguments[0] if command.arguments else "")
    name = variables.resolve(command.arguments[0]) if command.arguments else None
    if command.name == "lo_import" and name:
        return CopyFile(name, is_read=True, is_text=False)
    if command.name in OUTPUT and (name := output_name(command, variables)) and not name.startswith("|"):
        return CopyFile(name, is_read=False)
    return None


def output_name(command: MetaCommand, variables: Variables) -> str | None:
    r"""Where `\g` and the like write, behind the options in parentheses that `\g` may have; a pipe begins with `|`."""
    arguments = list(command.arguments)
    if command.name in {"g", "gx"} and arguments and arguments[0].startswith("("):
        while arguments and not arguments.pop(0).endswith(")"):
            pass
    return variables.resolve(arguments[0]) if arguments else None


def _copied(text: str) -> CopyFile | None:
    r"""psql's own way through a `\copy`: FROM or TO outside of parentheses, then a name up to a blank or a semicolon."""
    tokens, depth = [found for found in _TOKEN.finditer(text) if not found["blank"]], 0
    for at, found in enumerate(tokens[:-1]):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0 and found[0].lower() in {"from", "to"}:
            return _named(text, found[0].lower() == "from", text[tokens[at + 1].start() :])
    return None


def _named(text: str, is_read: bool, rest: str) -> CopyFile | None:
    found = re.match(r"'((?:[^']|'')*)'|[^\s;]+", rest)
    if not found or found[0].lower() in _ELSEWHERE:
        return None
    name = found[0] if found[1] is None else found[1].replace("''", "'")
    options = rest[found.end() :]
    given = _ENCODING.search(options)
    is_text = not (_BINARY.search(text[: len(text) - len(rest)]) or _BINARY.search(options))
    return CopyFile(name, is_read, given[1] if given else None, is_text, is_text and not _HEADER.search(options))


def reads_own_input(command: MetaCommand) -> bool:
    r"""Whether a `\copy … from pstdin` reads what psql itself is given, which is nothing; outside of quotes alone."""
    return _copies(command, "from", "pstdin")


def copies_to_program(command: MetaCommand) -> bool:
    return _copies(command, "to", "program")


def _copies(command: MetaCommand, way: str, what: str) -> bool:
    words = [found[0].lower() for found in _TOKEN.finditer(" ".join(command.arguments)) if not found["blank"]]
    return command.name == "copy" and (way, what) in pairwise(words)


def begins_with_mark(path: Path) -> bool:
    """Of UTF-8; raises OSError."""
    with open_regular(path) as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def wrong_encoding(path: Path, encoding: str | None, texts: encodings.Texts) -> tuple[int, int] | None:
    """(line, byte) of the first that is not valid; what the server has to judge goes to `texts`. Raises OSError.

    Without an encoding the file is only opened: it is binary, or nobody can know.
    """
    with open_regular(path) as file:
        return _wrong(path, file, encoding, texts) if encoding else None


def _wrong(path: Path, file: BufferedReader, encoding: str, texts: encodings.Texts) -> tuple[int, int] | None:
    line = 1
    for block in _blocks(file, encoding):
        if found := encodings.invalid(block, encoding) or _nul(block):
            return line + found[0], found[1]
        texts.add(path, line, encoding, block)
        line += block.count(b"\n")
    return None


def _blocks(file: BufferedReader, encoding: str) -> Iterator[bytes]:
    """None of them ends within a character, nor holds a whole line if that is long: it may be as long as the disk."""
    rest = b""
    while block := file.read(_CHUNK_BYTES):
        block = rest + block
        end = block.rfind(b"\n") + 1 or _end_of_character(block, encoding)
        rest = block[end:]
        yield block[:end]
    yield rest


def _end_of_character(block: bytes, encoding: str) -> int:
    """Where the last whole one ends; of what PostgreSQL calls multibyte, no byte below 0x30 is a part of another."""
    if encoding == encodings.UTF8:
        start = len(block) - 1 - next((n for n, byte in enumerate(block[:-5:-1]) if not 0x80 <= byte < 0xC0), -1)
        return start if 0 < start < len(block) and block[start] >= 0xC0 else len(block)
    if encodings.is_single_byte(encoding):
        return len(block)
    found = _LAST_ALONE.match(block)
    return found.end() if found else len(block)


def _nul(block: bytes) -> tuple[int, int] | None:
    """PostgreSQL takes it in no encoding: a file in UTF-16 is full of them."""
    at = block.find(b"\0")
    return (block.count(b"\n", 0, at), 0) if at >= 0 else None
