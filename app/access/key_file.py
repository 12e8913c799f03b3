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


def _first_problem(error: ValidationError) -> str:
    # No input is shown: somebody may have put a key where its hash belongs.
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"] if part != "[key]")
    return f"{field or 'file'}: {first['msg']}"
