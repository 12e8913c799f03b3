"""API keys: making one, what is kept of it, and its entry in the keys file.

A key is 256 random bits, so a plain SHA-256 of it is as good as the key is: there is no list of
likely keys that a slow hash would have to slow down, as there is of passwords, and a slow one
would cost more than the requests it guards.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Literal

from app.access.key_file import NAME_FORM, read_keys
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


def append_entry(path: Path, name: str, entry: str) -> None:
    """Put an entry at the end of a keys file, which is made when it is missing, for its owner's eyes alone.

    Raises:
        ConfigurationError: the file is wrong, has the name already, or cannot be written.
    """
    if path.exists() and name in read_keys(path):
        raise ConfigurationError(
            f"{str(path)!r} has {name!r} already; to replace a key, put the new hash beside the old one, "
            "as in hash = [OLD, NEW]"
        )
    try:
        # One write, so that a server which reads the file now sees the whole entry or nothing of it.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, f"\n{entry}".encode())
        finally:
            os.close(file)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def revoke_entry(path: Path, name: str) -> None:
    """Take a name out of a keys file; everything else in it stays as it is written.

    Raises:
        ConfigurationError: the file is wrong, does not have the name, cannot be written, or is written in a
            way that only a person can change.
    """
    before = read_keys(path)
    if before.pop(name, None) is None:
        raise ConfigurationError(f"{str(path)!r} has no {name!r}; it has {', '.join(before) or 'none'}")
    lines = path.read_text().splitlines(keepends=True)
    header = re.compile(rf"\s*\[\s*keys\s*\.\s*(['\"]?){re.escape(name)}\1\s*\]")
    first = next((index for index, line in enumerate(lines) if header.match(line)), len(lines))
    last = next((index for index in range(first + 1, len(lines)) if lines[index].startswith("[")), len(lines))
    while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].startswith("#")):
        last -= 1
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.touch(0o600)
        staged.write_text("".join([*lines[:first], *lines[last:]]))
        if read_keys(staged) != before:
            raise ConfigurationError(f"{str(path)!r}: the entry of {name!r} has to be taken out by hand")
        staged.chmod(path.stat().st_mode & 0o777)
        staged.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    finally:
        staged.unlink(missing_ok=True)
