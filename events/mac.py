"""Whose a message is: a MAC over all of it (run, n, prev and body) by a key that only the ledger and its daemons have.

It is the last member of the JSON document, so that what it covers are bytes, and no reading of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

_SIGNED = re.compile(rb'(?s)(\{.*),"mac":"([0-9a-f]{64})"\}')


@dataclass(frozen=True)
class JournalKey:
    """The keys of a ledger's journals: the first signs, all of them verify."""

    secrets: tuple[bytes, ...] = field(repr=False)
    unsigned_runs: frozenset[str] = frozenset()  # that were begun before there was a key

    @property
    def of_runs(self) -> JournalKey:
        """For `cutover.runs`: what is signed for one subject must not pass for ours, and unreadable, on the other."""
        return JournalKey(tuple(_derived(secret) for secret in self.secrets), self.unsigned_runs)

    def sign(self, document: bytes) -> bytes:
        """A JSON object, with its MAC."""
        return b'%b,"mac":"%b"}' % (document.removesuffix(b"}"), _mac(self.secrets[0], document).encode())

    def has_signed(self, message: bytes) -> bool:
        """Whether the message is one of `sign`, to the byte."""
        found = _SIGNED.fullmatch(message)
        if found is None:
            return False
        document, mac = found[1] + b"}", found[2].decode()
        return any(hmac.compare_digest(_mac(secret, document), mac) for secret in self.secrets)


def is_signed(message: bytes) -> bool:
    """Whether there is a MAC, whosever it is."""
    return _SIGNED.fullmatch(message) is not None


def _derived(secret: bytes) -> bytes:
    return hmac.new(secret, b"cutover.runs", hashlib.sha256).digest()


def _mac(secret: bytes, document: bytes) -> str:
    return hmac.new(secret, document, hashlib.sha256).hexdigest()
