"""Adds a line per command to the file that EXAMPLE_WITNESS names, so that others can count what was asked."""

from __future__ import annotations

import os


def note(*words: str) -> None:
    if path := os.environ.get("EXAMPLE_WITNESS"):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, (" ".join(words) + "\n").encode())  # one write: lines of two commands never mix
        finally:
            os.close(descriptor)
