"""API keys: how one is made, and what is kept of it.

A key is 256 random bits, so a plain SHA-256 of it is as good as the key is: there is no list of
likely keys that a slow hash would have to slow down, as there is of passwords, and a slow one
would cost more than the requests it guards.
"""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "rnnserve_"
"""Lets people, and scanners of public code, see what the text is."""

DIGEST_FORM = re.compile(r"sha256:([0-9a-f]{64})")
MAX_KEY_BYTES = 512
_KEY_BYTES = 32


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def digest_of(key: bytes) -> bytes:
    """What is kept of a key, 32 bytes."""
    return hashlib.sha256(key).digest()


def shown_digest(key: str) -> str:
    """The digest as the keys file has it."""
    return f"sha256:{digest_of(key.encode()).hex()}"
