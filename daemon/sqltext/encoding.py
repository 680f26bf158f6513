r"""Which client encoding is in force where in a file, and whether what stands there is valid in it.

What needs the server (other encodings than UTF8, and whether the database's has such a character) is kept for it in `Texts`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.sqltext.splitter import MetaCommand, Statement
from cutoverd.daemon.sqltext.variables import Variables

UTF8 = "UTF8"
MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
# as pg_char_to_encoding reads a name: docs/measured.md, "Files and encodings"
_MULTIBYTE = {
    "utf8": UTF8, "unicode": UTF8, "eucjp": "EUC_JP", "euccn": "EUC_CN", "euckr": "EUC_KR", "euctw": "EUC_TW",
    "eucjis2004": "EUC_JIS_2004", "johab": "JOHAB", "sjis": "SJIS", "mskanji": "SJIS", "shiftjis": "SJIS", "win932": "SJIS",
    "windows932": "SJIS", "shiftjis2004": "SHIFT_JIS_2004", "big5": "BIG5", "win950": "BIG5", "windows950": "BIG5",
    "gbk": "GBK", "win936": "GBK", "windows936": "GBK", "uhc": "UHC", "win949": "UHC", "windows949": "UHC",
    "gb18030": "GB18030", "muleinternal": "MULE_INTERNAL", "sqlascii": "SQL_ASCII",
}  # fmt: skip
_SINGLE_BYTE = re.compile(
    r"latin(?:[1-9]|10)|iso8859(?:[1-9]|1[03456])|koi8[ru]?|win|(?:win|windows)(?:125[0-8]|866|874)|alt|abc|tcvn|tcvn5712|vscii"
)
_VALUE = r"(?:'(?P<quoted>[^']*)'|(?P<plain>[\w-]+))"
_SET = re.compile(
    rf"""set\s+(?:(?:session|local)\s+)?(?:client_encoding\s*(?:=|\bto\b)|names\b)\s*{_VALUE}\s*\Z
       | (?:reset\s+(?P<reset>client_encoding|all)|discard\s+(?P<discard>all))\s*\Z
       | select\s+(?:pg_catalog\.)?set_config\s*\(\s*'client_encoding'\s*,\s*'(?P<called>[^']*)'""",
    re.VERBOSE | re.IGNORECASE,
)


def known(name: str) -> str | None:
    """The encoding that PostgreSQL takes this name for; None if there is none, and psql would go on with the one before."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return _MULTIBYTE.get(plain) or (plain.upper() if _SINGLE_BYTE.fullmatch(plain) else None)


def is_single_byte(encoding: str) -> bool:
    return encoding not in _MULTIBYTE.values()


def switched_to(piece: Statement | MetaCommand, variables: Variables) -> str | None:
    r"""The name that `\encoding`, `SET client_encoding` or `SET NAMES` has there; None: it is none of them, "" unknowable."""
    if isinstance(piece, MetaCommand):
        return (variables.resolve(piece.arguments[0]) or "") if piece.name == "encoding" and piece.arguments else None
    if piece.words[:1] not in {("set",), ("reset",), ("discard",), ("select",)} or not (found := _SET.match(piece.text)):
        return None
    if found["reset"] or found["discard"] or (found["plain"] or "").lower() == "default":
        return UTF8  # what the session began with
    return found["quoted"] or found["plain"] or found["called"] or ""


@dataclass
class Texts:
    """Text that is not ASCII and that the server has to judge: (encoding, bytes) → where it stands first.

    Of UTF8 each character, of a single-byte encoding each byte, of others each line: so it is little, however long files are.
    """

    places: dict[tuple[str, bytes], tuple[Path, int]] = field(default_factory=dict)

    def add(self, file: Path, line: int, encoding: str, raw: bytes) -> None:
        for number, each in enumerate(raw.split(b"\n"), line):
            if not each.isascii():
                for part in _parts(encoding, each):
                    self.places.setdefault((encoding, part), (file, number))


def _parts(encoding: str, line: bytes) -> Iterator[bytes]:
    if encoding == UTF8:
        yield from (each.encode() for each in set(line.decode()) if not each.isascii())
    elif is_single_byte(encoding):
        yield from (bytes([each]) for each in set(line) if each > 0x7F)
    else:
        yield line


def invalid(raw: bytes, encoding: str) -> tuple[int, int] | None:
    """(how many lines come before, the byte) of the first that is not valid; only of UTF8, the rest the server knows."""
    if encoding != UTF8 or raw.isascii():
        return None
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return raw.count(b"\n", 0, error.start), raw[error.start]
    return None


def advice(encoding: str) -> str:
    return f"psql reads what is there as {encoding}; save the file as UTF-8, or say before it what it is, `\\encoding LATIN1` say"


def check_whole(raw: bytes, refuse: Callable[[int, str, str], None]) -> bool:
    """Whether a file may be read on: in UTF-16, or with a NUL in it, psql would pass over half of each line without a word."""
    if mark := next((name for mark, name in MARKS.items() if raw.startswith(mark)), None):
        refuse(1, f"the file is in {mark}", "psql would pass over its lines without a word; save it as UTF-8")
        return False
    if (nul := raw.find(b"\0")) >= 0:
        line = raw.count(b"\n", 0, nul) + 1
        refuse(line, "a NUL byte (is it UTF-16?)", "psql would pass over the rest of that line without a word; save it as UTF-8")
        return False
    return True
