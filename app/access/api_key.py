"""API keys: making one, and what is kept of it.

A key is 256 random bits, so a plain SHA-256 of it is as good as the key is: there is no list of
likely keys that a slow hash would have to slow down, as there is of passwords, and a slow one
would cost more than the requests it guards.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal

from app.access.key_file import NAME_FORM
from app.core.errors import ConfigurationError

PREFIX = "rnnserve_"
"""Lets people, and scanners of public code, see what the text is."""

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


def issue_key(name: str, role: Literal["user", "admin"] = "user") -> tuple[str, str]:
    """A fresh key, and the lines for the keys file; raises ConfigurationError for a name that is none."""
    if not re.fullmatch(NAME_FORM, name):
        raise ConfigurationError(
            f"a key's name has 1 to 64 letters, digits, '.', '_' and '-', and begins with a letter or "
            f"digit; got {name!r}"
        )
    key = new_key()
    # A dot in a bare TOML key would part it.
    entry = f'[keys."{name}"]\nhash = "{shown_digest(key)}"\n'
    return key, entry if role == "user" else f'{entry}role = "{role}"\n'
