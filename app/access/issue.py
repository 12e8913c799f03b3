"""Making an API key and its entry in the keys file, and taking an entry away."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from app.access.api_key import new_key, shown_digest
from app.access.key_file import NAME_FORM, KeyDefaults, read_keys
from app.core.errors import ConfigurationError


def issue_key(name: str, role: Literal["user", "admin"] = "user") -> tuple[str, str]:
    """A fresh key, and the lines for the keys file.

    Raises:
        ConfigurationError: the name is none.
    """
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
    if path.exists() and name in {one.name for one in read_keys(path, KeyDefaults())}:
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
    before = {one.name: one for one in read_keys(path, KeyDefaults())}
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
        if {one.name: one for one in read_keys(staged, KeyDefaults())} != before:
            raise ConfigurationError(f"{str(path)!r}: the entry of {name!r} has to be taken out by hand")
        staged.chmod(path.stat().st_mode & 0o777)
        staged.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    finally:
        staged.unlink(missing_ok=True)
