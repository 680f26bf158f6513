"""Text that somebody else may have written: what it may do to a terminal, a log, or a person who reads."""

from __future__ import annotations

import unicodedata

ERASE, TITLE, CSI = "\x1b[2J\x1b[H", "\x1b]0;owned\x07", "\x9b31m"
BIDI, ZERO_WIDTH, HALF = "\u202egpj.exe", "a\u200bb", "\udcff"
FORGED = "fine\n23:59:59 ✔ gate cutover passed by dba\r\n\u2028next: advance\x85"
HOSTILE = f"{ERASE}{TITLE}{CSI}{BIDI}{ZERO_WIDTH}{HALF}\x00\x7f\b\v\f{FORGED}"


def unsafe(text: str) -> set[str]:
    """Characters in it that a terminal acts on, or that change how it is read; line breaks and tabs are for others to judge."""
    return {each for each in text if each not in "\n\t" and unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
