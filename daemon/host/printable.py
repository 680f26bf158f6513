"""Text of others as a terminal, a log and a person may have it: the one place that makes it so.

What operators send, what programs print, what names are called may hold escape sequences that draw over the lines above,
characters that turn the order of reading, and line breaks that make one line look like two of ours. Each such character is
shown as Python writes it: `\\x1b`. In JSON the text stays whole, by JSON's own escapes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

KEPT = "\n\t"
# controls (C0, C1), formats (bidi, zero width), halves of a character, separators of lines and paragraphs
ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_CANDIDATES = re.compile(r"[^ -~\n\t]+")


def printable(text: str) -> str:
    """Text of ours that holds text of others; its line breaks stay."""
    return _CANDIDATES.sub(lambda found: "".join(map(_shown, found[0])), text)


def one_line(text: str) -> str:
    """Text of others within a line of ours."""
    return printable(text.replace("\n", "\\n"))


def continued(text: str, indent: str) -> str:
    """Text of others that may have several lines: none of them begins where a line of ours begins."""
    return printable(text).replace("\n", f"\n{indent}")


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that reads back as it is, and holds no character that a terminal acts on."""
    return _CANDIDATES.sub(lambda found: "".join(map(_in_json, found[0])), json.dumps(value, indent=indent, ensure_ascii=False))


def _is_escaped(character: str) -> bool:
    return unicodedata.category(character) in ESCAPED


def _shown(character: str) -> str:
    return character.encode("unicode_escape").decode() if _is_escaped(character) else character


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1] if _is_escaped(character) else character
