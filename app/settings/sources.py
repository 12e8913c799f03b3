"""Where settings come from: flags, then ``RNNSERVE_*`` variables, then the settings file, then defaults."""

from __future__ import annotations

import json
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import EnvSettingsSource

from app.core.errors import ConfigurationError
from app.settings.settings import ENV_PREFIX, Settings

FOREIGN_VARIABLES = frozenset({"RNNSERVE_DATA", "RNNSERVE_API_KEY"})
"""Variables of the training side, and of commands that ask a server, which share the prefix."""

SECRET = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if not field.repr or "SecretStr" in str(field.annotation)
)
"""Settings whose values may hold a password, and are shown nowhere."""


MASK = "****"
# What stands before the last @ of an address may be a password, and so may its query.
_USER = re.compile(r"//.*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sourced:
    """Settings, and for each that is no default the flag, the variable or the file it comes from."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(**flags: Any) -> Settings:
    """As :func:`load_sourced`, without the sources."""
    return load_sourced(**flags).settings


def load_sourced(**flags: Any) -> Sourced:
    """Settings from flags (those not ``None``), the environment, the settings file and the defaults.

    Unknown ``RNNSERVE_*`` variables are warned about, since a misspelt limit would be no limit.
    In the file, which is ours alone, an unknown name is an error.

    Raises:
        ConfigurationError: a value or the file is wrong; names the setting, its source and what
            is allowed.
    """
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | FOREIGN_VARIABLES
    for name in sorted(os.environ):
        if name.startswith(ENV_PREFIX) and name.upper() not in known:
            logging.getLogger("rnnserve").warning("%s is not a setting of rnnserve and is ignored", name)
    given = {name: value for name, value in flags.items() if value is not None}
    variables = EnvSettingsSource(Settings)()
    file = given.get("config", variables.get("config"))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if file is not None:
        values = _read_file(Path(file))
        origins = dict.fromkeys(values, str(file))
    for name, value in variables.items():
        values[name], origins[name] = value, f"{ENV_PREFIX}{name.upper()}"
    for name, value in given.items():
        values[name], origins[name] = value, f"--{name.replace('_', '-')}"
    try:
        return Sourced(Settings(**values), origins)
    except ValidationError as error:
        lines = [_wrong(problem, origins) for problem in error.errors(include_url=False)]
        raise ConfigurationError("; ".join(lines)) from error


def tracing_variables() -> dict[str, str]:
    """OpenTelemetry's own variables, which its SDK reads by itself."""
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigurationError(
            f"the settings file {str(path)!r} cannot be read: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the settings file {str(path)!r} is not TOML: {error}") from error
    unknown = sorted(set(values) - (set(Settings.model_fields) - {"config"}))
    if unknown:
        raise ConfigurationError(f"the settings file {str(path)!r}: {', '.join(unknown)}: no such setting")
    return values


def _wrong(problem: Any, origins: Mapping[str, str]) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "settings"
    origin = origins.get(name, f"{ENV_PREFIX}{name.upper()}")
    # A file holds many: say which.
    source = origin if origin.startswith((ENV_PREFIX, "--")) else f"{origin}: {name}"
    value = problem["input"]
    got = "a value that is not shown" if name in SECRET or isinstance(value, SecretStr) else repr(value)
    return f"{source}: {problem['msg']}, got {got}"


def effective_lines(sourced: Sourced) -> list[str]:
    """A line of TOML for each setting, with its source as a comment; unset ones are comments."""
    found = [(name, _shown(name, getattr(sourced.settings, name))) for name in Settings.model_fields]
    lines = [f"# {name} =" if value is None else f"{name} = {value}" for name, value in found]
    width = min(48, max(len(line) for line in lines))
    return [
        f"{line:<{width}}  # {sourced.origins.get(name, 'default')}"
        for line, (name, _) in zip(lines, found, strict=True)
    ]


def _shown(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return json.dumps(MASK)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    text = str(value) if isinstance(value, Path) else value
    if name in SECRET and name != "models":  # whose addresses are refused when they hold a password
        address, question, _ = _USER.sub(f"//{MASK}@", text).partition("?")
        text = f"{address}?{MASK}" if question else address
    return json.dumps(text, ensure_ascii=False)
