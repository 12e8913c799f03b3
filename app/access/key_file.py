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

import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.access.api_key import DIGEST_FORM
from app.core.errors import ConfigurationError

NAME_FORM = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
Name = Annotated[str, StringConstraints(pattern=rf"^{NAME_FORM}$")]
Digest = Annotated[str, StringConstraints(pattern=rf"^{DIGEST_FORM.pattern}$")]
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


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One name of the file.

    Attributes:
        digests: SHA-256 of its keys, 32 bytes each.
        expires_at: seconds since the epoch, or ``None``.
    """

    name: str
    digests: tuple[bytes, ...]
    role: Literal["user", "admin"]
    expires_at: float | None
    requests_per_s: float | None
    steps_per_s: float | None
    burst_s: float
    max_sessions: int | None


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hash: Digest | Annotated[list[Digest], Field(min_length=1, max_length=16)]
    role: Literal["user", "admin"] = "user"
    expires: AwareDatetime | None = None
    requests_per_s: Rate | None = None
    steps_per_s: Rate | None = None
    max_sessions: int | None = Field(None, ge=0, le=2**40)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: dict[Name, _Table] = {}


def read_keys(path: Path, defaults: KeyDefaults) -> list[KeyEntry]:
    """The entries of a keys file.

    Raises:
        ConfigurationError: it cannot be read, or an entry is wrong; names the field, and never
            shows a value.
    """
    try:
        with path.open("rb") as file:
            tables = _File.model_validate(tomllib.load(file)).keys
    except OSError as error:
        raise ConfigurationError(f"the keys file {str(path)!r} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the keys file {str(path)!r} is not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(f"the keys file {str(path)!r}: {_first_problem(error)}") from None
    entries = [_entry(name, table, defaults) for name, table in tables.items()]
    seen: dict[bytes, str] = {}
    for entry in entries:
        for digest in entry.digests:
            if seen.setdefault(digest, entry.name) != entry.name:
                raise ConfigurationError(
                    f"the keys file {str(path)!r}: {seen[digest]!r} and {entry.name!r} have the same hash"
                )
    return entries


def _entry(name: str, table: _Table, defaults: KeyDefaults) -> KeyEntry:
    given = [table.hash] if isinstance(table.hash, str) else table.hash
    expires: datetime | None = table.expires
    return KeyEntry(
        name=name,
        digests=tuple(bytes.fromhex(one.partition(":")[2]) for one in given),
        role=table.role,
        expires_at=None if expires is None else expires.timestamp(),
        requests_per_s=defaults.requests_per_s if table.requests_per_s is None else table.requests_per_s,
        steps_per_s=defaults.steps_per_s if table.steps_per_s is None else table.steps_per_s,
        burst_s=defaults.burst_s,
        max_sessions=defaults.max_sessions if table.max_sessions is None else table.max_sessions,
    )


def _first_problem(error: ValidationError) -> str:
    # No input is shown: somebody may have put a key where its hash belongs.
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part != "[key]")
    return f"{place or 'file'}: {first['msg']}"
