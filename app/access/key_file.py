"""The keys file: TOML, a table for each name.

    [keys.alice]
    hash = "sha256:..."              # or a list of them, while a key is being replaced
    role = "admin"                   # left out: user
    expires = 2027-01-01T00:00:00Z   # left out: never
    requests_per_s = 50              # this and the following: left out, the settings say
    steps_per_s = 20000
    max_sessions = 1000

It holds no secret: a key cannot be found from its hash.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.core.errors import ConfigurationError

NAME_FORM = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
Name = Annotated[str, StringConstraints(pattern=rf"^{NAME_FORM}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Rate = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class KeyDefaults:
    """Limits of keys whose entries have none; ``None`` is no limit.

    Attributes:
        steps_per_s: steps of a network.
        burst_s: how many seconds' worth may come at once.
        max_sessions: live sessions.
    """

    requests_per_s: float | None = None
    steps_per_s: float | None = None
    burst_s: float = 1.0
    max_sessions: int | None = None


class KeyEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hash: Digest | Annotated[list[Digest], Field(min_length=1, max_length=16)]
    role: Literal["user", "admin"] = "user"
    expires: AwareDatetime | None = None
    requests_per_s: Rate | None = None
    steps_per_s: Rate | None = None
    max_sessions: int | None = Field(None, ge=0, le=2**40)

    @property
    def digests(self) -> list[bytes]:
        """SHA-256 of the keys, 32 bytes each."""
        given = [self.hash] if isinstance(self.hash, str) else self.hash
        return [bytes.fromhex(digest.partition(":")[2]) for digest in given]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: dict[Name, KeyEntry] = {}


def read_keys(path: Path) -> dict[str, KeyEntry]:
    """The entries of a keys file, by name.

    Raises:
        ConfigurationError: the file cannot be read, or a field is wrong; never shows a value.
    """
    try:
        with path.open("rb") as file:
            entries = _File.model_validate(tomllib.load(file)).keys
    except OSError as error:
        raise ConfigurationError(f"the keys file {str(path)!r} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the keys file {str(path)!r} is not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"the keys file {str(path)!r}: {_first_problem(error)}") from None
    seen: dict[bytes, str] = {}
    for name, entry in entries.items():
        for digest in entry.digests:
            if seen.setdefault(digest, name) != name:
                raise ConfigurationError(
                    f"the keys file {str(path)!r}: {seen[digest]!r} and {name!r} have the same hash"
                )
    return entries


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


def _first_problem(error: ValidationError) -> str:
    # No input is shown: somebody may have put a key where its hash belongs.
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"] if part != "[key]")
    return f"{field or 'file'}: {first['msg']}"
