"""Files that only their owner may read, replaced as a whole."""

from __future__ import annotations

import os
import secrets
from io import BufferedWriter
from pathlib import Path


def write_private(path: Path, content: str | bytes) -> None:
    """Replace `path` by a file of mode 600; whoever reads it sees what it held before or `content`, after a power cut too."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")  # two threads may write at once
    with open_private(draft, os.O_EXCL) as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def open_private(path: Path, flags: int = os.O_APPEND) -> BufferedWriter:
    """Open for writing, made with mode 600 if it is not there."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600), "wb")
